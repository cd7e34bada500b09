"""How do records get into the order log, and how far does the log reach?

Reads nothing but Kafka's own answers; writes topics (created, deleted) and records with their own ingest time.
Time: a record's Kafka timestamp is its ingest time, epoch ms. Topics made here use `CreateTime`, so that a replayed or
generated day keeps it; `log_append=True` makes a production topic, where the broker sets the time.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple
from uuid import UUID

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka import Producer as _ConfluentProducer
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.errors import KafkaError as AdminError
from kafka.protocol.consumer.offsets import IsolationLevel
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs.errors import UserError
from flink_jobs.settings import CLOCK_AHEAD_MS, TOPIC_RETENTION_MS, Settings, Time

HEARTBEAT = b'{"heartbeat":true}'
"""The control record that an idle partition gets each minute; it carries only its timestamp."""

WAIT_S = 10.0  # a broker that has not answered by then is reported as down
_DELIVERY_MS = 30_000


class Record(NamedTuple):
    """One record of the log. `ingest_time`: epoch ms; `value`: None is a tombstone; `headers`: names and values."""

    partition: int
    ingest_time: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def closing_time(rules: Time, day: dt.date) -> int:
    """Ingest time (epoch ms) of the heartbeat that closes a day in every job.

    Less lateness and skew it is past the day's end, with 4 minutes to spare.
    """
    return rules.day_end(day) + (4 + math.ceil((rules.lateness_ms + rules.clock_skew_ms) / 60_000)) * 60_000


def create_topic(settings: Settings, topic: str, partitions: int, log_append: bool = False) -> bool:
    """Make a topic that keeps everything; returns False if it was there already with as many partitions.

    `retention.ms=-1`, because Kafka deletes records with old timestamps soon after they arrive. It refuses an ingest
    time further ahead of its clock than `CLOCK_AHEAD_MS`. Raises `UserError` if no broker answers within 10 s or the
    topic exists with another number of partitions.
    """
    configs = {
        "message.timestamp.type": "LogAppendTime" if log_append else "CreateTime",
        "message.timestamp.after.max.ms": str(CLOCK_AHEAD_MS),
        "retention.ms": str(TOPIC_RETENTION_MS),
        "retention.bytes": "-1",
        "cleanup.policy": "delete",
    }
    with _admin(settings) as admin:
        try:
            admin.create_topics(
                {topic: {"num_partitions": partitions, "replication_factor": -1, "configs": configs}},
                timeout_ms=int(WAIT_S * 1000),
            )
        except TopicAlreadyExistsError:
            there = _partitions(admin, settings, topic)
            if there != partitions:
                raise UserError(
                    f"topic {topic} exists with {there} partitions, not {partitions}; name another topic or delete it"
                ) from None
            return False
        admin.wait_for_topics([topic], timeout_ms=int(WAIT_S * 1000))
    return True


def create_topic_if_missing(settings: Settings, topic: str, partitions: int) -> None:
    """Make a topic as `create_topic` does; one that is there keeps its own number of partitions."""
    if topic not in topics(settings):
        create_topic(settings, topic, partitions)


def delete_topic(settings: Settings, topic: str) -> None:
    """Delete a topic and wait until the broker no longer lists it; a topic that is not there is a `UserError`."""
    with _admin(settings) as admin:
        _partitions(admin, settings, topic)
        admin.delete_topics([topic], timeout_ms=int(WAIT_S * 1000))
        gone = Retrying(stop=stop_after_delay(WAIT_S), wait=wait_fixed(0.1), retry=retry_if_result(lambda there: there))
        try:
            gone(lambda: topic in admin.list_topics())
        except RetryError as still:
            raise UserError(
                f"topic {topic} is still there {WAIT_S:.0f} s after its deletion; see Kafka's log"
            ) from still


def topics(settings: Settings) -> list[str]:
    """Names of all topics. Raises `UserError` if no broker answers."""
    with _admin(settings) as admin:
        return sorted(admin.list_topics())


def topic_partitions(settings: Settings, topic: str) -> int:
    """Number of partitions of a topic. Raises `UserError` if it or the broker is not there."""
    with _admin(settings) as admin:
        return _partitions(admin, settings, topic)


def topic_id(settings: Settings, topic: str) -> str:
    """Kafka's own id of a topic, as its tools print it: one that is deleted and made again has another.

    Raises `UserError` if it or the broker is not there.
    """
    with _admin(settings) as admin:
        number = UUID(_described(admin, settings, topic)["topic_id"])
    return base64.urlsafe_b64encode(number.bytes).decode().rstrip("=")


def open_door(settings: Settings, topic: str) -> str | None:
    """What is wrong with the topic's own check of clocks, in words; None if nothing is.

    A single ingest time far ahead moves the watermark there, and all that follows comes late. Raises `UserError` if the
    topic or broker is not there.
    """
    kind, most = "message.timestamp.type", "message.timestamp.after.max.ms"
    with _admin(settings) as admin:
        _partitions(admin, settings, topic)
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, [kind, most])
        (found,) = (of for by in admin.describe_configs([asked], config_filter="all").values() for of in by.values())
    told = {name: str(config["value"]) for name, config in found.items()}
    limit = told.get(most, "not known to the broker")
    if told[kind] == "LogAppendTime" or (limit.isdigit() and int(limit) <= CLOCK_AHEAD_MS):
        return None
    return (
        f"topic {topic} takes records whose ingest time is further ahead of the broker's clock than an hour ({most} = "
        f"{limit}): one wrong clock would make all that follows late"
    )


def refuse_open_door(settings: Settings, topic: str) -> None:
    """Raise `UserError` as `open_door` says, and what to do."""
    wrong = open_door(settings, topic)
    if wrong is not None:
        raise UserError(
            f"{wrong}; let the broker set the time (message.timestamp.type = LogAppendTime) or refuse such records: "
            f"kafka-configs.sh --bootstrap-server {settings.kafka.bootstrap} --alter --entity-type topics "
            f"--entity-name {topic} --add-config message.timestamp.after.max.ms={CLOCK_AHEAD_MS}"
        )


def topic_start_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """Partition -> offset of the first record that it still holds. Raises as `topic_end_offsets`."""
    return {partition: offset for partition, (offset, _) in _offsets(settings, topic, OffsetSpec.EARLIEST).items()}


def topic_end_offsets(settings: Settings, topic: str) -> dict[int, int]:
    """Partition -> offset behind the last record that is decided: before it no transaction is open.

    Raises `UserError` if the topic or broker is not there.
    """
    return {partition: offset for partition, (offset, _) in _offsets(settings, topic, OffsetSpec.LATEST).items()}


def believed_until() -> int:
    """The ingest time (epoch ms) from which on a record's clock is taken for wrong now."""
    return int(time.time() * 1000) + CLOCK_AHEAD_MS


