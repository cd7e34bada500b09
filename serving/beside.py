"""What does a page show beside the live figures: health, the report, what did not count, the cities?

Asks Kafka, Flink, HBase and HDFS (through `metrics.Watch`, every few seconds), and HBase for reports; writes nothing.
One round for all pages, and only while a page is open. A server that does not answer is named and takes nothing along.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable
from typing import Any

import happybase

from flink_jobs import flink_rest, losses, readers, runs, stores
from flink_jobs.alerts import Rule, firing, load_rules
from flink_jobs.errors import UserError
from flink_jobs.metrics import Watch
from flink_jobs.settings import HOUR_MS, Settings
from flink_jobs.stores import ALL
from serving.feed import Feed
from serving.picture import day_start
from serving.silence import SERVERS, Job, Pace, conditions, freshness, newest_ingest

HEALTH_S = 3.0
SOON_S = 0.5
REPORT_S = 5.0
SHOWN_VERDICTS = ("late", "late_copy", "duplicate", "malformed", "invalid", "future", "accepted", "conflicting")
SAID = ("ServerDown", "JobDown", "PartitionStalled", "LogSilent", "ScreenBehind")
"""Alerts that `silence` says in words of its own, and in a replay otherwise than by the clock on the wall."""
_log = logging.getLogger("samewater.screen")


class Beside:
    """Looks again and again, and tells the pages."""

    def __init__(self, settings: Settings, feed: Feed) -> None:
        self._settings, self._feed = settings, feed
        self._rules: list[Rule] = load_rules()
        self._topic = settings.kafka.topic
        self._watch = Watch(settings, self._topic)
        self._pace = Pace()
        self._read: dict[str, tuple[runs.Publication, dict[str, Any]]] = {}

    async def run(self) -> None:
        """Both rounds, for ever."""
        await asyncio.gather(self._round(self._health, HEALTH_S), self._round(self._report, REPORT_S))

    async def _round(self, look: Callable[[], tuple[str, dict[str, Any]]], seconds: float) -> None:
        pages = self._feed.pages
        while True:
            await pages.wanted.wait()
            try:
                event, data = await asyncio.to_thread(look)
            except Exception as fault:  # noqa: BLE001 - told on the page and in the log; the figures must go on
                pages.fault(look.__name__.strip("_"), fault)
            else:
                pages.fault(look.__name__.strip("_"), None)
                pages.tell(event, data)
                if data.get("day") == "":  # the first page has just come: the figures are being read
                    await asyncio.sleep(SOON_S)
                    continue
            await asyncio.sleep(seconds)

    # ------------------------------------------------------------ health

    def _health(self) -> tuple[str, dict[str, Any]]:
        feed = self._feed
        run = feed.picture.run if feed.picture else None
        job, unknown = self._job(run)
        look = self._watch.look()
        feed.ingest = newest_ingest(look) or feed.ingest
        said = conditions(look, job, feed.clock().newest, self._pace.seen(feed.ingest, time.monotonic()))
        if unknown:
            said.append({"kind": "run_unknown", "says": unknown})
        return "health", {
            "conditions": said,
            "servers": {server: server not in look.silent for server in SERVERS},
            "silent": look.silent,
            "job": None if job is None else job._asdict(),
            "topic": self._topic,
            **freshness(look, run or ""),
            "alerts": [alert._asdict() for alert in firing(self._rules, look.samples) if alert.name not in SAID],
        }

    def _job(self, run: str | None) -> tuple[Job | None, str]:
        """The job behind the figures, and why nothing is known of it."""
        try:
            with stores.hbase(self._settings) as connection:
                publication = runs.published(connection, runs.DASHBOARD, runs.LIVE)
                self._feed.published_run = None if publication is None else publication.run_id
                days = filter(None, (self._feed.day, self._feed.before))
                self._feed.backfilled = {day: runs.minutes_of(connection, day) for day in days}
                found = runs.find(connection, run) if run else None
        except UserError as silent:
            return None, str(silent)
        if run and found is None:
            return None, f"run {run} is on the screen, but nobody registered it; see `samewater runs`"
        if found is None:
            return None, ""
        if found.topic and found.topic != self._topic:
            self._topic, self._pace, self._feed.ingest = found.topic, Pace(), None
            self._watch = Watch(self._settings, self._topic)
        try:
            # Before Flink has given it an id it is only about to start.
            id_in_flink = found.flink_job_id
            state = flink_rest.job_state(self._settings, found.cluster, id_in_flink) if id_in_flink else None
        except UserError:
            state = None  # that Flink is silent is told by the look
        return Job(found.run_id, found.state, state), ""

    # ------------------------------------------------------------ report

    def _report(self) -> tuple[str, dict[str, Any]]:
        day, before = self._feed.day, self._feed.before
        if not day:
            return "report", {"day": day}
        try:
            with stores.hbase(self._settings) as connection:
                return "report", {
                    "day": day,
                    "today": self._so_far(connection, day),
                    "closed": [self._closed(connection, one) for one in (day, before)],
                }
        except UserError as silent:
            return "report", {"day": day, "error": str(silent)}

    def _so_far(self, connection: happybase.Connection, day: str) -> dict[str, Any] | None:
        """The newest marked version of the day: verdict counts, and whether the screen's minutes add up to it."""
        run = report_run(connection, day, self._topic)
        if run is None:
            return None
        markers = runs.markers(connection, day, run.run_id, run.family)
        version = max(markers)
        marker = markers[version]
        of = (connection, day, run.run_id, run.family)
        counts = stores.verdict_counts(*of, version)
        hour = stores.verdict_counts(*of, version - HOUR_MS) if run.mode == "streaming" else {}
        return {
            "run": run.run_id,
            "mode": run.mode,
            "version": version,
            "orders": marker.orders,
            "amount": marker.amount,
            "verdicts": {name: counts.get(name, 0) for name in SHOWN_VERDICTS} if counts else None,
            "last_hour": {name: counts.get(name, 0) - hour.get(name, 0) for name in SHOWN_VERDICTS} if hour else None,
            "screen": self._minutes_until(day, version),
        }

    def _closed(self, connection: happybase.Connection, day: str) -> dict[str, Any]:
        """What is published of a day (read once: it does not change), and what `reconcile` said of it."""
        publication = runs.published(connection, runs.REPORT, day)
        if publication is None:
            return {"day": day, "published": False}
        if self._read.get(day, (None, {}))[0] != publication:
            self._read = {one: read for one, read in self._read.items() if one in (self._feed.day, self._feed.before)}
            self._read[day] = publication, published_day(connection, self._settings, day, publication)
        return self._read[day][1] | {"reconciled": reconciled(connection, day)}

    def _minutes_until(self, day: str, version: int) -> dict[str, Any] | None:
        """What the screen's own final minutes add up to at that version; None if they do not reach it."""
        picture = self._feed.picture
        if picture is None or picture.final_until is None or picture.final_until < version or day not in picture.days:
            return None
        offset_ms = int(self._settings.time.offset.total_seconds()) * 1000
        until = (version - day_start(day, offset_ms)) // 60_000
        minutes = [m for n, m in list(picture.days[day].country.minutes.items()) if n < until]
        return {"orders": sum(m.orders for m in minutes), "amount": stores.yuan(sum(m.cents for m in minutes))}


