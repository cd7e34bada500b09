"""The sink's own keys, cells and digest are those that readers look for (udfs import nothing of ours)."""

from __future__ import annotations

import copy
import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pytest
from fake_hbase import FakeHBase
from thriftpy2.transport import TTransportException

from flink_jobs import full_store, losses, runs, stores
from flink_jobs.settings import DEFAULT_FILE, Settings, Time
from tests.unit.test_stretches import rows_at
from udfs import packs
from udfs.hbase_client import HBaseClient
from udfs.hbase_scan import scan_daily_sales
from udfs.hbase_sink import DAY_MS, HELD, HOUR_MS, Gap, HBaseSink, HBaseTarget, Marker
from udfs.log_check import LogCheck, TopicReplaced

RUN, DAY = "daily_report-streaming-x", dt.date(2025, 11, 11)
START = Time().day_start(DAY)
END = START + DAY_MS


class BatchedHBase(FakeHBase):
    """Counts the calls, and refuses the first `down` of them."""

    down = 0
    calls = 0

    def table(self, name):
        self.calls += 1
        if self.down > 0:
            self.down -= 1
            raise TTransportException(message="gone")
        return super().table(name)

    def close(self):
        pass


def sink(mode: str = "streaming", hbase: BatchedHBase | None = None, **options) -> tuple[HBaseSink, BatchedHBase]:
    made, hbase = HBaseSink(HBaseTarget("h", 1, "", 4, RUN, mode, 8 * HOUR_MS, **options)), hbase or BatchedHBase()
    made._client._connection = hbase
    return made, hbase


def register(hbase: BatchedHBase, mode: str) -> runs.Run:
    ends = {"0": 9} if mode == "batch" else {}
    run = runs.Run(
        run_id=RUN,
        job="daily_report",
        mode=mode,
        logic="l",
        topic="t",
        start_offsets={"0": 7},
        end_offsets=ends,
        submitted_by="me@here",
    )
    return runs.register(hbase, run)


def put_rows(made: HBaseSink, version: int) -> None:
    made.put_daily_sales(
        [version] * 3, ["ALL", "110000", "110000"], ["ALL", "ALL", "110100"], [2, 2, 2], [Decimal("3.5")] * 3, [1, 1, 1]
    )


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_readers_find_the_rows_that_the_sink_wrote(mode):
    made, hbase = sink(mode)
    put_rows(made, END)
    found = stores.read_sales(hbase, 4, str(DAY), RUN, stores.FAMILIES[mode], END)
    assert found == {
        name: {"orders": "2", "amount": "3.50", "users": "1"} for name in ("ALL|ALL", "110000|ALL", "110000|110100")
    }
    other = stores.FAMILIES["batch" if mode == "streaming" else "streaming"]
    assert stores.read_sales(hbase, 4, str(DAY), RUN, other, END) == {}


def test_readers_find_the_verdict_counts_that_the_sink_wrote():
    made, hbase = sink()
    figures = {"records": [3], "offset_min": [1], "offset_max": [9], "offset_sum": [15]}
    made.put_verdict_counts([END], [2], ["late"], figures)
    made.put_conflicting([END], [4])
    assert stores.read_verdicts(hbase, str(DAY), RUN, "s", END) == {
        "00002|late": {name: str(values[0]) for name, values in figures.items()},
        "ALL|conflicting": {"records": "4"},
    }


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_the_last_version_of_a_day_is_published_as_the_command_would_publish_it(mode):
    made, hbase = sink(mode)
    run = register(hbase, mode)
    put_rows(made, END)
    made.put_markers([(END, 3, 2, Decimal("3.5"))])
    publication = runs.published(hbase, "daily_report", str(DAY))
    assert publication is not None
    table = stores.read_sales(hbase, 4, str(DAY), RUN, stores.FAMILIES[mode], END)
    assert (publication.run_id, publication.rows, publication.digest) == (RUN, 3, stores.digest(table))
    assert (publication.watermark, publication.offsets) == (END, {"0": 7})
    assert publication.ends == ({"0": 9} if mode == "batch" else None)
    by_command = runs.publication_of(hbase, Settings.load(DEFAULT_FILE), run, str(DAY))
    said = publication.model_dump() | {"who": "", "at": "", "why": ""}
    assert said == by_command.model_dump() | {"who": "", "at": ""}
    assert (publication.who, publication.why) == ("me@here", "first")
    written = json.loads(hbase.table("published").row(f"daily_report|{DAY}".encode(), [b"p"])[b"p:current"])
    assert written.keys() == runs.Publication.model_fields.keys()


