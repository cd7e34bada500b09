"""Does the soak run find what differs, and draw what it says?"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from click.testing import CliRunner, Result

from flink_jobs import oracle
from flink_jobs.checks import MISSING, OK, UNKNOWN, WRONG, Check
from flink_jobs.datagen import Rates
from flink_jobs.errors import UserError
from flink_jobs.order_log import Record
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.stores import Table
from tests.bench import place
from tests.soak import __main__ as command
from tests.soak import rounds
from tests.soak.draw import (
    ARROW_BATCHES,
    BEHIND_MS,
    BUNDLES,
    EACH_LARGE,
    LARGE,
    SLOTS,
    SMALL,
    disordered,
    draw,
    out_of_step,
)
from tests.soak.expected import Truth, check_substance, check_versions, expect, told

DAY = "2025-11-11"
MIDNIGHT = 1_762_790_400_000  # 2025-11-11T00:00:00+08:00
HOUR, MINUTE = 3_600_000, 60_000
RULES = oracle.Rules(300_000, 60_000, 86_400_000, 28_800_000, {"11": ("1101",), "44": ("4401", "4403")})
SKEW_MS = 30_000


def order(order_id: str, at: int, user: str, province: str, city: str, amount: str) -> bytes:
    return (
        f'{{"order_id":"{order_id}","order_time":{at},"user_id":"{user}",'
        f'"province":"{province}","city":"{city}","amount":"{amount}"}}'
    ).encode()


FIRST = MIDNIGHT + HOUR - 1
"""The last millisecond of the first hour: an order of that time is in its version, wherever its ingest time lies."""
RECORDS: list[oracle.Record] = [
    (0, 0, FIRST + MINUTE, order("a", FIRST, "u1", "44", "4401", "1.50")),
    (0, 1, FIRST + 2 * MINUTE, order("a", FIRST, "u1", "44", "4401", "1.50")),
    (1, 0, FIRST + 1, order("b", FIRST + 1, "u1", "44", "4403", "20.00")),
    (1, 1, FIRST + 1, order("b", FIRST + 2, "u2", "44", "4403", "20.00")),
    (1, 2, FIRST, b"x"),
    (1, 3, FIRST + 1, oracle.HEARTBEAT),
    (0, 2, FIRST + 301_000, order("c", FIRST, "u3", "11", "1101", "9.00")),
]
ONE, TWO, END = MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR, MIDNIGHT + 24 * HOUR


@pytest.fixture
def truth() -> Truth:
    return expect(oracle.classify(RECORDS, RULES), RULES, DAY, DAY)[DAY]


def check(truth: Truth, held: dict[int, Table]) -> Check:
    return check_versions(DAY, "every version", truth.sales, held, "r", str)


def test_a_version_holds_the_order_minutes_that_end_by_its_hour_and_other_records_by_their_ingest_minute(
    truth: Truth,
) -> None:
    assert list(truth.sales) == list(truth.verdicts) == [MIDNIGHT + hour * HOUR for hour in range(1, 25)]
    assert truth.sales[ONE] == {
        place: {"orders": "1", "amount": "1.50", "users": "1"} for place in ("44|4401", "44|ALL", "ALL|ALL")
    }
    assert truth.sales[TWO]["ALL|ALL"] == {"orders": "3", "amount": "41.50", "users": "2"}
    assert truth.verdicts[ONE].keys() == {"00000|accepted", "00000|duplicate", "00001|malformed"}
    assert truth.verdicts[TWO].keys() == {*truth.verdicts[ONE], "00000|late", "00001|accepted", "00001|heartbeat"}
    assert truth.verdicts[TWO]["00001|accepted"] == {
        "records": "2", "offset_min": "0", "offset_max": "1", "offset_sum": "1",
    }  # fmt: skip


def test_the_last_version_is_the_oracles_day_with_the_conflicting_ids(truth: Truth) -> None:
    assert truth.sales[END] == truth.sales[TWO]
    assert {row: f for row, f in truth.verdicts[END].items() if row not in truth.verdicts[TWO]} == {
        "ALL|conflicting": {"records": "1"}
    }
    assert truth.day.conflicting == 1
    assert truth.markers[str(END)] == {"rows": "4", "orders": "3", "amount": "41.50"}


def test_equal_versions_do_not_differ(truth: Truth) -> None:
    assert check(truth, copy.deepcopy(truth.sales)).verdict == OK


def test_a_wrong_cell_is_found_in_a_version_that_is_not_the_last(truth: Truth) -> None:
    held = copy.deepcopy(truth.sales)
    held[TWO]["44|4403"]["users"] = "1"
    assert check(truth, held).differences == [(f"{TWO} 44|4403", "users", "2", "1")]


def test_a_missing_version_is_found_though_it_holds_nothing(truth: Truth) -> None:
    truth.sales[ONE] = {}
    held = {version: table for version, table in truth.sales.items() if version != ONE}
    assert check(truth, held).differences == [(str(ONE), "version", "there", "-")]


def test_an_extra_row_a_missing_row_and_an_extra_version_are_found(truth: Truth) -> None:
    held = copy.deepcopy(truth.sales)
    held[ONE]["11|1101"] = {"orders": "1"}
    del held[TWO]["44|ALL"]
    held[END + HOUR] = {}
    rows = [(found.row, found.left, found.right) for found in check(truth, held).differences]
    assert rows == [
        (f"{ONE} 11|1101", "-", "1"),
        (f"{TWO} 44|ALL", "41.50", "-"),
        (f"{TWO} 44|ALL", "3", "-"),
        (f"{TWO} 44|ALL", "2", "-"),
        (str(END + HOUR), "-", "there"),
    ]


def test_a_log_without_an_order_fails_and_so_does_an_empty_store(truth: Truth) -> None:
    nothing = expect(oracle.classify([(0, 0, MIDNIGHT, oracle.HEARTBEAT)], RULES), RULES, DAY, DAY)[DAY]
    assert check_substance(DAY, nothing).verdict == MISSING
    assert check_substance(DAY, truth).verdict == OK
    assert check(truth, {}).verdict in WRONG


def test_each_difference_is_told_with_both_sides_and_a_check_without_rows_too(truth: Truth) -> None:
    held = copy.deepcopy(truth.sales)
    held[ONE]["ALL|ALL"]["orders"] = "2"
    missing = Check(DAY, "something to compare", "log: 0 records", "-", MISSING)
    assert told([check(truth, held), missing, check(truth, truth.sales)], WRONG) == [
        f"{DAY} every version: {ONE} ALL|ALL orders: log 1, HBase 2",
        f"{DAY} something to compare: MISSING: log: 0 records / -",
    ]


def test_a_seed_draws_the_same_round_again_and_one_of_three_is_large() -> None:
    drawn = [draw(seed, SKEW_MS) for seed in range(90)]
    assert drawn == [draw(seed, SKEW_MS) for seed in range(90)]
    for one in drawn:
        low, high = LARGE if one.seed % EACH_LARGE == 0 else SMALL
        assert low <= one.orders <= high
        assert 1 <= one.partitions <= 5 and one.batch != one.report
        assert {one.report, one.dashboard, one.batch} <= set(range(1, SLOTS + 1))
        assert one.disorder_ms is None or 0 <= one.disorder_ms <= SKEW_MS
        assert len(one.behind_ms) == one.partitions and all(0 <= ms <= BEHIND_MS for ms in one.behind_ms)
        small = one.bundle < BUNDLES[1] or one.arrow_batch < ARROW_BATCHES[1]
        assert not (small and one.orders >= LARGE[0])
        assert "checkpointing" not in " ".join(one.options("batch"))
    assert 20 < sum(any(one.behind_ms) for one in drawn) < 70
    assert all(one.parts and one.partitions > 1 for one in drawn if any(one.behind_ms))
    assert draw(3, SKEW_MS, 5_000).orders == 5_000
    assert len({one.parts for one in drawn}) > 30 and len({one.first for one in drawn}) > 30


def test_a_round_is_told_in_full() -> None:
    one = draw(1, SKEW_MS)
    told_ = str(one)
    for figure in (f"seed {one.seed}", str(one.first), f"{one.orders:,}", f"bundle {one.bundle:,}"):
        assert figure in told_
    assert isinstance(one.first, dt.date) and isinstance(one.rates, Rates)


@pytest.mark.parametrize("most_ms", [0, 1_000, SKEW_MS])
def test_disorder_never_exceeds_its_bound_and_loses_nothing(most_ms: int) -> None:
    records = [Record(n % 3, MIDNIGHT + n * 100, str(n).encode()) for n in range(3_000)]
    found = disordered(records, most_ms, seed=7)
    assert sorted(found) == sorted(records)
    assert [record.partition for record in found] == [record.partition for record in records]
    furthest = 0
    for partition in range(3):
        newest = 0
        for record in found:
            if record.partition == partition:
                newest = max(newest, record.ingest_time)
                furthest = max(furthest, newest - record.ingest_time)
    assert furthest <= most_ms
    assert (furthest > most_ms // 2) == (most_ms > 0)
    assert disordered(records, None, seed=7) == records


def test_a_partition_that_is_behind_comes_later_and_in_its_own_order() -> None:
    records = disordered([Record(n % 3, MIDNIGHT + n * 100, str(n).encode()) for n in range(3_000)], 1_000, seed=7)
    found = out_of_step(records, [0, 60_000, 10_000])
    assert sorted(found) == sorted(records)
    for partition in range(3):
        assert [r for r in found if r.partition == partition] == [r for r in records if r.partition == partition]
    newest = dict.fromkeys(range(3), MIDNIGHT)
    behind = []
    for record in found:
        newest[record.partition] = max(newest[record.partition], record.ingest_time)
        behind.append(newest[0] - newest[1])
    assert max(behind[:-1_000]) == pytest.approx(60_000, abs=2_000)
    assert out_of_step(records, [0, 0, 0]) == records


# ---------------------------------------------------------------- the command


def soak(monkeypatch: pytest.MonkeyPatch, *outcomes: rounds.Outcome | UserError, arguments: tuple[str, ...]) -> Result:
    """The command, with these outcomes instead of rounds."""
    left = iter(outcomes)

    @contextmanager
    def servers(*_: object) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(settings=Settings.load(DEFAULT_FILE))

    def run(*_: object) -> rounds.Outcome:
        outcome = next(left)
        if isinstance(outcome, UserError):
            raise outcome
        return outcome

    monkeypatch.setattr(place, "servers", servers)
    monkeypatch.setattr(rounds, "run", run)
    return CliRunner().invoke(command.main, ["--rounds", str(len(outcomes)), *arguments])


def test_rounds_without_a_difference_are_told_in_a_line_each(monkeypatch: pytest.MonkeyPatch, truth: Truth) -> None:
    good = rounds.Outcome([check(truth, truth.sales)])
    found = soak(monkeypatch, good, good, arguments=("--seed", "7"))
    assert found.exit_code == 0
    one, two, last = found.output.splitlines()
    assert one.startswith("round 1 of 2, seed 7: ") and one.endswith(" s, 1 checks, 0 differences")
    assert two.startswith("round 2 of 2, seed 8: ")
    assert last == "2 rounds, seeds 7 to 8: no difference"


def test_a_difference_an_empty_round_and_a_failed_job_each_fail_and_say_how_to_repeat(
    monkeypatch: pytest.MonkeyPatch, truth: Truth
) -> None:
    held = copy.deepcopy(truth.sales)
    for fields in held[END].values():
        fields.update(orders="9", users="9")
    bad, empty = rounds.Outcome([check(truth, held)]), rounds.Outcome()
    good = rounds.Outcome([check(truth, truth.sales)])
    uncounted = rounds.Outcome([*good.checks, Check(DAY, "late rows dropped", "none", "no cluster answers", UNKNOWN)])
    restarted = rounds.Outcome(good.checks, ["daily_report was restarted 1 times"])
    failed = UserError("the job is FAILED")
    found = soak(
        monkeypatch, bad, good, empty, failed, uncounted, restarted, arguments=("--seed", "7", "--orders", "5000")
    )
    assert found.exit_code == 1
    again = [line for line in found.output.splitlines() if "again: " in line]
    assert again == [
        f"  again: python -m tests.soak --rounds 1 --seed {seed} --orders 5000" for seed in (7, 9, 10, 11, 12)
    ]
    assert "late rows dropped: not available: none / no cluster answers" in found.output
    assert found.output.count("every version: ") == command.SHOWN
    assert "8 differences" in found.output and "  the job is FAILED" in found.output
    assert found.output.splitlines()[-1] == "5 of 6 rounds differ: seeds 7, 9, 10, 11, 12"
