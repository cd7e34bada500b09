"""How far is the order log archived, and which of its offsets lie in which files?

Reads and writes in HBase, for each topic, the row `order_archive|{topic}` of `published` (`p:edge` = JSON: the next
offset of each partition, and the last segment) and the table `archive_segments`: `{topic}|{run}`; `s:segment` = JSON.

A segment is what one run of flink_jobs/archive.py moved to HDFS; each names the one before it, and only those that hang
together from the edge count. The edge moves by one check-and-put on its whole old value, once the segment's files were
counted: of two archivers one wins and the other is told, and a segment that was killed is in no one's way.

The edge is offsets, not a time: below it a record is read from the archive, from it on from the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from secrets import token_hex
from typing import NamedTuple, TypeVar

import happybase
from pydantic import BaseModel, ConfigDict, ValidationError

from flink_jobs import runs, stores
from flink_jobs.errors import UserError
from flink_jobs.log_reader import SLACK_MS, Gone, Span
from flink_jobs.order_log import believed_until
from flink_jobs.runs import submitter

_EDGE = b"p:edge"
_SEGMENT = b"s:segment"


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


_R = TypeVar("_R", bound=_Row)


class Held(NamedTuple):
    """What the files of an hour hold of a partition: least and greatest offset, and how many records."""

    first: int
    last: int
    records: int


class Hour(_Row):
    """The files of one ingest hour. `first_ingest`, `last_ingest`: epoch ms; `held`: partition -> what they hold."""

    ingest_day: str
    ingest_hour: str
    first_ingest: int
    last_ingest: int
    held: Mapping[int, Held]

    @property
    def records(self) -> int:
        """Of all partitions."""
        return sum(held.records for held in self.held.values())


class Segment(_Row):
    """What one run archived. `previous`: run of the segment before it, or empty. `spans`: partition -> offsets that it
    covers; `newest`: partition -> greatest ingest time in it (epoch ms). `at`: ISO-8601 with zone.
    """

    run_id: str
    previous: str = ""
    spans: Mapping[int, Span]
    newest: Mapping[int, int] = {}
    hours: list[Hour] = []
    at: str = ""
    who: str = ""

    @property
    def records(self) -> int:
        """Fewer than its offsets where the log itself has none: what was compacted away, marks of transactions."""
        return sum(hour.records for hour in self.hours)


class Edge(_Row):
    """The value of `p:edge`. `next`: partition -> first offset not archived; `last`: run of the last segment; `writer`:
    who is about to move it; `topic_id`: Kafka's own id of the topic that is archived, empty of an earlier release.
    """

    next: Mapping[int, int] = {}
    last: str = ""
    writer: str = ""
    topic_id: str = ""


class Part(NamedTuple):
    """Files that a range needs: those of some hours of a segment."""

    segment: Segment
    hours: list[Hour]


@dataclass(frozen=True)
class Archive:
    """All that is archived of a topic; `segments`: the oldest first; `value`: the edge as it was read; `topic_id`: as
    that of `Edge`.
    """

    topic: str
    segments: tuple[Segment, ...] = ()
    value: bytes | None = None
    topic_id: str = ""

    def of_log(self, topic_id: str) -> Archive:
        """The same, if it is of the topic with this id: a segment of another log under its name would go on in the
        middle of it. Raises `UserError`.
        """
        if self.topic_id and self.topic_id != topic_id:
            raise UserError(
                f"topic {self.topic} was deleted and made again since it was archived (its id was {self.topic_id}, and "
                f"is {topic_id} now): the archive is of another log; archive a topic of another name"
            )
        return replace(self, topic_id=topic_id)

    @cached_property
    def edge(self) -> dict[int, int]:
        """Partition -> first offset that is not archived."""
        return {partition: span.end for segment in self.segments for partition, span in segment.spans.items()}

    @cached_property
    def newest(self) -> dict[int, int]:
        """Partition -> greatest ingest time (epoch ms)."""
        found: dict[int, int] = {}
        for segment in self.segments:
            for partition, at in segment.newest.items():
                found[partition] = max(at, found.get(partition, at))
        return found

    def hours(self, partition: int) -> Iterator[Hour]:
        """The hours that hold something of a partition."""
        return (hour for segment in self.segments for hour in segment.hours if partition in hour.held)

    def begin(self, partition: int) -> int | None:
        """The first offset that is archived of a partition; None if none is."""
        return next((s.spans[partition].start for s in self.segments if partition in s.spans), None)

    def gaps(self) -> dict[int, list[Span]]:
        """Partition -> offsets between segments, which retention took before they were archived."""
        return {p: found for p in sorted(self.edge) if (found := _between(self._stretches(p)))}

    def spans(
        self,
        log: Mapping[int, Span],
        starts: Mapping[int, int],
        ends: Mapping[int, int],
        times: tuple[int, int],
        floor: Mapping[int, int],
        ceiling: Mapping[int, int] | None = None,
    ) -> dict[int, Span]:
        """Offsets that hold every record with ingest time in `times` [from, to), and some more; as `LogReader.spans`.

        `log`: what the log holds now; `starts`, `ends`: the log's first offsets not before `times[0]`, and not before
        `times[1]` and the slack; `ceiling`: partition -> offset from which on nothing is wanted, if that is known. By
        whole hours, as far as the archive goes. Raises `Gone` if records that the range needs may be neither in the
        archive nor in the log.
        """
        found: dict[int, Span] = {}
        for partition, held in log.items():
            edge, wanted = self.edge.get(partition, 0), floor.get(partition, 0)
            firsts = [
                hour.held[partition].first
                for hour in self.hours(partition)
                if times[0] <= hour.last_ingest < max(times[1], believed_until())
            ]
            start = max(wanted, min(firsts, default=max(edge, starts.get(partition, held.end))))
            end = ends.get(partition, held.end)
            if end <= max(edge, held.start):  # the log itself is past the range from its begin on
                end = self._end(partition, times[1] + SLACK_MS, end)
            if ceiling is not None:
                end = min(end, ceiling.get(partition, 0))
            tail = Span(max(edge, held.start), held.end)
            for gap in _between([Span(0, 0), *self._stretches(partition), tail]):
                # A range that begins right behind a gap may have begun in it.
                if wanted < gap.end and start <= gap.end and gap.start < end:
                    raise Gone(
                        f"topic {self.topic} partition {partition}: offsets {gap.start} to {gap.end - 1}, of which the "
                        "range may need some, are neither in the log nor in the archive; choose other days"
                    )
            found[partition] = Span(start, max(start, end))
        return found

    def _end(self, partition: int, instant: int, log_end: int) -> int:
        """Where the first hour begins that is not before the instant, and behind all that are: a record whose clock was
        ahead may stand in such an hour long before. Without such an hour the range goes on to where the log is past it.
        """
        hours = [(hour.held[partition], hour.first_ingest >= instant) for hour in self.hours(partition)]
        behind = max((held.last + 1 for held, is_past in hours if not is_past), default=0)
        firsts = [held.first for held, is_past in hours if is_past and held.first >= behind]
        return min(firsts, default=max(behind, self.edge.get(partition, 0), log_end))

    def archived(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        """What of these offsets lies below the edge; partitions with nothing there are left out."""
        below = {p: Span(span.start, min(span.end, self.edge.get(p, 0))) for p, span in spans.items()}
        return {p: span for p, span in below.items() if span.start < span.end}

    def tail(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        """What of these offsets lies at the edge or behind it; of every partition, also where that is nothing."""
        begins = {p: max(span.start, self.edge.get(p, 0)) for p, span in spans.items()}
        return {p: Span(begins[p], max(begins[p], span.end)) for p, span in spans.items()}

    def parts(self, spans: Mapping[int, Span]) -> Iterator[Part]:
        """The files that hold these offsets, in the order of the segments."""
        archived = self.archived(spans)
        for segment in self.segments:
            needed = [hour for hour in segment.hours if _touches(hour, archived)]
            if needed:
                yield Part(segment, needed)

    def _stretches(self, partition: int) -> list[Span]:
        return [segment.spans[partition] for segment in self.segments if partition in segment.spans]


def pattern(folder: str, parts: Iterable[Part]) -> str:
    """Regular expression, as Flink takes it for whole paths, of these parts' files below the folder of the topic."""
    found = []
    for segment, hours in parts:
        by_day: dict[str, list[str]] = {}
        for hour in hours:
            by_day.setdefault(hour.ingest_day, []).append(hour.ingest_hour)
        # A wrong clock may say the year +57828.
        days = "|".join(
            f"{day.replace('+', '[+]')}/ingest_hour=(?:{'|'.join(named)})" for day, named in sorted(by_day.items())
        )
        found.append(f"run={segment.run_id}/ingest_day=(?:{days})")
    return f".*{folder.replace('.', '[.]')}/(?:{'|'.join(found)})/[^/._][^/]*"


