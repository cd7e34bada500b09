"""What does the order log hold between two ingest times?

Reads a Kafka topic with a consumer of its own (librdkafka; the jobs use Kafka's Java client), without a consumer group;
writes nothing. A record's timestamp is its ingest time, epoch ms. Reads 190 k records/s on 2 cores, where
kafka-python reads 12 k/s.

Kafka finds offsets by time, but that is no filter: the look-up gives the first record that is not before the asked
time, and records behind it may lie before. At the start that is exact. At the end the reader goes on for `SLACK_MS`
more and filters; and as a single record whose clock is hours ahead would be that first one, what counts there is what
most of the next `PROBED` records say. The oracle's range is found in another way (`LogReader.read_on`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from flink_jobs.errors import UserError
from flink_jobs.order_log import HEARTBEAT, believed_until, topics
from flink_jobs.settings import EARLIEST_INGEST, HOUR_MS, Settings

WAIT_S = 10.0  # a broker that has not answered by then is reported as down
STALL_S = 30  # the longest wait for further records of a range that is known to be there
SLACK_MS = 3_600_000
"""How far out of place a record may stand and still be found; 120 times the clock skew that streaming allows for."""
PROBED = 101
"""So many records say where in time a place of the log is, most of them: fifty wrong clocks side by side do not."""
HOURS_BEYOND = 24
"""The oracle reads a partition until it has shown a heartbeat in each of so many hours behind the range."""
FOREVER = 2**62  # epoch ms, after any ingest time
_BATCH = 10_000
SUPPLY_HEADER = "supply"
"""Name of the record header that says with which file a record of the supply was sent."""

_quiet = logging.getLogger("samewater.librdkafka")
_quiet.addHandler(logging.NullHandler())  # its own lines on stderr say in ten ways what one UserError says
_quiet.propagate = False


class LogRecord(NamedTuple):
    """One record. `ingest_time`: epoch ms; `value`: None for a tombstone."""

    partition: int
    offset: int
    ingest_time: int
    value: bytes | None


class Gone(UserError):
    """Records that a range needs are not there any more."""


class Sent(NamedTuple):
    """One record of the supply, and the name of the file that it was sent with (empty: none)."""

    record: LogRecord
    supply: str


class Span(NamedTuple):
    """Offsets of one partition, `start` inclusive, `end` exclusive."""

    start: int
    end: int


class Begin(NamedTuple):
    """Ingest times (epoch ms). `first`: of the first record that there is; `whole`: from which on nothing is missing,
    for retention has cut each partition at another place.
    """

    first: int
    whole: int


def begin_of(firsts: Mapping[int, int], offsets: Mapping[int, int]) -> Begin | None:
    """By the ingest time and the offset of each partition's first record."""
    if not firsts:
        return None
    first = min(firsts.values())
    return Begin(first, max((at for p, at in firsts.items() if offsets[p] > 0), default=first))


def reached(last_ingest: Mapping[int, int | None], lateness_ms: int, clock_skew_ms: int) -> int | None:
    """The least of the partitions' last ingest times, less lateness and skew; None if a partition holds nothing."""
    known = [at for at in last_ingest.values() if at is not None]
    if not known or len(known) < len(last_ingest):
        return None
    return min(known) - lateness_ms - clock_skew_ms


def is_wrong(ingest_time: int, wrong_from: int) -> bool:
    """Whether an ingest time (epoch ms) cannot be right: verdict `clock`. `wrong_from`: as `believed_until` or as noted
    with a run.
    """
    return not EARLIEST_INGEST <= ingest_time < wrong_from


class Beyond:
    """Which partitions have shown a day of heartbeats behind a range: no wrong clock of a few records does that."""

    def __init__(self, to_ms: int) -> None:
        """`to_ms`: the end of the range, epoch ms."""
        self._to = to_ms
        self._hours: dict[int, int] = {}  # partition -> a bit for each hour that it has shown

    def reached(self, record: LogRecord) -> bool:
        """Whether the record's partition has shown the day by now, this record included."""
        hours = self._hours.get(record.partition, 0)
        if record.value == HEARTBEAT:
            hour = (record.ingest_time - self._to) // HOUR_MS
            if 0 <= hour < HOURS_BEYOND:
                hours |= 1 << hour
                self._hours[record.partition] = hours
        return hours == (1 << HOURS_BEYOND) - 1

    def until(self, records: Iterable[LogRecord], partitions: Iterable[int]) -> Iterator[LogRecord]:
        """The records, until each of these partitions has shown the day."""
        waiting = set(partitions)
        for record in records:
            yield record
            if self.reached(record):
                waiting.discard(record.partition)
                if not waiting:
                    return


