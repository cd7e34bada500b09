"""Is a generated day what its spec promises, and is its ledger the truth?

The ledger is compared with `classified`, a plain reading of the order contract that shares no code with the generator.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flink_jobs import datagen, dirty_orders, order_draw, order_log, regions
from flink_jobs.datagen import Plan, Rates, Spec
from flink_jobs.errors import UserError
from flink_jobs.order_format import Order, canonical, members, write
from flink_jobs.order_log import Record
from flink_jobs.settings import ROOT, Time

REGIONS = regions.load(ROOT / "conf" / "regions.csv")
DAY = dt.date(2025, 11, 11)
MIDNIGHT = 1_762_790_400_000  # 2025-11-11 00:00 in Shanghai
MINUTE, HOUR = 60_000, 3_600_000
SPEC = Spec(seed=7, first=DAY, last=DAY, orders=3000, partitions=3, regions=REGIONS)
DIRTY = Rates().changed(f"{group}=0.05" for group in {kind.group for kind in dirty_orders.KINDS})
IDS, AMOUNT = re.compile("[A-Za-z0-9._:-]{1,64}"), re.compile(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,2})?")


def members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def number(text: str) -> int | str:
    assert len(text) <= 1000
    return int(text) if re.fullmatch("-?[0-9]+", text) else text.join("<>")


def no_number(text: str) -> None:
    raise AssertionError(text)


def parsed(value: bytes | None) -> tuple[str, str] | dict[str, Any]:
    """Rules 1 to 3 of the order contract: (verdict, reason), or the members of a valid order."""
    if not value:
        return "malformed", "empty"
    if value == b'{"heartbeat":true}':
        return "heartbeat", ""
    try:
        text = value.decode()
        assert "\ufffd" not in text
    except (UnicodeDecodeError, AssertionError):
        return "malformed", "encoding"
    try:
        depths = [0]
        for bracket in re.findall(r"[\[\]{}]", re.sub(r'"(\\.|[^"\\])*"', "", text)):
            depths.append(depths[-1] + (1 if bracket in "[{" else -1))
        assert max(depths) <= 999
        order = json.loads(
            text, object_pairs_hook=members_once, parse_int=number, parse_float=number, parse_constant=no_number
        )
        assert isinstance(order, dict)
    except (ValueError, AssertionError):
        return "malformed", "json"

    def valid(field: str) -> bool:
        found = order.get(field)
        if field == "order_time":
            return type(found) is int and 946684800000 <= found < 4102444800000
        if not isinstance(found, str):
            return False
        if field == "province":
            return found in REGIONS.provinces
        if field == "city":
            return found in REGIONS.provinces[order["province"]]
        return bool((AMOUNT if field == "amount" else IDS).fullmatch(found))

    for field in ("order_id", "order_time", "user_id", "province", "city", "amount"):
        if not valid(field):
            return "invalid", field
    return order


def classified(records: Iterable[Record]) -> list[tuple[str, str]]:
    """(verdict, reason) of each record, by the order contract alone."""
    found: dict[int, tuple[str, str]] = {}
    timely, late = defaultdict(list), []
    for place, record in enumerate(records):
        order = parsed(record.value)
        if isinstance(order, tuple):
            found[place] = order
            continue
        key, lateness = (order["order_id"], order["order_time"]), record.ingest_time - order["order_time"]
        if lateness < -60_000:
            found[place] = "future", ""
        elif lateness > 300_000:
            late.append((place, key, lateness))
        else:
            timely[key].append((record.ingest_time, hashlib.md5(record.value or b"").hexdigest(), place))
    for copies in timely.values():
        for rank, (_, _, place) in enumerate(sorted(copies)):
            found[place] = "duplicate" if rank else "accepted", ""
    for place, key, lateness in late:
        found[place] = "late_copy" if key in timely and lateness <= 86_400_000 else "late", ""
    return [found[place] for place in range(len(found))]


@pytest.fixture(autouse=True, scope="module")
def room_for_a_thousand_levels() -> Iterable[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + 3000)
    yield
    sys.setrecursionlimit(limit)


@pytest.fixture(scope="module")
def day() -> tuple[list[Record], list[dict[str, Any]]]:
    """The records of one dirty day, and the ledger's row for each."""
    plan = Plan(SPEC)
    records, ledger = list(plan.records()), plan.ledger().to_pylist()
    assert len(records) == len(ledger) == len(plan) > 7000
    return records, ledger