def condition(spans: Mapping[int, Span]) -> str:
    """SQL condition of the records between these offsets."""
    return " OR ".join(
        f"(kafka_partition = {partition} AND kafka_offset >= {span.start} AND kafka_offset < {span.end})"
        for partition, span in sorted(spans.items())
    )


def _between(stretches: list[Span]) -> list[Span]:
    return [Span(one.end, other.start) for one, other in pairwise(stretches) if one.end < other.start]


def _touches(hour: Hour, spans: Mapping[int, Span]) -> bool:
    return any(
        partition in spans and held.first < spans[partition].end and held.last >= spans[partition].start
        for partition, held in hour.held.items()
    )


def next_spans(archive: Archive, log: Mapping[int, Span], accept_gap: bool) -> dict[int, Span]:
    """Partition -> offsets of the next segment: from the edge to the log's end; `log`: what it holds now.

    Raises `UserError` if retention has removed records beyond the edge (unless `accept_gap`), or if the log ends before
    the edge: it is another one of the same name.
    """
    found: dict[int, Span] = {}
    for partition in sorted(log.keys() | archive.edge.keys()):
        edge = archive.edge.get(partition)
        held = log.get(partition)
        if held is None or (edge is not None and held.end < edge):
            ends = "is not there any more" if held is None else f"ends at offset {held.end}"
            raise UserError(
                f"topic {archive.topic} partition {partition} {ends}, but is archived up to offset {edge}: the topic "
                "was made anew; archive a topic of another name"
            )
        if edge is not None and held.start > edge and not accept_gap:
            raise UserError(
                f"topic {archive.topic} partition {partition}: retention removed offsets {edge} to {held.start - 1} "
                "before they were archived; --accept-gap goes on behind them, and days that need them are refused"
            )
        found[partition] = Span(held.start if edge is None else max(edge, held.start), held.end)
    return found


