"""Is the log still the one that a run began to read, and did it hold what the run did not see?

Asked before each marker, and when there is a hole in the offsets that a job saw. Asks Kafka; joins no group, writes
nothing. Imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

SECONDS = 30
"""So long the brokers are waited for."""
NEAR = 10_000
"""Records: a hole that is no further behind the one before it is reached by reading on, not by looking it up."""
_UNKNOWN_TOPIC = KafkaError.UNKNOWN_TOPIC_OR_PART
Hole = tuple[int, int]
"""Offsets of one partition that a job did not see: the first, and the one behind the last."""


class TopicReplaced(Exception):
    """The topic is not the one that the run began to read: it was deleted, or deleted and made again."""


class LogCheck:
    """A topic at its brokers. Connects when it is first asked. Raises `KafkaException` if the brokers do not answer."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.topic = topic
        self._bootstrap = bootstrap
        self._admin: AdminClient | None = None

    def topic_id(self) -> str | None:
        """Kafka's own id of the topic, as its tools print it; None if there is no such topic. One that is deleted and
        made again has another.
        """
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self._bootstrap})
        asked = self._admin.describe_topics(TopicCollection([self.topic]), request_timeout=SECONDS)
        try:
            found = str(asked[self.topic].result().topic_id)
        except KafkaException as refused:
            if refused.args[0].code() == _UNKNOWN_TOPIC:
                return None
            raise
        return found.replace("+", "-").replace("/", "_")

    def refuse_another(self, topic_id: str, run_id: str) -> None:
        """Raise `TopicReplaced` if the topic does not have this id any more, with which the run began."""
        now = self.topic_id()
        if now != topic_id:
            what = "is gone" if now is None else f"has the id {now} now: it was deleted and made again"
            raise TopicReplaced(
                f"topic {self.topic} {what}; run {run_id} began with {topic_id} and counts nothing of another log; "
                "stop it and begin a new run"
            )

    def unexplained(self, partition: int, holes: Iterable[Hole]) -> dict[Hole, list[Hole]]:
        """What of each hole of a partition the log does not explain: what it has lost, and what has a record.

        It explains offsets that it still reaches back to and has no record at: aborted transactions, the marks of all
        transactions and what compaction has taken leave such holes.
        """
        wanted = sorted(holes)
        if not wanted:
            return {}
        consumer = Consumer(
            {"bootstrap.servers": self._bootstrap, "group.id": "samewater-check", "enable.auto.commit": False}
            | {"auto.offset.reset": "error", "enable.partition.eof": True, "fetch.queue.backoff.ms": 5}
            | {"isolation.level": "read_committed", "fetch.wait.max.ms": 10}
        )
        try:
            place = TopicPartition(self.topic, partition)
            first, _ = consumer.get_watermark_offsets(place, timeout=SECONDS)
            records = _Records(consumer, self.topic, partition)
            found: dict[Hole, list[Hole]] = {}
            for start, end in wanted:
                there = max(start, first)
                lost = [(start, min(end, first))] if start < first else []
                unread = [(there, end)] if there < end and records.first_from(there) < end else []
                found[start, end] = lost + unread
            return found
        finally:
            consumer.close()


class _Records:
    """The records of a partition, asked for in the order of their offsets."""

    def __init__(self, consumer: Consumer, topic: str, partition: int) -> None:
        self._consumer, self._topic, self._partition = consumer, topic, partition
        self._offset = -NEAR  # of the record that was read last
        self._ended = False

    def first_from(self, offset: int) -> float:
        """The offset of the first record that is not before this one; infinity if there is none."""
        if offset - self._offset >= NEAR:
            self._consumer.assign([TopicPartition(self._topic, self._partition, offset)])
            self._ended = False
        while self._offset < offset and not self._ended:
            self._read()
        return float("inf") if self._offset < offset else self._offset

    def _read(self) -> None:
        messages: list[Message] = self._consumer.consume(1, timeout=SECONDS)
        if not messages:
            text = f"no record of {self._topic} since {SECONDS} s"
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT, text))
        error, offset = messages[0].error(), messages[0].offset()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            self._ended = True
        elif error is not None:
            raise KafkaException(error)
        else:
            assert offset is not None, "a record has an offset"
            self._offset = offset
