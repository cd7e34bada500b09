"""What is known to be missing from the totals, or wrong with them? A short total is never shown in silence.

Reads and writes nothing: the feed tells it what it read. Three things can be wrong with what Redis holds: a value that
cannot be read, minutes that do not add up to the day's total, and minutes that were on this screen and are gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flink_jobs.stores import yuan
from serving.picture import Day, Picture

NAMED = 20


class Gaps:
    """The gaps of one run's picture."""

    def __init__(self) -> None:
        self._spoilt: list[str] = []
        self._total: str | None = None
        self._seen: dict[str, dict[int, int]] = {}
        self._missing: list[tuple[str, int]] = []

    def before_reading(self, picture: Picture | None, new: Picture | None) -> None:
        """All is about to be read anew: of days of the same run, note which minutes are on the screen."""
        self._total = None
        if picture is None or new is None or picture.run != new.run:
            self._seen = {}
            return
        for day, figures in picture.days.items():
            if picture.source(day) != new.source(day):
                self._seen.pop(day, None)
                continue
            minutes = figures.country.minutes.items()
            self._seen.setdefault(day, {}).update({n: minute.cents for n, minute in minutes if minute.orders})

    def read(self, picture: Picture, spoilt: Iterable[str]) -> None:
        """All was read; `spoilt` names the fields that cannot be."""
        self._spoilt = list(spoilt)
        # What is older than the picture cannot be missed in it.
        self._seen = {day: seen for day, seen in self._seen.items() if day >= min(picture.days, default="")}
        self.look(picture)

    def look(self, picture: Picture) -> None:
        """Which minutes were on this screen and are gone: only an emptied or restored Redis makes them fewer."""
        self._missing = [
            (day, n)
            for day, seen in self._seen.items()
            for n in seen
            if n not in picture.days.get(day, Day()).country.minutes
        ]

    def total(self, value: str | None) -> None:
        """The day's total in Redis, `orders:cents`, read at the moment whose minutes the picture has; None: not now."""
        self._total = value

    def said(self, picture: Picture, day: str) -> list[dict[str, Any]]:
        """Each gap for a message: `kind` and its figures."""
        said: list[dict[str, Any]] = []
        if self._spoilt:
            said.append({"kind": "spoilt", "fields": self._spoilt[:NAMED], "count": len(self._spoilt)})
        country = picture.days.get(day, Day()).country
        if self._total is not None and self._total != f"{country.orders}:{country.cents}":
            amount = self._total.rpartition(":")[2]
            amount = yuan(int(amount)) if amount.removeprefix("-").isdigit() else amount
            said.append({"kind": "unequal", "day": amount, "minutes": yuan(country.cents)})
        if self._missing:
            cents = sum(self._seen[of][n] for of, n in self._missing)
            said.append({"kind": "lost", "minutes": len(self._missing), "amount": yuan(cents)})
        return said