@pytest.mark.parametrize(("mode", "other"), [("batch", "streaming"), ("streaming", "batch")])
def test_neither_mode_writes_under_the_id_of_a_run_of_the_other(mode, other):
    made, hbase = sink(mode)
    run = register(hbase, mode)
    put_rows(made, END)
    made.put_markers([(END, 3, 2, Decimal("3.5"))])
    before = {name: copy.deepcopy(table.rows) for name, table in hbase.tables.items()}
    figures = {"records": [3], "offset_min": [1], "offset_max": [9], "offset_sum": [15]}
    for write in (
        lambda s: s.put_daily_sales([END], ["ALL"], ["ALL"], [9], [Decimal(9)], [9]),
        lambda s: s.put_verdict_counts([END], [2], ["late"], figures),
        lambda s: s.put_conflicting([END], [4]),
        lambda s: s.put_markers([(END, 9, 9, Decimal(9))]),
        lambda s: s.put_full_report([END], ["ALL"], ["ALL"], ["{}"]),
    ):
        with pytest.raises(PermissionError, match=f"{RUN} is a {mode} run"):
            write(sink(other, hbase)[0])
    assert {name: table.rows for name, table in hbase.tables.items()} == before
    assert runs.get(hbase, RUN) == run


@pytest.mark.parametrize(("mode", "other"), [("batch", "streaming"), ("streaming", "batch")])
def test_modes_that_share_a_run_id_share_no_cell(mode, other):
    """Nobody registered the run: there is nothing that a sink could refuse by."""
    made, hbase = sink(mode)
    rival, _ = sink(other, hbase)
    put_rows(made, END)
    made.put_conflicting([END], [4])
    made.put_markers([(END, 3, 2, Decimal("3.5"))])
    published = runs.published(hbase, "daily_report", str(DAY))
    before = {name: copy.deepcopy(hbase.table(name).rows) for name in ("daily_sales", "verdicts", "versions")}
    rival.put_daily_sales([END] * 2, ["ALL", "110000"], ["ALL"] * 2, [9] * 2, [Decimal(9)] * 2, [9] * 2)
    rival.put_conflicting([END], [9])
    rival.put_markers([(END, 9, 9, Decimal(9))])
    for name, rows in before.items():
        now = hbase.table(name).rows
        assert rows and {key: {c: now[key][c] for c in cells} for key, cells in rows.items()} == rows, name
    assert runs.markers(hbase, str(DAY), RUN, stores.FAMILIES[mode])[END].rows == 3
    assert runs.published(hbase, "daily_report", str(DAY)) == published


def test_a_day_that_somebody_else_published_stays_theirs():
    made, hbase = sink()
    made.put_markers([(END, 0, 0, Decimal(0))])
    other, _ = sink("batch", hbase)
    other.target.__dict__["run_id"] = "another"
    other.put_markers([(END, 0, 0, Decimal(0))])
    assert runs.published(hbase, "daily_report", str(DAY)).run_id == RUN


def test_a_provisional_run_publishes_nothing():
    made, hbase = sink("batch", provisional=True)
    made.put_markers([(END, 0, 0, Decimal(0))])
    assert END in runs.markers(hbase, str(DAY), RUN, "b")
    assert runs.published(hbase, "daily_report", str(DAY)) is None


def test_every_hour_of_a_streaming_day_has_a_marker_also_those_without_records():
    made, hbase = sink()
    made.put_markers([(START + 3 * HOUR_MS, 5, 2, Decimal("1.25"))])
    made.put_markers([(END + 2 * HOUR_MS, 1, 1, Decimal("2"))])
    first = runs.markers(hbase, str(DAY), RUN, "s")
    assert sorted(first) == [START + n * HOUR_MS for n in range(1, 25)]
    assert first[START + 3 * HOUR_MS].amount == "1.25" and first[END].orders == 0
    assert sorted(runs.markers(hbase, "2025-11-12", RUN, "s")) == [END + HOUR_MS, END + 2 * HOUR_MS]


