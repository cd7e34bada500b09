"""How long from an order's append to Kafka until Redis gives it to a reader?

Orders flow at a steady rate into a topic of their own. Twenty times a second one of them is a probe: it goes to a
province that gets nothing else, so that its count in the minute's field tells exactly when it has arrived. Append:
when `produce` is called, so the producer's own linger counts. Readable: when a reader that asks some hundred times a
second gets it. Measured is what a job does that has been at work for a while: the JVM compiles it first, which takes a
third of a core for minutes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from flink_jobs import regions, stores
from flink_jobs.order_format import Order, canonical
from flink_jobs.order_log import HEARTBEAT, Producer, Record
from tests.bench.figures import Figures
from tests.bench.place import Place, Say

WARM_UP_S, MEASURED_S, POLL_S = 30.0, 40.0, 0.005
LINGER_MS = 5  # the default of Kafka's own client since 4.0
PROBES_S = 20
LOST_S = 60.0
CALM, LOOK_S, COLD_S = 0.1, 10.0, 300.0
"""A JVM is warm when its compilers take less than a tenth of a core over 10 s; waited for is 5 min at most."""
ASKED_AT_ONCE = 40  # the oldest: when the job is behind, asking for all would slow it further


class Probe(NamedTuple):
    """An order that tells when it has arrived: by how many its province then has in the minute, or in the day."""

    day: str
    minute: str
    province: str
    in_minute: int
    in_day: int


Waiting = dict[Probe, float]
"""A probe that has not arrived yet -> when it was appended (epoch s)."""
Arrived = Callable[[Waiting], list[tuple[Probe, float]]]
"""Takes those off that have arrived since it was asked last, and says of each when that was (epoch s)."""


class Flow(NamedTuple):
    """`probes`: of each after the warm-up, when it was appended (epoch s) and how long it took (ms); `unread`: how many
    could not be read a minute after the end; `sent`: orders/s; `warm_up`: how long that took (s).
    """

    probes: list[tuple[float, float]]
    unread: int
    sent: float
    warm_up: float

    @property
    def latencies(self) -> list[float]:
        """In ms."""
        return [took for _, took in self.probes]


def measure(place: Place, figures: Figures, rates: tuple[int, ...], rounds: int, say: Say) -> None:
    """Each rate with the dashboard alone, then with the report beside it, round by round."""
    figures.section("Latency, Kafka append to readable in Redis")
    for number in range(rounds):
        for rate in rates:
            for beside in (False, True):
                with_what = "report beside it" if beside else "alone"
                say(f"round {number + 1}: latency at {rate:,} orders/s, dashboard {with_what}")
                found = _once(place, f"latency-{number}-{rate}-{int(beside)}", rate, beside)
                for name, value in zip(
                    ("p50", "p95", "p99", "max"), np.percentile(found.latencies, (50, 95, 99, 100)), strict=True
                ):
                    figures.add(f"latency {name} at {rate:,} orders/s, {with_what}", float(value), "ms")
                figures.add(f"probes at {rate:,} orders/s, {with_what}", len(found.latencies), "")
                figures.add(f"probes never read at {rate:,} orders/s, {with_what}", found.unread, "")
                figures.add(f"orders sent at {rate:,} orders/s, {with_what}", found.sent, "orders/s")
                figures.add(f"warm-up at {rate:,} orders/s, {with_what}", found.warm_up, "s")
        for rate in rates:
            for name in ("p50", "p99"):
                figures.compare(
                    f"latency {name} at {rate:,} orders/s, report beside it",
                    f"latency {name} at {rate:,} orders/s, alone",
                )


def _once(place: Place, topic: str, rate: int, beside: bool) -> Flow:
    place.create_topic(topic)
    jobs = ["realtime_dashboard", *(["daily_report"] if beside else [])]
    # One subtask each: it has a worker and bundles of its own, and what those take of two cores others wait for.
    started = [place.start(job, "--topic", topic, "--parallelism", "1") for job in jobs]
    try:
        compilers = Compilers(lambda: compiling(place.pid("realtime-taskmanager")))
        return flow(place, topic, rate, redis_reader(place, started[0].run_id), is_warm=compilers.are_calm)
    finally:
        for run in started:
            place.cancel(run)


def for_a_while(seconds: float) -> bool:
    """Whether a flow goes on: until `MEASURED_S` after its warm-up."""
    return seconds < MEASURED_S


def after_a_while(seconds: float) -> bool:
    """Whether the warm-up is over, so long after its begin."""
    return seconds >= WARM_UP_S


class Compilers:
    """Those of a JVM: are they done with what is new to them?"""

    def __init__(self, spent: Callable[[], float]) -> None:
        """`spent`: the processor seconds that they have taken so far."""
        self._spent = spent
        self._seen: tuple[float, float] | None = None  # when, and how much had been spent then

    def are_calm(self, seconds: float) -> bool:
        """Whether the warm-up is over, so long after its begin (s): by what they did in the last LOOK_S."""
        if self._seen is not None and seconds - self._seen[0] < LOOK_S:
            return False
        before, self._seen = self._seen, (seconds, self._spent())
        if before is None or not after_a_while(seconds):
            return False
        return self._seen[1] - before[1] < CALM * (seconds - before[0]) or seconds >= COLD_S


def compiling(taskmanager: int) -> float:
    """The processor seconds that the compilers of a TaskManager's JVM have taken, by its process id or its parent's."""
    total = 0.0
    root = psutil.Process(taskmanager)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess, FileNotFoundError):  # it has ended meanwhile
            for thread in process.threads() if process.name() == "java" else ():
                name = Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text(encoding="ascii")
                total += (thread.user_time + thread.system_time) * name.startswith(("C1 ", "C2 "))
    return total


def flow(
    place: Place,
    topic: str,
    rate: int,
    arrived: Arrived,
    goes_on: Callable[[float], bool] = for_a_while,
    is_warm: Callable[[float], bool] = after_a_while,
) -> Flow:
    """Let orders flow at this rate, with probes among them, and see when they arrive.

    `goes_on` is asked again and again, with the seconds since the end of the warm-up (negative before); before that
    `is_warm` with those since its begin.
    """
    settings = place.settings
    known = regions.load(settings.regions_file())
    places = [(province, cities[0]) for province, cities in sorted(known.provinces.items())]
    crowd, probes = places[::2], places[1::2]
    waiting: Waiting = {}
    appended: Waiting = {}
    counts: dict[tuple[str, ...], int] = {}
    took: list[tuple[float, float]] = []
    number = sent = 0
    begin = time.time()
    counted_from = math.inf
    next_probe = next_beat = next_look = begin

    def look() -> None:
        for probe, at in arrived(waiting):
            if appended[probe] >= counted_from:
                took.append((appended[probe], (at - appended[probe]) * 1000))

    with Producer(settings, topic, linger_ms=LINGER_MS) as producer:
        while goes_on((now := time.time()) - counted_from):
            if counted_from == math.inf and is_warm(now - begin):
                counted_from = now
            wall = int(now * 1000)
            if now >= next_beat:
                for partition in range(settings.kafka.partitions):
                    producer.send(Record(partition, wall, HEARTBEAT))
                next_beat = now + 10
            if now >= next_probe:
                province, city = probes[number % len(probes)]
                day = settings.time.day_of(wall)
                hour, rest = divmod(wall - settings.time.day_start(day), 3_600_000)
                minute = f"{hour:02}:{rest // 60_000:02}"
                for of in ((str(day), province), (str(day), province, minute)):
                    counts[of] = counts.get(of, 0) + 1
                probe = Probe(
                    str(day), minute, province, counts[str(day), province, minute], counts[str(day), province]
                )
                waiting[probe] = appended[probe] = time.time()
                producer.send(_order(f"probe-{number}", wall, province, city, number % settings.kafka.partitions))
                number += 1
                next_probe += 1 / PROBES_S
            due = int((now - begin) * rate) - sent
            for _ in range(due):
                province, city = crowd[sent % len(crowd)]
                producer.send(_order(f"bulk-{sent}", wall, province, city, sent % settings.kafka.partitions))
                sent += 1
            producer.poll(POLL_S)  # less, when something was delivered
            if time.time() >= next_look:
                next_look = time.time() + POLL_S
                look()
    ended = time.time()
    deadline = ended + LOST_S
    while waiting and time.time() < deadline:
        look()
    # A probe that has not come by then is told with what it has waited so far: too slow is no reason to leave it out.
    late = [(at, (time.time() - at) * 1000) for at in waiting.values() if at >= counted_from]
    return Flow(took + late, len(waiting), sent / (ended - begin), counted_from - begin)


def redis_reader(place: Place, run_id: str) -> Arrived:
    """Sees a probe when Redis gives it to a reader."""
    client, prefix = stores.redis(place.settings), place.settings.redis.prefix

    def arrived(waiting: Waiting) -> list[tuple[Probe, float]]:
        if not waiting:
            return []
        pipe = client.pipeline(transaction=False)
        probes = list(islice(waiting, ASKED_AT_ONCE))
        for probe in probes:
            pipe.hget(f"{prefix}:{run_id}:minutes:{probe.day}", f"{probe.minute}|{probe.province}")
        values, now = pipe.execute(), time.time()
        found = []
        for probe, value in zip(probes, values, strict=True):
            if value is not None and int(value.split(":")[1]) >= probe.in_minute:
                del waiting[probe]
                found.append((probe, now))
        return found

    return arrived


def _order(order_id: str, wall: int, province: str, city: str, partition: int) -> Record:
    return Record(partition, wall, canonical(Order(order_id, wall, f"U{wall % 9973}", province, city, 1234)))