def report_run(connection: happybase.Connection, day: str, topic: str) -> runs.Run | None:
    """Whose report of a day is read: the published run, else the newest streaming one of the topic, else any newest."""
    publication = runs.published(connection, runs.REPORT, day)
    if publication is not None:
        return runs.get(connection, publication.run_id)
    having = set(runs.runs_of_day(connection, day))
    candidates = runs.list_runs(connection, job=runs.REPORT, topic=topic)
    found = [run for run in candidates if run.run_id in having and not run.provisional]
    return next((run for run in found if run.mode == "streaming"), found[0] if found else None)


def published_day(
    connection: happybase.Connection, settings: Settings, day: str, publication: runs.Publication
) -> dict[str, Any]:
    """A published day: whose it is, its country line; `differs` if what is stored is not what its marker counted."""
    run = runs.get(connection, publication.run_id)
    version = publication.watermark or 0
    table = stores.read_sales(connection, settings.report.buckets, day, run.run_id, run.family, version)
    marker = runs.markers(connection, day, run.run_id, run.family).get(version)
    country = table.get(f"{ALL}|{ALL}", {})
    return {
        "day": day,
        "published": True,
        "run": run.run_id,
        "mode": run.mode,
        "version": version,
        "whole": version == settings.time.day_end(dt.date.fromisoformat(day)),
        "who": publication.who,
        "at": publication.at,
        "digest": publication.digest,
        "previous": publication.previous,
        "orders": int(country.get("orders", 0)),
        "amount": country.get("amount", "0.00"),
        "users": int(country.get("users", 0)),
        "lacks": losses.lacks(settings, connection, run, day) or None,
        "differs": "it has no marker" if marker is None else readers.against_marker(table, marker),
    }


def reconciled(connection: happybase.Connection, day: str) -> dict[str, Any] | None:
    """What `reconcile` found of the publication that is current; None if nobody has reconciled it."""
    noted = runs.reconciled(connection, day)
    return None if noted is None else {"equal": noted.equal, "says": noted.says, "failed": noted.failed, "at": noted.at}
