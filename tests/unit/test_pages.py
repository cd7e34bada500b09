"""What each page is sent: one snapshot, then what changed; it goes on from where it was, or gets a snapshot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flink_jobs.regions import ALL
from serving import pages as module
from serving.pages import MOST_CORRECTIONS, Full, Page, Pages
from serving.picture import Change, Correction, Minute

DAY = "2025-11-11"


def change(n: int, minute: int = 5, province: str = ALL) -> Change:
    return Change(f"{n}-0", DAY, minute, province, Minute(False, n, n), 0, 0)


def corrected(n: int) -> Correction:
    return Correction(f"{n}-0", n, DAY, 5, "late", 1, 1)


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Pages:
    monkeypatch.setattr(module, "BETWEEN_S", 0)
    monkeypatch.setattr(module, "BEAT_S", 0.01)

    def update(page: Page) -> Any:
        if not (page.minutes or page.provinces or page.corrections or page.moved):
            return None
        return {
            "minutes": sorted(page.minutes),
            "provinces": sorted(page.provinces),
            "corrections": [c.id for c in page.corrections],
        }

    made = Pages(2, lambda: {"whole": True}, update)
    made.begin("run", "10-0", DAY, [(change(n), None) for n in range(5, 11)], "5-0")
    return made


async def events(stream: AsyncIterator[str], count: int) -> list[tuple[str, str, Any]]:
    """The next events but beats: name, id, data."""
    found: list[tuple[str, str, Any]] = []
    while len(found) < count:
        text = await asyncio.wait_for(anext(stream), 5)
        lines = dict(line.split(": ", 1) for line in text.strip().splitlines())
        if lines.get("event", "beat") != "beat":
            found.append((lines["event"], lines.get("id", ""), json.loads(lines["data"])))
    return found


def test_a_new_page_gets_everything_and_then_what_changes_merged(pages: Pages):
    async def scene() -> None:
        stream = pages.stream("")
        assert await events(stream, 1) == [("snapshot", "run/10-0", {"whole": True})]
        pages.add(change(11), None)
        pages.add(change(12), None)
        pages.add(change(13, province="110000"), None)
        pages.add(change(14), corrected(14))
        pages.add(change(15), corrected(15))
        expected = {"minutes": [[DAY, 5]], "provinces": ["110000"], "corrections": ["14-0", "15-0"]}
        assert await events(stream, 1) == [("changes", "run/15-0", expected)]

    asyncio.run(scene())


def test_a_page_that_comes_back_gets_only_what_it_has_missed(pages: Pages):
    async def scene() -> None:
        pages.add(change(11, minute=7), corrected(11))
        expected = {"minutes": [[DAY, 5], [DAY, 7]], "provinces": [], "corrections": ["11-0"]}
        assert await events(pages.stream("run/9-0"), 1) == [("changes", "run/11-0", expected)]

    asyncio.run(scene())


@pytest.mark.parametrize("seen", ["run/4-0", "run/99-0", "other/9-0", "run/nonsense", "9-0", "/"])
def test_a_page_whose_place_is_not_known_any_more_gets_everything(pages: Pages, seen: str):
    async def scene() -> None:
        assert (await events(pages.stream(seen), 1))[0][0] == "snapshot"

    asyncio.run(scene())


def test_what_is_older_than_what_is_kept_cannot_be_resumed(pages: Pages, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "KEPT_CHANGES", 6)
    pages.begin("run", "10-0", DAY, [(change(n), None) for n in range(5, 11)], "5-0")
    pages.add(change(11), None)
    assert pages.resume(Page(), "run/5-0")  # the next one, 6-0, is still there
    pages.add(change(12), None)
    assert not pages.resume(Page(), "run/5-0")


def test_a_page_that_is_too_slow_for_its_corrections_gets_a_snapshot_and_stays_small(pages: Pages):
    page = Page()
    page.snapshot = False
    for n in range(MOST_CORRECTIONS):
        page.add(change(n), corrected(n), DAY)
    assert (page.snapshot, len(page.corrections)) == (False, MOST_CORRECTIONS)
    for n in range(3):
        page.add(change(n), corrected(n), DAY)
    assert page.snapshot
    assert (page.minutes, page.corrections) == (set(), [])


def test_what_is_beside_the_figures_is_told_once_and_to_later_pages_too(pages: Pages):
    async def scene() -> None:
        stream = pages.stream("")
        await events(stream, 1)
        for _ in range(3):
            pages.tell("redis", {"up": False})
        assert await events(stream, 1) == [("redis", "", {"up": False})]
        pages.tell("redis", {"up": True})
        assert await events(stream, 1) == [("redis", "", {"up": True})]
        later = pages.stream("")
        assert (await events(later, 2))[0] == ("redis", "", {"up": True})

    asyncio.run(scene())


def test_a_part_that_fails_is_named_on_every_page_until_it_works_again(pages: Pages):
    async def scene() -> None:
        stream = pages.stream("")
        await events(stream, 1)
        pages.fault("report", None)
        pages.fault("report", KeyError("x"))
        assert await events(stream, 1) == [("faults", "", {"report": "KeyError: 'x'"})]
        pages.fault("report", None)
        assert await events(stream, 1) == [("faults", "", {})]

    asyncio.run(scene())


def test_another_picture_is_a_snapshot_for_all(pages: Pages):
    async def scene() -> None:
        streams = [pages.stream(""), pages.stream("")]
        for stream in streams:
            await events(stream, 1)
        pages.begin("new", "3-0", DAY, [], "0-0")
        for stream in streams:
            assert [event[:2] for event in await events(stream, 1)] == [("snapshot", "new/3-0")]

    asyncio.run(scene())


def test_no_more_pages_than_allowed_and_one_that_goes_makes_room(pages: Pages):
    async def scene() -> None:
        streams = [pages.stream(""), pages.stream("")]
        for stream in streams:
            await anext(stream)
        assert pages.wanted.is_set()
        with pytest.raises(Full):
            await anext(pages.stream(""))
        await streams[0].aclose()
        await anext(pages.stream(""))
        assert len(pages) == 2

    asyncio.run(scene())


def test_nobody_is_looked_for_when_the_last_page_has_gone(pages: Pages):
    async def scene() -> None:
        stream = pages.stream("")
        await anext(stream)
        await stream.aclose()
        assert not pages.wanted.is_set()

    asyncio.run(scene())
