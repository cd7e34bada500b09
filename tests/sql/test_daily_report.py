"""The daily report's queries, in both modes, say of a dirty day what the oracle says, row by row."""

from __future__ import annotations

import base64
import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flink_jobs import checks, daily_report, job, oracle, stores
from flink_jobs.settings import Settings
from flink_jobs.stores import Table
from tests.local import Changes
from tests.soak.expected import Truth
from tests.sql.conftest import FIRST, SECOND, TOPIC
from tests.sql.queries import Row, Rows, last_versions, run_queries


class PassedTheFirstDay:
    """Whether each query, and each level of the report, has said something of the second day: the first is complete.

    `silent`: queries that need not. What a batch of the log brought is told with the first of it: of a small log there
    is one batch.
    """

    def __init__(self, *silent: str) -> None:
        self.missing = {"verdict_counts", "conflicting", "rejected", "offsets_read", "country", "province", "city"}
        self.missing -= {*silent}

    def __call__(self, query: str, row: Row) -> bool:
        if str(SECOND) in (row.get("dt"), (row.get("day_start") or row.get("hour_start") or "")[:10]):
            level = "city" if row.get("city") != "ALL" else "province" if row["province"] != "ALL" else "country"
            self.missing.discard(level if query == "daily_sales" else query)
        return not self.missing


def sales_of(rows: list[Row]) -> Table:
    """`province|city` -> the figures of one version."""
    found = {
        f"{row['province']}|{row['city']}": {name: str(row[name]) for name in ("orders", "amount", "users")}
        for row in rows
    }
    assert len(found) == len(rows), "a place stands twice"
    return found


def verdicts_of(rows: list[Row]) -> Table:
    """`partition|verdict` -> the counts of one version."""
    offsets = ("records", "offset_min", "offset_max", "offset_sum")
    found = {
        f"{int(row['kafka_partition'] or -1):05}|{row['verdict']}": {name: str(row[name]) for name in offsets}
        for row in rows
    }
    assert len(found) == len(rows), "a verdict stands twice"
    return found


def cells_of(row: Row) -> dict[str, str]:
    """A rejected row as `checks` has the oracle's."""
    verdict, reason, came, order_id, at, *rest, amount, payload = (row[name] for name in stores.RECORD_COLUMNS)
    user_id, province, city = rest
    value = None if payload is None else base64.b64decode(payload)
    fields = order_id, None if at is None else int(at), user_id, province, city, amount
    return stores.record_cells(str(verdict), reason, int(came or -1), *fields, value)


def tables(rows: Rows) -> dict[str, Table]:
    """The rows of the first day as `checks` has the oracle's: no row may stand twice."""
    end = f"{SECOND} 00:00:00.000"
    rejected = [row for row in rows["rejected"] if row["dt"] == str(FIRST)]
    conflicting = last_versions(rows["conflicting"], end)
    found = {
        "sales": sales_of(last_versions(rows["daily_sales"], end)),
        "verdicts": verdicts_of(last_versions(rows["verdict_counts"], end)),
        "conflicting": {str(n): {"records": str(row["order_ids"])} for n, row in enumerate(conflicting)},
        "rejected": {
            f"{int(row['kafka_partition'] or -1):05}|{row['kafka_offset']}": cells_of(row) for row in rejected
        },
    }
    assert len(found["rejected"]) == len(rejected), "a record stands twice"
    return found


def gaps_of(rows: Rows) -> set[tuple[int, int, int]]:
    """(partition, the offset that should have come, the one that came)."""
    names = ("kafka_partition", "expected", "read_from")
    found = [tuple(int(row[name] or "") for name in names) for row in rows["gaps"]]
    assert len({*found}) == len(found), "a gap is told twice"
    return {*found}


def reach_of(rows: list[Row]) -> dict[int, dict[str, int]]:
    """Partition -> version as SQL writes it -> the offset up to which it was read."""
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for row in rows:
        of = found[int(row["kafka_partition"] or "")]
        assert row["version_end"] not in of, "a version stands twice"
        of[str(row["version_end"])] = int(row["read_until"] or "")
    return found


