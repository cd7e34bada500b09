"""Which figures does the screen show, and what does a change of a minute do to them?

Reads and writes nothing: the feed fills it from Redis, the pages take messages from it. Amounts are integer cents here
and yuan as decimal text (`12.34`) in messages; times are epoch ms, minutes numbers from 0 to 1439 of the business day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flink_jobs.regions import ALL
from flink_jobs.settings import DAY_MS, MINUTE_MS
from flink_jobs.stores import yuan

MINUTES = DAY_MS // MINUTE_MS
LATE_FROM = 2
"""A change counts as late if it is that many minutes behind the newest one: its own minute has long ended by then."""
REPLAY_MS = DAY_MS
"""A log that lies further behind the clock on the wall is a replay of the past."""


class Minute(NamedTuple):
    """Figures of one minute."""

    final: bool
    orders: int
    cents: int


class Change(NamedTuple):
    """One entry of a run's stream of changes. `id`: that of Redis, `{epoch ms}-{number}`; `was_`: before it."""

    id: str
    day: str
    minute: int
    province: str
    figures: Minute
    was_orders: int
    was_cents: int


class Correction(NamedTuple):
    """A minute of the country that changed after it had ended.

    `kind`: `late` (an order came late, but in time to count), `closed` (the final figure differs from what was shown).
    `orders` and `cents`: by how much; `at`: when, epoch ms.
    """

    id: str
    at: int
    day: str
    minute: int
    kind: str
    orders: int
    cents: int

    def message(self) -> dict[str, Any]:
        """As pages get it."""
        fields = self._asdict()
        fields["amount"] = yuan(fields.pop("cents"))
        return fields


@dataclass
class Place:
    """One province's (or `ALL`, the country's) day."""

    minutes: dict[int, Minute] = field(default_factory=dict)
    orders: int = 0
    cents: int = 0
    _sums: list[int] | None = None

    def put(self, minute: int, figures: Minute) -> None:
        """Take the figures of a minute; the day follows."""
        old = self.minutes.get(minute, Minute(False, 0, 0))
        self.minutes[minute] = figures
        self.orders += figures.orders - old.orders
        self.cents += figures.cents - old.cents
        self._sums = None

    def cents_until(self, minute: int) -> int:
        """Amount of the minutes before this one."""
        if self._sums is None:
            self._sums = [0]
            for n in range(MINUTES):
                self._sums.append(self._sums[-1] + (self.minutes[n].cents if n in self.minutes else 0))
        return self._sums[minute]


class Day(dict[str, Place]):
    """Province or `ALL` -> its day."""

    def put(self, change: Change) -> None:
        """Take one change."""
        self.setdefault(change.province, Place()).put(change.minute, change.figures)

    @property
    def country(self) -> Place:
        """The sum of all provinces, as the job counted it."""
        return self.get(ALL) or Place()


class Clock(NamedTuple):
    """What the log says of the time. `newest`: start of the newest minute with a figure; all epoch ms, None: unknown.

    `final_until`: minutes before it are final; `ingest`: the newest record of any partition; `wall`: now.
    """

    newest: int | None
    final_until: int | None
    ingest: int | None
    wall: int

    @property
    def now(self) -> int | None:
        """The time in the shop: the greatest that is known to have been reached."""
        return max((at for at in (self.newest, self.final_until, self.ingest) if at is not None), default=None)

    @property
    def shown(self) -> int | None:
        """An instant of the day that the screen shows.

        Live, the day turns with the log's clock, order or no order. In a replay it turns with its first order: the
        heartbeats that only close its last day would else leave an empty screen at the end.
        """
        now = self.now
        if now is None or self.newest is None or self.wall - now <= REPLAY_MS:
            return now
        return self.newest


