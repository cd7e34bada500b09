"""Do judge, settle and tallies say of every log what the oracle says, however it is cut and in whatever order it comes?

The functions are driven as SQL drives them: batches of records are judged, packs gathered by minute and share, complete
minutes settled, late orders looked up hour by hour, hours and days made of settled minutes.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import importlib
import json
import random
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import count
from operator import itemgetter
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flink_jobs import checks, datagen, job, oracle
from flink_jobs.settings import Settings
from flink_jobs.stores import Table, record_cells
from flink_jobs.truth import rules_of
from tests.unit.test_oracle import DAY, MIDNIGHT, NEXT_MIDNIGHT, NOON, REGIONS, RULES, value
from udfs import judge as judge_module
from udfs import packs, tallies
from udfs.admit import admit, of_log, of_supply
from udfs.arrivals import Arrivals
from udfs.judge import Judge
from udfs.packs import KEYS, RECORDS, UnknownPack
from udfs.rules import MINUTE_MS, Rules
from udfs.settle import Count, Record, minute_sales, rows_of, settle, tell_copies

HOUR_MS = 3_600_000
SKEW_MS = 30_000
BY_RULES = Rules(
    lateness_ms=RULES.lateness_ms,
    future_ms=RULES.future_ms,
    late_copy_horizon_ms=RULES.late_copy_horizon_ms,
    zone_offset_ms=RULES.zone_offset_ms,
    regions=REGIONS,
)


class Found(NamedTuple):
    """What the core makes of a log: as oracle.Judged and oracle.totals tell it, by version where it has versions."""

    counts: dict[tuple[int, int, str], Count]  # hour's end, partition, verdict
    rejected: Table
    rows: Table  # of every record that is not late, as people ask for it by SQL
    sales: dict[tuple[int, str, str], tuple[int, int, int]]  # hour's end: the day so far
    minutes: dict[tuple[int, str], tuple[int, int]]
    conflicting: dict[str, int]


def batches(records: list[oracle.Record], sizes: Iterable[int]) -> Iterable[list[oracle.Record]]:
    at = 0
    for size in sizes:
        if at >= len(records):
            return
        yield records[at : at + size]
        at += size


class Row(NamedTuple):
    """A pack in the row that carries it, as SQL has it. Times: epoch ms."""

    ingest_time: int
    minute: int
    share: int
    pack: bytes


def judged(
    judge: Judge, records: list[oracle.Record], sizes: Iterable[int]
) -> Iterator[tuple[list[oracle.Record], list[Row]]]:
    """The batches of a log, and the rows with a pack that each gives: a row holds one (bodies.JudgeRecords).

    In turn a batch is read all at once and record by record.
    """
    for number, part in enumerate(batches(records, sizes)):
        partition, offset, ingest, values = zip(*part, strict=True)
        came = np.array(ingest, np.int64)
        arrays = (np.array(partition, np.int32), np.array(offset, np.int64), came)
        with mock.patch.object(judge_module, "FEW", len(part) if number % 2 else 0):
            carried = judge(pa.array(values, pa.binary()), *arrays)
        yield part, list({row: Row(int(came[row]), *pack) for row, *pack in carried}.values())


def gathered(
    judge: Judge, rules: Rules, records: list[oracle.Record], sizes: Iterable[int], skew_ms: int | None = None
) -> dict[tuple[int, int], list[bytes]]:
    """(minute, share) -> its packs, as views/complete_minutes.sql finds them.

    As in Flink, a pack is lost in silence if its row lies outside the window that its minute is looked for in, or comes
    when that is over: in streaming (`skew_ms` given), where a bundle's rows leave it before the watermark that it holds
    back. In batch (None) nothing is ever over.
    """
    found: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    marks = dict.fromkeys((partition for partition, *_ in records), 0)
    for part, rows in judged(judge, records, sizes):
        watermark = min(marks.values())
        for came, minute, share, pack in rows:
            begin, end = minute - rules.lateness_ms - rules.future_ms, minute + MINUTE_MS
            if begin <= came - rules.lateness_ms < end and end > watermark:
                found[minute, share].append(pack)
        if skew_ms is not None:
            for partition, _, came, _ in part:
                mark = (came - rules.lateness_ms - skew_ms) // MINUTE_MS * MINUTE_MS
                marks[partition] = max(marks[partition], mark)
    return found


def tell(rows: Table, records: Iterable[Record]) -> None:
    """Add records to rows as `checks` has the oracle's."""
    for one in records:
        row = f"{one.kafka_partition:05}|{one.kafka_offset}"
        fields = one.order_id, one.order_time, one.user_id, one.province, one.city, one.amount
        cells = record_cells(one.verdict, one.reason, one.ingest_time, *fields, one.payload)
        rows[row] = {"stands": "twice"} if row in rows else cells


