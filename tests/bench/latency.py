"""How long from an order's append to Kafka until Redis gives it to a reader?

Orders flow at a steady rate into a topic of their own. Twenty times a second one of them is a probe: it goes to a
province that gets nothing else, so that its count in the minute's field tells exactly when it has arrived. Append:
when `produce` is called, so the producer's own linger counts. Readable: when a reader that asks some hundred times
a second gets it.
"""

from __future__ import annotations

import time
from itertools import islice
from typing import NamedTuple

import numpy as np
from redis import Redis

from flink_jobs import regions, stores
from flink_jobs.order_format import Order, canonical
from flink_jobs.order_log import HEARTBEAT, Producer, Record, create_topic
from tests.bench.figures import Figures
from tests.bench.place import Place, Say

WARM_UP_S, MEASURED_S, POLL_S = 30.0, 40.0, 0.002
PROBES_S = 20
LOST_S = 60.0
ASKED_AT_ONCE = 40  # the oldest: when the job is behind, asking for all would slow it further
Waiting = dict[tuple[str, str, int], float]
"""(day, field, the count it will bring) of a probe that is not readable yet -> when it was appended (monotonic s)."""


class Flow(NamedTuple):
    """`latencies`: ms; `unread`: probes that could not be read a minute after the end; `sent`: orders/s."""

    latencies: list[float]
    unread: int
    sent: float


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
        for rate in rates:
            for name in ("p50", "p99"):
                figures.compare(
                    f"latency {name} at {rate:,} orders/s, report beside it",
                    f"latency {name} at {rate:,} orders/s, alone",
                )


def _once(place: Place, topic: str, rate: int, beside: bool) -> Flow:
    create_topic(place.settings, topic, place.settings.kafka.partitions)
    jobs = ["realtime_dashboard", *(["daily_report"] if beside else [])]
    started = [place.start(job, "--topic", topic) for job in jobs]
    try:
        return _flow(place, topic, started[0].run_id, rate)
    finally:
        for run in started:
            place.cancel(run)


def _flow(place: Place, topic: str, run_id: str, rate: int) -> Flow:
    settings = place.settings
    known = regions.load(settings.regions_file())
    places = [(province, cities[0]) for province, cities in sorted(known.provinces.items())]
    crowd, probes = places[::2], places[1::2]
    client = stores.redis(settings)
    waiting: Waiting = {}
    counts: dict[tuple[str, str], int] = {}
    latencies: list[float] = []
    number = sent = 0
    begin = time.monotonic()
    counted_from = begin + WARM_UP_S
    next_probe = next_beat = begin
    with Producer(settings, topic) as producer:
        while (now := time.monotonic()) < begin + WARM_UP_S + MEASURED_S:
            wall = int(time.time() * 1000)
            if now >= next_beat:
                for partition in range(settings.kafka.partitions):
                    producer.send(Record(partition, wall, HEARTBEAT))
                next_beat = now + 10
            if now >= next_probe:
                province, city = probes[number % len(probes)]
                day = settings.time.day_of(wall)
                hour, rest = divmod(wall - settings.time.day_start(day), 3_600_000)
                field = (str(day), f"{hour:02}:{rest // 60_000:02}|{province}")
                counts[field] = counts.get(field, 0) + 1
                waiting[(*field, counts[field])] = time.monotonic()
                producer.send(_order(f"probe-{number}", wall, province, city, number % settings.kafka.partitions))
                number += 1
                next_probe += 1 / PROBES_S
            due = int((now - begin) * rate) - sent
            for _ in range(due):
                province, city = crowd[sent % len(crowd)]
                producer.send(_order(f"bulk-{sent}", wall, province, city, sent % settings.kafka.partitions))
                sent += 1
            producer.poll(POLL_S)
            latencies += _arrived(client, settings.redis.prefix, run_id, waiting, counted_from)
    deadline = time.monotonic() + LOST_S
    while waiting and time.monotonic() < deadline:
        latencies += _arrived(client, settings.redis.prefix, run_id, waiting, counted_from)
    # A probe that has not come by then is told with what it has waited so far: too slow is no reason to leave it out.
    late = [(time.monotonic() - at) * 1000 for at in waiting.values() if at >= counted_from]
    return Flow(latencies + late, len(waiting), sent / (WARM_UP_S + MEASURED_S))


def _arrived(client: Redis, prefix: str, run_id: str, waiting: Waiting, counted_from: float) -> list[float]:
    """Latencies (ms) of the probes that can be read now; those appended during the warm-up are only taken off."""
    if not waiting:
        return []
    pipe = client.pipeline(transaction=False)
    probes = list(islice(waiting, ASKED_AT_ONCE))
    for day, field, _ in probes:
        pipe.hget(f"{prefix}:{run_id}:minutes:{day}", field)
    values, now = pipe.execute(), time.monotonic()
    found = []
    for probe, value in zip(probes, values, strict=True):
        if value is not None and int(value.split(":")[1]) >= probe[2]:
            at = waiting.pop(probe)
            if at >= counted_from:
                found.append((now - at) * 1000)
    return found


def _order(order_id: str, wall: int, province: str, city: str, partition: int) -> Record:
    return Record(partition, wall, canonical(Order(order_id, wall, f"U{wall % 9973}", province, city, 1234)))
