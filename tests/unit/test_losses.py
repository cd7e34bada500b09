"""What a run did not see: told in words, laid on days, accepted or not."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from fake_hbase import put_in_place

from flink_jobs import flink_rest, losses, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings, Time
from flink_jobs.stores import Gap
from udfs import hbase_sink
from udfs.hbase_client import HBaseClient
from udfs.hbase_sink import DAY_MS, HOUR_MS, HBaseSink, HBaseTarget, Marker

DAY, NEXT, RUN = "2025-11-11", "2025-11-12", "daily_report-batch-x"
START = Time().day_start(dt.date(2025, 11, 11))
END = START + DAY_MS
MINUTE = 60_000


@pytest.fixture
def settings() -> Settings:
    return Settings.load()


@pytest.fixture
def hbase(monkeypatch: pytest.MonkeyPatch) -> Any:
    fake = put_in_place(monkeypatch)
    monkeypatch.setattr(stores, "ensure_tables", lambda _: None)
    monkeypatch.setattr(HBaseClient, "call", lambda _, work: work(fake))
    monkeypatch.setattr(HBaseClient, "close", lambda _: None)
    monkeypatch.setattr(flink_rest, "living_job", lambda *_: None)
    return fake


class Lost:
    """A log that has lost all that it is asked for."""

    topic = "t"

    def topic_id(self) -> str:
        return "one"

    def refuse_another(self, topic_id: str, run_id: str) -> None:
        pass

    def unexplained(self, partition: int, holes: Any) -> Any:
        return {hole: [hole] for hole in holes}


def a_run(hbase: Any, mode: str = "batch", job: str = runs.REPORT, **more: Any) -> runs.Run:
    run = runs.Run(run_id=RUN, job=job, mode=mode, logic="l", topic="t", topic_id="one", **more)
    return runs.register(hbase, run)


def a_sink(mode: str = "batch", provisional: bool = False) -> HBaseSink:
    named = {"start_offsets": {0: 0}, "topic_id": "one", "clock_skew_ms": 30_000}
    target = HBaseTarget("h", 1, "", 4, RUN, mode, 8 * HOUR_MS, provisional, **named)
    return HBaseSink(target, Lost(), Lost())  # type: ignore[arg-type]


def held_back(mode: str = "batch", provisional: bool = False) -> None:
    """A day is written behind a gap."""
    made = a_sink(mode, provisional)
    made.put_gaps([START + HOUR_MS], [START], [0], [5], [8])
    made.put_daily_sales([END], ["ALL"], ["ALL"], [2], [Decimal("3.50")], [1])
    made.mark([Marker(END, 1, 2, Decimal("3.50"))])


def test_gaps_in_words():
    assert losses.told([Gap(1, 1_000, 2_600, 0, 0), Gap(2, 7, 3, 0, 0), Gap(0, 9, 16, 1, 1, True)]) == (
        "partition 1: offsets 1000 to 2599 (1,600); partition 2: offset 3 after 6, so this is not the log that it was; "
        "partition 0: records behind the watermark, within offsets 9 to 15"
    )


def test_who_accepts_records_behind_the_watermark_accepts_no_loss_between_them(hbase: Any, settings: Settings):
    late, lost = Gap(0, 100, 5_000, START, START, True), Gap(0, 110, 190, START, START)
    a_run(hbase, "streaming")
    losses.note_accepted(settings, RUN, [late])
    run = runs.get(hbase, RUN)
    assert [losses.is_accepted(run, gap) for gap in (late, lost)] == [True, False]
    covers = [hbase_sink._covers(hbase_sink.Gap(*gap), *run.accepted_gaps[0]) for gap in (late, lost)]
    assert covers == [True, False]
    losses.note_accepted(settings, RUN, [Gap(0, 90, 6_000, START, START)])
    assert [losses.is_accepted(runs.get(hbase, RUN), gap) for gap in (late, lost)] == [True, True]


def test_a_day_that_was_marked_before_its_records_came_behind_the_watermark_says_so(hbase: Any, settings: Settings):
    run = a_run(hbase, "streaming")
    made = a_sink("streaming")
    made.mark([Marker(END, 1, 2, Decimal("3.50"))])
    made._put_gaps(0, [hbase_sink.Gap(0, 9, 16, END - MINUTE, END - MINUTE, True)])
    says = "without partition 0: records behind the watermark, within offsets 9 to 15"
    assert losses.lacks(settings, hbase, run, DAY) == [says] and losses.lacks(settings, hbase, run, NEXT) == []


def test_what_came_behind_the_watermark_is_missing_on_the_day_of_its_order_minute(settings: Settings):
    run = runs.Run(run_id=RUN, job=runs.REPORT, mode="streaming", logic="l")
    for minute, day in ((END - 60_000, DAY), (END, NEXT)):
        gap = Gap(0, 9, 16, minute, minute, True)
        assert [d for d in (DAY, NEXT) if losses.concerns(settings, run, gap, d)] == [day]


BEFORE, AFTER = "2025-11-10", "2025-11-12"


@pytest.mark.parametrize(
    ("since", "at", "days"),
    [
        (START + HOUR_MS, START + 2 * HOUR_MS, [DAY]),
        (START, START + HOUR_MS, [BEFORE, DAY]),  # ingest time runs back
        (0, START + HOUR_MS, [BEFORE, DAY]),
        (END - 8 * MINUTE, END - 7 * MINUTE, [DAY]),
        (END - 7 * MINUTE, END - 6 * MINUTE, [DAY, AFTER]),  # ingested before midnight, by a clock that is ahead
        (START + HOUR_MS, 0, [DAY, AFTER]),  # nothing came behind it
    ],
)
def test_the_days_of_a_gap_are_those_between_what_was_read_around_it(settings, since, at, days):
    run = runs.Run(run_id=RUN, job=runs.REPORT, mode="streaming", logic="l")
    gap = Gap(0, 1, 2, since, at)
    assert [day for day in (BEFORE, DAY, AFTER) if losses.concerns(settings, run, gap, day)] == days


def test_a_gap_of_a_backfill_is_one_of_all_its_days(settings: Settings):
    run = runs.Run(run_id=RUN, job=runs.BACKFILL, mode="batch", logic="l", from_day=BEFORE, to_day=DAY)
    gap = Gap(-1, 1, 2, END + 9 * DAY_MS, END + 9 * DAY_MS)
    assert [day for day in (BEFORE, DAY, AFTER) if losses.concerns(settings, run, gap, day)] == [BEFORE, DAY]


def test_a_run_without_a_gap_is_refused_nothing(hbase: Any, settings: Settings):
    a_run(hbase)
    losses.refuse(settings, RUN)
    assert losses.accept(settings, RUN) == ([], [])


@pytest.mark.parametrize(("provisional", "state"), [(False, "finished"), (True, "provisional")])
def test_a_batch_behind_a_gap_is_refused_until_somebody_accepts_it(hbase, settings, provisional, state):
    a_run(hbase)
    held_back(provisional=provisional)
    with pytest.raises(UserError, match=r"partition 0: offsets 5 to 7 \(3\) .* samewater accept-gap"):
        losses.refuse(settings, RUN)
    runs.set_state(hbase, RUN, "failed")  # as the attempt notes it
    with pytest.raises(UserError, match="held back"):
        runs.publication_of(hbase, settings, runs.get(hbase, RUN), DAY)
    (note,) = losses.notes_of_day(settings, hbase, DAY)
    assert note == f"run {RUN} holds 1 versions back: it did not see or count partition 0: offsets 5 to 7 (3)"
    gaps, days = losses.accept(settings, RUN)
    assert ([gap[:3] for gap in gaps], days) == ([(0, 5, 8)], [DAY])
    losses.refuse(settings, RUN)
    run = runs.get(hbase, RUN)
    assert (run.state, run.accepted_gaps) == (state, [(0, 5, 8, False)])
    assert list(runs.markers(hbase, DAY, RUN, "b")) == [END]
    assert (runs.published(hbase, runs.REPORT, DAY) is None) is provisional
    assert losses.notes_of_day(settings, hbase, DAY) == [
        f"run {RUN} has the day without partition 0: offsets 5 to 7 (3)"
    ]
    assert losses.stands_without(settings, hbase, run, "2025-11-12") == []


@pytest.mark.parametrize(("is_open", "state"), [(False, "finished"), (True, "provisional")])
def test_a_backfill_is_finished_once_its_gap_is_accepted_if_its_days_were_closed(hbase, settings, is_open, state):
    a_run(hbase, job=runs.BACKFILL, provisional=is_open)
    a_sink().put_gaps([END + DAY_MS], [END], [-1], [5], [8])  # of the supply, behind the day
    with pytest.raises(UserError, match="supply partition 0: offsets 5 to 7"):
        losses.refuse(settings, RUN)
    runs.set_state(hbase, RUN, "failed")
    losses.accept(settings, RUN)
    assert runs.get(hbase, RUN).state == state and runs.published(hbase, runs.REPORT, DAY) is None


def test_a_second_attempt_that_dies_publishes_nothing_by_what_the_first_held_back(hbase: Any, settings: Settings):
    a_run(hbase)
    held_back()
    with pytest.raises(UserError):
        losses.refuse(settings, RUN)
    losses.forget(settings, RUN)
    runs.set_state(hbase, RUN, "failed")
    assert losses.accept(settings, RUN) == ([], [])
    assert runs.get(hbase, RUN).state == "failed" and runs.published(hbase, runs.REPORT, DAY) is None


def test_nobody_accepts_anything_of_a_batch_that_is_at_work(hbase: Any, settings: Settings, monkeypatch):
    a_run(hbase)
    held_back()
    monkeypatch.setattr(flink_rest, "living_job", lambda *_: "a-job")
    with pytest.raises(UserError, match="is at work"):
        losses.accept(settings, RUN)


def test_what_is_held_back_without_a_gap_is_a_fault_that_nobody_can_accept(hbase: Any, settings: Settings):
    a_run(hbase)
    made = a_sink()
    figures = {"records": [1], "offset_min": [7], "offset_max": [12], "offset_sum": [7]}
    made.put_verdict_counts([END], [0], ["accepted"], figures)
    made.mark([Marker(END, 1, 2, Decimal("3.50"))])
    for ask in (losses.refuse, losses.accept):
        with pytest.raises(UserError, match="although no gap is known"):
            ask(settings, RUN)
    assert runs.markers(hbase, DAY, RUN, "b") == {}


@pytest.mark.parametrize("accepted", [(0, 5, 8), (0, 4, 9), (0, 5, 7), (1, 5, 8), (0, 9, 2), (0, 8, 5)])
@pytest.mark.parametrize("gap", [Gap(0, 5, 8, 0, 0), Gap(0, 9, 2, 0, 0), Gap(0, 500, 7, 0, 0)])
def test_commands_and_the_sink_take_the_same_gaps_for_accepted(accepted: tuple[int, int, int], gap: Gap):
    run = runs.Run(run_id=RUN, job=runs.REPORT, mode="batch", logic="l", accepted_gaps=[accepted])
    expected = accepted == gap[:3] or (gap, accepted) == (Gap(0, 5, 8, 0, 0), (0, 4, 9))
    assert losses.is_accepted(run, gap) is hbase_sink._covers(hbase_sink.Gap(*gap), *accepted) is expected


def test_a_run_that_died_half_way_is_not_finished_by_accepting_a_gap(hbase: Any, settings: Settings):
    a_run(hbase)
    a_sink().put_gaps([START + HOUR_MS], [START], [0], [5], [8])
    runs.set_state(hbase, RUN, "failed")
    losses.accept(settings, RUN)
    assert runs.get(hbase, RUN).state == "failed"


def test_an_attempt_forgets_what_the_one_before_it_did_not_see(hbase: Any, settings: Settings):
    run = a_run(hbase)
    a_sink().put_gaps([START + HOUR_MS], [START], [0], [5], [8])
    losses.forget(settings, RUN)
    assert stores.read_gaps(hbase, RUN, "b") == losses.unaccepted(hbase, run) == []
    a_sink().mark([Marker(END, 0, 0, Decimal(0))])
    assert list(runs.markers(hbase, DAY, RUN, "b")) == [END]
    a_sink().put_gaps([START], [START], [0], [5], [8])
    assert len(losses.unaccepted(hbase, run)) == 1


def test_what_is_accepted_beforehand_holds_nothing_back(hbase: Any, settings: Settings):
    """As `resume --accept-gap` writes it down, before the job comes there."""
    a_run(hbase, "streaming")
    losses.note_accepted(settings, RUN, [Gap(0, 5, 8, 0, 0)])
    losses.note_accepted(settings, RUN, [Gap(1, 2, 3, 0, 0), Gap(0, 5, 8, 0, 0)])
    assert runs.get(hbase, RUN).accepted_gaps == [(0, 5, 8, False), (1, 2, 3, False)]
    held_back("streaming")
    assert list(runs.markers(hbase, DAY, RUN, "s"))[-1] == END
    a_sink("streaming").put_gaps([START], [START], [0], [5], [9])  # more than was accepted
    assert [gap[:3] for gap in losses.unaccepted(hbase, runs.get(hbase, RUN))] == [(0, 5, 9)]


def test_who_accepts_while_a_marker_is_held_back_finds_it_marked(hbase: Any, settings: Settings, monkeypatch):
    """The sink looks again once it has held a version back."""
    a_run(hbase)
    made = a_sink()
    made.put_gaps([START + HOUR_MS], [START], [0], [5], [8])
    put = hbase_sink.HBaseSink._put_markers

    def meanwhile(self: HBaseSink, markers: list[Marker], state: str, note: bytes | None) -> None:
        if state:
            losses.note_accepted(settings, RUN, [Gap(0, 5, 8, 0, 0)])
        put(self, markers, state, note)

    monkeypatch.setattr(hbase_sink.HBaseSink, "_put_markers", meanwhile)
    made.mark([Marker(END, 1, 2, Decimal("3.50"))])
    assert list(runs.markers(hbase, DAY, RUN, "b")) == [END]


@pytest.mark.parametrize(
    ("begins", "partial"),
    [
        (START - 1, None),
        (START + MINUTE, None),  # a heartbeat comes each minute
        (START + MINUTE + 1, "partial: its log begins at 2025-11-11 00:01:00"),
        (END - 1, "partial: its log begins at 2025-11-11 23:59:59"),
        (END + 5, "partial: its log begins at 2025-11-12 00:00:00"),  # of a partition that retention cut there
    ],
)
def test_the_day_within_which_the_log_begins_is_partial(settings, hbase, begins, partial):
    run = a_run(hbase, log_begins=begins)
    assert losses.lacks(settings, hbase, run, DAY) == ([partial] if partial else [])
    hbase.table("versions").put(f"{DAY}|{RUN}".encode(), {b"m:b" + str(END).encode(): b"{}"})
    assert losses.notes_of_day(settings, hbase, DAY) == ([f"run {RUN} has the day {partial}"] if partial else [])


def test_of_a_topic_that_was_empty_the_first_record_says_where_the_log_begins(settings, hbase):
    run = a_run(hbase, mode="streaming")
    assert losses.begins(settings, hbase, run) is None and losses.lacks(settings, hbase, run, DAY) == []
    a_sink("streaming").put_gaps([START + 2 * HOUR_MS - settings.time.lateness_ms], [0], [0], [-1], [0])
    assert losses.begins(settings, hbase, run) == START + 2 * HOUR_MS
    assert losses.lacks(settings, hbase, run, DAY) == ["partial: its log begins at 2025-11-11 02:00:00"]
    assert losses.lacks(settings, hbase, run, "2025-11-12") == []
    assert losses.lacks(settings, hbase, run, "2025-11-10") != []


@pytest.mark.parametrize(
    ("begins", "edge", "now", "lost"),
    [
        ({0: 5, 1: 0}, {}, "one", None),
        ({0: 6, 1: 0}, {}, "one", "retention took partition 0: offsets 5 to 5 (1)"),
        ({0: 6, 1: 0}, {"0": 6}, "one", None),  # the archive had it
        ({0: 99, 1: 0}, {}, "one", "retention took partition 0: offsets 5 to 29 (25)"),
        ({0: 0, 1: 99}, {}, "one", None),  # of which nothing was to be read
        ({0: 0, 1: 0}, {}, "two", "deleted and made again"),
    ],
)
def test_a_batch_that_does_not_tell_what_it_read_is_refused_if_retention_came_so_far(
    settings, hbase, monkeypatch, begins, edge, now, lost
):
    run = a_run(hbase, start_offsets={"0": 5, "1": 7}, end_offsets={"0": 30, "1": 7}, edge_offsets=edge)
    monkeypatch.setattr(losses.order_log, "topic_id", lambda *_: now)
    monkeypatch.setattr(losses.order_log, "topic_start_offsets", lambda *_: begins)
    if lost is None:
        losses.refuse_retention(settings, run)
    else:
        with pytest.raises(UserError) as refused:
            losses.refuse_retention(settings, run)
        assert lost in str(refused.value)


def test_where_no_run_of_this_release_has_begun_there_is_nothing_to_read_and_that_is_no_fault():
    class Missing:
        def table(self, name: str) -> Any:
            return self

        def scan(self, **_: Any) -> Any:
            raise stores.HBaseError(message=b"org.apache.hadoop.hbase.TableNotFoundException: offsets_read")

    nothing: Any = Missing()
    assert stores.read_gaps(nothing, RUN, "s") == []
    assert stores.read_began(nothing, RUN, "s") is None
    assert stores.read_clock(nothing, RUN, "s") == {}