def core(
    records: list[oracle.Record],
    rules: Rules,
    sizes: Iterable[int],
    chance: random.Random,
    skew_ms: int | None = None,
) -> Found:
    """The whole way of a log through the functions, in batch or (`skew_ms` given) in streaming.

    It asserts nothing: what is wrong must show beside what the oracle says.
    """
    made = Found({}, {}, {}, {}, {}, {})
    by_hour: dict[int, dict[tuple[int, str], list[Count]]] = defaultdict(lambda: defaultdict(list))
    accepted: dict[tuple[int, int, int], list[bytes]] = defaultdict(list)
    keys: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    late: dict[tuple[int, int, int], list[bytes]] = defaultdict(list)
    zone = rules.zone_offset_ms

    def note(hour: int, counts: Iterable[Count], rejected: Iterable[Any]) -> None:
        for one in counts:
            by_hour[hour][one.kafka_partition, one.verdict].append(one)
        tell(made.rejected, rejected)

    for (minute, share), several in gathered(Judge(rules), rules, records, sizes, skew_ms).items():
        chance.shuffle(several)
        hour = (minute // HOUR_MS + 1) * HOUR_MS
        found = settle(several, rules)
        note(hour, found.counts, found.rejected)
        for piece, pack in enumerate(found.accepted):
            accepted[hour, share, piece].append(pack)
        if found.keys is not None:
            keys[minute, share].append(found.keys)
        for key_minute, key_share, pack in found.late:
            late[hour, key_minute, key_share].append(pack)
        for province, orders, cents in minute_sales(several, rules):
            if province is not None:
                before = made.minutes.get((minute, province), (0, 0))
                made.minutes[minute, province] = (before[0] + orders, before[1] + cents)
        tell(made.rows, rows_of(several, rules))
    for (hour, minute, share), several in late.items():
        chance.shuffle(several)
        note(hour, *tell_copies(several, keys[minute, share], rules))
    days: dict[int, dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for (hour, _, _), several in accepted.items():
        chance.shuffle(several)
        for part in tallies.hour_parts(several):
            days[(hour - 1 + zone) // oracle.DAY_MS][hour].append(part)
    for day, hours in days.items():
        ids: dict[int, list[bytes]] = defaultdict(list)
        sales: dict[int, list[bytes]] = defaultdict(list)
        for hour in sorted(hours):
            for part in hours[hour]:
                sales[part.share].append(part.sales)
                ids[part.share].append(part.ids)
            places: dict[tuple[int, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
            for of_share in sales.values():
                for row in tallies.place_sales(of_share, rules):
                    for n, figure in enumerate((row.orders, row.cents, row.users)):
                        places[hour, row.province, row.city][n] += figure
            made.sales.update({place: (o, c, u) for place, (o, c, u) in places.items()})
        twice = sum(map(tallies.conflicting_ids, ids.values()))
        if twice:
            made.conflicting[(dt.date(1970, 1, 1) + dt.timedelta(day)).isoformat()] = twice
    for hour, parts in by_hour.items():
        for (partition, verdict), counts in parts.items():
            made.counts[hour, partition, verdict] = Count(
                partition,
                verdict,
                sum(c.records for c in counts),
                min(c.offset_min for c in counts),
                max(c.offset_max for c in counts),
                sum(c.offset_sum for c in counts),
            )
    return made


def expected(records: list[oracle.Record], rules: oracle.Rules) -> Found:
    """The same by the oracle."""
    made = Found({}, {}, {}, {}, {}, {})
    found = list(oracle.classify(records, rules))
    counts: dict[tuple[int, int, str], oracle.Count] = defaultdict(oracle.Count)
    orders: dict[str, list[oracle.Judged]] = defaultdict(list)
    for one in found:
        counts[(one.event_time // HOUR_MS + 1) * HOUR_MS, one.partition, one.verdict].add(one.offset)
        if one.verdict == "accepted":
            orders[rules.day_of(one.event_time)].append(one)
    counted = {"accepted", "heartbeat"}
    rejected = [one for one in found if one.verdict not in counted]
    asked_for = [one for one in found if not one.verdict.startswith("late")]
    made.rejected.update(checks.rejected_table(oracle.Day(rejected=rejected)))
    made.rows.update(checks.rejected_table(oracle.Day(rejected=asked_for)))
    made.counts.update(
        {key: Count(key[1], key[2], c.records, c.offset_min, c.offset_max, c.offset_sum) for key, c in counts.items()}
    )
    for day, counted in orders.items():
        hours = sorted({(one.event_time // HOUR_MS + 1) * HOUR_MS for one in counted})
        for hour in hours:
            so_far = oracle.totals((one for one in counted if one.event_time < hour), rules, day, day)[day]
            made.sales.update({(hour, *place): (s.orders, s.cents, len(s.users)) for place, s in so_far.sales.items()})
        whole = oracle.totals(counted, rules, day, day)[day]
        for (minute, province), (number, cents) in whole.minutes.items():
            at = rules.day_start(day) + (int(minute[:2]) * 60 + int(minute[3:])) * MINUTE_MS
            made.minutes[at, province] = (number, cents)
        if whole.conflicting:
            made.conflicting[day] = whole.conflicting
    return made


def differences(found: Found, wanted: Found) -> dict[str, list[Any]]:
    """Field of `Found` -> three of its entries, at most, that differ.

    A province of copies alone is told with 0: that is no difference.
    """
    different = {}
    for name, left, right in zip(Found._fields, found, wanted, strict=True):
        nothing = (0, 0) if name == "minutes" else None
        pairs = {key: (left.get(key, nothing), right.get(key, nothing)) for key in left.keys() | right.keys()}
        wrong = [(key, pair) for key, pair in pairs.items() if pair[0] != pair[1]]
        if wrong:
            different[name] = wrong[:3]
    return different


def assert_equal(found: Found, wanted: Found) -> None:
    assert differences(found, wanted) == {}


def located(
    values: list[tuple[int, bytes | None]], partitions: int, chance: random.Random | None = None
) -> list[oracle.Record]:
    """Records in the order of their ingest times, dealt to partitions; with `chance` these run back, by the skew."""
    offsets = defaultdict(count)

    def at(record: tuple[int, bytes | None]) -> int:
        return record[0] + (chance.randint(0, SKEW_MS) if chance else 0)

    return [
        (n % partitions, next(offsets[n % partitions]), came, payload)
        for n, (came, payload) in enumerate(sorted(values, key=at))
    ]


def in_some_order(part: Iterable[oracle.Record], chance: random.Random) -> list[oracle.Record]:
    """Each partition in its own order, in step with no other."""
    waiting: defaultdict[int, deque[oracle.Record]] = defaultdict(deque)
    for record in part:
        waiting[record[0]].append(record)
    turns = [partition for partition, its in waiting.items() for _ in its]
    chance.shuffle(turns)
    return [waiting[partition].popleft() for partition in turns]


def spelled(text: bytes, how: int) -> bytes:
    """The same order in other spellings: 0 is the canonical one."""
    return (text, text.replace(b":", b": "), text + b" ", b'{"x":1,' + text[1:], text.replace(b"O-", b"\\u004f-"))[how]


LATENESS, FUTURE, HORIZON = RULES.lateness_ms, RULES.future_ms, RULES.late_copy_horizon_ms
times = st.sampled_from([NOON, NOON + 1, NOON + 59_999, NOON + 60_000, MIDNIGHT, NEXT_MIDNIGHT - 1, NEXT_MIDNIGHT])
delays = st.sampled_from(
    [0, 1, -FUTURE, -FUTURE - 1, LATENESS, LATENESS + 1, 3 * HOUR_MS, HORIZON, HORIZON + 1, HORIZON + 2 * HOUR_MS]
)
orders = st.builds(
    lambda at, late, number, user, amount, city, how: (
        at + late,
        spelled(
            value(
                order_id=f"O-{number}", order_time=at, user_id=f"U{user}", amount=amount, city=city, province="440000"
            ),
            how,
        ),
    ),
    times,
    delays,
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["1.00", "1", "-2.5", "-0", "9999999999.99"]),
    st.sampled_from(["440100", "440300"]),
    st.integers(0, 4),
)
no_orders = st.tuples(
    st.builds(lambda at, late: at + late, times, delays),
    st.sampled_from(
        [
            None,
            b"",
            b"[1]",
            b"\xff",
            oracle.HEARTBEAT,
            value(order_time=1),
            value(order_time=NOON, city="110100"),
            value(order_time=NOON, province="x"),
            value(amount="1.234"),
            value(order_id=None),
            value()[:-1] + b',"order_id":"O-1"}',
        ]
    ),
)
logs = st.lists(orders | no_orders, min_size=1, max_size=40)


@settings(max_examples=150)
@given(logs, st.integers(1, 4), st.integers(1, 4), st.lists(st.integers(1, 9), min_size=40, max_size=40), st.randoms())
def test_any_cut_any_order_and_any_shares_give_what_the_oracle_gives(
    log: list[tuple[int, bytes | None]], partitions: int, shares: int, sizes: list[int], chance: random.Random
):
    records = in_some_order(located(log, partitions, chance), chance)
    found = core(records, replace(BY_RULES, shares=shares), sizes, chance, SKEW_MS)
    assert_equal(found, expected(records, RULES))


def test_what_comes_when_its_window_is_over_is_lost_here_too():
    """Whether `gathered` has Flink's watermark at all: with 1 ms less of skew than there is, an order is lost."""
    came = NOON + MINUTE_MS - 1 + LATENESS
    records = [(0, 0, came + SKEW_MS, oracle.HEARTBEAT), (0, 1, came, value(order_time=came - LATENESS))]
    wanted = expected(records, RULES)
    assert_equal(core(records, BY_RULES, [1, 1], random.Random(1), SKEW_MS), wanted)
    lost = differences(core(records, BY_RULES, [1, 1], random.Random(1), SKEW_MS - 1), wanted)
    assert set(lost) == {"counts", "sales", "minutes", "rows"}


@pytest.mark.parametrize(("shares", "size", "piece"), [(1, 10_000, 5_000), (2, 137, 2), (3, 2_000, 1)])
def test_a_dirty_day_is_the_oracles_in_every_version(
    shares: int, size: int, piece: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("udfs.settle.PIECE", piece)
    chosen = Settings.load()
    day = dt.date.fromisoformat(DAY)
    spec = datagen.Spec.by(chosen, seed=shares, first=day, last=day, orders=6_000)
    offsets = defaultdict(count)
    records: list[oracle.Record] = [
        (r.partition, next(offsets[r.partition]), r.ingest_time, r.value) for r in datagen.day_records(spec)
    ]
    chance = random.Random(size)
    blocks = [records[at : at + 50] for at in range(0, len(records), 50)]
    wanted = expected(records, rules_of(chosen))
    assert {verdict for _, _, verdict in wanted.counts} >= {"accepted", "duplicate", "late", "late_copy", "future"}
    assert len(wanted.sales) > 5_000 and wanted.conflicting and len(wanted.rejected) > 300
    chance.shuffle(blocks)
    shuffled = [record for block in blocks for record in block]
    found = core(shuffled, job.rules_of(chosen, shares=shares), [size] * len(records), chance)
    assert_equal(found, wanted)


def test_a_log_in_which_no_record_is_canonical_is_judged_alike():
    records = located([(NOON + n, spelled(value(order_id=f"O-{n % 7}"), 1)) for n in range(50)], 2)
    assert_equal(core(records, BY_RULES, [9] * 50, random.Random(1)), expected(records, RULES))


def test_of_many_copies_of_one_order_one_counts():
    rows = [(NOON + n % 1_000, value(amount=f"{n}.00")) for n in range(10_000)]
    records = located(rows, 3)
    assert_equal(core(records, BY_RULES, [1_000] * 10, random.Random(1)), expected(records, RULES))


@pytest.mark.parametrize(
    ("at", "day"),
    [(NEXT_MIDNIGHT - 1, DAY), (NEXT_MIDNIGHT, "2025-11-12"), (MIDNIGHT, DAY), (MIDNIGHT - 1, "2025-11-10")],
)
def test_the_last_and_the_first_millisecond_stand_on_their_own_days(at: int, day: str):
    records = located(
        [(at + LATENESS, value(order_time=at)), (at + LATENESS + 1, value(order_time=at, order_id="O-2"))], 1
    )
    found = core(records, BY_RULES, [2], random.Random(1))
    assert_equal(found, expected(records, RULES))
    (hour, *_) = next(key for key in found.sales if key[1:] == ("ALL", "ALL"))
    assert RULES.day_of(hour - 1) == day
    assert [cells["verdict"] for cells in found.rejected.values()] == ["late"]


def test_the_first_of_equal_ingest_times_is_by_the_digest_of_the_value_as_it_stood():
    texts = [spelled(value(amount=amount), how) for amount in ("1", "1.0", "1.00", "-0") for how in range(4)]
    records = located([(NOON, text) for text in texts], 1)
    found = core(records, BY_RULES, [3] * 9, random.Random(2))
    (kept,) = set(range(len(texts))) - {int(row.partition("|")[2]) for row in found.rejected}
    assert records[kept][3] == min(texts, key=lambda text: hashlib.md5(text).digest())


# ---------------------------------------------------------------- one by one, or all at once

SPELT = value()
NEARLY = (
    *(SPELT + b"\n", b"\n" + SPELT, SPELT[:-1], SPELT + b" ", SPELT.replace(b":", b": "), SPELT.upper(), b"", None),
    *(SPELT.replace(b"O-1", b"\xc3\xa9"), SPELT.replace(b"O-1", b"\xb2"), SPELT.replace(b"O-1", b"\x00")),
    *(value(order_id="x" * n) for n in (1, 64, 65)),
    *(value(province="p" * n, city="c" * n) for n in (1, 32, 33)),
    *(value(order_time=at) for at in (99_999_999_999, 100_000_000_000, 9_999_999_999_999, 10_000_000_000_000)),
    *(value(amount=text) for text in ("0", "-0", "00", "1.", "1.2", "1.23", "1.234", "9" * 10, "9" * 11, "-.5", "1e1")),
)


def test_few_records_are_read_as_many_are():
    payload = pa.array([SPELT, *NEARLY, SPELT], pa.binary())
    judge = Judge(BY_RULES)
    (few, by_one), (many, at_once) = judge._few(payload), judge._many(payload)
    assert few.tolist() == many.tolist() and 10 < int(few.sum()) < len(payload) - 10
    for one, other in zip(by_one, at_once, strict=True):
        assert one.dtype == other.dtype if isinstance(one, np.ndarray) else one.type == other.type
        assert one.tolist() == other.tolist()
    nothing = pa.array([None, b"{}"], pa.binary())
    assert not judge._few(nothing)[0].any() and not judge._many(nothing)[0].any()


# ---------------------------------------------------------------- packs


def pack_of(payload: bytes = value()) -> bytes:
    ((_, _, _, pack),) = Judge(BY_RULES)(pa.array([payload]), np.zeros(1, np.int32), np.zeros(1), np.array([NOON]))
    return pack


def test_a_pack_of_another_version_fails_loudly():
    pack = bytearray(pack_of())
    pack[3] += 1
    with pytest.raises(
        UnknownPack, match=f"version {RECORDS.version + 1}, these functions read version {RECORDS.version}"
    ):
        settle([bytes(pack)], BY_RULES)


@pytest.mark.parametrize("spoilt", [b"", b"SW", b"{}" * 20, pack_of()[2:]])
def test_what_is_no_pack_fails_loudly(spoilt: bytes):
    with pytest.raises(UnknownPack):
        packs.read(RECORDS, [spoilt])


def test_a_pack_of_another_kind_fails_loudly():
    with pytest.raises(UnknownPack, match="no pack of keys"):
        packs.read(KEYS, [pack_of()])


def test_a_pack_keeps_its_rows_in_whichever_form():
    for kind in (packs.IDS, packs.KEYS, packs.LATE_ORDERS, packs.CANDIDATES):
        schema = kind.parts[0]
        empty = packs.read(kind, [packs.write(kind, None)])[0]
        assert len(empty) == 0 and empty.schema == schema
    ids = pa.record_batch([pa.array([f"O-{n}" for n in range(1_000)])], schema=packs.IDS.parts[0])
    written = packs.write(packs.IDS, ids)
    assert len(written) < 0.7 * ids.nbytes
    assert packs.read(packs.IDS, [written, written])[0].column(0).to_pylist() == ids.column(0).to_pylist() * 2


SAMPLES = {
    pa.string(): ["O-1", None],
    pa.int64(): [1_762_833_600_123, None],
    pa.int32(): [2, None],
    pa.int16(): [7, None],
    pa.int8(): [4, None],
    pa.binary(): [b"\x00{", None],
}

OTHERS = {pa.string(): "O-22", pa.int64(): -2, pa.int32(): 70_000, pa.int16(): -3, pa.int8(): -1, pa.binary(): b"\xff"}


def samples(name: str, field: pa.Field) -> list[Any]:
    """The values of a column in a pack of packs.json."""
    one, null = SAMPLES[field.type]
    return {
        "": [one, null],
        "others": [one, OTHERS[field.type]],
        "many": [one, null, OTHERS[field.type], one] * packs.MANY,
    }[name]


def test_packs_that_stand_in_savepoints_are_read_as_they_were_written():
    """packs.json: one pack of each kind and version, kept for ever. A run goes on with the functions it began with.

    `others`: without NULL; `many`: of so many rows that they are written by planes.
    """
    kept = json.loads(Path(__file__).with_name("packs.json").read_text(encoding="ascii"))
    kinds = {kind.code: kind for kind in vars(packs).values() if isinstance(kind, packs.Kind)}
    assert {f"{kind.code}.{kind.version}" for kind in kinds.values()} <= set(kept) and len(kinds) == 7
    for name, text in kept.items():
        code, version, what = [*map(int, name.split(".")[:2]), "".join(name.split(".")[2:])]
        kind, pack = kinds[code], base64.b64decode(text)
        if version != kind.version:
            with pytest.raises(packs.UnknownPack, match=f"has version {version}, these functions read version"):
                packs.read(kind, [pack])
            continue
        for schema, rows in zip(kind.parts, packs.read(kind, [pack]), strict=True):
            assert rows.schema == schema
            assert rows.to_pydict() == {field.name: samples(what, field) for field in schema}


def test_the_hash_of_an_id_is_what_stands_in_state():
    """Packs of one key must meet in the same share after a restore by later functions too."""
    assert packs.hashes(pa.array(["O-1", "x" * 64])).tolist() == HASHES
    sliced = pa.array(["a", "O-1", "x" * 64, "b"])[1:3]
    assert packs.hashes(sliced).tolist() == HASHES


HASHES = [13361466780901535174, 17918907143646136403]


def test_shares_are_about_equal_where_ids_are_numbers():
    ids = pa.array([f"O-{n:08}" for n in range(8_000)])
    assert min(Counter(packs.shares_of(ids, 8).tolist()).values()) > 800


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, -1), (1, -1, 1)])
def test_a_sum_that_may_leave_64_bits_is_refused(signs: tuple[int, int, int]):
    def sold(most: int) -> tuple[list[bytes], list[bytes]]:
        """Three orders of so much at most, as packs of SETTLED and of SALES."""
        cents = [sign * most for sign in signs]
        texts, numbers = pa.array(["O-1", "O-2", "O-3"]), pa.array([1, 2, 3])
        ones, place = pa.array([1] * 3, pa.int32()), pa.array([0] * 3, pa.int16())
        settled = (texts, numbers, numbers, ones, numbers, texts, place, pa.array(cents))
        sales = (place, texts, ones, pa.array(cents))
        return (
            [packs.write(packs.SETTLED, packs.batch(packs.ACCEPTED_COLUMNS, settled))],
            [packs.write(packs.SALES, packs.batch(packs.SALES_COLUMNS, sales))],
        )

    settled, sales = sold(2**60)
    country = tallies.place_sales(sales, BY_RULES)[-1]
    assert (country.orders, country.cents) == (3, sum(signs) * 2**60)
    by_user = [tallies.place_sales([part.sales], BY_RULES) for part in tallies.hour_parts(settled)]
    assert sum(rows[-1].cents for rows in by_user if rows) == sum(signs) * 2**60
    settled, sales = sold(2**61)
    with pytest.raises(OverflowError, match="3 orders of"):
        tallies.hour_parts(settled)
    with pytest.raises(OverflowError, match="3 orders of"):
        tallies.place_sales(sales, BY_RULES)


# ---------------------------------------------------------------- provisional figures


@given(logs, st.lists(st.integers(1, 9), min_size=40, max_size=40), st.randoms())
def test_what_arrives_adds_up_to_the_first_copies(log: list[Any], sizes: list[int], chance: random.Random):
    records = located(log, 2)
    chance.shuffle(records)
    arrivals = Arrivals(BY_RULES)
    seen: Counter[int] = Counter()
    for _, packed in judged(Judge(BY_RULES), records, sizes):
        for _, minute, _, pack in packed:
            rows = arrivals(pack)
            assert sum(o for p, o, _ in rows if p != "ALL") == sum(o for p, o, _ in rows if p == "ALL")
            seen[minute] += sum(orders for province, orders, _ in rows if province == "ALL")
    assert seen == final(records)


@lru_cache(1_000)
def alone(record: oracle.Record) -> tuple[int, bytes]:
    """The minute and the pack of a record that came alone."""
    partition, offset, came, payload = record
    place = np.array([partition], np.int32), np.array([offset]), np.array([came])
    ((_, minute, _, pack),) = Judge(BY_RULES)(pa.array([payload], pa.binary()), *place)
    return minute, pack


def arrive(arrivals: Arrivals, part: Iterable[oracle.Record]) -> Counter[int]:
    """Minute -> orders of the country that this adds, record by record: packs of a batch are handed on by minutes."""
    counted = Counter[int]()
    for minute, pack in map(alone, part):
        counted[minute] += sum(orders for province, orders, _ in arrivals(pack) if province == "ALL")
    return counted


def shown(records: Iterable[oracle.Record]) -> Arrivals:
    """A worker that goes on after a restart, and has read these of the log's end, partition after partition."""
    arrivals = Arrivals(BY_RULES)
    for _, rows in judged(Judge(BY_RULES), sorted(records, key=itemgetter(0)), [7] * 40):
        for row in rows:
            arrivals.remember(row.pack)
    return arrivals


def final(records: list[oracle.Record]) -> Counter[int]:
    """Minute -> orders of the country, by the oracle: what is shown of it in the end."""
    return Counter({at: orders for (at, p), (orders, _) in expected(records, RULES).minutes.items() if p == "ALL"})


# Of few orders, each several times: what a restart can count wrongly are copies.
copied = st.builds(
    lambda at, late, number: (at + late, value(order_id=f"O-{number}", order_time=at)),
    st.sampled_from([NOON, NOON + 60_000]),
    st.sampled_from([0, 1, 1_000, -FUTURE, LATENESS]),
    st.integers(1, 2),
)
logs_of_copies = st.lists(copied, min_size=2, max_size=12)
places_in_it = st.integers(0, 12)


@given(logs_of_copies, places_in_it, places_in_it, st.randoms())
def test_after_a_restart_nothing_counts_twice_and_nothing_is_left_out(
    log: list[Any], cut: int, read: int, chance: random.Random
):
    """The sums come back with the checkpoint (`cut`), the keys from the log's end; `read`: what was read beyond it.

    Partitions are read otherwise after the restart than before it.
    """
    records = located(log, 3)
    first, arrived = Arrivals(BY_RULES), in_some_order(records, chance)
    seen = arrive(first, arrived[:cut])
    arrive(first, arrived[cut : cut + read])
    seen += arrive(shown(records), in_some_order(arrived[cut:], chance))
    assert seen == final(records)


def keys_of(records: Iterable[oracle.Record]) -> set[tuple[str, int]]:
    """The keys of the timely orders among them."""
    found = (one for one in oracle.classify(records, RULES) if one.verdict == "accepted")
    return {(one.order.order_id, one.order.order_time) for one in found if one.order is not None}


@given(logs_of_copies, places_in_it, st.lists(st.integers(0, 4), min_size=3, max_size=3), st.randoms())
def test_a_copy_counts_twice_only_if_one_lies_before_the_checkpoint_and_before_the_tail(
    log: list[Any], cut: int, begins: list[int], chance: random.Random
):
    """The log's end as far as it is read (`begins`: offset, by partition) need not reach back to the checkpoint."""
    records = located(log, 3)
    arrived = in_some_order(records, chance)
    tail = [record for record in records if record[1] >= begins[record[0]]]
    seen = arrive(Arrivals(BY_RULES), arrived[:cut]) + arrive(shown(tail), in_some_order(arrived[cut:], chance))
    twice = keys_of(set(arrived[:cut]) - set(tail)) & keys_of(arrived[cut:])
    most = final(records) + Counter(at // MINUTE_MS * MINUTE_MS for _, at in twice)
    assert final(records) <= seen <= most, "nothing is left out, and no order counts more than twice"
    last = +seen
    for (minute, _), several in gathered(Judge(BY_RULES), BY_RULES, records, [7] * 40).items():
        last[minute] = sum(orders for province, orders, _ in minute_sales(several, BY_RULES) if province == "ALL")
    assert last == final(records), "it ends with the final minute"


@given(logs_of_copies, places_in_it, places_in_it, st.randoms())
def test_after_two_restarts_nothing_counts_twice_and_only_orders_with_copies_may_be_left_out(
    log: list[Any], cut: int, again: int, chance: random.Random
):
    """A worker that waited for the last of some copies ends; the next one is not told that none had counted."""
    records = located(log, 3)
    arrived = in_some_order(records, chance)
    seen = arrive(Arrivals(BY_RULES), arrived[:cut])
    rest = in_some_order(arrived[cut:], chance)
    seen += arrive(shown(records), rest[:again])
    seen += arrive(shown(records), in_some_order(rest[again:], chance))
    judged_ = list(oracle.classify(records, RULES))
    copied = {(one.order.order_id, one.order.order_time) for one in judged_ if one.verdict == "duplicate" and one.order}
    without_copies = Counter(at // MINUTE_MS * MINUTE_MS for order_id, at in keys_of(records) - copied)
    assert without_copies <= seen <= final(records)


@pytest.mark.parametrize("before", [0, 1])
def test_a_copy_does_not_count_beside_one_of_another_partition_that_lies_before_the_checkpoint(before: int):
    """The new worker is shown both, and not told which one had counted."""

    def pack(partition: int) -> bytes:
        place = np.array([partition], np.int32), np.array([7]), np.array([NOON + partition])
        ((_, _, _, found),) = Judge(BY_RULES)(pa.array([value(order_time=NOON)]), *place)
        return found

    arrivals = Arrivals(BY_RULES)
    for partition in (0, 1):
        arrivals.remember(pack(partition))
    assert arrivals(pack(1 - before)) == []
    assert sum(orders for province, orders, _ in arrivals(pack(before)) if province == "ALL") == 1, "it lay behind"
    assert arrivals(pack(1 - before)) == []


@pytest.mark.parametrize("turn", [(0, 1), (1, 0)])
def test_of_copies_that_are_read_again_the_first_by_ingest_time_gives_the_figures(turn: tuple[int, int]):
    """A copy may name another province: counted in its place, that province would fall when the minute is final."""
    (province, city), (other, other_city) = BY_RULES.places[0], BY_RULES.places[-1]
    assert province != other

    def pack(n: int) -> bytes:
        where = {"province": province, "city": city} if n == 0 else {"province": other, "city": other_city}
        place = np.array([1 - n], np.int32), np.array([7]), np.array([NOON + n])
        ((_, _, _, found),) = Judge(BY_RULES)(pa.array([value(order_time=NOON, **where)]), *place)
        return found

    arrivals = Arrivals(BY_RULES)
    for n in (1, 0):
        arrivals.remember(pack(n))
    rows = [row for n in turn for row in arrivals(pack(n))]
    assert {shown: orders for shown, orders, _ in rows} == {province: 1, "ALL": 1}


def test_keys_are_forgotten_when_no_timely_copy_can_come(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("udfs.arrivals.KEYS_KEPT", 0)
    arrivals, offsets = Arrivals(BY_RULES), count()

    def orders(at: int, came: int) -> int:
        place = np.zeros(1, np.int32), np.array([next(offsets)])
        ((_, _, _, pack),) = Judge(BY_RULES)(pa.array([value(order_time=at)]), *place, np.array([came]))
        return sum(found for province, found, _ in arrivals(pack) if province == "ALL")

    assert orders(NOON, NOON) == 1
    assert orders(NOON, NOON + LATENESS) == 0, "the last timely copy"
    assert orders(NOON + HOUR_MS, NOON + HOUR_MS) == 1
    assert len(arrivals._seen) == 1


# ---------------------------------------------------------------- backfill

supplies = st.lists(orders | no_orders, max_size=12)


@settings(max_examples=60)
@given(logs, supplies, st.booleans(), st.integers(1, 3))
def test_a_backfill_takes_in_what_the_oracle_takes_in(log: list[Any], sent: list[Any], late: bool, shares: int):
    rules = replace(BY_RULES, shares=shares)
    records, supplied = located(log, 2), located(sent, 1)
    candidates: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    accepted: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    got: Counter[tuple[Any, ...]] = Counter()
    judge = Judge(rules)
    for place, found in gathered(judge, rules, records, [7] * 40).items():
        settled = settle(found, rules)
        accepted[place] += settled.accepted
        for one in settled.late if late else []:
            for minute, share, pack in of_log(one.pack, rules):
                candidates[minute, share].append(pack)
    for _, rows in judged(judge, supplied, [5] * 12):
        for row in rows:
            taken, rest = of_supply(row.pack, rules)
            for minute, share, one in taken:
                candidates[minute, share].append(one)
            for record in rest:
                got["supply", record.kafka_partition, record.kafka_offset, record.verdict, record.reason or ""] += 1
    counted: Counter[tuple[int, int]] = Counter()
    for (minute, share), found in candidates.items():
        if not MIDNIGHT <= minute < NEXT_MIDNIGHT:
            continue
        admitted = admit(accepted.get((minute, share), []), found, rules)
        for origin, record in admitted.kept:
            got[origin, record.kafka_partition, record.kafka_offset, record.verdict, ""] += 1
            assert record.payload is not None
        counted.update({(c.kafka_partition, c.offset_sum): c.records for c in admitted.counts})
    wanted = oracle.admit(
        oracle.classify(records, RULES), [(record, "a") for record in supplied], RULES, (DAY, DAY), late, set()
    )
    assert got == Counter((a.origin, a.partition, a.offset, a.verdict, a.reason) for a in wanted)
    assert sum(counted.values()) == sum(a.verdict == "admitted" for a in wanted)


# ---------------------------------------------------------------- what must turn red


def broken(name: str, *changes: tuple[str, str]) -> ModuleType:
    """The module udfs.`name` with texts replaced, each of which must occur."""
    source = importlib.import_module(f"udfs.{name}")
    text = Path(str(source.__file__)).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"udfs/{name}.py no longer holds {old!r}: the test breaks nothing"
        text = text.replace(old, new)
    module = ModuleType(f"broken_{name}")
    sys.modules[module.__name__] = module  # dataclasses and named tuples look their module up
    exec(compile(text, f"broken {name}", "exec"), module.__dict__)
    return module


DIGEST = "(hashlib.md5(value, usedforsecurity=False).digest() for value in values_of(copies, places))"
OF_IS_FIRST = ("settle", "minute_sales", "rows_of")
FIGURES = {"counts", "sales", "minutes"}
BROKEN: dict[str, tuple[str, tuple[str, ...], tuple[str, str], set[str]]] = {
    "another order of ties": (
        "settle",
        OF_IS_FIRST,
        (DIGEST, DIGEST.replace("digest()", "digest()[::-1]")),
        {*FIGURES, "rejected", "rows"},
    ),
    "lateness off by 1 ms": (
        "judge",
        ("Judge",),
        ("at < came - rules.lateness_ms", "at <= came - rules.lateness_ms"),
        {*FIGURES, "rejected", "rows", "conflicting"},
    ),
    "de-duplication by order_id alone": (
        "settle",
        OF_IS_FIRST,
        ("key = numbers * MINUTE_MS + orders.column", "key = numbers * MINUTE_MS + 0 * orders.column"),
        {*FIGURES, "rejected", "rows", "conflicting"},
    ),
    "a copy of a late order's key forgotten": (
        "settle",
        ("tell_copies",),
        ("if remembered and (", "if not remembered and ("),
        {"counts", "rejected"},
    ),
    "the city of another order": (
        "settle",
        ("settle", "rows_of"),
        ("*places[fields[6]]", "*places[fields[6] - 1]"),
        {"rejected", "rows"},
    ),
    "a record's spelling forgotten": (
        "settle",
        ("settle", "rows_of"),
        ("*fields[7:])", "fields[7], None)"),
        {"rejected", "rows"},
    ),
    "users of a province added up": (
        "tallies",
        ("tallies",),
        (
            "in_province = _distinct(province_of[place], user, len(provinces), many)",
            "in_province = np.bincount(province_of, in_city, len(provinces)).astype(np.int64)",
        ),
        {"sales"},
    ),
    "a pack carried by another pack's record": (
        "judge",
        ("Judge",),
        ("packs.append(Carried(int(rows[begin])", "packs.append(Carried(int(rows[end % len(rows)])"),
        {*FIGURES, "rows", "conflicting"},
    ),
    "two packs in one row": (
        "judge",
        ("Judge",),
        ("Carried(int(rows[begin])", "Carried(int(rows[0])"),
        {*FIGURES, "rejected", "rows", "conflicting"},
    ),
}
"""What is broken -> module, its functions that are taken, text and what replaces it, fields of `Found` that show it."""


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_rule_turns_red(monkeypatch: pytest.MonkeyPatch, what: str):
    """By figures that the oracle does not have; and by nothing of the log, of which the unbroken rules have all."""
    texts = [value(amount=amount) for amount in ("1", "2", "4.5")]  # the second is the first by digest
    values: list[tuple[int, bytes | None]] = [(NOON + LATENESS, text) for text in texts]
    values += [(NOON + LATENESS + 1, value(order_id="O-2")), (NOON + HOUR_MS, value())]
    values += [(NOON, value(order_id=f"O-{n}", user_id="U2", city=city)) for n, city in ((3, "440100"), (4, "440300"))]
    values += [
        (NOON + 10, value(order_id="O-3", order_time=NOON + 1)),
        (NOON + 20, spelled(value(order_id="O-3", order_time=NOON + 1), 1)),
        (NOON + 120_000, value(order_time=NOON + 120_000)),
    ]
    records = located(values, 2)
    wanted = expected(records, RULES)

    def wrong() -> dict[str, list[Any]]:
        return differences(core(records, BY_RULES, [len(records)], random.Random(1), SKEW_MS), wanted)

    assert wrong() == {}
    name, names, change, shows = BROKEN[what]
    module = broken(name, change)
    for function in names:
        broken_one = module if function == name == "tallies" else getattr(module, function)
        monkeypatch.setitem(globals(), function, broken_one)
    assert set(wrong()) == shows
