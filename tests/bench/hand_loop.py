"""How fast is the same report by hand? One Python process: confluent-kafka, a C JSON parser, dictionaries.

It computes what daily_report computes for one day (orders, amount and users in each city), by the whole order contract:
what is not plainly an order goes to the oracle's strict parser. No recovery, no late copies told apart, no live
figures; all is kept in memory. That is what an engine is measured against.

    python -m tests.bench.hand_loop SETTINGS TOPIC DAY      # JSON: seconds, cpu (s), records, {place: […]}
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from flink_jobs import oracle, regions
from flink_jobs.order_format import NEWEST_MS, OLDEST_MS
from flink_jobs.settings import Settings

_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,2})?").fullmatch
Sales = dict[str, tuple[int, int, int]]


def count(settings: Settings, topic: str, day: dt.date) -> tuple[int, Sales]:
    """Records read, and `province|city` -> orders, cents, users of the day."""
    known = regions.load(settings.regions_file())
    rules, cities = settings.time, known.cities
    start, end = rules.day_start(day), rules.day_end(day)
    first: dict[tuple[str, int], tuple[int, bytes, str, str, int]] = {}
    read = 0
    for _, _, ingest, value in records_of(settings, topic):
        read += 1
        order = _plain(value, cities)
        if order is None:
            parsed = oracle.parse(value, known.provinces)
            if isinstance(parsed, oracle.Verdict):
                continue
            order = parsed
        order_id, at, user, province, city, cents = order
        if not (start <= at < end and ingest - rules.lateness_ms <= at <= ingest + rules.future_ms):
            continue
        assert value is not None
        key, place = (order_id, at), f"{province}|{city}"
        there = first.get(key)
        if there is None or (ingest, _digest(value)) < (there[0], _digest(there[1])):
            first[key] = (ingest, value, user, place, cents)
    return read, _sums(first.values())


def records_of(settings: Settings, topic: str) -> Iterator[tuple[int, int, int, bytes | None]]:
    """Partition, offset, ingest time and value of every record of the topic as it is now."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap,
            "group.id": "samewater-bench",  # asked for by the library; nothing is joined or committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": 5,  # the default of 1 s makes a fast reader wait
        }
    )
    try:
        left = set(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        while left:
            for message in consumer.consume(10_000, timeout=1):
                error = message.error()
                if error is None:
                    partition, offset = message.partition(), message.offset()
                    assert partition is not None and offset is not None
                    yield partition, offset, message.timestamp()[1], message.value()
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise KafkaException(error)
    finally:
        consumer.close()


def _plain(value: bytes | None, cities: Any) -> Any:
    """The order, if it is one beyond doubt; else None. Six colons and six members: no name stands twice."""
    if not value or value.count(b":") != 6:
        return None
    try:
        found = orjson.loads(value)
        order_id, at, user = found["order_id"], found["order_time"], found["user_id"]
        province, city, amount = found["province"], found["city"], found["amount"]
        if (
            len(found) != 6
            or type(at) is not int
            or not OLDEST_MS <= at < NEWEST_MS
            or cities.get(city) != province
            or not _ID(order_id)
            or not _ID(user)
            or not _AMOUNT(amount)
        ):
            return None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
    whole, _, places = amount.partition(".")
    cents = int(whole.lstrip("-")) * 100 + int(places.ljust(2, "0"))
    return order_id, at, user, province, city, -cents if amount[0] == "-" else cents


def _digest(value: bytes) -> str:
    return hashlib.md5(value, usedforsecurity=False).hexdigest()


def _sums(orders: Any) -> Sales:
    sales: dict[str, tuple[int, int, set[str]]] = {}
    for _, _, user, place, cents in orders:
        number, amount, users = sales.get(place, (0, 0, set()))
        users.add(user)
        sales[place] = (number + 1, amount + cents, users)
    return {place: (number, amount, len(users)) for place, (number, amount, users) in sales.items()}


if __name__ == "__main__":
    begin = time.monotonic()
    records, result = count(Settings.load(sys.argv[1]), sys.argv[2], dt.date.fromisoformat(sys.argv[3]))
    spent = {"seconds": time.monotonic() - begin, "cpu": time.process_time()}  # from the start of Python on
    json.dump({**spent, "records": records, "sales": result}, sys.stdout)