class LogReader:
    """A topic, opened by `open_log`.

    `disorder`: partition -> how far, in ms, ingest time ran back within what was read. Streaming is only promised to be
    exact while that stays within the clock skew. `began`: partition -> where `read_on` began.
    """

    def __init__(self, consumer: Consumer, bootstrap: str, topic: str, partitions: list[int]) -> None:
        """Made by `open_log` only."""
        self.topic = topic
        self.partitions = partitions
        self.disorder: dict[int, int] = dict.fromkeys(partitions, 0)
        self.began: dict[int, int] = {}
        self._wrong_from = believed_until()
        self._consumer = consumer
        self._bootstrap = bootstrap

    def reach(self) -> dict[int, Span]:
        """All that the topic holds now: partition -> its offsets."""
        return {partition: self._held(partition) for partition in self.partitions}

    def spans(self, from_ms: int, to_ms: int, floor: Mapping[int, int] | None = None) -> dict[int, Span]:
        """Offsets that hold every record with ingest time in [from_ms, to_ms), and some more.

        `floor`: partition -> offset before which nothing is wanted. Raises `Gone` if wanted records of that range may
        have been deleted by retention.
        """
        floor = floor or {}
        starts = self.offsets_at(from_ms)
        ends = self.offsets_past(to_ms + SLACK_MS)
        found: dict[int, Span] = {}
        for partition in self.partitions:
            first, last = self._held(partition)
            start = max(self._start(partition, from_ms, starts.get(partition, last), last), floor.get(partition, 0))
            end = ends.get(partition, last)
            # A log that begins at offset 0 misses nothing; another one does, unless it still holds an earlier record.
            if floor.get(partition, 0) < first and self._begins_within(partition, first, start, from_ms):
                raise Gone(
                    f"topic {self.topic} partition {partition} begins at offset {first}: records that the range needs "
                    "were deleted by retention; choose later days or read an archive"
                )
            found[partition] = Span(start, max(start, end))
        return found

    def _start(self, partition: int, from_ms: int, found: int, end: int) -> int:
        """A range's first offset, by the one that Kafka found. A clock that is wrong for ever is no beginning: each
        later range would begin there.
        """
        if found >= end:
            return found
        (at,) = [m.timestamp()[1] for m in islice(self._messages_of({partition: Span(found, found + 1)}), 1)] or [0]
        return self._past(partition, from_ms - SLACK_MS, found, end) if at >= self._wrong_from else found

    def _begins_within(self, partition: int, first: int, start: int, from_ms: int) -> bool:
        """Whether a partition that retention has cut may have lost records of a range that begins at `from_ms`."""
        if start == first:
            return True
        begins = self.first_ingest_of(partition)
        return begins is not None and begins >= from_ms

    def begins(self) -> Begin | None:
        """Where the log begins; None if it holds nothing."""
        firsts = {p: at for p in self.partitions if (at := self.first_ingest_of(p)) is not None}
        return begin_of(firsts, {p: self._held(p).start for p in firsts})

    def first_ingest(self, floor: Mapping[int, int]) -> int | None:
        """Ingest time (epoch ms) of the earliest of the partitions' first records at or after these offsets."""
        found = (self.first_ingest_of(partition, floor.get(partition, 0)) for partition in self.partitions)
        return min((at for at in found if at is not None), default=None)

    def first_ingest_of(self, partition: int, floor: int = 0) -> int | None:
        """Ingest time (epoch ms) of a partition's first record at or after an offset that has one which can be right;
        None if there is none among the first `PROBED`.
        """
        held = self._held(partition)
        start = max(held.start, floor)
        if start >= held.end:
            return None
        first = (m.timestamp()[1] for m in self._messages_of({partition: Span(start, min(start + PROBED, held.end))}))
        return next((at for at in first if not is_wrong(at, self._wrong_from)), None)

    def read(self, from_ms: int, to_ms: int) -> Iterator[LogRecord]:
        """Every record with ingest time in [from_ms, to_ms), partitions interleaved, each in the order of its offsets.

        Raises `UserError` if a broker stops answering for `STALL_S`, or if retention has taken a part of the range.
        """
        spans = {partition: span for partition, span in self.spans(from_ms, to_ms).items() if span.start < span.end}
        for record in self._records_of(spans):
            if from_ms <= record.ingest_time < to_ms:
                yield record

    def read_on(self, from_ms: int, to_ms: int, wrong_from: int = FOREVER) -> Iterator[LogRecord]:
        """As `read`, without a look-up of the end: each partition is read on until it has shown a day of heartbeats
        behind the range, or to the log's end. The oracle's way, so that jobs and oracle are not wrong by one mistake.

        Also what it meets with an ingest time (epoch ms) that cannot be right, before `EARLIEST_INGEST` or from
        `wrong_from` on.
        """
        for partition, span in self.spans(from_ms, FOREVER).items():
            self.began[partition] = span.start
            beyond = Beyond(to_ms)
            if span.start < span.end:
                for record in beyond.until(self._records_of({partition: span}), [partition]):
                    if from_ms <= record.ingest_time < to_ms or is_wrong(record.ingest_time, wrong_from):
                        yield record

    def read_until(self, from_ms: int, ends: Mapping[int, int]) -> Iterator[LogRecord]:
        """Every record with ingest time from `from_ms` on, before these offsets (partition -> offset, exclusive)."""
        spans = self.spans(from_ms, FOREVER)
        upto = {p: Span(span.start, min(span.end, ends.get(p, 0))) for p, span in spans.items()}
        for record in self._records_of({p: span for p, span in upto.items() if span.start < span.end}):
            if from_ms <= record.ingest_time:
                yield record

    def read_sent(self, spans: Mapping[int, Span]) -> Iterator[Sent]:
        """Every record between these offsets, with the name of its supply."""
        for message in self._messages_of({p: span for p, span in spans.items() if span.start < span.end}):
            name = dict(message.headers() or ()).get(SUPPLY_HEADER) or b""
            yield Sent(_record(message), name if isinstance(name, str) else name.decode("utf-8", "replace"))

    def records(self, spans: Mapping[int, Span]) -> Iterator[LogRecord]:
        """Every record between these offsets."""
        return self._records_of({p: span for p, span in spans.items() if span.start < span.end})

    def _records_of(self, spans: dict[int, Span]) -> Iterator[LogRecord]:
        newest = dict.fromkeys(spans, 0)
        for record in map(_record, self._messages_of(spans)):
            # A clock that is wrong moves no watermark, and nothing is behind it.
            if not is_wrong(record.ingest_time, self._wrong_from):
                last = newest[record.partition] = max(newest[record.partition], record.ingest_time)
                back = last - record.ingest_time
                self.disorder[record.partition] = max(self.disorder[record.partition], back)
            yield record

    def _messages_of(self, spans: dict[int, Span]) -> Iterator[Message]:
        self._consumer.incremental_assign([TopicPartition(self.topic, p, span.start) for p, span in spans.items()])
        try:
            yield from self._messages(spans)
        finally:
            self._consumer.unassign()

    def _messages(self, spans: dict[int, Span]) -> Iterator[Message]:
        at = {partition: span.start for partition, span in spans.items()}
        silent_s = 0  # counted in waits, not by the clock: whoever takes the records may be slow
        while spans:
            # No more than there are: it waits for that many, for a second.
            messages = self._consumer.consume(min(_BATCH, sum(spans[p].end - at[p] for p in spans)), timeout=1)
            silent_s = 0 if messages else silent_s + 1
            if silent_s > STALL_S:
                raise UserError(
                    f"Kafka at {self._bootstrap} sends no further records of topic {self.topic} since {STALL_S} s; "
                    "see its log and try again"
                )
            for message in messages:
                error = message.error()
                partition, offset = cast(int, message.partition()), cast(int, message.offset())
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                span = spans.get(partition)
                if span is None:
                    continue
                at[partition] = min(offset + 1, span.end)
                # Offsets may have gaps (marks of transactions), so the last one need not be a record.
                if error is not None or offset >= span.end - 1:
                    del spans[partition]
                    self._consumer.incremental_unassign([TopicPartition(self.topic, partition)])
                if error is not None or offset >= span.end:
                    continue
                yield message

    def _held(self, partition: int) -> Span:
        held = self._consumer.get_watermark_offsets(TopicPartition(self.topic, partition), timeout=WAIT_S)
        if held is None:
            raise UserError(f"Kafka at {self._bootstrap} does not say how far topic {self.topic} reaches; see its log")
        return Span(*held)

    def offsets_at(self, instant: int) -> dict[int, int]:
        """Partition -> its first offset not before the instant; a partition that has none is left out."""
        asked = [TopicPartition(self.topic, partition, instant) for partition in self.partitions]
        found = self._consumer.offsets_for_times(asked, timeout=WAIT_S)
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def offsets_past(self, instant: int) -> dict[int, int]:
        """Partition -> an offset from which on the records are not before the instant, but for what runs back; a
        partition that does not come there is left out.

        `offsets_at` finds the first single record; where most of those that follow it lie before the instant, it had
        a wrong clock, and the place is searched for between it and the log's end.
        """
        return {
            partition: self._past(partition, instant, first, self._held(partition).end)
            for partition, first in self.offsets_at(instant).items()
        }

    def _past(self, partition: int, instant: int, first: int, end: int) -> int:
        found = self._past_at(partition, instant, first, end)
        if found is not None:
            return found
        before, behind, found = first, end, end
        while behind - before > 1:
            middle = (before + behind) // 2
            past = self._past_at(partition, instant, middle, end)
            if past is None:
                before = middle
            else:
                behind, found = middle, past
        return found

    def _past_at(self, partition: int, instant: int, offset: int, end: int) -> int | None:
        """The first offset behind which none of the next records lies before the instant; None if more than half do."""
        found: list[LogRecord] = []
        at, size = offset, PROBED
        while at < end and len(found) < PROBED:
            # Not to the end: it would wait for as many records as there are.
            span = Span(at, min(at + size, end))
            found += map(_record, islice(self._messages_of({partition: span}), PROBED - len(found)))
            at, size = span.end, size * 4  # there may be holes: what compaction and transactions have left
        before = [record.offset for record in found if record.ingest_time < instant]
        if not found:
            return end
        return None if 2 * len(before) > len(found) else max(before, default=offset - 1) + 1