class Picture:
    """Two days of one run: the one shown and the one before; or, of a day, what a backfill came to."""

    def __init__(self, run: str, offset_ms: int, instead: Mapping[str, str] | None = None) -> None:
        """`offset_ms`: of the business zone, east. `instead`: day -> the backfill whose minutes are shown of it."""
        self.run = run
        self.instead = dict(instead or {})
        self.days: dict[str, Day] = {}
        self.final_until: int | None = None
        self.last_id = "0-0"
        self._offset_ms = offset_ms
        self._newest: dict[str, int] = {}

    def source(self, day: str) -> str:
        """The run whose minutes of a day these are."""
        return self.instead.get(day, self.run)

    @property
    def label(self) -> str:
        """Names the runs behind all days: with another label, a page cannot go on from the changes it has seen."""
        return "+".join([self.run, *(self.instead[day] for day in sorted(self.instead) if day in self.days)])

    def load(self, day: str, minutes: Mapping[str, str]) -> list[str]:
        """Take a day's hash of Redis: `HH:MM|province` -> `final:orders:cents`; returns fields that are spoilt."""
        spoilt = []
        loaded = Day()
        for name, value in minutes.items():
            try:
                minute, _, province = name.partition("|")
                final, orders, cents = value.split(":")
                figures = Minute({"0": False, "1": True}[final], int(orders), int(cents))
                loaded.setdefault(province, Place()).put(minute_number(minute), figures)
            except (ValueError, KeyError):
                spoilt.append(name)
        self.days[day] = loaded
        self._newest[day] = max((n for n, m in loaded.country.minutes.items() if m.orders), default=-1)
        return spoilt

    def apply(self, change: Change) -> Correction | None:
        """Take a change; says if it corrected a minute that had ended. Taking one twice changes nothing.

        A day that a backfill stands for is closed: the run's own changes of it are not shown.
        """
        if change.day in self.instead:
            self.last_id = change.id
            return None
        day = self.days.setdefault(change.day, Day())
        before = day.country.minutes.get(change.minute)
        day.put(change)
        self.last_id = change.id
        if change.province != ALL:
            return None
        newest = self._newest.get(change.day, -1)
        # After midnight a minute of the day before goes on being compared with the newest one.
        reached = max([newest, *(MINUTES + at for of, at in self._newest.items() if of > change.day and at >= 0)])
        if change.figures.orders:
            self._newest[change.day] = max(newest, change.minute)
        return correction(change, reached, before is not None)

    def newest(self) -> int | None:
        """Start of the newest minute with an order, epoch ms; None if there is none."""
        days = [(day, at) for day, at in self._newest.items() if at >= 0]
        if not days:
            return None
        day, minute = max(days)
        return day_start(day, self._offset_ms) + minute * MINUTE_MS

    def forget_before(self, day: str) -> None:
        """Leave out the days before this one."""
        for old in [name for name in self.days if name < day]:
            del self.days[old]
            self._newest.pop(old, None)

    def cut(self, day: str, now: int | None) -> int:
        """How many minutes of a day have ended, so that two days can be compared up to there; none is newer.

        `day` is empty until anything is known of the log's time.
        """
        if not day:
            return 0
        reached = -1 if now is None else (now - day_start(day, self._offset_ms)) // MINUTE_MS
        return max(0, min(MINUTES, max(reached, self._newest.get(day, -1))))

    def minutes(self, day: str, only: Iterable[int] | None = None) -> list[list[Any]]:
        """The country's minutes for a message: number, final (0 or 1), orders, amount."""
        found = self.days.get(day, Day()).country.minutes
        numbers = sorted(found if only is None else only)
        return [[n, int(found[n].final), found[n].orders, yuan(found[n].cents)] for n in numbers if n in found]

    def provinces(self, day: str, before: str, cut: int, only: Iterable[str] | None = None) -> dict[str, list[Any]]:
        """Provinces for a message: orders and amount of the day; amount up to the cut, and of the day before (or None).

        The day before is None if nothing at all is known of it.
        """
        today, yesterday = self.days.get(day, Day()), self.days.get(before, Day())
        rows: dict[str, list[Any]] = {}
        for code in only if only is not None else {*today, *yesterday}:
            if code == ALL:
                continue
            place = today.get(code, Place())
            growing = place.minutes.get(cut, Minute(False, 0, 0))  # nothing is newer than the minute at the cut
            was = yuan(yesterday[code].cents_until(cut) if code in yesterday else 0) if yesterday else None
            rows[code] = [place.orders, yuan(place.cents), yuan(place.cents - growing.cents), was]
        return rows


def correction(change: Change, newest: int, known: bool) -> Correction | None:
    """What a change of the country's minute corrects; `newest`: the newest minute before it, `known`: it was shown."""
    orders, cents = change.figures.orders - change.was_orders, change.figures.cents - change.was_cents
    if not orders and not cents:
        return None  # only now final
    if change.figures.final:
        # After an outage minutes come as final at once: what was never shown is not corrected.
        kind = "closed" if known and change.was_orders else None
    else:
        kind = "late" if change.minute + LATE_FROM <= newest else None
    at = int(change.id.partition("-")[0])
    return None if kind is None else Correction(change.id, at, change.day, change.minute, kind, orders, cents)


def minute_number(text: str) -> int:
    """`00:01` -> 1. Raises ValueError."""
    hours, _, minutes = text.partition(":")
    number = int(hours) * 60 + int(minutes)
    if not 0 <= number < MINUTES or text != f"{number // 60:02}:{number % 60:02}":
        raise ValueError(f"{text!r} is no minute of a day")
    return number


def day_start(day: str, offset_ms: int) -> int:
    """First instant of a business day, epoch ms."""
    # Proleptic ordinals count days exactly; 719163 is 1970-01-01.
    return (dt.date.fromisoformat(day).toordinal() - 719_163) * DAY_MS - offset_ms


def read_change(entry: tuple[str, Mapping[str, str]]) -> Change:
    """An entry of the stream. Raises ValueError or KeyError for one that is not ours."""
    name, fields = entry
    minute, _, province = fields["minute"].partition("|")
    figures = Minute(fields["final"] == "1", int(fields["orders"]), int(fields["cents"]))
    was_orders, was_cents = int(fields["was_orders"]), int(fields["was_cents"])
    return Change(name, fields["day"], minute_number(minute), province, figures, was_orders, was_cents)