def since_midnight(row: dict[str, Any]) -> int:
    return int(row["order_time"]) - MIDNIGHT


# --- the ledger -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, seed=1, orders=1500, partitions=1, rates=DIRTY),
        replace(SPEC, seed=2, orders=900, partitions=4, rates=DIRTY, last=DAY + dt.timedelta(days=2)),
    ],
)
def test_the_ledger_says_what_the_order_contract_says_of_the_same_records(spec: Spec) -> None:
    plan = Plan(spec)
    records, ledger = list(plan.records()), plan.ledger().to_pylist()
    intended = [(row["verdict"], row["reason"] or "") for row in ledger]
    assert len(intended) > spec.orders
    wrong = [
        (row["kind"], said, row["verdict"], row["reason"])
        for row, said, meant in zip(ledger, classified(records), intended, strict=True)
        if said != meant
    ]
    assert wrong == []


def test_the_ledger_repeats_the_fields_of_each_valid_order(day: tuple[list[Record], list[dict[str, Any]]]) -> None:
    compared = 0
    for record, row in zip(*day, strict=True):
        order = parsed(record.value)
        assert (record.partition, record.ingest_time) == (row["partition"], row["ingest_time"])
        if isinstance(order, tuple):
            assert row["order_id"] is row["cents"] is None
            # The order time of an invalid order is stated where it is itself valid: it says which day the record is of.
            assert row["order_time"] is None or str(row["order_time"]).encode() in record.value
            continue
        compared += 1
        names = ("order_id", "order_time", "user_id", "province", "city")
        assert [order[name] for name in names] == [row[name] for name in names]
        assert round(float(order["amount"]) * 100) == row["cents"]
    assert compared > 2600


def test_the_sequence_counts_the_records_of_each_partition(day: tuple[list[Record], list[dict[str, Any]]]) -> None:
    next_of: Counter[int] = Counter()
    for row in day[1]:
        assert row["sequence"] == next_of[row["partition"]]
        next_of[row["partition"]] += 1
    assert sorted(next_of) == [0, 1, 2]


def test_every_verdict_reason_and_kind_is_there(day: tuple[list[Record], list[dict[str, Any]]]) -> None:
    rows = day[1]
    assert {row["verdict"] for row in rows} == {
        "malformed", "heartbeat", "invalid", "future", "late", "late_copy", "duplicate", "accepted",
    }  # fmt: skip
    assert {row["reason"] for row in rows if row["verdict"] == "invalid"} == {
        "order_id", "order_time", "user_id", "province", "city", "amount",
    }  # fmt: skip
    assert {row["reason"] for row in rows if row["verdict"] == "malformed"} == {"empty", "encoding", "json"}
    names = [kind.name for kind in dirty_orders.KINDS]
    assert len(names) == len(set(names)) > 150
    assert {*names, "clean", "slow_clock", "heartbeat"} <= {row["kind"] for row in rows}


def test_two_records_share_a_key_only_where_that_is_the_intention(
    day: tuple[list[Record], list[dict[str, Any]]],
) -> None:
    kinds = defaultdict(list)
    for row in day[1]:
        if row["order_id"]:
            kinds[row["order_id"], row["order_time"]].append(row["kind"])
    shared = {kind for same in kinds.values() if len(same) > 1 for kind in same}
    assert shared
    assert {kind for kind in shared if "copy" not in kind} == {"late_twice"}


def test_the_summary_adds_up(day: tuple[list[Record], list[dict[str, Any]]], tmp_path: Path) -> None:
    written = datagen.write_ledger(Plan(SPEC), tmp_path / "day.parquet")
    assert written == json.loads((tmp_path / "day.parquet.summary.json").read_text())
    rows = pq.read_table(tmp_path / "day.parquet").to_pylist()
    assert rows == day[1]
    accepted = [row for row in rows if row["verdict"] == "accepted"]
    of_day = written["days"]["2025-11-11"]
    ids = Counter(row["order_id"] for row in accepted)
    assert of_day["orders"] == len(accepted) > 2600
    assert of_day["amount"] == f"{sum(row['cents'] for row in accepted) / 100:.2f}"
    assert of_day["users"] == len({row["user_id"] for row in accepted})
    assert of_day["conflicting"] == sum(times > 1 for times in ids.values()) > 0
    assert sum(written["verdicts"].values()) == written["records"] == len(rows)
    assert sum(sum(entry["verdicts"].values()) for entry in written["days"].values()) == len(rows)