def is_news(archive: Archive, spans: Mapping[int, Span]) -> bool:
    """Whether a segment of these offsets would say anything: records, or a gap."""
    return any(span.start < span.end or span.start > archive.edge.get(p, span.start) for p, span in spans.items())


# ---------------------------------------------------------------- HBase


def thing(topic: str) -> str:
    """Row of the edge in `published`, and name of the lease."""
    return f"{stores.ARCHIVE}|{topic}"


def read_archive(connection: happybase.Connection, topic: str) -> Archive:
    """What is archived of a topic now; without segments if nothing is. Raises `UserError` if a cell is broken."""
    value = connection.table("published").row(thing(topic).encode(), columns=[_EDGE]).get(_EDGE)
    if value is None:
        return Archive(topic)
    prefix = _segment_key(topic, "")
    rows = connection.table("archive_segments").scan(row_prefix=prefix, columns=[b"s"])
    cells = {key[len(prefix) :].decode(): row[_SEGMENT] for key, row in rows}
    edge = _parsed(Edge, topic, value)
    chain: list[Segment] = []
    name = edge.last
    while name:
        chain.append(_parsed_segment(topic, name, cells.get(name)))
        name = chain[-1].previous
    archive = Archive(topic, tuple(reversed(chain)), value, edge.topic_id)
    if archive.edge != dict(edge.next):
        raise UserError(f"the archive of topic {topic} is broken: its edge {edge.next} is not where its segments end")
    return archive


def newest_segment(connection: happybase.Connection, topic: str) -> tuple[Mapping[int, int], Segment] | None:
    """Partition -> edge, and the newest segment, without reading the others; None if nothing is archived.

    Raises `UserError` if a cell is missing or broken.
    """
    value = connection.table("published").row(thing(topic).encode(), columns=[_EDGE]).get(_EDGE)
    edge = Edge() if value is None else _parsed(Edge, topic, value)
    if not edge.last:
        return None
    cells = connection.table("archive_segments").row(_segment_key(topic, edge.last), columns=[_SEGMENT])
    return edge.next, _parsed_segment(topic, edge.last, cells.get(_SEGMENT))


def _parsed_segment(topic: str, run_id: str, value: bytes | None) -> Segment:
    if value is None:
        raise UserError(f"the archive of topic {topic} is broken: HBase has no segment {run_id} any more")
    return _parsed(Segment, topic, value)


def _parsed(row: type[_R], topic: str, value: bytes) -> _R:
    try:
        return row.model_validate_json(value)
    except ValidationError as bad:
        raise UserError(f"the archive of topic {topic} cannot be read: {bad.errors()[0]['msg']}") from bad


def claim(connection: happybase.Connection, archive: Archive) -> Archive:
    """Take the edge before the first file is written or removed, and return it as it stands then.

    Whoever read it before cannot move it any more: the lease of a process that slept may have run out unnoticed, and
    its files may be removed as left over. Raises `UserError` if somebody else has moved it since it was read.
    """
    last = archive.segments[-1].run_id if archive.segments else ""
    writer = f"{submitter()}/{token_hex(6)}"
    return _flip(connection, archive, Edge(next=archive.edge, last=last, writer=writer, topic_id=archive.topic_id))


def move_edge(connection: happybase.Connection, archive: Archive, segment: Segment) -> Archive:
    """Put a segment behind the others; from then on readers see it. Returns the archive with it.

    Raises `UserError`, and leaves the edge, if somebody else has moved it since it was read.
    """
    last = archive.segments[-1].run_id if archive.segments else ""
    segment = segment.model_copy(update={"previous": last})
    after = replace(archive, segments=(*archive.segments, segment))
    # First the segment, which nobody sees until the edge names it.
    key = _segment_key(archive.topic, segment.run_id)
    connection.table("archive_segments").put(key, {_SEGMENT: _json(segment)})
    return _flip(connection, after, Edge(next=after.edge, last=segment.run_id, topic_id=archive.topic_id))


def _flip(connection: happybase.Connection, archive: Archive, edge: Edge) -> Archive:
    row, value = thing(archive.topic).encode(), _json(edge)
    if not runs.check_and_put_cell(connection, "published", row, _EDGE, archive.value, value):
        raise UserError(
            f"somebody else archives topic {archive.topic} at the same moment, so the edge stays where they put it; "
            f"look at it with `samewater archive --topic {archive.topic} --status`"
        )
    return replace(archive, value=value)


def _segment_key(topic: str, run_id: str) -> bytes:
    return f"{topic}|{run_id}".encode()


def _json(row: BaseModel) -> bytes:
    return json.dumps(row.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()
