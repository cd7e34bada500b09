"""What the screen's picture makes of changes: totals, corrections, comparisons, and whose day it is."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.regions import ALL
from serving.picture import (
    Change,
    Clock,
    Correction,
    Minute,
    Picture,
    correction,
    day_start,
    minute_number,
    read_change,
)

DAY, BEFORE = "2025-11-11", "2025-11-10"
OFFSET = 8 * 3_600_000
MIDNIGHT = 1_762_790_400_000  # 2025-11-11T00:00:00+08:00
A_YEAR = 365 * 86_400_000


def change(
    minute: int,
    orders: int,
    cents: int,
    was: tuple[int, int] = (0, 0),
    final: bool = False,
    n: int = 1,
    province: str = ALL,
) -> Change:
    return Change(f"1763000000000-{n}", DAY, minute, province, Minute(final, orders, cents), *was)


@pytest.fixture
def picture() -> Picture:
    return Picture("r", OFFSET)


def test_a_day_that_a_backfill_stands_for_takes_no_changes_of_the_run():
    picture = Picture("r", OFFSET, {DAY: "fill"})
    picture.load(DAY, {"00:01|ALL": "1:3:300"})
    assert picture.apply(change(1, 2, 200, (1, 100), n=7)) is None
    assert picture.days[DAY].country.minutes[1] == Minute(True, 3, 300)
    assert picture.last_id.endswith("-7")
    assert (picture.source(DAY), picture.source(BEFORE), picture.label) == ("fill", "r", "r+fill")
    picture.forget_before("2025-11-12")
    assert picture.label == "r"


def test_a_day_begins_at_midnight_of_the_business_zone():
    assert day_start(DAY, OFFSET) == MIDNIGHT
    assert day_start("1970-01-01", 0) == 0


@pytest.mark.parametrize(("text", "number"), [("00:00", 0), ("00:01", 1), ("23:59", 1439)])
def test_a_minute_has_a_number(text: str, number: int):
    assert minute_number(text) == number


@pytest.mark.parametrize("text", ["24:00", "0:01", "00:60", "", "x", "-1:00", "00:001"])
def test_what_is_no_minute_is_refused(text: str):
    with pytest.raises(ValueError):
        minute_number(text)


def test_an_entry_of_the_stream_is_read_with_what_was_before():
    fields = {"day": DAY, "minute": "00:05|110000", "final": "1", "orders": "3", "cents": "-250"}
    entry = ("17-0", fields | {"was_orders": "2", "was_cents": "100"})
    assert read_change(entry) == Change("17-0", DAY, 5, "110000", Minute(True, 3, -250), 2, 100)
    with pytest.raises(KeyError):
        read_change(("17-0", fields))


figures = st.tuples(st.integers(0, 1439), st.integers(0, 50), st.integers(-10_000, 10_000), st.booleans())


@given(st.lists(figures, min_size=1), st.integers(0, 1440))
def test_totals_are_those_of_the_newest_figures_of_each_minute(changes: list[tuple[int, int, int, bool]], cut: int):
    picture = Picture("r", OFFSET)
    for n, (minute, orders, cents, final) in enumerate(changes):
        for _ in range(2):  # taking one twice changes nothing
            picture.apply(change(minute, orders, cents, final=final, n=n))
    last = {minute: (orders, cents) for minute, orders, cents, _ in changes}
    country = picture.days[DAY].country
    assert (country.orders, country.cents) == tuple(map(sum, zip(*last.values(), strict=True)))
    assert country.cents_until(cut) == sum(cents for minute, (_, cents) in last.items() if minute < cut)


def test_a_run_that_has_no_day_yet_is_cut_nowhere(picture: Picture):
    assert picture.cut("", None) == picture.cut("", 1_762_790_400_000) == 0


def test_a_hash_is_loaded_and_what_is_spoilt_is_named(picture: Picture):
    spoilt = picture.load(DAY, {"00:01|ALL": "1:2:300", "00:02|ALL": "0:1:-5", "00:03|ALL": "nonsense", "9|x": "0:1:1"})
    assert spoilt == ["00:03|ALL", "9|x"]
    assert picture.minutes(DAY) == [[1, 1, 2, "3.00"], [2, 0, 1, "-0.05"]]
    assert picture.newest() == MIDNIGHT + 2 * 60_000


def test_growing_and_the_minute_before_are_no_corrections(picture: Picture):
    assert picture.apply(change(10, 1, 100)) is None
    assert picture.apply(change(11, 1, 100)) is None
    assert picture.apply(change(10, 2, 150, was=(1, 100))) is None
    assert picture.apply(change(11, 2, 200, was=(1, 100))) is None


def test_an_order_that_came_late_and_counted_is_told_with_its_difference(picture: Picture):
    picture.apply(change(12, 1, 100))
    found = picture.apply(change(10, 3, 70, was=(2, 150), n=7))
    assert found == Correction("1763000000000-7", 1763000000000, DAY, 10, "late", 1, -80)
    assert found.message()["amount"] == "-0.80"


def test_a_minute_that_closes_with_another_figure_is_told_and_one_that_only_closes_is_not(picture: Picture):
    picture.apply(change(10, 2, 150))
    assert picture.apply(change(10, 2, 150, was=(2, 150), final=True)) is None
    picture.apply(change(11, 2, 150))
    found = picture.apply(change(11, 1, 100, was=(2, 150), final=True))
    assert found is not None
    assert (found.kind, found.orders, found.cents) == ("closed", -1, -50)


def test_minutes_that_come_final_after_an_outage_are_no_corrections():
    assert correction(change(10, 5, 500, final=True), newest=300, known=False) is None


def test_a_late_order_of_yesterday_is_told_after_midnight(picture: Picture):
    picture.apply(change(1439, 1, 100))
    picture.apply(Change("1763000000000-2", "2025-11-12", 0, ALL, Minute(False, 1, 100), 0, 0))
    assert picture.apply(change(1439, 2, 150, was=(1, 100), n=3)) is None  # its own minute has only just ended
    picture.apply(Change("1763000000000-4", "2025-11-12", 1, ALL, Minute(False, 1, 100), 0, 0))
    found = picture.apply(change(1439, 3, 150, was=(2, 150), n=5))
    assert found is not None and (found.day, found.minute, found.kind) == (DAY, 1439, "late")


def test_days_are_compared_up_to_the_last_minute_that_has_ended(picture: Picture):
    picture.load(BEFORE, {"00:00|110000": "1:1:1000", "00:01|110000": "1:1:500", "00:00|ALL": "1:1:1000"})
    picture.load(
        DAY, {"00:00|ALL": "0:1:100", "00:01|ALL": "0:1:200", "00:00|110000": "0:1:100", "00:01|110000": "0:1:200"}
    )
    now = MIDNIGHT + 90_000
    assert picture.cut(DAY, now) == 1
    assert picture.provinces(DAY, BEFORE, 1) == {"110000": [2, "3.00", "1.00", "10.00"]}
    # The log's clock passes the end of the day: all of it is compared.
    assert picture.cut(DAY, MIDNIGHT + 86_400_000 + 5) == 1440
    assert picture.provinces(DAY, BEFORE, 1440)["110000"] == [2, "3.00", "3.00", "15.00"]


def test_a_day_before_of_which_nothing_is_known_is_not_called_zero(picture: Picture):
    picture.load(DAY, {"00:00|ALL": "0:1:100", "00:00|110000": "0:1:100"})
    assert picture.provinces(DAY, BEFORE, 1) == {"110000": [1, "1.00", "1.00", None]}


@pytest.mark.parametrize(
    ("newest", "final", "ingest", "wall", "shown"),
    [
        # Live, an order has come after midnight; or only a heartbeat; or nothing is known but what is final.
        (MIDNIGHT + 60_000, MIDNIGHT - 300_000, MIDNIGHT + 61_000, MIDNIGHT + 61_000, "2025-11-11"),
        (MIDNIGHT - 60_000, MIDNIGHT - 300_000, MIDNIGHT + 1, MIDNIGHT + 2, "2025-11-11"),
        (None, MIDNIGHT, None, MIDNIGHT, "2025-11-11"),
        # A replay whose last day was closed by heartbeats stays on that day.
        (MIDNIGHT - 60_000, MIDNIGHT + 60_000, MIDNIGHT + 360_000, MIDNIGHT + A_YEAR, "2025-11-10"),
        (MIDNIGHT, MIDNIGHT - 300_000, MIDNIGHT + 1, MIDNIGHT + A_YEAR, "2025-11-11"),
    ],
)
def test_the_day_turns_with_the_clock_of_the_log_and_in_a_replay_with_its_first_order(
    newest, final, ingest, wall, shown
):
    at = Clock(newest, final, ingest, wall).shown
    assert at is not None
    assert str((dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=at + OFFSET)).date()) == shown


def test_before_the_first_figure_no_day_is_shown():
    assert Clock(None, None, None, MIDNIGHT).shown is None


def test_old_days_are_left_out(picture: Picture):
    for day in ("2025-11-09", BEFORE, DAY):
        picture.load(day, {"00:00|ALL": "0:1:100"})
    picture.forget_before(BEFORE)
    assert sorted(picture.days) == [BEFORE, DAY]
