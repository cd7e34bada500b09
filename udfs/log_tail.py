"""What did the end of the order log bring, so that a new worker knows the keys of minutes that are not complete yet?

Reads Kafka, each partition from the given span before its newest ingest time up to its present end; writes nothing,
joins no group. Imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

SECONDS = 30.0
"""So long the brokers are waited for, in one call."""
MOST = 1_000_000
"""Records of a partition: no more are read, the newest of them."""


def read_tail(bootstrap: str, topic: str, span_ms: int) -> Iterator[tuple[int, int, int, bytes | None]]:
    """(partition, offset, ingest time in epoch ms, value) of the records at the end of each partition of the topic.

    Raises `KafkaException` if the brokers do not answer.
    """
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "samewater-tail", "enable.auto.commit": False}
        | {"auto.offset.reset": "earliest", "fetch.queue.backoff.ms": 5}
    )
    try:
        for partition in sorted(consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=SECONDS)
            newest = next(_records(consumer, topic, partition, high - 1, high), None) if high > low else None
            if newest is None:
                continue
            since = TopicPartition(topic, partition, newest[2] - span_ms)
            (begin,) = consumer.offsets_for_times([since], timeout=SECONDS)
            yield from _records(consumer, topic, partition, max(begin.offset, low, high - MOST), high)
    finally:
        consumer.close()


def _records(
    consumer: Consumer, topic: str, partition: int, begin: int, end: int
) -> Iterator[tuple[int, int, int, bytes | None]]:
    consumer.assign([TopicPartition(topic, partition, begin)])
    at = begin
    while at < end:
        messages: list[Message] = consumer.consume(10_000, timeout=SECONDS)
        if not messages:
            return  # behind `at` there is nothing but what compaction or a transaction left
        for message in messages:
            if message.error() is not None:
                raise KafkaException(message.error())
            offset = message.offset()
            assert offset is not None, "a record has an offset"
            at = offset + 1
            if offset < end:
                yield partition, offset, message.timestamp()[1], message.value()
