"""What did the order log hold, also where retention has taken it?

Reads the archive (HDFS, Parquet, by pyarrow over WebHDFS; flink_jobs/archive_edge.py says which files) below its edge,
and the log (Kafka) from there on, behind the interface of `LogReader`; and counts what a run of flink_jobs/archive.py
has written. Writes nothing.

The archive is trusted as far as it was counted: of each hour, partition by partition, the least and the greatest offset
and how many records. That is held against the files whenever they are read. That a record's bytes and its time are
those of the log is what the job promises, and nobody can check it any more once the log has lost them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pyarrow as pa
from pyarrow import compute

from flink_jobs import stores
from flink_jobs.archive_edge import Archive, Held, Hour, Part, read_archive
from flink_jobs.errors import UserError
from flink_jobs.log_reader import (
    FOREVER,
    SLACK_MS,
    Begin,
    Beyond,
    Gone,
    LogReader,
    LogRecord,
    Span,
    begin_of,
    is_wrong,
    open_log,
    reached,
)
from flink_jobs.order_log import believed_until, topic_id, topic_max_ingest
from flink_jobs.settings import EARLIEST_INGEST, Settings

SOURCES = ("auto", "log", "archive")
"""`auto`: the log alone while it holds what is wanted, else as `archive`: that up to its edge, then the log."""
Array = np.ndarray[Any, Any]
_PLACE = ["kafka_partition", "kafka_offset", "ingest_time"]


class Found(NamedTuple):
    """Offsets of a range, and the archive that those below its edge are read from; None: all are in the log.

    `begins`: where log and archive begin, if that was asked for and there is anything.
    """

    spans: dict[int, Span]
    archive: Archive | None
    begins: Begin | None = None

    @property
    def source(self) -> str:
        """What is read: `log`, or `archive` (with the log behind its edge)."""
        return "log" if self.archive is None else "archive"

    @property
    def edge(self) -> dict[int, int]:
        """Partition -> offset from which on the log is read; empty if it is read alone."""
        return {} if self.archive is None else self.archive.edge


class History:
    """A topic with its archive, opened by `open_history`. `partitions`, `disorder`, `began`: as those of `LogReader`.

    `source`: what was read last, `log` or `archive`.
    """

    def __init__(self, settings: Settings, log: LogReader, asked: str) -> None:
        """Made by `open_history` only."""
        self.topic = log.topic
        self.partitions = log.partitions
        self.disorder = log.disorder
        self.began = log.began
        self.source = "log"
        self._settings = settings
        self._log = log
        self._asked = asked
        self._archive: Archive | None = None

    def find(
        self,
        from_ms: int,
        to_ms: int,
        floor: Mapping[int, int] | None = None,
        ceiling: Mapping[int, int] | None = None,
    ) -> Found:
        """Offsets that hold every record with ingest time in [from_ms, to_ms), and some more, and where they are.

        `floor`, `ceiling`: partition -> offset before which, and from which on, nothing is wanted. Raises `Gone` if
        wanted records of that range may be neither in the log nor in the archive.
        """
        if self._asked != "archive":
            try:
                return Found(_below(ceiling, self._log.spans(from_ms, to_ms, floor)), None)
            except Gone:
                if self._asked == "log" or not self._read_archive().segments:
                    raise
        archive = self._read_archive()
        held, starts = self._log.reach(), self._log.offsets_at(from_ms)
        ends = self._log.offsets_past(min(to_ms, FOREVER) + SLACK_MS)
        spans = archive.spans(held, starts, ends, (from_ms, to_ms), floor or {}, ceiling)
        return Found(spans, archive if archive.archived(spans) else None)

    def reach(self) -> dict[int, Span]:
        """All that the log itself holds now: partition -> its offsets."""
        return self._log.reach()

    def first_ingest(self, floor: Mapping[int, int]) -> int | None:
        """Ingest time (epoch ms) of the earliest record at or after these offsets; in the archive that of its hour."""
        first = None if self._asked == "archive" else self._log.first_ingest(floor)
        if self._asked == "log":
            return first
        archive, wrong_from = self._read_archive(), believed_until()
        hours = [
            hour.first_ingest
            for partition in self.partitions
            for hour in archive.hours(partition)
            if hour.held[partition].last >= floor.get(partition, 0) and not is_wrong(hour.first_ingest, wrong_from)
        ]
        return min([*hours, *([] if first is None else [first])], default=None)

    def begins(self) -> Begin | None:
        """Where log and archive begin; None if both hold nothing."""
        archive = Archive(self.topic) if self._asked == "log" else self._read_archive()
        if not archive.segments:
            return self._log.begins()
        held, firsts, offsets, wrong_from = self._log.reach(), {}, {}, believed_until()
        for partition in self.partitions:
            times = (hour.first_ingest for hour in archive.hours(partition))
            known = [at for at in times if not is_wrong(at, wrong_from)]
            begin = archive.begin(partition)
            at = min(known) if known else self._log.first_ingest_of(partition)
            if at is not None:
                firsts[partition] = at
                offsets[partition] = held[partition].start if begin is None or not known else begin
        return begin_of(firsts, offsets)

    def read(self, from_ms: int, to_ms: int) -> Iterator[LogRecord]:
        """Every record with ingest time in [from_ms, to_ms), each partition in the order of its offsets.

        Raises `UserError` as `find`, as `LogReader.read`, and if a file does not hold what was counted.
        """
        found = self.find(from_ms, to_ms)
        return (record for record in self._records(found, found.spans) if from_ms <= record.ingest_time < to_ms)

    def read_on(self, from_ms: int, to_ms: int, wrong_from: int = FOREVER) -> Iterator[LogRecord]:
        """As `read`, by the oracle's way to the end of the range: see `LogReader.read_on`."""
        found = self.find(from_ms, FOREVER)
        if found.archive is None:
            self.source = found.source
            return self._log.read_on(from_ms, to_ms, wrong_from)
        self.began |= {partition: span.start for partition, span in found.spans.items()}
        records = Beyond(to_ms).until(self._records(found, found.spans), found.spans)
        return (r for r in records if from_ms <= r.ingest_time < to_ms or is_wrong(r.ingest_time, wrong_from))

    def read_until(self, from_ms: int, ends: Mapping[int, int]) -> Iterator[LogRecord]:
        """Every record with ingest time from `from_ms` on, before these offsets (partition -> offset, exclusive)."""
        found = self.find(from_ms, FOREVER, ceiling=ends)
        return (record for record in self._records(found, found.spans) if from_ms <= record.ingest_time)

    def _records(self, found: Found, spans: dict[int, Span]) -> Iterator[LogRecord]:
        self.source = found.source
        wrong_from = believed_until()
        if found.archive is not None:
            with stores.hdfs(self._settings) as files:
                newest: dict[int, int] = {}
                for record in read_archived(files, self._settings, found.archive, spans):
                    if not is_wrong(record.ingest_time, wrong_from):
                        last = newest[record.partition] = max(newest.get(record.partition, 0), record.ingest_time)
                        back = last - record.ingest_time
                        self.disorder[record.partition] = max(self.disorder[record.partition], back)
                    yield record
            spans = found.archive.tail(spans)
        yield from self._log.records(spans)

    def _read_archive(self) -> Archive:
        if self._archive is None:
            with stores.hbase(self._settings) as connection:
                stores.ensure_tables(connection)
                self._archive = _of_this_log(self._settings, read_archive(connection, self.topic), self._asked)
        if self._asked == "archive" and not self._archive.segments:
            raise UserError(
                f"topic {self.topic} is not archived; run `samewater archive --topic {self.topic}` or read the log"
            )
        return self._archive


