"""How does each page get every update, however slow it is?

Reads and writes nothing but the streams of the pages: server-sent events, each with an id `{run}/{id in Redis}` to go
on from. What a page has not been sent yet is kept merged (the newest figures of each minute), so it cannot grow beyond
two days; corrections are kept one by one, and a page that lets too many of them wait gets a snapshot instead.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from flink_jobs.regions import ALL
from serving.picture import Change, Correction

BETWEEN_S = 0.1  # at most ten messages a second
BEAT_S = 5.0  # a page that has heard nothing for three of these knows that the connection is gone
KEPT_CHANGES = 20_000
MOST_CORRECTIONS = 200
RETRY_MS = 2000

_log = logging.getLogger("samewater.screen")


class Full(Exception):
    """As many pages are open as the settings allow."""


class Page:
    """What one page has still to be sent."""

    def __init__(self) -> None:
        self.snapshot = True
        self.minutes: set[tuple[str, int]] = set()
        self.provinces: set[str] = set()
        self.corrections: list[Correction] = []
        self.moved = False
        self.aside: dict[str, Any] = {}
        self.wake = asyncio.Event()
        self.cut = -1

    def want_snapshot(self) -> None:
        """Everything anew; what waits is part of it."""
        self.snapshot = True
        self.minutes.clear()
        self.provinces.clear()
        self.corrections.clear()
        self.wake.set()

    def add(self, change: Change, correction: Correction | None, day: str) -> None:
        """One change; `day` is the one shown, whose provinces are of interest."""
        if self.snapshot:
            return
        if change.province == ALL:
            self.minutes.add((change.day, change.minute))
        elif change.day == day:
            self.provinces.add(change.province)
        if correction is not None:
            self.corrections.append(correction)
            if len(self.corrections) > MOST_CORRECTIONS:
                self.want_snapshot()
        self.wake.set()


class Pages:
    """All open pages, and the changes that a page which comes back may have missed."""

    def __init__(self, most: int, snapshot: Callable[[], Any], update: Callable[[Page], Any]) -> None:
        """`most`: pages at once. `snapshot`: everything, None while there is nothing; `update`: what a page lacks."""
        self._most, self._snapshot, self._update = most, snapshot, update
        self._open: set[Page] = set()
        self._kept: deque[tuple[Change, Correction | None]] = deque(maxlen=KEPT_CHANGES)
        self._complete_from = ""
        self._aside: dict[str, Any] = {}
        self.run = ""
        self.last_id = "0-0"
        self.day = ""
        self.wanted = asyncio.Event()
        """Set while somebody looks."""

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, run: str, last_id: str, day: str, kept: list[tuple[Change, Correction | None]], since: str) -> None:
        """Another picture: all pages get a snapshot. `kept`: the changes before it, none missing after id `since`."""
        self.run, self.last_id, self.day = run, last_id, day
        self._kept = deque(kept, maxlen=KEPT_CHANGES)
        self._complete_from = since
        for page in self._open:
            page.want_snapshot()

    def add(self, change: Change, correction: Correction | None) -> None:
        """A change for all pages."""
        if len(self._kept) == KEPT_CHANGES:
            self._complete_from = self._kept[0][0].id
        self._kept.append((change, correction))
        self.last_id = change.id
        for page in self._open:
            page.add(change, correction, self.day)

    def corrections(self) -> list[Correction]:
        """Those among the changes kept, the oldest first."""
        return [correction for _, correction in self._kept if correction is not None]

    def moved(self) -> None:
        """The clock of the log went on, without a change of figures."""
        for page in self._open:
            page.moved = True
            page.wake.set()

    def tell(self, event: str, data: Any) -> None:
        """Something beside the figures (health, report, redis): all pages get its newest state, later ones too."""
        if self._aside.get(event) == data:
            return
        self._aside[event] = data
        for page in self._open:
            page.aside[event] = data
            page.wake.set()

    def fault(self, part: str, fault: Exception | None) -> None:
        """A part of the screen has failed (the page says so, the log says where), or works (again)."""
        faults = dict(self._aside.get("faults", {}))
        if fault is None:
            if faults.pop(part, None) is not None:
                self.tell("faults", faults)
            return
        _log.error("%s failed and tries again", part, exc_info=fault)
        self.tell("faults", faults | {part: f"{type(fault).__name__}: {fault}"})

    def resume(self, page: Page, last_event_id: str) -> bool:
        """Let a page that saw this id go on from there; False if it needs a snapshot."""
        run, _, seen = last_event_id.rpartition("/")
        try:
            if run != self.run or not _order(self._complete_from) <= _order(seen) <= _order(self.last_id):
                return False
        except ValueError:
            return False
        page.snapshot = False
        page.moved = True
        for change, correction in self._kept:
            if _order(change.id) > _order(seen):
                page.add(change, correction, self.day)
        return not page.snapshot

    async def stream(self, last_event_id: str) -> AsyncIterator[str]:
        """The events of one page until it goes. Raises `Full`."""
        if len(self._open) >= self._most:
            raise Full
        page = Page()
        page.aside = dict(self._aside)
        if last_event_id:
            self.resume(page, last_event_id)
        page.wake.set()
        self._open.add(page)
        self.wanted.set()
        try:
            yield f"retry: {RETRY_MS}\n\n"
            while True:
                try:
                    await asyncio.wait_for(page.wake.wait(), BEAT_S)
                except TimeoutError:
                    yield _event("beat", {})
                    continue
                page.wake.clear()
                for text in self._due(page):
                    yield text
                await asyncio.sleep(BETWEEN_S)
        finally:
            self._open.discard(page)
            if not self._open:
                self.wanted.clear()

    def _due(self, page: Page) -> list[str]:
        texts = [_event(name, data) for name, data in page.aside.items()]
        page.aside = {}
        name, data = ("snapshot", self._snapshot()) if page.snapshot else ("changes", self._update(page))
        if data is not None:
            texts.append(_event(name, data, f"{self.run}/{self.last_id}"))
            page.snapshot = page.moved = False
            page.minutes, page.provinces, page.corrections = set(), set(), []
        return texts


def _order(stream_id: str) -> tuple[int, int]:
    at, _, number = stream_id.partition("-")
    return int(at), int(number)


def _event(name: str, data: Any, event_id: str = "") -> str:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"{f'id: {event_id}' + chr(10) if event_id else ''}event: {name}\ndata: {text}\n\n"
