"""What is missing from the totals is told with its figures, and what is whole is not."""

from __future__ import annotations

import pytest

from serving.gaps import Gaps
from serving.picture import Picture

DAY, BEFORE = "2025-11-11", "2025-11-10"
WHOLE = {"00:00|ALL": "1:2:300", "00:01|ALL": "0:1:-5"}


def picture(minutes: dict[str, str], run: str = "r", instead: dict[str, str] | None = None) -> Picture:
    made = Picture(run, 0, instead)
    made.load(DAY, minutes)
    return made


@pytest.fixture
def gaps() -> Gaps:
    made = Gaps()
    made.read(picture(WHOLE), [])
    return made


def test_a_day_that_is_the_sum_of_its_minutes_has_no_gap(gaps: Gaps):
    assert gaps.said(picture(WHOLE), DAY) == []
    gaps.total("3:295")
    assert gaps.said(picture(WHOLE), DAY) == []
    gaps.total("0:0")
    assert gaps.said(picture({}), DAY) == []


@pytest.mark.parametrize(("total", "told"), [("4:295", "2.95"), ("3:-295", "-2.95"), ("nonsense", "nonsense")])
def test_a_day_that_is_not_the_sum_of_its_minutes_is_told_with_both(gaps: Gaps, total: str, told: str):
    gaps.total(total)
    assert gaps.said(picture(WHOLE), DAY) == [{"kind": "unequal", "day": told, "minutes": "2.95"}]
    gaps.total(None)  # changes are under way
    assert gaps.said(picture(WHOLE), DAY) == []


def test_minutes_that_were_here_and_are_gone_are_told_until_they_are_back(gaps: Gaps):
    gaps.before_reading(picture(WHOLE), Picture("r", 0))
    left = picture({"00:01|ALL": "0:1:-5"})
    gaps.read(left, [])
    assert gaps.said(left, DAY) == [{"kind": "lost", "minutes": 1, "amount": "3.00"}]
    gaps.look(picture(WHOLE))
    assert gaps.said(picture(WHOLE), DAY) == []


def test_another_run_has_lost_nothing(gaps: Gaps):
    gaps.before_reading(picture(WHOLE), Picture("other", 0))
    gaps.read(picture({}, "other"), [])
    assert gaps.said(picture({}, "other"), DAY) == []


def test_a_day_that_a_backfill_stands_for_or_no_longer_has_lost_nothing(gaps: Gaps):
    gaps.before_reading(picture(WHOLE), picture({}, instead={DAY: "fill"}))
    fewer = picture({"00:01|ALL": "1:1:-5"}, instead={DAY: "fill"})
    gaps.read(fewer, [])
    assert gaps.said(fewer, DAY) == []
    gaps.before_reading(fewer, picture({}))
    gaps.read(picture({}), [])
    assert gaps.said(picture({}), DAY) == []


def test_what_cannot_be_read_is_named(gaps: Gaps):
    gaps.read(picture(WHOLE), [f"{DAY} 00:0{n}|x" for n in range(3)])
    assert gaps.said(picture(WHOLE), DAY) == [
        {"kind": "spoilt", "fields": [f"{DAY} 00:00|x", f"{DAY} 00:01|x", f"{DAY} 00:02|x"], "count": 3}
    ]
