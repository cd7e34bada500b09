"""What was in the log where a worker goes on, so that it knows the keys of minutes that are not complete yet?

Reads Kafka, every partition from the given span before the newest ingest time of the one that is furthest behind, for
that one holds the minutes open, up to its present end. Of a worker that goes on further behind: a span around the place
where it does. Writes nothing, joins no group. Only what is committed. Imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

EARLIEST_MS = 946_684_800_000
"""Ingest times before this (epoch ms) are those of wrong clocks too."""
SECONDS = 30
"""So long the brokers are waited for."""
MOST = 1_000_000
"""Records of a partition: no more are read, the newest of them. Of 10,000 a second, in three partitions, 5 min."""
AT_LEAST = 1_000
"""So many offsets at the end of a partition say how far it reaches: ingest times run back a little."""


def read_tail(
    bootstrap: str, topic: str, span_ms: int, until_ms: int, at_ms: int
) -> Iterator[tuple[int, int, int, bytes | None]]:
    """(partition, offset, ingest time in epoch ms, value) of the records at the end of each partition of the topic, or
    around the place where the worker goes on.

    `until_ms`: ingest times from there on are those of wrong clocks; `at_ms`: that of the first record that came to the
    worker; epoch ms. Raises `KafkaException` if the brokers do not answer.
    """
    with _reading(bootstrap) as consumer:
        reach: dict[int, tuple[int, int, int]] = {}
        for partition in sorted(consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=SECONDS)
            ingest = _newest(consumer, topic, partition, (low, high), until_ms)
            if ingest is not None:
                reach[partition] = ingest, low, high
        ends = min((newest for newest, _, _ in reach.values()), default=0)
        is_far = at_ms + span_ms < ends
        end_ms = at_ms + span_ms if is_far else until_ms
        for partition, (_, low, high) in reach.items():
            # Further behind, what came before that place matters most: what lies behind it will be read again.
            most = _offset_of(consumer, topic, partition, at_ms, high) - MOST // 2 if is_far else high - MOST
            start = max(_offset_of(consumer, topic, partition, min(ends, at_ms) - span_ms, high), low, most)
            given = beyond = 0
            for record in _records(consumer, topic, partition, start, high):
                if EARLIEST_MS <= record[2] < end_ms:
                    yield record
                    given, beyond = given + 1, 0
                beyond += end_ms <= record[2] < until_ms
                if given == MOST or beyond > AT_LEAST:
                    break


def _offset_of(consumer: Consumer, topic: str, partition: int, time_ms: int, high: int) -> int:
    """That of the first record that is not before a time; `high` if none is so young."""
    (found,) = consumer.offsets_for_times([TopicPartition(topic, partition, time_ms)], timeout=SECONDS)
    return high if found.offset < 0 else found.offset


def newest(bootstrap: str, topic: str, partitions: Iterable[int], until_ms: int) -> dict[int, int | None]:
    """Partition -> greatest ingest time (epoch ms) at its end that is before `until_ms`; None if there is none.

    Raises `KafkaException` if the brokers do not answer.
    """
    with _reading(bootstrap) as consumer:
        found = {}
        for partition in partitions:
            reach = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=SECONDS)
            found[partition] = _newest(consumer, topic, partition, reach, until_ms)
        return found


@contextmanager
def _reading(bootstrap: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "samewater-tail", "enable.auto.commit": False}
        | {"auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.queue.backoff.ms": 5}
        | {"isolation.level": "read_committed", "fetch.wait.max.ms": 10}
    )
    try:
        yield consumer
    finally:
        consumer.close()


def _newest(consumer: Consumer, topic: str, partition: int, reach: tuple[int, int], until_ms: int) -> int | None:
    """The ingest time at the partition's end. Its last offsets need not be records, for transactions leave marks there;
    nor need its last records be of any use, if their clocks were wrong.
    """
    low, high = reach
    begin = high
    while begin > low:
        end, begin = begin, max(low, high - max(AT_LEAST, 8 * (high - begin)))
        found = max(
            (at for at in _ingest_times(consumer, topic, partition, begin, end) if EARLIEST_MS <= at < until_ms),
            default=None,
        )
        if found is not None:
            return found
    return None


def _ingest_times(consumer: Consumer, topic: str, partition: int, begin: int, end: int) -> Iterator[int]:
    """One by one, as `_records` would wait a second for as many as there are offsets where some have no record."""
    consumer.assign([TopicPartition(topic, partition, begin)])
    at = begin
    while at < end:
        message = consumer.poll(SECONDS)
        if message is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no record of {topic} since {SECONDS} s"))
        error, offset = message.error(), message.offset()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return
        if error is not None:
            raise KafkaException(error)
        assert offset is not None, "a record has an offset"
        at = offset + 1
        if offset < end:
            yield message.timestamp()[1]


def _records(
    consumer: Consumer, topic: str, partition: int, begin: int, end: int
) -> Iterator[tuple[int, int, int, bytes | None]]:
    consumer.assign([TopicPartition(topic, partition, begin)])
    at, silent_s = begin, 0
    while at < end:
        # No more than there are: it waits for that many, for a second.
        messages: list[Message] = consumer.consume(min(10_000, end - at), timeout=1)
        silent_s = 0 if messages else silent_s + 1
        if silent_s > SECONDS:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, f"no record of {topic} since {SECONDS} s"))
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                return  # behind `at` there is nothing but what compaction or a transaction left
            if error is not None:
                raise KafkaException(error)
            offset = message.offset()
            assert offset is not None, "a record has an offset"
            at = offset + 1
            if offset < end:
                yield partition, offset, message.timestamp()[1], message.value()
