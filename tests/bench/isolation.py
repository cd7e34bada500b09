"""Does the live screen notice a backfill, and how much faster than the day itself is it counted again?

Orders flow to dashboard and report as in `latency`, without a break, while times with a backfill of a generated day and
times without one follow each other: both halves of a ratio see the same JVMs, and the same machine a minute later. A
backfill is its whole command, from the planning on; the time without one lasts as long as it did. A replay of that day
by the streaming report is timed for itself.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from flink_jobs import flink_rest, replay, runs, submit
from tests.bench.figures import Figures
from tests.bench.latency import flow, redis_reader
from tests.bench.place import DAY, Place, Say

TITLE = "Isolation: the live screen beside a backfill"
RATE, ORDERS = 2_000, 400_000
PAST, LIVE = "isolation-past", "isolation-live"
WITHOUT, WITH = "no backfill", "a backfill running"
DAY_S = 86_400
REPLAYS = 3  # at most


class Time(NamedTuple):
    """A time in which a backfill ran, and the one without, as long, that followed it (epoch s).

    `job_s`: how long its Flink job took, without planning and submission.
    """

    begin: float
    middle: float
    end: float
    job_s: float


def measure(place: Place, figures: Figures, rounds: int, say: Say) -> None:
    """A backfill and a time without one, for each round; then the replays."""
    figures.section(TITLE)
    records = place.load(PAST, ORDERS)
    replayed = place.start(runs.REPORT, "--topic", PAST)
    place.seconds_to_the_days_end(replayed)
    place.cancel(replayed)
    probes, unread, times = _beside(place, rounds, say)
    together: dict[str, list[float]] = {WITHOUT: [], WITH: []}
    for one in times:
        for name, begin, end in ((WITH, one.begin, one.middle), (WITHOUT, one.middle, one.end)):
            latencies = [took for at, took in probes if begin <= at < end]
            together[name] += latencies
            for part in (50, 99):
                figures.add(f"latency p{part}, {name}", float(np.percentile(latencies, part)), "ms")
        figures.add("backfill beside the live jobs", records / one.job_s / 1000, "thousand records/s")
        figures.add("backfill beside the live jobs, of a day", DAY_S / one.job_s, "times real time")
    figures.add("probes never read", unread, "")
    for part in (50, 99):
        figures.compare(f"latency p{part}, {WITH}", f"latency p{part}, {WITHOUT}")
        for name, latencies in together.items():
            figures.add(f"latency p{part} of all rounds, {name}", float(np.percentile(latencies, part)), "ms")
        figures.compare(f"latency p{part} of all rounds, {WITH}", f"latency p{part} of all rounds, {WITHOUT}")
    for name, latencies in together.items():
        figures.add(f"probes, {name}", len(latencies), "")
    for number in range(min(rounds, REPLAYS)):
        say(f"round {number + 1}: replay of {records:,} records")
        caught_up = _replay(place)
        figures.add("replay of the report", records / caught_up.seconds / 1000, "thousand records/s")
        figures.add("replay of the report, of a day", caught_up.log_ms / 1000 / caught_up.seconds, "times real time")


def _beside(place: Place, rounds: int, say: Say) -> tuple[list[tuple[float, float]], int, list[Time]]:
    """Live orders, and backfills beside them: the probes as of `Flow`, those never read, and what ran when."""
    place.create_topic(LIVE)
    live = [place.start(job, "--topic", LIVE) for job in (runs.DASHBOARD, runs.REPORT)]
    warm, over = threading.Event(), threading.Event()

    def goes_on(seconds: float) -> bool:
        if seconds >= 0:
            warm.set()
        return not over.is_set()

    def backfills() -> list[Time]:
        try:
            warm.wait()
            say("a backfill that is not measured: by its end the JVMs have compiled what is to be measured")
            _submit(place)
            return [_round(place, number, over, say) for number in range(rounds) if not over.is_set()]
        finally:
            over.set()

    try:
        with ThreadPoolExecutor(1) as pool:
            worker = pool.submit(backfills)
            try:
                found = flow(place, LIVE, RATE, redis_reader(place, live[0].run_id), goes_on)
            finally:  # a flow that failed, or was ended, ends the backfills too
                over.set()
                warm.set()
            return found.probes, found.unread, worker.result()
    finally:
        for run in live:
            place.cancel(run)


def _round(place: Place, number: int, over: threading.Event, say: Say) -> Time:
    say(f"round {number + 1}: {WITH}")
    begin = time.time()
    job_s = _submit(place)
    middle = time.time()
    say(f"round {number + 1}: {WITHOUT}")
    over.wait(middle - begin)
    return Time(begin, middle, time.time(), job_s)


def _submit(place: Place) -> float:
    """Run a backfill to its end; how long its Flink job took (s), asked at once, for Flink forgets it in time."""
    days = ("--topic", PAST, "--from", str(DAY), "--to", str(DAY))
    run_id = submit.submit(place.settings, place.conf, runs.BACKFILL, "batch", days)
    return float(place.rest("batch", f"jobs/{place.run(run_id).flink_job_id}")["duration"]) / 1000


def _replay(place: Place) -> replay.CaughtUp:
    """As `samewater replay daily_report`: from the command to the last exact figure, its start included."""
    began = time.monotonic()
    run_id = replay.begin(place.settings, place.conf, runs.REPORT, PAST)
    try:
        return replay.await_caught_up(place.settings, run_id, began)
    finally:
        run = place.run(run_id)
        flink_rest.cancel(place.settings, run.cluster, run.flink_job_id)
