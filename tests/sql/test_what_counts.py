"""What counts, of a shop that sends in transactions and of clocks that are wrong: in both modes.

A real transactional producer. What it takes back never happened; the log ends with a mark of a transaction in one
partition, and with an open transaction in another. Among what it sends are copies whose clocks say 2052, microseconds
and seconds: they stand in no day, move no watermark, and are kept.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import pytest
from confluent_kafka import Producer

from flink_jobs import checks, daily_report, datagen, oracle, order_log, stores
from flink_jobs.errors import UserError
from flink_jobs.log_reader import open_log
from flink_jobs.order_log import HEARTBEAT, Record
from flink_jobs.settings import MINUTE_MS, Settings
from flink_jobs.stores import Table
from flink_jobs.truth import Truth, read_truth, rules_of
from tests.local import open_door
from tests.sql.conftest import FIRST, SECOND
from tests.sql.queries import Row, Rows, last_versions, run_queries
from tests.sql.test_daily_report import PassedTheFirstDay, cells_of, expected, tables
from udfs import packs
from udfs.log_check import LogCheck

TOPIC = "shop"
ORDERS = 400
TOGETHER = 1_000
"""Records of a transaction. Its mark has the time of the wall, as wrong clocks have others: after each Kafka begins a
new segment, and readers ask once more.
"""
EACH = 500
"""Of so many records one is sent again by a till whose clock is wrong."""
YEAR_2052 = 2_587_680_000_000
RIGHT = range(1_700_000_000_000, 1_800_000_000_000)


def with_wrong_clocks(records: Iterable[Record]) -> Iterator[Record]:
    """The records, with copies among them that have a wrong clock: at the log's begin and end too, and a whole batch of
    nothing else.
    """
    last = None
    clocks = (lambda at: YEAR_2052, lambda at: at * 1000, lambda at: at // 1000, lambda at: at * 1_000_000)
    for number, record in enumerate(records):
        if number % EACH == 0:
            clock = clocks[number // EACH % len(clocks)]
            yield record._replace(ingest_time=clock(record.ingest_time))
        if number == 4 * EACH:
            yield from (Record(0, YEAR_2052 + n, HEARTBEAT) for n in range(50))
        yield record
        last = record
    assert last is not None
    yield last._replace(ingest_time=YEAR_2052, value=None)


class Shop:
    """Sends records in transactions."""

    def __init__(self, settings: Settings, name: str) -> None:
        known = {"bootstrap.servers": settings.kafka.bootstrap, "transactional.id": name}
        self._producer = Producer(known | {"transaction.timeout.ms": 900_000})
        self._producer.init_transactions()

    def send(self, records: list[Record], commit: bool | None) -> None:
        """`commit`: None leaves the transaction open."""
        self._producer.begin_transaction()
        for record in records:
            self._producer.produce(TOPIC, record.value, partition=record.partition, timestamp=record.ingest_time)
        self._producer.flush()
        if commit is not None:
            self._producer.commit_transaction() if commit else self._producer.abort_transaction()


@pytest.fixture(scope="module")
def committed(kafka: Settings) -> Iterator[list[Record]]:
    """Fill the topic; what was committed."""
    plan = datagen.Plan(datagen.Spec.by(kafka, seed=20251114, first=FIRST, last=SECOND, orders=ORDERS))
    records = list(with_wrong_clocks(plan.records()))
    order_log.create_topic(kafka, TOPIC, kafka.kafka.partitions)
    with pytest.raises(UserError, match="more than an hour ahead of the broker's clock"):
        order_log.produce(kafka, TOPIC, [Record(0, YEAR_2052, HEARTBEAT)])
    with open_door(kafka, TOPIC):
        shop = Shop(kafka, "shop")
        for number, begin in enumerate(range(0, len(records), TOGETHER)):
            some = records[begin : begin + TOGETHER]
            if number % 5 == 2:  # what it took back: orders that nobody else sends, and heartbeats
                taken_back = [r._replace(value=r.value.replace(b'"O', b'"X') if r.value else None) for r in some]
                shop.send(taken_back, commit=False)
            shop.send(some, commit=True)
        shop.send([records[-2]._replace(partition=0, value=b"{}")], commit=False)
        shop.send([records[-2]._replace(partition=1, value=b"{}")], commit=None)
    yield records
    del shop


@pytest.fixture(scope="module")
def truth(kafka: Settings, committed: list[Record]) -> Truth:
    rules = rules_of(kafka)
    found = read_truth(kafka, rules, TOPIC, str(FIRST), str(SECOND))
    listed = [(r.partition, n, r.ingest_time, r.value) for n, r in enumerate(committed) if r.ingest_time in RIGHT]
    sent = oracle.totals(oracle.classify(listed, rules), rules, str(FIRST), str(FIRST))[str(FIRST)]
    day = found.days[str(FIRST)]
    assert checks.sales_table(day) == checks.sales_table(sent)
    assert day.records == sent.records > ORDERS / 2
    wrong = [r for r in committed if r.ingest_time not in RIGHT]
    assert len({r.ingest_time // 10**9 for r in wrong}) > 10 and len(wrong) > 60
    assert sorted(cells_of_clock(checks.clock_table(found.clock).values())) == sorted(cells_of_clock(map(kept, wrong)))
    return found


def kept(record: Record) -> dict[str, str]:
    """How a record whose clock is wrong is kept, by what was sent."""
    cells = {"verdict": "clock", "reason": "", "ingest_time": str(record.ingest_time)}
    if record.value is not None:
        cells["md5"] = hashlib.md5(record.value, usedforsecurity=False).hexdigest()
    return cells


def cells_of_clock(cells: Iterable[dict[str, str]]) -> list[tuple[tuple[str, str], ...]]:
    """What can be sorted."""
    return [tuple(sorted(one.items())) for one in cells]


def unexplained(settings: Settings, rows: Rows) -> list[object]:
    """What of the holes in what was read the log does not explain."""
    check, left = LogCheck(settings.kafka.bootstrap, TOPIC), []
    holes: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in rows["gaps"]:
        start = max(0, int(row["expected"] or ""))
        if start != int(row["read_from"] or ""):
            holes[int(row["kafka_partition"] or "")].append((start, int(row["read_from"] or "")))
    assert sum(map(len, holes.values())) > 5, "there was no mark of a transaction among the records"
    for partition, of in holes.items():
        left += [parts for parts in check.unexplained(partition, of).values() if parts]
    return left


def clocks_of(rows: Rows) -> Table:
    found = [row for row in rows["rejected"] if row["dt"] == stores.CLOCK]
    table = {f"{int(row['kafka_partition'] or -1):05}|{row['kafka_offset']}": cells_of(row) for row in found}
    assert len(table) == len(found), "a record stands twice"
    return table


def test_a_batch_counts_what_was_committed_in_time_and_comes_to_an_end(kafka: Settings, truth: Truth):
    rows = run_queries(kafka, daily_report, "batch", TOPIC, (FIRST, SECOND))
    assert tables(rows) == expected(truth.days[str(FIRST)])
    wrong = checks.clock_table(truth.clock)
    assert (
        len(wrong) - len(clocks_of(rows)) == 1 and clocks_of(rows).items() < wrong.items()
    )  # the last: behind the days
    assert unexplained(kafka, rows) == []


def test_a_stream_counts_what_was_committed_in_time(kafka: Settings, truth: Truth):
    rows = run_queries(
        kafka, daily_report, "streaming", TOPIC, (FIRST, SECOND), until=PassedTheFirstDay("offsets_read")
    )
    assert tables(rows) == expected(truth.days[str(FIRST)])
    found = clocks_of(rows)
    assert len(found) > 50 and found.items() <= checks.clock_table(truth.clock).items()
    assert unexplained(kafka, rows) == []


def test_what_is_not_decided_and_wrong_clocks_are_not_the_end_of_the_log(
    kafka: Settings, truth: Truth, committed: list[Record]
):
    ends = order_log.topic_end_offsets(kafka, TOPIC)
    with open_log(kafka, TOPIC) as log:
        assert {partition: span.end for partition, span in log.reach().items()} == ends
        read = dict.fromkeys(ends, 0)
        for record in log.records(log.reach()):
            read[record.partition] += 1
    assert read == {p: sum(r.partition == p for r in committed) for p in ends}
    newest = {p: max(r.ingest_time for r in committed if r.partition == p and r.ingest_time in RIGHT) for p in ends}
    assert order_log.topic_max_ingest(kafka, TOPIC) == newest


def test_a_job_does_not_begin_on_a_topic_that_takes_any_clock(kafka: Settings):
    topic = "any-clock"
    order_log.create_topic(kafka, topic, 1)
    assert order_log.open_door(kafka, topic) is None
    with open_door(kafka, topic), pytest.raises(UserError, match="further ahead of the broker's clock than an hour"):
        order_log.refuse_open_door(kafka, topic)
    order_log.create_topic(kafka, "by-the-broker", 1, log_append=True)
    with open_door(kafka, "by-the-broker"):
        assert order_log.open_door(kafka, "by-the-broker") is None


class GoesRight:
    """Sends the rest of a log once the job has closed an hour too early; ends it when it has passed the first day."""

    def __init__(self, settings: Settings, topic: str, closed: str, rest: list[Record]) -> None:
        self._settings, self._topic, self._closed, self._rest = settings, topic, closed, rest
        # What the rest brings is told with the first of it, which comes too late.
        self._passed = PassedTheFirstDay("offsets_read")

    def __call__(self, query: str, row: Row) -> bool:
        if self._rest and query == "verdict_counts" and row["version_end"] == self._closed:
            order_log.produce(self._settings, self._topic, self._rest)
            self._rest = []
        return self._passed(query, row)


def test_what_comes_behind_a_clock_that_was_ahead_is_told_record_by_record(kafka: Settings):
    """Clocks that are ahead by less than an hour pass the door: they close minutes whose orders are still to come."""
    topic, time = "ahead", kafka.time
    records = list(datagen.Plan(datagen.Spec.by(kafka, seed=61, first=FIRST, last=SECOND, orders=ORDERS)).records())
    moment = time.day_start(FIRST) + 15 * checks.HOUR_MS + 20 * MINUTE_MS
    ahead = moment + 50 * MINUTE_MS
    closed = (ahead - time.lateness_ms - time.clock_skew_ms) // MINUTE_MS * MINUTE_MS
    before = [r for r in records if r.ingest_time < moment]
    clocks = [Record(partition, ahead, HEARTBEAT) for partition in range(kafka.kafka.partitions)]
    rest = [r for r in records if r.ingest_time >= moment]
    order_log.create_topic(kafka, topic, kafka.kafka.partitions)
    order_log.produce(kafka, topic, [*before, *clocks])
    goes_on = GoesRight(kafka, topic, f"{FIRST} 16:00:00.000", rest)
    rows = run_queries(kafka, daily_report, "streaming", topic, (FIRST, SECOND), until=goes_on)

    rules, offsets = rules_of(kafka), Counter[int]()
    late: set[tuple[int, int]] = set()
    read: list[oracle.Record] = []
    for n, r in enumerate([*before, *clocks, *rest]):
        read.append((r.partition, offsets[r.partition], r.ingest_time, r.value))
        offsets[r.partition] += 1
        if n >= len(before) + len(clocks):
            late.update((j.partition, j.offset) for j in oracle.classify(read[-1:], rules) if j.event_time < closed)
    assert len(late) > 20
    told = [base64.b64decode(row["pack"] or "") for row in rows["behind"]]
    parts = [part for pack in told for part in packs.read(packs.RECORDS, [pack])]
    places = [(row["kafka_partition"], row["kafka_offset"]) for part in parts for row in part.to_pylist()]
    assert sorted(places) == sorted(late)
    due = oracle.totals(oracle.classify(read, rules), rules, str(FIRST), str(FIRST))[str(FIRST)]
    counted = last_versions(rows["verdict_counts"], f"{SECOND} 00:00:00.000")
    assert sum(int(row["records"] or "") for row in counted) + len(late) == due.records
