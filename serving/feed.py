"""What has changed in Redis, and what is the screen's picture now?

Reads, over one connection for all pages: `{prefix}:current`, and of that run the hashes of minutes, the totals of days,
`progress`, and the stream of changes (XREAD BLOCK); `{prefix}:current_days`, and minutes and totals of the backfills
that it names. Writes nothing. Reads only while a page is open. After a lost connection, a flip to another run, a new
day, or a stream that was trimmed before it was read, everything is read anew: figures are absolute, so nothing can be
counted twice.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Mapping
from typing import Any

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from flink_jobs import stores
from flink_jobs.regions import ALL, Regions
from flink_jobs.settings import Settings
from serving.gaps import Gaps
from serving.pages import KEPT_CHANGES, Page, Pages
from serving.picture import Change, Clock, Correction, Day, Picture, read_change

AT_ONCE = 2_000
BLOCK_MS = 200
PULSE_S = 1.0
RESTING_S = 30.0  # after the last page has gone, so that one that only reconnects goes on from where it was
TRY_AGAIN_S = 1.0
SHOWN_CORRECTIONS = 100
_log = logging.getLogger("samewater.screen")


class Feed:
    """The picture, kept up to date while somebody looks."""

    def __init__(self, settings: Settings, names: Regions) -> None:
        self._settings, self._names = settings, names
        self._offset_ms = int(settings.time.offset.total_seconds()) * 1000
        self.pages = Pages(settings.serving.pages, self.snapshot, self._update)
        self.picture: Picture | None = None
        self.day = self.before = ""
        self.published_run: str | None = None
        """The dashboard's run by HBase: what is shown if Redis has lost its pointer."""
        self.backfilled: Mapping[str, str | None] = {}
        """Day -> the backfill whose minutes HBase says are shown, or None: it knows better than the hash in Redis."""
        self.ingest: int | None = None
        """Newest ingest time in the log, epoch ms, from who asks Kafka."""
        self.gaps = Gaps()
        self._since: int | None = None
        self._reread = ("", "", "")
        self._moved: tuple[int | None, int | None, list[dict[str, Any]]] = (None, None, [])

    # ------------------------------------------------------------ for the pages

    def clock(self) -> Clock:
        """What is known of the log's time."""
        picture = self.picture
        newest, final = (None, None) if picture is None else (picture.newest(), picture.final_until)
        return Clock(newest, final, self.ingest, _wall())

    def snapshot(self) -> dict[str, Any] | None:
        """Everything a page shows of Redis; None before anything was read."""
        picture = self.picture
        if picture is None:
            return None
        cut = picture.cut(self.day, self.clock().now)
        corrections = self.pages.corrections()
        return self._times(cut) | {
            "run": picture.run,
            "day": self.day,
            "before": self.before,
            "zone": self._settings.time.zone,
            "offset_ms": self._offset_ms,
            "names": {code: [self._names.name(code, english=False), self._names.name(code)] for code in self._places()},
            "minutes": {day: picture.minutes(day) for day in (self.before, self.day)},
            "provinces": picture.provinces(self.day, self.before, cut),
            "corrections": [c.message() for c in corrections[-SHOWN_CORRECTIONS:]],
            "gaps": self._said(),
        }

    def _update(self, page: Page) -> dict[str, Any] | None:
        picture = self.picture
        if picture is None or not (page.minutes or page.provinces or page.corrections or page.moved):
            return None
        cut = picture.cut(self.day, self.clock().now)
        # The comparison with yesterday moves with the clock, in every province.
        provinces = None if cut != page.cut else page.provinces
        page.cut = cut
        days = {day: [n for of, n in page.minutes if of == day] for day in {of for of, _ in page.minutes}}
        return self._times(cut) | {
            "minutes": {day: picture.minutes(day, numbers) for day, numbers in days.items()},
            "provinces": picture.provinces(self.day, self.before, cut, provinces),
            "corrections": [correction.message() for correction in page.corrections],
            "gaps": self._said(),
        }

    def _times(self, cut: int) -> dict[str, Any]:
        clock = self.clock()
        return {"now": clock.now, "newest": clock.newest, "final_until": clock.final_until, "cut": cut}

    def _places(self) -> list[str]:
        assert self.picture is not None
        unknown = {code for day in self.picture.days.values() for code in day} - set(self._names.provinces) - {ALL}
        return [*self._names.provinces, *sorted(unknown)]

    def _said(self) -> list[dict[str, Any]]:
        return [] if self.picture is None else self.gaps.said(self.picture, self.day)

    # ------------------------------------------------------------ from Redis

    async def run(self) -> None:
        """Follow Redis for ever; a connection that is lost is told to the pages and tried again."""
        while True:
            await self.pages.wanted.wait()
            client = self._connect()
            try:
                await self._follow(client)
            except (redis.RedisError, OSError) as lost:
                _log.warning("Redis: %s", lost)
                self._since = self._since or _wall()
                place = self._settings.redis
                where = f"{place.host}:{place.port}"
                # That it is not there needs no more words; what it refused (a wrong type, no more memory) does.
                says = "" if isinstance(lost, OSError | redis.ConnectionError | redis.TimeoutError) else str(lost)
                self.pages.tell("redis", {"up": False, "where": where, "since": self._since, "says": says})
                await asyncio.sleep(TRY_AGAIN_S)
            except Exception as fault:  # noqa: BLE001 - told on the page and in the log; then everything is read anew
                self.pages.fault("figures", fault)
                await asyncio.sleep(TRY_AGAIN_S)
            finally:
                await client.aclose()

    def _connect(self) -> redis.Redis:
        place = self._settings.redis
        return redis.Redis(
            host=place.host,
            port=place.port,
            db=place.db,
            decode_responses=True,
            single_connection_client=True,
            socket_timeout=5,
            socket_connect_timeout=5,
            retry=Retry(NoBackoff(), 0),
        )

    async def _follow(self, client: redis.Redis) -> None:
        """Read until nobody looks any more. Raises what the client raises when Redis is gone."""
        run, instead = await self._current(client)
        await self._load(client, run, instead)
        self.pages.fault("figures", None)
        self._since = None
        self.pages.tell("redis", {"up": True})
        looked = pulse = time.monotonic()
        while time.monotonic() - looked < RESTING_S:
            if self.pages.wanted.is_set():
                looked = time.monotonic()
            complete = await self._read(client)
            if time.monotonic() - pulse >= PULSE_S:
                pulse = time.monotonic()
                complete = await self._pulse(client) and complete
                run, instead = await self._current(client)
            if not (complete and self._same(run, instead)):
                await self._load(client, run, instead)

    async def _current(self, client: redis.Redis) -> tuple[str | None, Mapping[str, str]]:
        """The dashboard's run, and day -> the backfill whose minutes are shown of it."""
        async with client.pipeline(transaction=False) as both:
            both.get(f"{self._settings.redis.prefix}:current")
            both.hgetall(stores.current_days(self._settings))
            current, instead = await both.execute()
        known = {**instead, **self.backfilled}
        instead = {day: backfill for day, backfill in known.items() if backfill}
        return (self.published_run if current is None else str(current)), instead

    def _same(self, run: str | None, instead: Mapping[str, str]) -> bool:
        """Whether the picture is of these runs, and of the day that is to be shown."""
        picture = self.picture
        if picture is None:
            return run is None
        others = any(picture.instead.get(day) != instead.get(day) for day in (self.day, self.before))
        return picture.run == run and not others and self._shown_day() == self.day

    async def _load(self, client: redis.Redis, run: str | None, instead: Mapping[str, str]) -> None:
        """Read everything of a run anew, and of the backfills that stand for a day, and tell all pages."""
        picture = None if run is None else Picture(run, self._offset_ms, instead)
        self.gaps.before_reading(self.picture, picture)
        if self.picture is None or self.picture.run != run:
            self.day = ""
        if run is None or picture is None:
            self.picture, self.day, self.before = None, "", ""
            self.pages.begin("", "0-0", "", [], "0-0")
            self.pages.tell("run", {"run": None})
            return
        # First where the stream ends, then the figures: what comes between is read once more, and changes nothing.
        tail = await client.xrevrange(self._key(run, "changes"), count=KEPT_CHANGES // 4)
        changes = [change for change in map(_change, reversed(tail)) if change is not None]
        progress = await client.hget(self._key(run, "progress"), "final_until")  # type: ignore[misc]
        picture.final_until = None if progress is None else int(progress)
        totals: Mapping[str, str] = await client.hgetall(self._key(run, "days"))  # type: ignore[misc]
        known = sorted({name.partition("|")[0] for name, value in totals.items() if value != "0:0"})
        newest = known[-1:] + ([self.day] if self.day else [])
        if picture.final_until is not None:
            newest.append(str(self._settings.time.day_of(picture.final_until)))
        if self.ingest is not None:
            newest.append(str(self._settings.time.day_of(self.ingest)))
        spoilt: list[str] = []
        for day in sorted({around for one in newest for around in (one, _day_before(one))} | set(known[-2:])):
            fields: Mapping[str, str] = await client.hgetall(self._key(picture.source(day), f"minutes:{day}"))  # type: ignore[misc]
            spoilt += [f"{day} {name}" for name in picture.load(day, fields)]
        picture.last_id = changes[-1].id if changes else "0-0"
        self.picture = picture
        self.day = self._shown_day()
        self.before = _day_before(self.day) if self.day else ""
        if self.before:
            picture.forget_before(self.before)
        self.gaps.read(picture, spoilt)
        kept = list(zip(changes, _corrections(changes, self._offset_ms, picture.instead), strict=True))
        # The oldest entry may itself be one of several that a page lacks, unless it is the first of all.
        self.pages.begin(picture.label, picture.last_id, self.day, kept, changes[0].id if changes else "0-0")
        self.pages.tell("run", {"run": run})

    async def _read(self, client: redis.Redis) -> bool:
        """Take what has come; False if the stream was trimmed before we read it."""
        picture = self.picture
        if picture is None:
            await asyncio.sleep(BLOCK_MS / 1000)
            return True
        key = self._key(picture.run, "changes")
        found = await client.xread({key: picture.last_id}, count=AT_ONCE, block=BLOCK_MS)
        entries = found[0][1] if found else []
        if len(entries) == AT_ONCE:  # behind: it may be cut off at its other end meanwhile
            oldest = await client.xrange(key, count=1)
            if oldest and _after(oldest[0][0], picture.last_id):
                return False
        for entry in entries:
            change = _change(entry)
            if change is None:
                picture.last_id = entry[0]
                continue
            self.pages.add(change, picture.apply(change))
        if entries:
            self.gaps.total(None)  # until it is read again
        return True

    async def _pulse(self, client: redis.Redis) -> bool:
        """Once a second: how far minutes are final, and whether they are the day's; False if all must be read anew."""
        picture = self.picture
        if picture is None:
            return True
        # At one moment: minutes and day change by one script only.
        async with client.pipeline(transaction=True) as both:
            both.hget(self._key(picture.run, "progress"), "final_until")
            both.hget(self._key(picture.source(self.day), "days"), f"{self.day}|{ALL}")
            both.xrevrange(self._key(picture.run, "changes"), count=1)
            progress, total, last = await both.execute()
        if not last and picture.last_id != "0-0":
            return False  # Redis was emptied
        country = picture.days.get(self.day, Day()).country
        read, is_there = f"{country.orders}:{country.cents}", total or "0:0"
        if (last[0][0] if last else "0-0") == picture.last_id:  # else changes are under way: the next pulse compares
            self.gaps.total(is_there)
            # It lost minutes, or keeps no changes ([redis] changes_kept = 0): read anew, but the same things only once.
            differs = (read, is_there, progress if not last else "")
            if (read != is_there or not last) and differs != self._reread:
                self._reread = differs
                return False
        if progress is not None:
            picture.final_until = int(progress)
        self.gaps.look(picture)
        clock = self.clock()
        moved = (clock.final_until, None if clock.now is None else clock.now // 60_000, self._said())
        if moved != self._moved:
            self._moved = moved
            self.pages.moved()
        return True

    def _shown_day(self) -> str:
        """The day on the screen; of one run it never goes back, not even when Redis has lost its newest minutes."""
        shown = self.clock().shown
        return self.day if shown is None else max(self.day, str(self._settings.time.day_of(shown)))

    def _key(self, run: str, name: str) -> str:
        return f"{self._settings.redis.prefix}:{run}:{name}"


def _corrections(changes: list[Change], offset_ms: int, instead: Mapping[str, str]) -> list[Correction | None]:
    """What each change of the past corrected, as far as the changes before it tell, but for days of a backfill."""
    past = Picture("", offset_ms, instead)
    return [past.apply(change) for change in changes]


def _change(entry: Any) -> Change | None:
    try:
        return read_change(entry)
    except (ValueError, KeyError):
        _log.warning("an entry of the stream of changes is not ours: %s", entry)
        return None


def _after(one: str, other: str) -> bool:
    return tuple(map(int, one.split("-"))) > tuple(map(int, other.split("-")))


def _day_before(day: str) -> str:
    return str(dt.date.fromisoformat(day) - dt.timedelta(days=1))


def _wall() -> int:
    return time.time_ns() // 1_000_000
