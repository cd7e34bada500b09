"""What did the log's end bring, so that a worker that goes on knows the keys of minutes that are not complete yet?

Reads Kafka, every partition from the given span before the newest ingest time of the one that is furthest behind, for
that one holds the minutes open, up to its present end; writes nothing, joins no group. Imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

SECONDS = 30
"""So long the brokers are waited for."""
MOST = 1_000_000
"""Records of a partition: no more are read, the newest of them. Of 10,000 a second, in three partitions, 5 min."""


def read_tail(bootstrap: str, topic: str, span_ms: int) -> Iterator[tuple[int, int, int, bytes | None]]:
    """(partition, offset, ingest time in epoch ms, value) of the records at the end of each partition of the topic.

    Raises `KafkaException` if the brokers do not answer.
    """
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "samewater-tail", "enable.auto.commit": False}
        | {"auto.offset.reset": "earliest", "enable.partition.eof": True, "fetch.queue.backoff.ms": 5}
    )
    try:
        reach: dict[int, tuple[int, int, int]] = {}
        for partition in sorted(consumer.list_topics(topic, timeout=SECONDS).topics[topic].partitions):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=SECONDS)
            ingest = _newest(consumer, topic, partition, low, high)
            if ingest is not None:
                reach[partition] = ingest, low, high
        behind = min((newest for newest, _, _ in reach.values()), default=0)
        for partition, (_, low, high) in reach.items():
            since = TopicPartition(topic, partition, behind - span_ms)
            (begin,) = consumer.offsets_for_times([since], timeout=SECONDS)
            yield from _records(consumer, topic, partition, max(begin.offset, low, high - MOST), high)
    finally:
        consumer.close()


def _newest(consumer: Consumer, topic: str, partition: int, low: int, high: int) -> int | None:
    """The ingest time at the partition's end. Its last offsets need not be records: transactions leave marks there."""
    begin = high
    while begin > low:
        begin = max(low, high - max(1, 8 * (high - begin)))
        found = [ingest for _, _, ingest, _ in _records(consumer, topic, partition, begin, high)]
        if found:
            return max(found)
    return None


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