# --- determined by (seed, number) -----------------------------------------------------------------------------------


def by_number(spec: Spec) -> dict[str, list[tuple[int, str, bytes | None]]]:
    """Order number -> its records, as far as they carry an order: (ingest time, kind, value)."""
    plan = Plan(spec)
    found = defaultdict(list)
    for record, row in zip(plan.records(), plan.ledger().to_pylist(), strict=True):
        if row["order_id"]:
            found[row["order_id"][:18]].append((record.ingest_time, row["kind"], record.value))
    return {order: sorted(records, key=str) for order, records in found.items()}


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 2**63 - 1),
    orders=st.integers(0, 400),
    more=st.integers(0, 200),
    days=st.integers(0, 2),
    partitions=st.integers(1, 5),
)
def test_an_order_depends_on_seed_and_number_alone(
    seed: int, orders: int, more: int, days: int, partitions: int
) -> None:
    small = replace(SPEC, seed=seed % 1000, orders=orders, rates=replace(DIRTY, pauses=False))
    large = replace(small, orders=orders + more, last=DAY + dt.timedelta(days=days), partitions=partitions)
    few, many = by_number(small), by_number(large)
    assert few.keys() <= many.keys()
    assert {order: many[order] for order in few} == few


def test_the_same_spec_gives_the_same_bytes_and_another_seed_other_orders() -> None:
    first = list(datagen.day_records(SPEC))
    assert first == list(datagen.day_records(SPEC))
    other = {record.value for record in datagen.day_records(replace(SPEC, seed=8))}
    shared = other & {record.value for record in first}
    assert not any(b'"order_id":"O-' in (value or b"") for value in shared if value and b"O-1" not in value)


def test_clean_orders_of_a_seed_stay_what_they_were() -> None:
    # A golden value: a change of any draw would silently change every day that someone has noted by its seed.
    values = [record.value or b"" for record in datagen.day_records(replace(SPEC, orders=500, rates=Rates.none()))]
    assert (
        hashlib.sha256(b"\n".join(values)).hexdigest()
        == "5d8e1e1742385e5aee8f991c8202249cb2ffc48f76a08fa5c440fe91fa1d387e"
    )


# --- time -----------------------------------------------------------------------------------------------------------


def test_ingest_times_run_back_within_a_partition_by_the_slow_clock_only(
    day: tuple[list[Record], list[dict[str, Any]]],
) -> None:
    latest: dict[int, int] = {}
    worst = 0
    for record in day[0]:
        worst = max(worst, latest.get(record.partition, 0) - record.ingest_time)
        latest[record.partition] = max(latest.get(record.partition, 0), record.ingest_time)
    assert 15_000 < worst <= 20_000 < Time.model_validate({}).clock_skew_ms