def expected(truth: oracle.Day) -> dict[str, Table]:
    assert truth.conflicting > 0, "the day has no conflicting order"
    verdicts = checks.verdict_table(truth)
    return {
        "sales": checks.sales_table(truth),
        "conflicting": {"0": verdicts.pop(checks.CONFLICTING)},
        "verdicts": verdicts,
        "rejected": checks.rejected_table(truth),
    }


def test_batch_says_what_the_oracle_says_of_minutes_in_shares_and_pieces(
    kafka: Settings, truth: Truth, changed: Callable[[Changes], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "shares_of_a_minute", lambda subtasks: 3)
    small = changed({"udfs/settle.py": [("PIECE = 250", "PIECE = 1")]})
    rows = run_queries(kafka, daily_report, "batch", TOPIC, (FIRST, FIRST), small)
    assert tables(rows) == expected(truth.day)
    assert gaps_of(rows) == {(partition, -1, 0) for partition in range(kafka.kafka.partitions)}
    assert_reach(rows, truth)


def assert_reach(rows: Rows, truth: Truth) -> None:
    """What is said to have been read by the day's end holds all that the day counts."""
    reach, end = reach_of(rows["offsets_read"]), f"{SECOND} 00:00:00.000"
    last: dict[int, int] = defaultdict(int)
    for (partition, _), count in truth.day.verdicts.items():
        last[partition] = max(last[partition], count.offset_max)
    by_then = {partition: max(at for version, at in of.items() if version <= end) for partition, of in reach.items()}
    assert last and all(by_then[partition] > offset for partition, offset in last.items())


def test_what_does_not_come_is_told_in_both_modes(kafka: Settings, truth: Truth, changed: Callable[[Changes], Path]):
    """As if the log no longer had them."""
    view = "sql/views/judged.sql"
    gone = "kafka_partition = 1 AND kafka_offset BETWEEN 40 AND 59 OR kafka_partition = 0 AND kafka_offset < 3"
    partition = f"CASE WHEN {gone} THEN -1 ELSE kafka_partition END"
    without = changed({view: [("ELSE kafka_partition END,", f"ELSE {partition} END,")]})
    told = {(partition, -1, 0) for partition in range(1, kafka.kafka.partitions)} | {(0, -1, 3), (1, 40, 60)}
    rows = run_queries(kafka, daily_report, "batch", TOPIC, (FIRST, FIRST), without)
    assert gaps_of(rows) == told
    rows = run_queries(kafka, daily_report, "streaming", TOPIC, (FIRST, SECOND), without, PassedTheFirstDay())
    assert gaps_of(rows) == told


def test_streaming_says_what_the_oracle_says_in_every_hour_once_the_log_has_passed_the_day(
    kafka: Settings, truth: Truth, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "shares_of_a_minute", lambda subtasks: 2)  # tests/e2e has one
    rows = run_queries(kafka, daily_report, "streaming", TOPIC, (FIRST, SECOND), until=PassedTheFirstDay())
    assert tables(rows) == expected(truth.day)
    assert gaps_of(rows) == {(partition, -1, 0) for partition in range(kafka.kafka.partitions)}
    assert_reach(rows, truth)
    wanted = {version: dict(table) for version, table in truth.verdicts.items()}
    del wanted[kafka.time.day_end(FIRST)][checks.CONFLICTING]
    assert len(truth.sales) == 24 and all(truth.sales.values()), "an hour of the day has no version"
    assert {version: sales_of(rows) for version, rows in by_version(kafka, rows["daily_sales"])} == truth.sales
    assert {version: verdicts_of(rows) for version, rows in by_version(kafka, rows["verdict_counts"])} == wanted


def by_version(settings: Settings, rows: list[Row]) -> Iterator[tuple[int, list[Row]]]:
    """The rows of each version of the first day; a version: end of an hour, epoch ms."""
    found: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if (row["day_start"] or "").startswith(str(FIRST)):
            end = dt.datetime.fromisoformat(row["version_end"] or "")
            found[settings.time.day_start(end.date()) + end.hour * checks.HOUR_MS].append(row)
    yield from found.items()