def _of_this_log(settings: Settings, archive: Archive, asked: str) -> Archive:
    """The archive, if it is of the topic as it is now; of another log of its name nothing is read, unless it is `asked`
    for: that raises `UserError`.
    """
    if archive.topic_id and asked == "auto" and archive.topic_id != topic_id(settings, archive.topic):
        return Archive(archive.topic)
    return archive.of_log(topic_id(settings, archive.topic)) if archive.segments else archive


def _below(ceiling: Mapping[int, int] | None, spans: dict[int, Span]) -> dict[int, Span]:
    if ceiling is None:
        return spans
    return {p: Span(s.start, max(s.start, min(s.end, ceiling.get(p, 0)))) for p, s in spans.items()}


@contextmanager
def open_history(settings: Settings, topic: str, source: str = "auto") -> Iterator[History]:
    """Open a topic with its archive; `source`: one of SOURCES. Raises `UserError` as `open_log` does."""
    with open_log(settings, topic) as log:
        yield History(settings, log, source)


def newest_ingest(settings: Settings, topic: str) -> dict[int, int | None]:
    """Partition -> greatest ingest time (epoch ms) that was ever in it, None if that is not known.

    As `topic_max_ingest`; the archive is asked for a partition that retention has emptied.
    """
    newest = topic_max_ingest(settings, topic)
    if None not in newest.values():
        return newest
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        archived = _of_this_log(settings, read_archive(connection, topic), "auto").newest
    return {partition: archived.get(partition) if at is None else at for partition, at in newest.items()}


def closed_until(settings: Settings, topic: str) -> int | None:
    """Epoch ms before which no further record can count, by log and archive; None while a partition was never used.

    A day is closed when this has reached its end; a partition that was never used may still bring anything. Raises
    `UserError` if the topic is not there or no broker answers within 10 s.
    """
    return reached(newest_ingest(settings, topic), settings.time.lateness_ms, settings.time.clock_skew_ms)


# ---------------------------------------------------------------- files


def read_archived(
    files: fsspec.AbstractFileSystem, settings: Settings, archive: Archive, spans: Mapping[int, Span]
) -> Iterator[LogRecord]:
    """The archived records between these offsets, each partition in their order, a segment at a time.

    Raises `UserError` if the files of an hour do not hold the records that were counted.
    """
    wanted = archive.archived(spans)
    for part in archive.parts(spans):
        table = pa.concat_tables([_counted(files, settings, archive.topic, part, hour) for hour in part.hours])
        rows = table.sort_by([("kafka_partition", "ascending"), ("kafka_offset", "ascending")])
        for batch in rows.to_batches():
            columns = (batch.column(name).to_pylist() for name in (*_PLACE, "payload"))
            for record in map(LogRecord._make, zip(*columns, strict=True)):
                span = wanted.get(record.partition)
                if span is not None and span.start <= record.offset < span.end:
                    yield record