def test_every_partition_gets_a_heartbeat_each_minute_except_while_it_pauses() -> None:
    beats = defaultdict(set)
    for record in datagen.day_records(SPEC):
        if record.value == order_log.HEARTBEAT:
            beats[record.partition].add((record.ingest_time - MIDNIGHT) // MINUTE)
            assert record.ingest_time % MINUTE == 0
    every = set(range(-2, 24 * 60 + 11))
    paused, _ = Plan(SPEC).hindered(DAY)
    assert beats.pop(paused) == every - set(range(20 * 60 + 10, 20 * 60 + 17))
    assert len(beats) == 2 and all(minutes == every for minutes in beats.values())


def test_the_last_record_of_each_partition_closes_the_day_on_the_hour() -> None:
    last = {record.partition: record for record in datagen.day_records(SPEC)}
    end = MIDNIGHT + 24 * HOUR
    assert sorted(last) == [0, 1, 2]
    for record in last.values():
        assert record.value == order_log.HEARTBEAT
        assert (record.ingest_time - 330_000) // HOUR * HOUR >= end  # zones of whole hours share the hour
    assert max(record.ingest_time for record in datagen.day_records(SPEC)) == order_log.closing_time(SPEC.time, DAY)


def test_a_paused_partition_appends_nothing_and_then_stamps_its_queue_with_the_later_time(
    day: tuple[list[Record], list[dict[str, Any]]],
) -> None:
    paused, _ = Plan(SPEC).hindered(DAY)
    start, end = MIDNIGHT + 20 * HOUR + 10 * MINUTE, MIDNIGHT + 20 * HOUR + 17 * MINUTE
    own = [row for row in day[1] if row["partition"] == paused and row["kind"] in ("clean", "heartbeat")]
    assert [row for row in own if start <= row["ingest_time"] < end] == []
    queue = [row for row in own if end <= row["ingest_time"] <= end + 5000 and row["order_id"]]
    waited = [row for row in queue if row["order_time"] < end - 20_000]
    assert {row["verdict"] for row in waited} == {"accepted", "late"}


def test_a_stalled_partition_is_appended_late_with_the_ingest_times_it_had(
    day: tuple[list[Record], list[dict[str, Any]]],
) -> None:
    _, stalled = Plan(SPEC).hindered(DAY)
    start, end = MIDNIGHT + 14 * HOUR + 20 * MINUTE, MIDNIGHT + 14 * HOUR + 32 * MINUTE
    seen, overtaken = 0, 0
    for record in day[0]:
        seen = max(seen, record.ingest_time)
        if record.partition == stalled and start <= record.ingest_time < end - MINUTE:
            overtaken += 1
            assert seen >= end - MINUTE
    assert overtaken > 12


def test_boundary_rows_are_exact(day: tuple[list[Record], list[dict[str, Any]]]) -> None:
    found = defaultdict(list)
    for row in day[1]:
        found[row["kind"]].append(row)

    def only(kind: str) -> tuple[int, str]:
        (row,) = found[kind]
        return row["ingest_time"] - row["order_time"], row["verdict"]

    assert only("at_lateness") == (300_000, "accepted")
    assert only("beyond_lateness") == (300_001, "late")
    assert only("last_ms_at_lateness") == (300_000, "accepted")
    assert only("last_ms_beyond_lateness") == (300_001, "late")
    assert only("at_future") == (-60_000, "accepted")
    assert only("beyond_future") == (-60_001, "future")
    assert since_midnight(found["first_ms_of_day"][0]) == 0
    assert since_midnight(found["last_ms_of_day"][0]) == 86_399_999
    assert since_midnight(found["last_ms_at_lateness"][0]) == 86_399_999
    assert [row["verdict"] for row in found["copy_at_lateness"]] == ["accepted", "duplicate"]
    assert [row["verdict"] for row in found["copy_beyond_lateness"]] == ["accepted", "late_copy"]
    assert [row["verdict"] for row in found["copy_at_horizon"]] == ["accepted", "late_copy"]
    assert [row["verdict"] for row in found["copy_beyond_horizon"]] == ["accepted", "late"]
    assert found["copy_beyond_horizon"][1]["ingest_time"] - found["copy_beyond_horizon"][0]["order_time"] == 86_400_001


def test_one_province_one_hour_and_one_city_are_silent(day: tuple[list[Record], list[dict[str, Any]]]) -> None:
    accepted = [row for row in day[1] if row["verdict"] == "accepted"]
    assert len(accepted) > 2600
    assert {row["province"] for row in accepted} == REGIONS.provinces.keys() - {SPEC.empty_province}
    assert {since_midnight(row) // HOUR for row in accepted} == set(range(24)) - {4}
    quiet = [since_midnight(row) for row in accepted if row["city"] == SPEC.quiet_city]
    assert quiet and max(quiet) < 10 * HOUR


def test_there_is_a_rush_in_the_minutes_after_midnight(day: tuple[list[Record], list[dict[str, Any]]]) -> None:
    accepted = [since_midnight(row) for row in day[1] if row["verdict"] == "accepted"]
    assert sum(at < 5 * MINUTE for at in accepted) > 3 * len(accepted) * 5 / 1440


# --- what may be asked for ------------------------------------------------------------------------------------------


def test_without_dirt_every_order_is_accepted() -> None:
    table = Plan(replace(SPEC, rates=Rates.none())).ledger().to_pylist()
    assert Counter(row["verdict"] for row in table if row["verdict"] != "heartbeat") == {"accepted": SPEC.orders}


def test_an_empty_day_has_heartbeats_and_no_order() -> None:
    middle = DAY + dt.timedelta(days=1)
    spec = replace(SPEC, orders=300, last=DAY + dt.timedelta(days=2), empty=frozenset([middle]))
    days = datagen.summary(Plan(spec).ledger(), spec)["days"]
    assert days[middle.isoformat()]["orders"] == 0 < days[DAY.isoformat()]["orders"]
    assert days[middle.isoformat()]["verdicts"]["heartbeat"] == 3 * 1440 - 7


def test_no_orders_at_all_is_a_log_of_heartbeats() -> None:
    assert {record.value for record in datagen.day_records(replace(SPEC, orders=0))} == {order_log.HEARTBEAT}


def test_a_rate_of_zero_leaves_its_kinds_out_and_one_of_one_takes_every_order() -> None:
    none = Plan(replace(SPEC, orders=600, rates=Rates().changed(["late=0", "invalid=0.0"]))).ledger().to_pylist()
    groups = {kind.name: kind.group for kind in dirty_orders.KINDS}
    assert not {groups.get(row["kind"]) for row in none} & {"late", "invalid"}
    only = Rates.none().changed(["malformed=1"])
    every = Plan(replace(SPEC, orders=600, rates=only)).ledger().to_pylist()
    assert Counter(row["verdict"] for row in every)["malformed"] > 550


@pytest.mark.parametrize("change", ["late", "late=2", "late=-1", "late=x", "pauses=1", "none=0.1", "=0.1", "late=1.5"])
def test_a_rate_that_is_none_is_refused(change: str) -> None:
    with pytest.raises(UserError, match="is not NAME=SHARE"):
        Rates().changed([change])


def test_rates_above_one_are_refused() -> None:
    with pytest.raises(UserError, match="more than 1"):
        Rates().changed(["late=0.6", "invalid=.5"])


@pytest.mark.parametrize(
    "spec",
    [
        replace(SPEC, orders=order_draw.MOST_ORDERS_A_DAY + 1),
        replace(SPEC, orders=-1),
        replace(SPEC, last=DAY - dt.timedelta(days=1)),
        replace(SPEC, first=dt.date(1999, 12, 31)),
        replace(SPEC, last=dt.date(2100, 1, 1)),
    ],
)
def test_an_impossible_spec_is_refused(spec: Spec) -> None:
    with pytest.raises(UserError):
        Plan(spec)


def test_regions_of_one_province_and_one_city_will_do() -> None:
    one = regions.Regions({"X": ("X-1",)}, {"X-1": "X"}, {"X": "X", ("X", "X-1"): "X"}, {"X": "X", ("X", "X-1"): "X"})
    rows = Plan(replace(SPEC, orders=400, regions=one)).ledger().to_pylist()
    assert {row["city"] for row in rows if row["verdict"] == "accepted"} == {"X-1"}


@given(
    st.builds(
        Order,
        st.from_regex(IDS, fullmatch=True),
        st.integers(946684800000, 4102444799999),
        st.from_regex(IDS, fullmatch=True),
        st.sampled_from(["110000"]),
        st.sampled_from(["110100"]),
        st.integers(-999_999_999_999, 999_999_999_999),
    )
)
def test_the_canonical_form_is_the_written_members_and_reads_back(order: Order) -> None:
    value = canonical(order)
    assert value == write(members(order))
    found = parsed(value)
    assert isinstance(found, dict)
    assert (found["order_id"], found["order_time"], found["user_id"]) == order[:3]
    whole, _, places = found["amount"].partition(".")
    assert len(places) == 2 and int(whole.replace("-", "") + places) * (-1 if "-" in whole else 1) == order.cents


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("real", 1.0), ("60x", 60.0), ("0.5x", 0.5)])
def test_a_speed_is_read(text: str, speed: float | None) -> None:
    assert order_log.parse_speed(text) == speed


@pytest.mark.parametrize("text", ["", "60", "x", "0x", "0.0x", "-1x", "1e9x", "fast", "１x"])
def test_another_speed_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is not known"):
        order_log.parse_speed(text)


def test_the_bounds_of_the_catalogue_are_the_contracts() -> None:
    assert (dirty_orders.MAX_DEPTH, dirty_orders.MAX_NUMBER) == (999, 1000)