def _record(message: Message) -> LogRecord:
    return LogRecord(
        cast(int, message.partition()), cast(int, message.offset()), message.timestamp()[1], message.value()
    )


@contextmanager
def open_log(settings: Settings, topic: str) -> Iterator[LogReader]:
    """Open a topic for reading.

    Raises `UserError`, also from inside the block, if no broker answers within 10 s or the topic is not there.
    """
    bootstrap = settings.kafka.bootstrap
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "samewater-reader",  # asked for by the library; nothing is joined or committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",  # as the jobs' source
            "auto.offset.reset": "error",
            "fetch.queue.backoff.ms": 5,  # the default of 1 s makes a fast reader wait
            "fetch.wait.max.ms": 10,  # else what is asked next waits half a second for an answer that nobody wants
        },
        logger=_quiet,
    )
    try:
        known = consumer.list_topics(timeout=WAIT_S).topics
        if topic not in known:
            raise UserError(f"topic {topic} does not exist at {bootstrap}; name another with --topic")
        yield LogReader(consumer, bootstrap, topic, sorted(known[topic].partitions))
    except KafkaException as failed:
        error = failed.args[0]
        if error.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN):
            raise UserError(
                f"no Kafka broker answers at {bootstrap}; start the stack (samewater up) or correct [kafka] bootstrap"
            ) from failed
        raise UserError(f"Kafka at {bootstrap} refused to read topic {topic}: {error.str()}; see its log") from failed
    finally:
        consumer.close()


def read_supply(settings: Settings, spans: Mapping[int, Span] | None = None) -> Iterator[Sent]:
    """The records of the supply, all or between these offsets; none if there is no such topic yet."""
    if settings.kafka.supply_topic in topics(settings):
        with open_log(settings, settings.kafka.supply_topic) as log:
            yield from log.read_sent(log.reach() if spans is None else spans)
