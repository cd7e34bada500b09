"""Which orders does a backfill take in, by the oracle; and what does a reader see otherwise?

Expected values are worked out by hand; the property test compares with a quadratic reading of the definition.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_oracle import DAY, MIDNIGHT, NEXT_MIDNIGHT, NOON, RULES, value

from flink_jobs import backfill, checks, difference, job, late, oracle, runs
from flink_jobs.log_reader import Span
from flink_jobs.oracle import Admission, Record, Supplied
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.sql_files import SqlFiles, rule_values

LATE = NOON + RULES.lateness_ms + 1
DAYS_LATER = NOON + 3 * oracle.DAY_MS


def admit(
    log: list[Record], supply: list[Supplied] | None = None, late: bool = True, without: set[str] | None = None
) -> list[Admission]:
    return oracle.admit(oracle.classify(log, RULES), supply or [], RULES, (DAY, DAY), late, without or set())


def told(admissions: list[Admission]) -> dict[tuple[str, int, int], str]:
    found = {(a.origin, a.partition, a.offset): f"{a.verdict} {a.reason}".strip() for a in admissions}
    assert len(found) == len(admissions)
    return found


def test_a_late_order_is_taken_in_on_the_day_of_its_order_time_and_a_timely_one_is_not_looked_at() -> None:
    log: list[Record] = [
        (0, 0, LATE - 1, value(order_id="timely")),
        (0, 1, LATE, value(order_id="late")),
        (0, 2, DAYS_LATER, value(order_id="days-late")),
        (0, 3, NEXT_MIDNIGHT + LATE, value(order_id="other-day", order_time=NEXT_MIDNIGHT)),
        (0, 4, LATE, value(order_id="early-day", order_time=MIDNIGHT - 1)),
    ]
    found = admit(log)
    assert told(found) == {("log", 0, 1): "admitted", ("log", 0, 2): "admitted"}
    assert {a.day for a in found} == {DAY}
    assert admit(log, late=False) == []


def test_an_order_that_counts_is_never_taken_in_again_however_late_its_copy() -> None:
    horizon = NOON + RULES.late_copy_horizon_ms
    log: list[Record] = [(0, 0, NOON, value()), (0, 1, LATE, value()), (1, 0, horizon + 1, value(amount="99.00"))]
    supply: list[Supplied] = [((0, 0, NOON, value()), "a"), ((0, 1, DAYS_LATER, value()), "a")]
    assert told(admit(log, supply)) == {
        ("log", 0, 1): "late_copy",
        ("log", 1, 0): "late_copy",
        ("supply", 0, 0): "late_copy",
        ("supply", 0, 1): "late_copy",
    }


def test_the_first_copy_by_ingest_time_and_then_by_digest_is_taken() -> None:
    one, other = sorted((value(amount="1.00"), value(amount="2.00")), key=lambda v: hashlib.md5(v).digest())
    log: list[Record] = [(0, 0, LATE + 1, one)]
    supply: list[Supplied] = [((0, 0, LATE, other), "a"), ((0, 1, LATE, one), "b")]
    assert told(admit(log, supply)) == {
        ("log", 0, 0): "duplicate",
        ("supply", 0, 0): "duplicate",
        ("supply", 0, 1): "admitted",
    }
    assert told(admit(log, supply, without={"b"}))["supply", 0, 0] == "admitted"


def test_what_is_no_order_in_the_supply_is_kept_with_its_reason() -> None:
    supply: list[Supplied] = [
        ((0, 0, NOON, b"not json"), "a"),
        ((0, 1, NOON, value(city="999999")), "a"),
        ((0, 2, NOON - RULES.future_ms - 1, value()), "a"),
        ((0, 3, NOON, oracle.HEARTBEAT), "a"),
        ((0, 4, NOON, None), "a"),
    ]
    assert told(admit([], supply)) == {
        ("supply", 0, 0): "malformed json",
        ("supply", 0, 1): "invalid city",
        ("supply", 0, 2): "future",
        ("supply", 0, 4): "malformed empty",
    }
    assert admit([], supply, without={"a"}) == []


def test_admitted_orders_count_beside_the_verdicts_which_stay_as_they_are() -> None:
    log: list[Record] = [(0, 0, NOON, value(amount="1.00")), (0, 7, LATE, value(order_id="late", amount="2.50"))]
    supply: list[Supplied] = [((0, 7, DAYS_LATER, value(order_id="sent", amount="4.00", user_id="U2")), "a")]
    judged = list(oracle.classify(log, RULES))
    taken = oracle.admit(judged, supply, RULES, (DAY, DAY), True, set())
    day = oracle.totals([*judged, *oracle.as_judged(taken)], RULES, DAY, DAY)[DAY]
    assert checks.sales_table(day)["ALL|ALL"] == {"orders": "3", "amount": "7.50", "users": "2"}
    assert day.minutes["12:00", "ALL"] == [3, 750]
    assert {key: count.records for key, count in day.verdicts.items()} == {
        (0, "accepted"): 1,
        (0, "late"): 1,
        (0, "admitted"): 1,
        (-1, "admitted"): 1,
    }
    assert [(r.offset, r.verdict) for r in day.rejected] == [(7, "late")]
    assert set(checks.verdict_table(day)) == {"00000|accepted", "00000|late", "00000|admitted", "-0001|admitted"}
    assert checks.admission_table(taken)[f"{DAY} supply 00000|7"]["verdict"] == "admitted"


def test_an_order_taken_in_under_another_order_time_than_one_that_counts_is_conflicting() -> None:
    log: list[Record] = [(0, 0, NOON, value()), (0, 1, DAYS_LATER, value(order_time=NOON - 60_000))]
    judged = list(oracle.classify(log, RULES))
    taken = oracle.as_judged(oracle.admit(judged, [], RULES, (DAY, DAY), True, set()))
    assert oracle.totals(judged, RULES, DAY, DAY)[DAY].conflicting == 0
    assert oracle.totals([*judged, *taken], RULES, DAY, DAY)[DAY].conflicting == 1


@pytest.mark.parametrize(
    ("left_out", "predicate"),
    [
        ([], "TRUE"),
        (["a.csv"], "COALESCE(supply, '') NOT IN ('a.csv')"),
        (["o'neill", "b"], "COALESCE(supply, '') NOT IN ('o''neill', 'b')"),
    ],
)
def test_of_the_supply_all_is_read_but_what_is_left_out(left_out: list[str], predicate: str) -> None:
    settings = Settings.load(DEFAULT_FILE)
    values = backfill.values("sent", {0: Span(3, 5)}, runs.Taken(left_out=left_out))
    files = SqlFiles(settings, "batch", rule_values(settings, job.rules_of(settings)), values)
    assert f"CASE WHEN {predicate} THEN kafka_partition ELSE -2 - kafka_partition END" in files.sql(
        "views/supply_orders"
    )
    assert (values["supply_topic"], values["supply_end_offsets"]) == ("sent", "partition:0,offset:5")


ingests = st.sampled_from([NOON, LATE, LATE + 1, DAYS_LATER])
amounts = st.sampled_from(["1.00", "2.00"])
names = st.sampled_from(["O-1", "O-2", "O-3"])
records = st.lists(st.tuples(ingests, names, amounts), max_size=12)


@given(records, records)
def test_no_order_is_counted_twice_and_none_is_left_out(log: Any, supply: Any) -> None:
    in_log: list[Record] = [(0, n, at, value(order_id=i, amount=a)) for n, (at, i, a) in enumerate(log)]
    sent: list[Supplied] = [((0, n, at, value(order_id=i, amount=a)), "a") for n, (at, i, a) in enumerate(supply)]
    judged = list(oracle.classify(in_log, RULES))
    taken = oracle.admit(judged, sent, RULES, (DAY, DAY), True, set())
    counted = [j.order for j in (*judged, *oracle.as_judged(taken)) if j.verdict in ("accepted", "admitted")]
    ids = [order.order_id for order in counted if order is not None]
    assert sorted(ids) == sorted({order_id for _, order_id, _ in log + supply})
    for one in taken:
        if one.verdict == "admitted" and one.order is not None:
            rivals = [r for r in taken if r.order is not None and r.order.order_id == one.order.order_id]
            assert one.ingest_time == min(r.ingest_time for r in rivals)


# ---------------------------------------------------------------- the difference of two runs


def row(orders: int, amount: str, users: int = 1) -> dict[str, str]:
    return {"orders": str(orders), "amount": amount, "users": str(users)}


def test_rows_are_added_removed_or_changed_and_totals_told() -> None:
    before = {
        "ALL|ALL": row(3, "6.00"),
        "11|1101": row(1, "1.00"),
        "44|4401": row(1, "2.00"),
        "44|4403": row(1, "3.00"),
    }
    after = {"ALL|ALL": row(3, "5.50"), "11|1101": row(1, "1.00"), "44|4403": row(1, "2.50"), "44|4404": row(1, "2.00")}
    found = difference.difference(DAY, ("a", before), ("b", after))
    assert {(c.row, c.kind) for c in found.changes} == {
        ("ALL|ALL", "changed"),
        ("44|4401", "removed"),
        ("44|4403", "changed"),
        ("44|4404", "added"),
    }
    assert found.counts == {"added": 1, "removed": 1, "changed": 2}
    assert [total["amount"] for total in found.totals] == ["6.00", "5.50"]
    assert difference.difference(DAY, ("a", before), ("b", before)).changes == []


def test_of_a_day_that_was_not_published_every_row_is_added() -> None:
    found = difference.difference(DAY, ("", {}), ("b", {"ALL|ALL": row(1, "1.00")}))
    assert found.counts == {"added": 1, "removed": 0, "changed": 0}
    assert found.totals[0] == row(0, "0.00", 0)


def test_late_orders_are_summed_by_the_day_they_belong_to() -> None:
    settings = Settings.load(DEFAULT_FILE)

    def order(verdict: str, at: int, amount: str) -> late.LateOrder:
        return late.LateOrder(DAY, verdict, 0, 0, LATE, "O", at, "U", "44", "4401", amount)

    found = late.by_order_day(
        settings,
        [
            order("late", NOON, "1.5"),
            order("late", NOON, "-2"),
            order("late_copy", NOON, "3.25"),
            order("late", MIDNIGHT - 1, "7.00"),
        ],
    )
    assert found == [
        {"order_day": "2025-11-10", "verdict": "late", "records": 1, "amount": "7.00"},
        {"order_day": DAY, "verdict": "late", "records": 2, "amount": "-0.50"},
        {"order_day": DAY, "verdict": "late_copy", "records": 1, "amount": "3.25"},
    ]