def test_markers_of_many_hours_take_one_put_each_in_two_tables():
    made, hbase = sink()
    made.put_markers([(START + HOUR_MS, 1, 1, Decimal(1))])
    tables = [hbase.table(name) for name in ("versions", "runs")]
    before = [table.clock for table in tables]
    made.put_markers([(START + hour * HOUR_MS, hour, hour, Decimal(hour)) for hour in (5, 3, 2, 9)])
    assert [table.clock - clock for table, clock in zip(tables, before, strict=True)] == [1, 1]
    found = runs.markers(hbase, str(DAY), RUN, "s")
    assert {at: marker.rows for at, marker in found.items()} == {
        START + hour * HOUR_MS: hour if hour in (1, 2, 3, 5, 9) else 0 for hour in range(1, 10)
    }


def test_a_restarted_sink_goes_on_behind_the_last_marker_of_the_run():
    made, hbase = sink()
    made.put_markers([(START + 3 * HOUR_MS, 5, 2, Decimal("1.25"))])
    again, _ = sink(hbase=hbase)
    again.put_markers([(START + 5 * HOUR_MS, 6, 3, Decimal("2.25"))])
    found = runs.markers(hbase, str(DAY), RUN, "s")
    assert [found[START + hour * HOUR_MS].rows for hour in (3, 4, 5)] == [5, 0, 6]


def test_a_replayed_marker_changes_nothing():
    made, hbase = sink()
    for _ in range(2):
        for hour in (1, 2, 3):
            made.put_markers([(START + hour * HOUR_MS, hour, hour, Decimal(hour))])
    assert [m.rows for m in runs.markers(hbase, str(DAY), RUN, "s").values()] == [1, 2, 3]


def test_an_empty_day_is_marked_once_and_never_over_a_marker():
    made, hbase = sink("batch")
    made.put_markers([(END, 5, 2, Decimal("1.25"))])
    assert made.mark_empty_day(END) is False
    assert made.mark_empty_day(END + DAY_MS) is True
    assert runs.markers(hbase, str(DAY), RUN, "b")[END].rows == 5
    assert runs.markers(hbase, "2025-11-12", RUN, "b")[END + DAY_MS].rows == 0


def test_a_call_that_is_not_answered_is_tried_again_with_a_new_connection(monkeypatch):
    made, hbase = sink()
    hbase.down = 2
    monkeypatch.setattr("udfs.hbase_client.happybase.Connection", lambda *_, **__: hbase)
    put_rows(made, END)
    assert len(stores.read_sales(hbase, 4, str(DAY), RUN, "s", END)) == 3


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_the_scan_by_bucket_finds_what_the_readers_find(mode):
    made, hbase = sink(mode)
    put_rows(made, END)
    put_rows(made, END - HOUR_MS)
    family = stores.FAMILIES[mode]
    client = HBaseClient("h", 1, "")
    client._connection = hbase
    found = [row for bucket in range(4) for row in scan_daily_sales(client, bucket, str(DAY), RUN, family, END)]
    assert sorted(found) == [
        ("110000", "110100", 2, "3.50", 1),
        ("110000", "ALL", 2, "3.50", 1),
        ("ALL", "ALL", 2, "3.50", 1),
    ]
    assert {f"{row.province}|{row.city}" for row in found} == set(
        stores.read_sales(hbase, 4, str(DAY), RUN, family, END)
    )
    nothing = [scan_daily_sales(client, bucket, str(DAY), "another", family, END) for bucket in range(4)]
    assert nothing == [[]] * 4


def test_readers_find_the_full_report_that_the_sink_wrote():
    made, hbase = sink("batch")
    cells = {"orders": "2", "amount": "3.50", "share": "0.5000"}
    made.put_full_report([END], ["110000"], ["110100"], [json.dumps(cells)])
    settings = Settings.load(DEFAULT_FILE)
    assert full_store.read(hbase, settings, str(DAY), RUN) == {"110000|110100": cells}
    assert full_store.look_up(hbase, settings, str(DAY), RUN, "110000", "110100") == cells
    assert full_store.look_up(hbase, settings, str(DAY), RUN, "110000", "ALL") == {}


# ---------------------------------------------------------------- what was not seen