def _counted(files: fsspec.AbstractFileSystem, settings: Settings, topic: str, part: Part, hour: Hour) -> pa.Table:
    run_id = part.segment.run_id
    table = _hour_table(files, settings, topic, run_id, hour.ingest_day, hour.ingest_hour, [*_PLACE, "payload"])
    places = table.group_by(_PLACE[:2]).aggregate([])
    if held_of(table) != dict(hour.held) or len(places) != len(table):
        raise UserError(
            f"the archive of topic {topic} does not hold what was counted: of {hour.ingest_day} {hour.ingest_hour} h "
            f"run {run_id} archived {hour.records:,} records, and {len(table):,} are there; bring its files back "
            f"({stores.segment_folder(settings, topic, run_id)})"
        )
    return table


def _hour_table(
    files: fsspec.AbstractFileSystem,
    settings: Settings,
    topic: str,
    run_id: str,
    day: str,
    hour: str,
    columns: list[str],
) -> pa.Table:
    folder = f"{stores.segment_folder(settings, topic, run_id)}/ingest_day={day}/ingest_hour={hour}"
    found = list(stores.parquet_of(files, folder, columns))
    types = {"kafka_partition": pa.int32(), "payload": pa.large_binary()}
    schema = pa.schema([(name, types.get(name, pa.int64())) for name in columns])
    return pa.concat_tables([table.cast(schema) for table in found]) if found else schema.empty_table()


def held_of(table: pa.Table) -> dict[int, Held]:
    """Partition -> what a table with the columns `kafka_partition` and `kafka_offset` holds of it."""
    sums = table.group_by("kafka_partition").aggregate(
        [("kafka_offset", "min"), ("kafka_offset", "max"), ("kafka_offset", "count")]
    )
    columns = ("kafka_partition", "kafka_offset_min", "kafka_offset_max", "kafka_offset_count")
    rows = zip(*(sums[column].to_pylist() for column in columns), strict=True)
    return {partition: Held(*held) for partition, *held in rows}


class Counted(NamedTuple):
    """What a run's files hold. `missing`: partition -> offsets of the span that no file has; `newest`: as Segment's."""

    hours: list[Hour]
    newest: dict[int, int]
    missing: dict[int, list[int]]


def count_files(
    files: fsspec.AbstractFileSystem, settings: Settings, topic: str, run_id: str, spans: Mapping[int, Span]
) -> Counted:
    """Count what a run has written, record by record. Raises `UserError` for one that stands there twice, or that is
    none of the spans.
    """
    seen = {partition: np.zeros(span.end - span.start, dtype=bool) for partition, span in spans.items()}
    hours: list[Hour] = []
    newest: dict[int, int] = {}
    wrong_from = believed_until()
    for folder in sorted(files.glob(f"{stores.segment_folder(settings, topic, run_id)}/ingest_day=*/ingest_hour=*")):
        day, hour = (posixpath.basename(name).partition("=")[2] for name in (posixpath.dirname(folder), folder))
        table = _hour_table(files, settings, topic, run_id, day, hour, _PLACE)
        for partition in held_of(table):
            of_partition = table.filter(compute.equal(table["kafka_partition"], partition))
            offsets = of_partition["kafka_offset"].to_numpy()
            _note(seen, spans, partition, offsets, run_id)
            times = of_partition["ingest_time"].to_numpy()
            right = times[(times >= EARLIEST_INGEST) & (times < wrong_from)]
            if len(right):
                newest[partition] = max(int(right.max()), newest.get(partition, 0))
        if len(table):
            bounds = compute.min_max(table["ingest_time"]).as_py()
            hours.append(
                Hour(
                    ingest_day=day,
                    ingest_hour=hour,
                    first_ingest=bounds["min"],
                    last_ingest=bounds["max"],
                    held=held_of(table),
                )
            )
    missing = {p: [spans[p].start + int(n) for n in np.flatnonzero(~there)] for p, there in seen.items()}
    return Counted(hours, newest, {p: offsets for p, offsets in missing.items() if offsets})


def _note(seen: dict[int, Array], spans: Mapping[int, Span], partition: int, offsets: Array, run_id: str) -> None:
    span = spans.get(partition, Span(0, 0))
    strange = offsets[(offsets < span.start) | (offsets >= span.end)]
    places = offsets[(offsets >= span.start) & (offsets < span.end)] - span.start
    there = seen.get(partition, np.zeros(0, dtype=bool))
    twice = len(np.unique(places)) < len(places) or bool(there[places].any())
    if len(strange) or twice:
        what = f"offset {strange[0]}, which it was not to read" if len(strange) else "a record twice"
        raise UserError(f"run {run_id} has written partition {partition} {what}; run `samewater archive` again")
    there[places] = True