def topic_max_ingest(settings: Settings, topic: str) -> dict[int, int | None]:
    """Partition -> greatest ingest time in it (epoch ms) that can be right, None if it holds none.

    Raises as `topic_end_offsets`.
    """
    from udfs.log_tail import newest  # not above: flink_jobs/job.py says why

    # Kafka's own answer (MAX_TIMESTAMP) counts the marks of transactions, which have the time of the broker's clock,
    # and clocks that are wrong.
    partitions = range(topic_partitions(settings, topic))
    try:
        return newest(settings.kafka.bootstrap, topic, partitions, believed_until())
    except KafkaException as silent:
        raise UserError(f"Kafka at {settings.kafka.bootstrap} does not answer: {silent.args[0].str()}") from silent


def refuse_to_go_back(settings: Settings, topic: str, first_ingest: int) -> None:
    """Raise `UserError` if the topic already reaches past `first_ingest` by more than the clock skew.

    Such records would come behind the watermark of a running job: the same log would then mean one thing to the
    stream and another to batch. They belong in a topic of their own.
    """
    reached = max((at for at in topic_max_ingest(settings, topic).values() if at is not None), default=None)
    if reached is not None and reached > first_ingest + settings.time.clock_skew_ms:
        raise UserError(
            f"topic {topic} already reaches {_readable(settings, reached)}, past the first new record at "
            f"{_readable(settings, first_ingest)}; name a new topic with --topic, or delete this one"
        )


