"""Is every record of the log in exactly one segment, and does a range across the edge read each of them once?"""

from __future__ import annotations

import datetime as dt
import io
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from fake_hbase import FakeHBase, put_in_place
from pyarrow import parquet
from test_log_reader import NOON, Broker, reader

from flink_jobs import archive as archive_job
from flink_jobs import archive_edge, archive_reader, flink_rest, job, order_log, runs, session, stores
from flink_jobs.archive_commands import as_dict
from flink_jobs.archive_edge import Archive, Held, Hour, Segment, move_edge, next_spans, read_archive
from flink_jobs.archive_reader import Counted, History, count_files
from flink_jobs.errors import UserError
from flink_jobs.log_reader import Begin, Gone, Span
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.sql_files import SqlFiles, rule_values

HOUR = 3_600_000
TOPIC = "orders"


def times(offset: int) -> int:
    """Ten records an hour in each partition, from NOON on."""
    return NOON + offset * HOUR // 10


@pytest.fixture
def settings() -> Settings:
    loaded = Settings.load(DEFAULT_FILE)
    # The file system in memory is one for the whole process: a folder of its own for each test.
    return loaded.model_copy(update={"hdfs": loaded.hdfs.model_copy(update={"root": f"/{uuid.uuid4()}"})})


@pytest.fixture
def hbase(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(stores, "ensure_tables", lambda _: None)
    return put_in_place(monkeypatch)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Any:
    memory = fsspec.filesystem("memory")

    @contextmanager
    def opened(_: object) -> Iterator[Any]:
        yield memory

    monkeypatch.setattr(stores, "hdfs", opened)
    return memory


@pytest.fixture(autouse=True)
def the_topic_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_reader, "topic_id", lambda *_: "an-id")