class Log:
    """What a sink asks the log: it begins at `first`, and has a record at each offset but `empty`."""

    topic = "t"

    def __init__(self, first: int = 0, empty: tuple[int, ...] = (), topic_id: str | None = "one") -> None:
        self.first, self.empty, self.id = first, set(empty), topic_id

    def topic_id(self) -> str | None:
        return self.id

    refuse_another = LogCheck.refuse_another

    def unexplained(self, partition: int, holes: Any) -> dict[tuple[int, int], list[tuple[int, int]]]:
        found = {}
        for start, end in holes:
            there = max(start, self.first)
            lost = [(start, min(end, self.first))] if start < self.first else []
            found[start, end] = lost + ([(there, end)] if set(range(there, end)) - self.empty else [])
        return found


def watched(log: Log, mode: str = "streaming", hbase: BatchedHBase | None = None) -> tuple[HBaseSink, BatchedHBase]:
    made, hbase = sink(mode, hbase, start_offsets={0: 7}, topic_id="one", clock_skew_ms=30_000)
    made._log = log  # type: ignore[assignment]
    return made, hbase


def see(made: HBaseSink, version: int, counted: int, read: int) -> None:
    """A version that counts up to an offset of partition 0, once the run has read up to another (exclusive)."""
    figures = {"records": [1], "offset_min": [7], "offset_max": [counted], "offset_sum": [7]}
    made.put_verdict_counts([version], [0], ["accepted"], figures)
    made.put_offsets_read([version], [0], [read])
    put_rows(made, version)


def mark(made: HBaseSink, *versions: int) -> None:
    made.put_markers(Marker(version, 3, 2, Decimal("3.50")) for version in versions)


def gap(
    made: HBaseSink, expected: int, came: int, at: int = START + HOUR_MS // 2, partition: int = 0, since: int = 0
) -> int:
    return made.put_gaps([at], [since or at - 60_000 if expected >= 0 else 0], [partition], [expected], [came])


