"""Does the live screen notice a backfill, and how much faster than the day itself is it counted again?

Latency as in `latency`, of the dashboard with the report beside it, once with the batch cluster idle and once while it
counts a generated day again and again; round by round, now one first and now the other, so that both halves of a ratio
see the same machine. The p99 of one round is a few probes, so the probes of all rounds are taken together too. A replay
of that day by the streaming report is timed for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np

from flink_jobs import flink_rest, replay, runs, stores, submit
from tests.bench.figures import Figures
from tests.bench.latency import flow, redis_reader
from tests.bench.place import DAY, Place, Say

TITLE = "Isolation: the live screen beside a backfill"
RATE, ORDERS = 2_000, 400_000
PAST = "isolation-past"
WITHOUT, WITH = "no backfill", "a backfill running"
DAY_S = 86_400


def measure(place: Place, figures: Figures, rounds: int, say: Say) -> None:
    """Each round without and with a backfill, in turn."""
    figures.section(TITLE)
    records = place.load(PAST, ORDERS)
    replayed = place.start(runs.REPORT, "--topic", PAST)
    place.seconds_to_the_days_end(replayed)
    place.cancel(replayed)
    together: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    for number in range(rounds):
        done: list[runs.Run] = []
        for name in (WITHOUT, WITH) if number % 2 == 0 else (WITH, WITHOUT):
            beside = _backfills(place, done) if name == WITH else nullcontext()
            say(f"round {number + 1}: latency at {RATE:,} orders/s, {name}")
            topic = f"isolation-{number}-{name.replace(' ', '-')}"
            place.create_topic(topic)
            live = [place.start(job, "--topic", topic) for job in ("realtime_dashboard", "daily_report")]
            try:
                with beside:
                    found = flow(place, topic, RATE, redis_reader(place, live[0].run_id))
            finally:
                for run in live:
                    place.cancel(run)
            together[name] += found.latencies
            for part in (50, 99):
                figures.add(f"latency p{part}, {name}", float(np.percentile(found.latencies, part)), "ms")
            figures.add(f"probes never read, {name}", found.unread, "")
        if not done:
            raise SystemExit("no backfill came to its end beside the live jobs, so nothing was measured")
        for run in done:
            seconds = float(place.rest("batch", f"jobs/{run.flink_job_id}")["duration"]) / 1000
            figures.add("backfill beside the live jobs", records / seconds / 1000, "thousand records/s")
            figures.add("backfill beside the live jobs, of a day", DAY_S / seconds, "times real time")
        say(f"round {number + 1}: replay of {records:,} records")
        caught_up = _replay(place)
        figures.add("replay of the report", records / caught_up.seconds / 1000, "thousand records/s")
        figures.add("replay of the report, of a day", caught_up.log_ms / 1000 / caught_up.seconds, "times real time")
    for part in (50, 99):
        figures.compare(f"latency p{part}, {WITH}", f"latency p{part}, {WITHOUT}")
        for name, latencies in together.items():
            figures.add(f"latency p{part} of all rounds, {name}", float(np.percentile(latencies, part)), "ms")
        figures.compare(f"latency p{part} of all rounds, {WITH}", f"latency p{part} of all rounds, {WITHOUT}")


def _replay(place: Place) -> replay.CaughtUp:
    """As `samewater replay daily_report`: from the command to the last exact figure, its start included."""
    began = time.monotonic()
    run_id = replay.begin(place.settings, place.conf, runs.REPORT, PAST)
    try:
        return replay.await_caught_up(place.settings, run_id, began)
    finally:
        with stores.hbase(place.settings) as connection:
            run = runs.get(connection, run_id)
        flink_rest.cancel(place.settings, run.cluster, run.flink_job_id)


@contextmanager
def _backfills(place: Place, done: list[runs.Run]) -> Iterator[None]:
    """Backfills of the day one after the other while the block runs; those that came to their end go into `done`."""
    enough = threading.Event()

    def work() -> None:
        while not enough.is_set():
            days = ("--topic", PAST, "--from", str(DAY), "--to", str(DAY))
            run_id = submit.submit(place.settings, place.conf, runs.BACKFILL, "batch", days)
            with stores.hbase(place.settings) as connection:
                done.append(runs.get(connection, run_id))

    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(work)
        try:
            yield
        finally:
            enough.set()
        worker.result()