def write(files: Any, settings: Settings, run_id: str, spans: dict[int, Span], name: str = "part-0") -> None:
    """What the job writes: a file for each ingest hour."""
    by_hour: dict[int, list[tuple[int, int]]] = {}
    for partition, span in spans.items():
        for offset in range(*span):
            by_hour.setdefault((times(offset) - NOON) // HOUR, []).append((partition, offset))
    for hour, places in by_hour.items():
        table = pa.table(
            {
                "payload": pa.array([b"%d/%d" % place for place in places], pa.binary()),
                "kafka_partition": pa.array([partition for partition, _ in places], pa.int32()),
                "kafka_offset": [offset for _, offset in places],
                "ingest_time": [times(offset) for _, offset in places],
            }
        )
        content = io.BytesIO()
        parquet.write_table(table, content)
        folder = f"{stores.segment_folder(settings, TOPIC, run_id)}/ingest_day=2025-11-11/ingest_hour={12 + hour}"
        files.pipe_file(f"{folder}/{name}", content.getvalue())


def a_segment(run_id: str, spans: dict[int, Span]) -> Segment:
    """What counting those files gives."""
    hours = sorted({(times(offset) - NOON) // HOUR for span in spans.values() for offset in range(*span)})
    return Segment(
        run_id=run_id,
        spans=spans,
        newest={p: times(span.end - 1) for p, span in spans.items() if span.start < span.end},
        hours=[
            Hour(
                ingest_day="2025-11-11",
                ingest_hour=str(12 + hour),
                first_ingest=min(times(o) for held in held_in(spans, hour).values() for o in (held.first, held.last)),
                last_ingest=max(times(o) for held in held_in(spans, hour).values() for o in (held.first, held.last)),
                held=held_in(spans, hour),
            )
            for hour in hours
        ],
    )


def held_in(spans: dict[int, Span], hour: int) -> dict[int, Held]:
    found = {p: [o for o in range(*span) if (times(o) - NOON) // HOUR == hour] for p, span in spans.items()}
    return {p: Held(o[0], o[-1], len(o)) for p, o in found.items() if o}


def archive_of(*spans: dict[int, Span]) -> Archive:
    return Archive(TOPIC, tuple(a_segment(f"run-{number}", one) for number, one in enumerate(spans)))


def wanted(archive: Archive, log: dict[int, Span], first: int, last: int, floor: dict[int, int] | None = None):
    """The offsets of [times(first), times(last)) that are asked for, the log holding `log`."""

    def at(instant: int) -> dict[int, int]:
        found = {p: [o for o in range(*span) if times(o) >= instant] for p, span in log.items()}
        return {p: offsets[0] for p, offsets in found.items() if offsets}

    between = (times(first), times(last))
    return archive.spans(log, at(between[0]), at(between[1] + HOUR), between, floor or {})


# ---------------------------------------------------------------- the edge


def test_a_segment_reaches_from_the_edge_to_the_logs_end_and_the_first_one_from_the_logs_begin():
    log = {0: Span(3, 9), 1: Span(0, 4)}
    assert next_spans(Archive(TOPIC), log, False) == log
    assert next_spans(archive_of({0: Span(3, 5), 1: Span(0, 4)}), log, False) == {0: Span(5, 9), 1: Span(4, 4)}


def test_a_new_partition_is_archived_from_its_begin():
    assert next_spans(archive_of({0: Span(0, 5)}), {0: Span(0, 5), 1: Span(0, 2)}, False) == {
        0: Span(5, 5),
        1: Span(0, 2),
    }


def test_what_retention_took_before_it_was_archived_is_refused_by_name_and_accepted_only_by_word():
    archive, log = archive_of({0: Span(0, 5)}), {0: Span(8, 12)}
    with pytest.raises(UserError, match=r"partition 0: retention removed offsets 5 to 7 .*--accept-gap"):
        next_spans(archive, log, False)
    assert next_spans(archive, log, True) == {0: Span(8, 12)}
    assert next_spans(archive, {0: Span(5, 12)}, False) == {0: Span(5, 12)}


@pytest.mark.parametrize("log", [{0: Span(0, 4)}, {1: Span(0, 9)}])
def test_another_topic_of_the_same_name_is_refused(log: dict[int, Span]):
    with pytest.raises(UserError, match="made anew"):
        next_spans(archive_of({0: Span(0, 5)}), log, True)


def test_there_is_news_if_there_are_records_or_a_gap_and_else_none():
    archive = archive_of({0: Span(0, 5)})
    assert archive_edge.is_news(archive, {0: Span(5, 6)})
    assert archive_edge.is_news(archive, {0: Span(7, 7)})
    assert not archive_edge.is_news(archive, {0: Span(5, 5), 1: Span(0, 0)})
    assert not archive_edge.is_news(Archive(TOPIC), {0: Span(0, 0)})


def test_gaps_follow_from_the_segments():
    archive = archive_of(
        {0: Span(0, 5), 1: Span(2, 5)}, {0: Span(8, 9), 1: Span(5, 9)}, {0: Span(9, 9), 1: Span(9, 12)}
    )
    assert archive.gaps() == {0: [Span(5, 8)]}
    assert (archive.edge, archive.begin(1), archive.begin(7)) == ({0: 9, 1: 12}, 2, None)
    assert archive.newest == {0: times(8), 1: times(11)}


def test_the_edge_is_read_back_as_it_was_moved(hbase: FakeHBase):
    connection: Any = hbase
    first = move_edge(connection, read_archive(connection, TOPIC), a_segment("run-0", {0: Span(0, 25)}))
    move_edge(connection, first, a_segment("run-1", {0: Span(25, 31)}))
    archive = read_archive(connection, TOPIC)
    assert [(s.run_id, s.previous, s.records) for s in archive.segments] == [("run-0", "", 25), ("run-1", "run-0", 6)]
    assert archive.segments[0].hours == a_segment("run-0", {0: Span(0, 25)}).hours
    assert archive.edge == {0: 31} and read_archive(connection, "other") == Archive("other")
    assert not list(runs.list_published(connection))


def test_of_two_archivers_one_wins_and_what_the_other_wrote_is_no_part_of_the_archive(hbase: FakeHBase):
    connection: Any = hbase
    before = read_archive(connection, TOPIC)
    move_edge(connection, before, a_segment("run-won", {0: Span(0, 5)}))
    with pytest.raises(UserError, match="somebody else archives topic orders"):
        move_edge(connection, before, a_segment("run-lost", {0: Span(0, 9)}))
    archive = read_archive(connection, TOPIC)
    move_edge(connection, archive, a_segment("run-next", {0: Span(5, 12)}))
    assert [s.run_id for s in read_archive(connection, TOPIC).segments] == ["run-won", "run-next"]


def test_an_archiver_that_slept_cannot_move_the_edge_once_another_one_has_begun(hbase: FakeHBase):
    """By then its files may have been removed as left over."""
    connection: Any = hbase
    slept = archive_edge.claim(connection, read_archive(connection, TOPIC))
    awake = archive_edge.claim(connection, read_archive(connection, TOPIC))
    with pytest.raises(UserError, match="somebody else archives topic orders"):
        move_edge(connection, slept, a_segment("run-slept", {0: Span(0, 5)}))
    move_edge(connection, awake, a_segment("run-awake", {0: Span(0, 6)}))
    assert read_archive(connection, TOPIC).edge == {0: 6}


def test_a_segment_that_is_not_there_any_more_is_said(hbase: FakeHBase):
    connection: Any = hbase
    move_edge(connection, read_archive(connection, TOPIC), a_segment("run-0", {0: Span(0, 5)}))
    del hbase.table("archive_segments").rows[b"orders|run-0"]
    with pytest.raises(UserError, match="no segment run-0"):
        read_archive(connection, TOPIC)


# ---------------------------------------------------------------- ranges


def test_a_range_is_read_from_the_archive_below_the_edge_and_from_the_log_behind_it():
    archive = archive_of({0: Span(0, 25), 1: Span(0, 31)}, {0: Span(25, 42), 1: Span(31, 31)})
    log = {0: Span(40, 60), 1: Span(31, 60)}
    spans = wanted(archive, log, 20, 45)
    assert spans == {0: Span(20, 55), 1: Span(20, 55)}
    assert archive.archived(spans) == {0: Span(20, 42), 1: Span(20, 31)}
    assert archive.tail(spans) == {0: Span(42, 55), 1: Span(31, 55)}
    parts = [(part.segment.run_id, [hour.ingest_hour for hour in part.hours]) for part in archive.parts(spans)]
    assert parts == [("run-0", ["14", "15"]), ("run-1", ["14", "15", "16"])]


def test_a_range_begins_with_the_hour_that_holds_its_first_record_and_ends_an_hour_behind_its_last():
    archive = archive_of({0: Span(0, 100)})
    assert wanted(archive, {0: Span(100, 100)}, 27, 34) == {0: Span(20, 50)}
    assert archive.tail({0: Span(20, 50)}) == {0: Span(100, 100)}


def test_a_range_does_not_end_at_an_archived_record_whose_clock_was_ahead():
    first, second = a_segment("run-0", {0: Span(0, 45)}), a_segment("run-1", {0: Span(45, 100)})
    wrong = Hour(
        ingest_day="2025-11-12", ingest_hour="11", first_ingest=times(700), last_ingest=times(700),
        held={0: Held(33, 33, 1)},
    )  # fmt: skip
    archive = Archive(TOPIC, (first.model_copy(update={"hours": [*first.hours, wrong]}), second))
    log = {0: Span(100, 100)}
    assert wanted(archive, log, 27, 34) == {0: Span(20, 45)}
    assert wanted(archive, log, 2, 12) == {0: Span(0, 30)}
    ends_with_it = Archive(TOPIC, archive.segments[:1])
    # The log goes on where the archive ends, within the range.
    assert wanted(ends_with_it, {0: Span(40, 100)}, 27, 60) == {0: Span(20, 70)}


def test_a_range_that_may_have_gone_on_in_a_gap_behind_the_edge_is_refused():
    """The archive ends within the range, and the log begins behind it: nobody knows what was between."""
    archive = archive_of({0: Span(0, 40)})
    for log in (Span(90, 120), Span(120, 120)):
        with pytest.raises(Gone, match=f"offsets 40 to {log.start - 1}"):
            wanted(archive, {0: log}, 20, 45)
    assert wanted(archive, {0: Span(90, 120)}, 5, 20) == {0: Span(0, 30)}


def test_a_range_behind_the_edge_is_the_logs_own():
    assert wanted(archive_of({0: Span(0, 25)}), {0: Span(20, 60)}, 31, 40) == {0: Span(31, 50)}


def test_a_range_that_touches_a_gap_is_refused_and_one_beside_it_is_not():
    archive, log = archive_of({0: Span(0, 40)}, {0: Span(45, 90)}), {0: Span(90, 90)}
    for first, last in ((5, 35), (33, 38), (41, 60), (45, 60), (5, 90)):
        with pytest.raises(Gone, match="partition 0: offsets 40 to 44"):
            wanted(archive, log, first, last)
    assert wanted(archive, log, 5, 20) == {0: Span(0, 30)}
    assert wanted(archive, log, 51, 60) == {0: Span(50, 70)}
    assert wanted(archive, log, 5, 60, floor={0: 45}) == {0: Span(45, 70)}


def test_what_retention_took_behind_the_edge_is_a_gap_too():
    archive = archive_of({0: Span(0, 40)})
    with pytest.raises(Gone, match="offsets 40 to 49"):
        wanted(archive, {0: Span(50, 90)}, 5, 60)
    assert wanted(archive, {0: Span(50, 90)}, 5, 20) == {0: Span(0, 30)}
    assert wanted(archive, {0: Span(50, 90)}, 51, 60) == {0: Span(51, 70)}


def test_an_archive_that_begins_within_the_log_misses_what_was_before():
    with pytest.raises(Gone, match="offsets 0 to 6"):
        wanted(archive_of({0: Span(7, 40)}), {0: Span(40, 40)}, 2, 20)
    assert wanted(archive_of({0: Span(7, 40)}), {0: Span(40, 40)}, 12, 20) == {0: Span(10, 30)}


def test_only_the_files_that_a_range_needs_match_the_pattern_and_only_its_offsets_the_condition():
    archive = archive_of({0: Span(0, 25), 1: Span(0, 31)}, {0: Span(25, 42), 1: Span(31, 31)})
    pattern = archive_edge.pattern("/samewater/order_archive/a.b", archive.parts({0: Span(28, 50), 1: Span(5, 9)}))

    def matches(run: str, hour: int, name: str = "part-0", topic: str = "a.b") -> bool:
        folder = f"hdfs://h:9000/samewater/order_archive/{topic}/run={run}"
        return re.fullmatch(pattern, f"{folder}/ingest_day=2025-11-11/ingest_hour={hour}/{name}") is not None

    found = {(run, hour) for run in ("run-0", "run-1", "run-11") for hour in range(10, 20) if matches(run, hour)}
    assert found == {("run-0", 12), ("run-1", 14), ("run-1", 15), ("run-1", 16)}
    assert not any(matches("run-0", 12, name) for name in (".part-0.inprogress", "_SUCCESS", "x/part-0"))
    assert not matches("run-0", 12, topic="axb")
    for offset, hours in ((9, ["12"]), (10, ["13"]), (19, ["13"])):
        (part,) = archive.parts({0: Span(offset, offset + 1)})
        assert [hour.ingest_hour for hour in part.hours] == hours
    assert archive_edge.condition({1: Span(5, 9), 0: Span(2, 3)}) == (
        "(kafka_partition = 0 AND kafka_offset >= 2 AND kafka_offset < 3) OR "
        "(kafka_partition = 1 AND kafka_offset >= 5 AND kafka_offset < 9)"
    )


# ---------------------------------------------------------------- files


def history(settings: Settings, broker: Broker, asked: str) -> History:
    return History(settings, reader(broker), asked)


@pytest.fixture
def archived(hbase: FakeHBase, files: Any, settings: Settings) -> Broker:
    """Two segments of a log that has lost what the first one holds, and goes on behind the edge."""
    connection: Any = hbase
    for number, spans in enumerate(({0: Span(0, 25), 1: Span(0, 20)}, {0: Span(25, 42), 1: Span(20, 42)})):
        write(files, settings, f"run-{number}", spans)
        move_edge(connection, read_archive(connection, TOPIC), a_segment(f"run-{number}", spans))
    write(files, settings, "run-killed", {0: Span(42, 60), 1: Span(42, 60)})
    return Broker({p: {offset: times(offset) for offset in range(30, 90)} for p in (0, 1)}, first=30)


def test_archive_and_tail_have_each_record_once_as_the_whole_log_would(archived: Broker, settings: Settings):
    whole = Broker({p: {offset: times(offset) for offset in range(90)} for p in (0, 1)})
    between = (times(12), times(57))
    expected = sorted(reader(whole).read(*between))
    for asked in ("auto", "archive"):
        log = history(settings, archived, asked)
        records = list(log.read(*between))
        assert sorted(records) == expected and len(expected) == 90
        assert log.source == "archive" and log.disorder == {0: 0, 1: 0}
        of_0 = [record.offset for record in records if record.partition == 0]
        assert of_0 == sorted(of_0)
    until = sorted(history(settings, archived, "auto").read_until(times(12), {0: 50, 1: 13}))
    assert until == sorted(reader(whole).read_until(times(12), {0: 50, 1: 13}))
    assert len(until) == 39


def test_the_log_alone_is_read_while_it_holds_the_range(archived: Broker, settings: Settings):
    log = history(settings, archived, "auto")
    assert len(list(log.read(times(31), times(40)))) == 18 and log.source == "log"
    log = history(settings, archived, "archive")
    assert len(list(log.read(times(31), times(40)))) == 18 and log.source == "archive"
    with pytest.raises(Gone, match="begins at offset 30"):
        list(history(settings, archived, "log").read(times(12), times(40)))


def test_without_an_archive_the_logs_own_word_stands(hbase: FakeHBase, settings: Settings):
    broker = Broker({0: {17: NOON}}, first=17)
    with pytest.raises(Gone, match="begins at offset 17"):
        history(settings, broker, "auto").read(NOON - 1, NOON + 1)
    with pytest.raises(UserError, match="topic orders is not archived"):
        history(settings, broker, "archive").read(NOON - 1, NOON + 1)


def test_the_first_record_is_the_archives(archived: Broker, settings: Settings):
    assert history(settings, archived, "auto").first_ingest({}) == NOON
    assert history(settings, archived, "log").first_ingest({}) == times(30)
    assert history(settings, archived, "auto").first_ingest({0: 38, 1: 44}) == times(30)


@pytest.mark.parametrize("spoil", ["remove", "double"])
def test_files_that_do_not_hold_what_was_counted_are_refused(
    archived: Broker, files: Any, settings: Settings, spoil: str
):
    folder = f"{stores.segment_folder(settings, TOPIC, 'run-0')}/ingest_day=2025-11-11/ingest_hour=13"
    if spoil == "remove":
        files.rm(f"{folder}/part-0")
    else:
        files.copy(f"{folder}/part-0", f"{folder}/part-1")
    with pytest.raises(UserError, match="does not hold what was counted: of 2025-11-11 13 h run run-0"):
        list(history(settings, archived, "auto").read(times(12), times(57)))
    assert list(history(settings, archived, "auto").read(times(23), times(57)))


def test_a_run_is_counted_record_by_record(files: Any, settings: Settings):
    spans = {0: Span(5, 25), 1: Span(0, 3), 2: Span(4, 4)}
    write(files, settings, "run-0", spans)
    segment = a_segment("run-0", spans)
    assert count_files(files, settings, TOPIC, "run-0", spans) == Counted(segment.hours, dict(segment.newest), {})
    wider = {**spans, 0: Span(3, 27)}
    assert count_files(files, settings, TOPIC, "run-0", wider).missing == {0: [3, 4, 25, 26]}
    for narrower in ({**spans, 0: Span(6, 25)}, {0: Span(5, 25)}):
        with pytest.raises(UserError, match="not to read"):
            count_files(files, settings, TOPIC, "run-0", narrower)
    folder = stores.segment_folder(settings, TOPIC, "run-0")
    files.copy(f"{folder}/ingest_day=2025-11-11/ingest_hour=14", f"{folder}/ingest_day=2025-11-12/ingest_hour=14", True)
    with pytest.raises(UserError, match="partition 0 a record twice"):
        count_files(files, settings, TOPIC, "run-0", spans)
    files.rm(f"{folder}/ingest_day=2025-11-12", recursive=True)
    write(files, settings, "run-0", {0: Span(24, 25)}, "part-1")
    with pytest.raises(UserError, match="partition 0 a record twice"):
        count_files(files, settings, TOPIC, "run-0", spans)


def test_a_run_that_wrote_nothing_misses_all(files: Any, settings: Settings):
    assert count_files(files, settings, TOPIC, "run-0", {0: Span(1, 3)}) == Counted([], {}, {0: [1, 2]})


def test_a_partition_that_retention_has_emptied_is_as_new_as_its_archive(
    archived: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    newest: dict[int, int | None] = {0: times(89), 1: None}
    monkeypatch.setattr(archive_reader, "topic_max_ingest", lambda *_: newest)
    assert archive_reader.newest_ingest(settings, TOPIC) == {0: times(89), 1: times(41)}
    assert archive_reader.closed_until(settings, TOPIC) == times(41) - 330_000
    newest[2] = None
    assert archive_reader.closed_until(settings, TOPIC) is None


# ---------------------------------------------------------------- the job


def lacking(*offsets: int) -> Counted:
    return Counted([], {}, {0: list(offsets)})


def test_offsets_that_the_log_has_not_either_are_no_loss_and_others_are():
    log = reader(Broker({0: {5: NOON, 6: NOON, 9: NOON}}, first=5))
    archive_job.refuse_unless_whole(log, "run-0", lacking(7, 8))
    with pytest.raises(UserError, match=r"has not written 2 records of .* partition 0 \(the first at offset 6\)"):
        archive_job.refuse_unless_whole(log, "run-0", lacking(6, 7, 9))
    with pytest.raises(UserError, match="retention removed offset 4 while run run-0 was at work"):
        archive_job.refuse_unless_whole(log, "run-0", lacking(4, 7))


def test_what_dead_archivers_left_is_removed_and_their_jobs_are_ended(
    archived: Broker, hbase: FakeHBase, files: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    connection: Any = hbase
    ended: list[str] = []
    for run_id, topic in (("run-killed", TOPIC), ("run-other", "other")):
        run = runs.Run(run_id=run_id, job=runs.ARCHIVE, mode="batch", logic="x", topic=topic)
        runs.register(connection, run)
    living = [{"name": name, "jid": f"jid of {name}"} for name in ("run-killed", "run-other", "daily_report-1")]
    monkeypatch.setattr(flink_rest, "living_jobs", lambda *_: living)
    monkeypatch.setattr(flink_rest, "cancel", lambda _, cluster, jid: ended.append(f"{cluster} {jid}"))
    folder = stores.archive_folder(settings, TOPIC)
    files.pipe_file(f"{folder}/.staging_1/0/run=run-killed/part-0", b"")
    before = read_archive(connection, TOPIC)
    archive_job.remove_left(settings, before)
    archive_job.remove_left(settings, Archive("nobody's"))
    assert ended == ["batch jid of run-killed"]
    assert sorted(files.ls(folder, detail=False)) == [f"{folder}/run=run-0", f"{folder}/run=run-1"]


def test_all_values_of_the_sql_are_given(settings: Settings):
    given = archive_job.values(settings, TOPIC, {0: Span(3, 9)}, "run-0")
    sql = SqlFiles(settings, "batch", rule_values(settings, job.rules_of(settings)), given)
    for name in ("schema/orders", "bind/orders_kafka", "bind/hdfs/archive_sink", "bind/hdfs/write_archive"):
        assert "${" not in sql.sql(name)
    assert "'scan.bounded.specific-offsets' = 'partition:0,offset:9'" in sql.sql("bind/orders_kafka")


def test_the_state_of_an_archive_says_lag_loss_and_gaps():
    state = as_dict(archive_of({0: Span(2, 25)}, {0: Span(30, 42), 1: Span(0, 4)}), {0: Span(45, 50), 1: Span(0, 9)})
    columns = ("partition", "archived_from", "edge", "log_start", "log_end", "lag", "lost")
    assert [tuple(row[name] for name in columns) for row in state["partitions"]] == [
        (0, 2, 42, 45, 50, 5, 3),
        (1, 0, 4, 0, 9, 5, 0),
    ]
    assert state["gaps"] == [{"partition": 0, "from": 25, "to": 29}]
    assert (state["records"], state["first_hour"], state["last_hour"]) == (39, "2025-11-11 12", "2025-11-11 16")
    assert [segment["records"] for segment in state["segments"]] == [23, 16]
    empty = as_dict(Archive(TOPIC), {0: Span(3, 5)})
    assert empty["partitions"][0]["edge"] is None and (empty["partitions"][0]["lag"], empty["records"]) == (2, 0)


# ---------------------------------------------------------------- batch jobs


@pytest.fixture
def asked(archived: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., job.Prepared]:
    """Prepares a report of the log's one day."""

    @contextmanager
    def opened(_: Settings, topic: str, source: str) -> Iterator[History]:
        yield history(settings, archived, source)

    monkeypatch.setattr(job, "open_history", opened)
    monkeypatch.setattr(order_log, "topic_id", lambda *_: "an-id")
    day = dt.date(2025, 11, 11)

    def prepare(**chosen: Any) -> job.Prepared:
        return job.prepare(settings, job.Request("daily_report", "batch", TOPIC, day, day, **chosen), {}, "HOUR")

    return prepare


def test_a_run_says_what_it_read_and_where_the_edge_lay(asked: Callable[..., job.Prepared]):
    run = asked().run
    assert (run.source, run.edge_offsets, run.topic_id) == ("archive", {"0": 42, "1": 42}, "an-id")
    assert (run.start_offsets, run.end_offsets) == ({"0": 0, "1": 0}, {"0": 90, "1": 90})
    sql = {name: asked().files.sql(name) for name in session.ORDERS_FROM["archive"]}
    kafka = sql["bind/orders_kafka"]
    assert "TABLE orders_behind_the_edge" in kafka and "'partition:0,offset:42;partition:1,offset:42'" in kafka
    assert "kafka_offset >= 0 AND kafka_offset < 42" in sql["bind/archive/archived_orders"]
    assert "run-1" in sql["bind/archive/archive_files"] and "run-killed" not in sql["bind/archive/archive_files"]


def test_a_repeated_run_reads_what_its_first_attempt_was_to_read(asked: Callable[..., job.Prepared]):
    run = asked(floor={0: 13, 1: 17}, ceiling={0: 37, 1: 44}).run
    assert (run.source, run.start_offsets, run.end_offsets) == ("archive", {"0": 13, "1": 17}, {"0": 37, "1": 44})
    run = asked(floor={0: 50, 1: 60}, ceiling={0: 70, 1: 80}).run
    assert (run.source, run.edge_offsets, run.start_offsets) == ("log", {}, {"0": 50, "1": 60})
    with pytest.raises(Gone, match="deleted by retention"):
        asked(source="log")


def test_where_the_log_is_read_from_is_no_part_of_the_logic(asked: Callable[..., job.Prepared]):
    from_archive, from_log = asked(), asked(floor={0: 50, 1: 60})
    for prepared in (from_archive, from_log):
        for name in ("schema/orders", *session.ORDERS_FROM[prepared.run.source], "views/packs"):
            prepared.files.sql(name)
    assert from_archive.run.source != from_log.run.source
    assert from_archive.files.logic_version == from_log.files.logic_version


def test_streaming_reads_no_archive():
    with pytest.raises(UserError, match="streaming reads the log alone"):
        job.Request("daily_report", "streaming", TOPIC, source="archive")


def test_a_topic_that_is_made_again_does_not_go_on_in_the_archive_of_the_other(hbase: FakeHBase):
    connection: Any = hbase
    first = read_archive(connection, TOPIC).of_log("one")
    after = move_edge(connection, archive_edge.claim(connection, first), a_segment("run-0", {0: Span(0, 25)}))
    assert after.topic_id == read_archive(connection, TOPIC).topic_id == "one"
    assert read_archive(connection, TOPIC).of_log("one") == after
    with pytest.raises(UserError, match="was deleted and made again since it was archived"):
        read_archive(connection, TOPIC).of_log("two")


def test_an_archive_of_an_earlier_release_takes_the_id_of_the_topic_that_it_finds(hbase: FakeHBase):
    connection: Any = hbase
    move_edge(connection, read_archive(connection, TOPIC), a_segment("run-0", {0: Span(0, 25)}))
    assert read_archive(connection, TOPIC).of_log("two").topic_id == "two"


def test_log_and_archive_are_whole_from_where_the_first_of_them_begins(archived: Broker, settings: Settings):
    """The archive has all from offset 0 on; the log alone, what retention left."""
    assert history(settings, archived, "auto").begins() == Begin(times(0), times(0))
    cut = history(settings, archived, "log").begins()
    assert cut is not None and cut.whole >= cut.first > times(0)