def parse_speed(text: str) -> float | None:
    """`real` -> 1.0, `60x` -> 60.0, `max` -> None (as fast as Kafka takes it). Raises `UserError` for anything else."""
    if text == "max":
        return None
    if text == "real":
        return 1.0
    times = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)x", text)
    if times is None or float(times[1]) == 0:
        raise UserError(f"speed {text!r} is not known; say real, max, or a multiple such as 60x")
    return float(times[1])


class Producer:
    """Appends records in the order given, at the pace of their ingest times. Use as a context manager.

    Idempotent, so the order within a partition holds and a retry doubles nothing while the broker lives. One that is
    killed may have a batch twice afterwards (5 of 88,000 records over 15 kills); the contract counts copies once.
    Every delivery report is looked at: a record that Kafka refuses raises `UserError` at the next `send` or at the end,
    with Kafka's own reason. Leaving the block waits until all is delivered; leaving it by an exception drops what is
    still queued.
    """

    def __init__(
        self, settings: Settings, topic: str, speed: float | None = None, linger_ms: int | None = None
    ) -> None:
        """`speed`: ingest-time milliseconds per millisecond of the wall clock; None sends without waiting. `linger_ms`:
        how long a record may wait for others to travel with; None: 5 at a speed, as Kafka's own client has it, else 50.
        """
        if linger_ms is None:
            linger_ms = 50 if speed is None else 5
        topic_partitions(settings, topic)  # says in 10 s what librdkafka would retry for minutes
        self.delivered = 0
        self._topic = topic
        self._speed = speed
        self._origin: tuple[int, float] | None = None
        self._refused: KafkaError | None = None
        self._since_poll = 0
        self._kafka = _ConfluentProducer(
            {
                "bootstrap.servers": settings.kafka.bootstrap,
                "enable.idempotence": True,
                "compression.type": "none",  # kafka-python, the independent consumer, has no codec but gzip
                "linger.ms": linger_ms,
                "batch.num.messages": 50_000,
                "queue.buffering.max.messages": 200_000,
                "delivery.timeout.ms": _DELIVERY_MS,
                "log_level": 2,  # what goes wrong is told by the delivery reports
            },
        )

    def send(self, record: Record) -> None:
        """Append one record, waiting first until its ingest time is due."""
        if self._speed is not None:
            self._wait(record.ingest_time)
        while True:
            try:
                self._kafka.produce(
                    self._topic,
                    value=record.value,
                    partition=record.partition,
                    timestamp=record.ingest_time,
                    headers=list(record.headers),
                    on_delivery=self._on_delivery,
                )
                break
            except BufferError:  # the queue is full: serve reports until there is room, at most the delivery timeout
                self._kafka.poll(0.05)
                self._raise_refused()
            except KafkaException as refused:  # refused before it is queued, e.g. larger than a message may be
                self._refused = refused.args[0]
                self._raise_refused()
        self._since_poll += 1
        if self._since_poll >= 1000:
            self._since_poll = 0
            self._kafka.poll(0)
            self._raise_refused()

    def poll(self, seconds: float) -> None:
        """Serve delivery reports for at most so long; raises `UserError` if a record was refused."""
        self._kafka.poll(seconds)
        self._raise_refused()

    def flush(self) -> None:
        """Wait until every record is delivered; raises `UserError` if one was refused or not confirmed in time."""
        left = self._kafka.flush(_DELIVERY_MS / 1000 + 5)
        self._raise_refused()
        if left:
            raise UserError(
                f"Kafka has not confirmed {left} records of topic {self._topic} after {_DELIVERY_MS // 1000} s; "
                "look at the broker (samewater logs kafka) and send them again to a new topic"
            )

    def __enter__(self) -> Producer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._kafka.purge()
            self._kafka.poll(0)

    def _wait(self, ingest_time: int) -> None:
        if self._origin is None:
            self._origin = (ingest_time, time.monotonic())
        first, started = self._origin
        assert self._speed is not None
        due = started + (ingest_time - first) / 1000 / self._speed
        while (left := due - time.monotonic()) > 0:
            self._kafka.poll(min(left, 1.0))  # the wait also serves the delivery reports
            self._raise_refused()

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.delivered += 1
        elif self._refused is None:
            self._refused = error

    def _raise_refused(self) -> None:
        if self._refused is not None:
            why = self._refused.str()
            if self._refused.code() == KafkaError.INVALID_TIMESTAMP:
                why = "its ingest time is more than an hour ahead of the broker's clock"
            raise UserError(
                f"Kafka refused a record for topic {self._topic} ({why}); {self.delivered} records "
                "before it are in the log, so mend the cause and send everything again to a new topic"
            )