def test_the_readers_gaps_and_held_versions_are_those_of_the_sink():
    assert stores.Gap._fields == Gap._fields and stores.HELD == HELD
    made, hbase = watched(Log(first=20))
    run = register(hbase, "streaming")
    assert gap(made, 12, 20) == 1
    assert stores.read_gaps(hbase, RUN, "s") == [
        stores.Gap(0, 12, 20, START + HOUR_MS // 2 - 60_000, START + HOUR_MS // 2)
    ]
    see(made, START + HOUR_MS, 24, 25)
    mark(made, START + HOUR_MS)
    assert runs.markers(hbase, str(DAY), RUN, "s") == {}
    held = runs.held_versions(hbase, str(DAY), run)
    assert held == {START + HOUR_MS: runs.Held(rows=3, orders=2, amount="3.50", publishes=True)}


@pytest.mark.parametrize(
    ("log", "expected", "came", "noted"),
    [
        (Log(), 12, 12, []),
        (Log(), -1, 7, []),  # where the run was to begin
        (Log(first=9), -1, 9, [(7, 9)]),
        (Log(empty=(12, 13)), 12, 14, []),  # marks of a transaction
        (Log(empty=(12,)), 12, 14, [(12, 14)]),  # a record that did not come
        (Log(first=20), 12, 20, [(12, 20)]),
        (Log(first=20, empty=(20, 21)), 12, 22, [(12, 20)]),
        (Log(), 12, 3, [(12, 3)]),  # offsets ran back
    ],
)
def test_a_hole_is_noted_unless_the_log_explains_it(log, expected, came, noted):
    made, hbase = watched(log)
    gap(made, expected, came)
    assert [found[1:3] for found in stores.read_gaps(hbase, RUN, "s")] == noted


def test_a_partition_that_was_added_later_begins_at_0():
    made, hbase = watched(Log())
    gap(made, -1, 0, partition=4)
    assert stores.read_gaps(hbase, RUN, "s") == []
    gap(made, -1, 2, partition=5)
    assert [found[:3] for found in stores.read_gaps(hbase, RUN, "s")] == [(5, 0, 2)]


def test_no_version_behind_a_gap_is_marked_and_no_day_published_until_somebody_accepts_it():
    made, hbase = watched(Log(first=20))
    run = register(hbase, "streaming")
    hours = [START + n * HOUR_MS for n in range(1, 25)]
    see(made, hours[0], 11, 12)
    mark(made, hours[0])
    gap(made, 12, 20, at=hours[0] + 120_000, since=hours[0] + 60_000)
    for hour in hours[1:]:
        see(made, hour, 24, 25)
        mark(made, hour)
    assert list(runs.markers(hbase, str(DAY), RUN, "s")) == hours[:1]
    assert list(runs.held_versions(hbase, str(DAY), run)) == hours[1:]
    assert runs.published(hbase, "daily_report", str(DAY)) is None
    runs.amend(hbase, RUN, accepted_gaps=[[0, 12, 19]])
    mark(made, hours[-1])
    assert list(runs.markers(hbase, str(DAY), RUN, "s")) == hours[:1], "a part of the gap is not accepted"
    runs.amend(hbase, RUN, accepted_gaps=[[0, 12, 20]])
    made.release([Marker(hour, 3, 2, Decimal("3.50")) for hour in hours[1:]])
    assert list(runs.markers(hbase, str(DAY), RUN, "s")) == hours
    assert runs.held_versions(hbase, str(DAY), run) == {}
    assert runs.published(hbase, "daily_report", str(DAY)) is not None


def test_a_gap_behind_a_version_does_not_hold_it_back_but_one_within_the_clock_skew_does():
    hour = START + HOUR_MS
    for since, marked in ((hour + 30_000, [hour]), (hour + 29_999, []), (hour - HOUR_MS, [])):
        made, hbase = watched(Log(first=20))
        gap(made, 12, 20, at=hour + 9 * HOUR_MS, since=since)
        see(made, hour, 11, 12)
        mark(made, hour)
        assert list(runs.markers(hbase, str(DAY), RUN, "s")) == marked


def test_a_gap_over_the_end_of_a_day_holds_that_day_back_and_makes_no_empty_hours():
    """Read until six in the evening; the next record is of the morning after."""
    made, hbase = watched(Log(first=20))
    run = register(hbase, "streaming")
    evening, morning = START + 18 * HOUR_MS, END + 8 * HOUR_MS
    see(made, evening, 11, 12)
    mark(made, evening)
    gap(made, 12, 20, at=morning - 60_000, since=evening + 60_000)
    see(made, morning, 24, 25)
    mark(made, morning)
    assert max(runs.markers(hbase, str(DAY), RUN, "s")) == evening
    assert runs.held_versions(hbase, str(DAY), run).keys() == set(range(evening + HOUR_MS, END + 1, HOUR_MS))
    assert runs.published(hbase, "daily_report", str(DAY)) is None


@pytest.mark.parametrize(
    ("read", "log", "lost"),
    [
        ({0: 30, 1: 9}, Log(), []),
        ({0: 30, 1: 8}, Log(empty=(8,)), []),  # a mark of a transaction at the end
        ({0: 30, 1: 8}, Log(), [(1, 8, 9)]),
        ({0: 30}, Log(first=20), [(1, 5, 9)]),  # a partition that nobody read
        ({}, Log(first=50), [(0, 7, 30), (1, 5, 9)]),
    ],
)
def test_a_batch_that_was_not_read_to_its_ends_marks_nothing_not_even_an_empty_day(read, log, lost):
    made, hbase = sink("batch", start_offsets={0: 7, 1: 5, 2: 3}, end_offsets={0: 30, 1: 9, 2: 3}, topic_id="one")
    made._log = log
    register(hbase, "batch")
    made.put_offsets_read([END] * len(read), read.keys(), read.values())
    put_rows(made, END)
    mark(made, END)
    assert [found[:3] for found in stores.read_gaps(hbase, RUN, "b")] == lost
    assert bool(runs.markers(hbase, str(DAY), RUN, "b")) is not bool(lost)
    again, _ = sink("batch", hbase, start_offsets={0: 7, 1: 5, 2: 3}, end_offsets={0: 30, 1: 9, 2: 3})
    again._log = log
    assert again.mark_empty_day(END + DAY_MS) and bool(runs.markers(hbase, "2025-11-12", RUN, "b")) is not bool(lost)


def test_what_is_released_does_not_set_the_last_version_back():
    made, hbase = watched(Log(first=20))
    run = register(hbase, "streaming")
    gap(made, 12, 20)
    see(made, START + HOUR_MS, 24, 25)
    mark(made, START + HOUR_MS)
    runs.amend(hbase, RUN, accepted_gaps=[[0, 12, 20]])
    see(made, START + 2 * HOUR_MS, 24, 25)
    mark(made, START + 2 * HOUR_MS)
    assert made.release([Marker(START + HOUR_MS, 3, 2, Decimal("3.50"))])
    assert runs.last_version(hbase, run) == START + 2 * HOUR_MS
    assert sorted(runs.markers(hbase, str(DAY), RUN, "s")) == [START + HOUR_MS, START + 2 * HOUR_MS]


def test_what_is_accepted_covers_no_offsets_that_run_back_later():
    made, hbase = watched(Log(first=20))
    gap(made, 12, 20)
    runs.amend(hbase, RUN, accepted_gaps=[[0, 12, 20]])
    gap(made, 500, 15, at=START + HOUR_MS)
    see(made, START + HOUR_MS, 24, 25)
    mark(made, START + HOUR_MS)
    assert runs.markers(hbase, str(DAY), RUN, "s") == {}


def test_a_version_that_counts_what_was_not_shown_to_be_read_is_held_back():
    hour = START + HOUR_MS
    made, hbase = watched(Log())
    run = register(hbase, "streaming")
    see(made, hour, counted=12, read=12)
    mark(made, hour)
    assert list(runs.held_versions(hbase, str(DAY), run)) == [hour]
    made, hbase = watched(Log())
    made.put_offsets_read([hour - HOUR_MS], [0], [13])  # ingest time runs back a little
    see(made, hour, counted=12, read=10)
    mark(made, hour)
    assert list(runs.markers(hbase, str(DAY), RUN, "s")) == [hour]


def test_a_batch_that_brings_days_shows_what_all_of_them_count():
    """A job that catches up: what it read stands on the first of them."""
    made, hbase = watched(Log())
    register(hbase, "streaming")
    made.put_offsets_read([START - 5 * DAY_MS, START - 9 * DAY_MS], [0, 0], [13, 10])
    made.put_offsets_read([START - 5 * DAY_MS], [1], [99])
    figures = {"records": [1], "offset_min": [7], "offset_max": [12], "offset_sum": [7]}
    made.put_verdict_counts([START + HOUR_MS], [0], ["accepted"], figures)
    mark(made, START + HOUR_MS)
    assert list(runs.markers(hbase, str(DAY), RUN, "s")) == [START + HOUR_MS]


def test_after_a_restart_what_is_held_back_is_not_taken_for_empty():
    made, hbase = watched(Log(first=20))
    run = register(hbase, "streaming")
    gap(made, 12, 20)
    hours = [START + n * HOUR_MS for n in (1, 2, 3)]
    for hour in hours[:2]:
        see(made, hour, 24, 25)
        mark(made, hour)
    again, _ = watched(Log(first=20), hbase=hbase)
    see(again, hours[2], 24, 25)
    mark(again, hours[2])
    assert {held.rows for held in runs.held_versions(hbase, str(DAY), run).values()} == {3}


def test_a_day_that_is_held_back_is_no_empty_day():
    made, hbase = watched(Log(first=20), "batch")
    run = register(hbase, "batch")
    gap(made, 12, 20)
    see(made, END, 24, 25)
    mark(made, END)
    assert not made.mark_empty_day(END)
    assert runs.held_versions(hbase, str(DAY), run)[END].rows == 3


@pytest.mark.parametrize(("topic_id", "says"), [(None, "is gone"), ("two", "has the id two now")])
def test_nothing_is_marked_once_the_topic_is_another(topic_id, says):
    made, hbase = watched(Log(topic_id=topic_id))
    see(made, START + HOUR_MS, 11, 12)
    with pytest.raises(TopicReplaced, match=says):
        mark(made, START + HOUR_MS)
    assert runs.markers(hbase, str(DAY), RUN, "s") == {}


def test_wrong_clocks_are_counted_by_partition_and_the_newest_count_stands():
    made, hbase = watched(Log())
    made.put_clock([0, 2], [1, 5], [7, 3], [7, 9], [7, 30], [12, 13], [12, 99])
    made.put_clock([0], [2], [7], [8], [15], [12], [2_600_000_000_000])
    found = stores.read_clock(hbase, RUN, "s")
    assert {p: one[:3] for p, one in found.items()} == {0: (2, 12, 2_600_000_000_000), 2: (5, 13, 99)}
    assert stores.read_gaps(hbase, RUN, "s") == [] and stores.read_clock(hbase, "another", "s") == {}


def test_with_which_record_a_run_began_is_told_once():
    made, hbase = watched(Log())
    assert stores.read_began(hbase, RUN, "s") is None
    made.put_gaps([START + 120_000, START + 60_000], [0, 0], [0, 1], [-1, -1], [7, 0])
    gap(made, 12, 20, at=START)
    assert stores.read_began(hbase, RUN, "s") == START + 60_000


@pytest.mark.parametrize(("since", "at"), [(START + HOUR_MS, -28_800_000), (-28_800_000, START + 9 * HOUR_MS)])
def test_a_gap_beside_wrong_clocks_holds_back_what_may_lack_its_records(since, at):
    """What was read before or behind it says nothing of time: then the other side does, or all may lack them."""
    made, hbase = watched(Log(first=20))
    run = register(hbase, "streaming")
    made.put_gaps([at], [since], [0], [12], [20])
    (gap_,) = stores.read_gaps(hbase, RUN, "s")
    assert (gap_.since, gap_.at) == (max(since, 0), max(at, 0))
    for hour in (START + HOUR_MS // 2 * 1, START + 10 * HOUR_MS):
        version = hour - hour % HOUR_MS + HOUR_MS
        see(made, version, 11, 12)
        mark(made, version)
    held = runs.held_versions(hbase, str(DAY), run).keys()
    assert START + 11 * HOUR_MS in held
    assert stores.read_began(hbase, RUN, "s") is None


def pack_of(*places: tuple[int, int]) -> bytes:
    """A pack of heartbeats."""
    return packs.write(packs.RECORDS, None, rows_at(packs.OTHER_COLUMNS, places))


def test_what_came_behind_the_watermark_holds_back_what_should_have_counted_it():
    made, hbase = watched(Log())
    run = register(hbase, "streaming")
    minute, hour = 60_000, START + 3 * HOUR_MS
    assert made.put_behind([hour, hour + minute], [pack_of((0, 12), (1, 5)), pack_of((0, 11), (0, 15))]) == 2
    assert made.put_behind([hour + 2 * minute, hour + HOUR_MS], [pack_of((0, 9), (0, 14)), pack_of((0, 30))]) == 2
    assert made.put_behind([hour], [pack_of((0, 13))]) == 0, "it is known already"
    assert stores.read_gaps(hbase, RUN, "s") == [
        stores.Gap(0, 9, 16, hour, hour + 2 * minute, True),
        stores.Gap(0, 30, 31, hour + HOUR_MS, hour + HOUR_MS, True),
        stores.Gap(1, 5, 6, hour, hour, True),
    ]
    for version in (hour, hour + HOUR_MS):
        see(made, version, 11, 12)
        mark(made, version)
    assert list(runs.markers(hbase, str(DAY), RUN, "s"))[-1] == hour
    assert list(runs.held_versions(hbase, str(DAY), run)) == [hour + HOUR_MS]
    for version in (END, END + HOUR_MS):  # the day's last, and one of the next day
        see(made, version, 11, 12)
        mark(made, version)
    assert list(runs.held_versions(hbase, str(DAY), run))[-1] == END
    assert list(runs.markers(hbase, str(DAY + dt.timedelta(days=1)), RUN, "s")) == [END + HOUR_MS]


def test_what_comes_behind_the_watermark_once_its_note_is_accepted_is_another_note():
    made, hbase = watched(Log())
    register(hbase, "streaming")
    hour = START + 3 * HOUR_MS
    made.put_behind([hour], [pack_of((0, 100), (0, 200))])
    runs.amend(hbase, RUN, accepted_gaps=[[0, 100, 201, True]])
    made.put_behind([hour], [pack_of((0, 300))])
    assert [gap[:3] for gap in stores.read_gaps(hbase, RUN, "s")] == [(0, 100, 201), (0, 300, 301)]
    accepted = runs.get(hbase, RUN)
    assert [losses.is_accepted(accepted, gap) for gap in stores.read_gaps(hbase, RUN, "s")] == [True, False]