def produce(
    settings: Settings,
    topic: str,
    records: Iterable[Record],
    speed: float | None = None,
    progress: Callable[[int], Any] | None = None,
) -> int:
    """Append records and wait for the confirmation of each; returns their number.

    `progress` is called with the number of further records sent, some times a second at most. Raises as `Producer`.
    """
    sent = told = 0
    next_word = time.monotonic()
    with Producer(settings, topic, speed) as producer:
        for record in records:
            producer.send(record)
            sent += 1
            if progress is not None and (sent & 0xFF == 0 or speed is not None) and time.monotonic() >= next_word:
                progress(sent - told)
                told, next_word = sent, time.monotonic() + 0.1
    if progress is not None:
        progress(sent - told)
    return producer.delivered


@contextmanager
def _admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    unreachable = (
        f"no Kafka broker answers at {settings.kafka.bootstrap}; start the stack (samewater up) or correct "
        "[kafka] bootstrap"
    )
    try:
        admin = KafkaAdminClient(
            bootstrap_servers=settings.kafka.bootstrap,
            bootstrap_timeout_ms=int(WAIT_S * 1000),
            request_timeout_ms=int(WAIT_S * 1000),
        )
    except (KafkaConnectionError, KafkaTimeoutError) as down:
        raise UserError(unreachable) from down
    try:
        yield admin
    except (KafkaConnectionError, KafkaTimeoutError) as silent:
        raise UserError(unreachable) from silent
    except AdminError as refused:
        raise UserError(f"Kafka at {settings.kafka.bootstrap} refused: {refused}; see its log") from refused
    finally:
        admin.close()


def _partitions(admin: KafkaAdminClient, settings: Settings, topic: str) -> int:
    return len(_described(admin, settings, topic)["partitions"])


def _described(admin: KafkaAdminClient, settings: Settings, topic: str) -> dict[str, Any]:
    missing = UserError(f"topic {topic} does not exist at {settings.kafka.bootstrap}; create it or name another")
    try:
        found = [t for t in admin.describe_topics([topic]) if t["name"] == topic and not t["error_code"]]
    except UnknownTopicOrPartitionError as unknown:
        raise missing from unknown
    if not found:
        raise missing
    described: dict[str, Any] = found[0]
    return described


def _offsets(settings: Settings, topic: str, which: OffsetSpec) -> dict[int, tuple[int, int]]:
    with _admin(settings) as admin:
        asked = {TopicPartition(topic, p): which for p in range(_partitions(admin, settings, topic))}
        answers = admin.list_partition_offsets(asked, IsolationLevel.READ_COMMITTED, timeout_ms=int(WAIT_S * 1000))
    return {tp.partition: (answer.offset, answer.timestamp) for tp, answer in sorted(answers.items())}


def _readable(settings: Settings, epoch_ms: int) -> str:
    day = settings.time.day_of(epoch_ms)
    second = (epoch_ms - settings.time.day_start(day)) // 1000
    return f"{day} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
