"""Does a replay run beside the live jobs, unseen, and come to the same end however often it dies on its way?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from fake_hbase import FakeRedis, put_in_place

from flink_jobs import flink_rest, job, replay, runs, stores, submit
from flink_jobs.errors import UserError
from flink_jobs.log_reader import Span
from flink_jobs.replay_commands import changed_minutes, changed_rules, country_of, logic_sentences
from flink_jobs.runs import Run
from flink_jobs.settings import DEFAULT_FILE, Settings

LIVE, REPLAY = "daily_report-streaming-1", "daily_report-streaming-2"
DAYS = ["2025-11-10", "2025-11-11", "2025-11-12"]
END = 1_762_963_200_000  # 2025-11-13T00:00:00+08:00
DAY_MS = 86_400_000


@pytest.fixture
def settings() -> Settings:
    return Settings.load(DEFAULT_FILE)


def a_run(run_id: str = LIVE, **changes: Any) -> Run:
    rules = {"lateness_ms": 300_000, "zone": "Asia/Shanghai"}
    fields = {"job": runs.REPORT, "mode": "streaming", "logic": "old", "topic": "orders", "settings": rules}
    return Run.model_validate({"run_id": run_id, **fields, "from_day": DAYS[0], **changes})


def a_replay(**changes: Any) -> Run:
    return a_run(REPLAY, **{"logic": "new", "cluster": "batch", "replays": LIVE, "provisional": True, **changes})


# ---------------------------------------------------------------- beside the live run


def test_what_is_resumed_publishes_by_itself_once_it_is_no_longer_provisional(settings: Settings) -> None:
    submitted = job.flink_options(settings, a_replay(), provisional=True)
    assert job.kept_options(submitted, a_replay()) == submitted
    resumed = job.kept_options(submitted, a_replay(provisional=False))
    differing = {name for name in submitted if submitted[name] != resumed[name]}
    assert differing == {"pipeline.global-job-parameters"}
    assert "samewater.provisional:no" in resumed["pipeline.global-job-parameters"]
    assert job.kept_options(resumed, a_replay()) == submitted


def test_a_replay_is_no_batch_run() -> None:
    day = dt.date(2025, 11, 11)
    with pytest.raises(UserError, match="--mode batch"):
        job.Request(runs.REPORT, "batch", "orders", day, day, replays=LIVE)


@pytest.mark.parametrize(
    ("arguments", "cluster"),
    [((), "realtime"), (("--replays", LIVE), "batch"), ((f"--replays={LIVE}", "--topic", "t"), "batch")],
)
def test_a_replay_goes_to_the_batch_cluster(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], cluster: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(submit.flink_rest, "free_slots", lambda _, name, needed: asked.append(name) or needed)
    monkeypatch.setattr(submit, "package", lambda: None)
    monkeypatch.setattr(submit, "_flink_run", lambda _, name, *rest: asked.append(name) or REPLAY)
    assert submit.submit(settings, None, runs.REPORT, "streaming", arguments) == REPLAY
    assert asked == [cluster, cluster]


@pytest.mark.parametrize(
    ("zone", "job_name", "until"),
    [
        ("Asia/Shanghai", runs.REPORT, END - 3_600_000),
        ("Asia/Shanghai", runs.DASHBOARD, END - 6 * 60_000),
        ("Asia/Kolkata", runs.REPORT, END - 1_800_000),  # its hours begin at half past
    ],
)
def test_a_run_has_caught_up_at_the_last_whole_step_of_its_own_rules(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, zone: str, job_name: str, until: int
) -> None:
    monkeypatch.setattr(replay, "topic_max_ingest", lambda *_: {0: END + 3_600_000, 1: END})
    rules = replay.rules_of(a_run(settings={"zone": zone}))
    assert replay.reach(settings, "orders", rules, job_name) == until
    later = replay.rules_of(a_run(settings={"zone": zone, "lateness_ms": 600_000}))
    assert replay.reach(settings, "orders", later, job_name) == until - (300_000 if job_name == runs.DASHBOARD else 0)


def test_a_log_with_an_empty_partition_is_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "topic_max_ingest", lambda *_: {0: END, 1: None})
    with pytest.raises(UserError, match="empty"):
        replay.reach(settings, "orders", settings.time, runs.REPORT)


def test_the_multiple_of_real_time_is_log_by_seconds(settings: Settings) -> None:
    assert "1 day, 0:00:00 of the log in 40 s, 2,160 times" in replay.CaughtUp(
        settings.time, END, DAY_MS, 40.0
    ).sentence(REPLAY)
    assert "times" not in replay.CaughtUp(settings.time, END, 0, 0.1).sentence(REPLAY)


# ---------------------------------------------------------------- catching up


@pytest.fixture
def replaying(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A run that comes on by an hour a look, to the end of a log of a day, while it lives."""
    found = SimpleNamespace(at=None, step=3_600_000, lives=True, looks=0)

    def position(*_: Any) -> int | None:
        found.looks += 1
        if found.looks > 2:
            found.at = (found.at or END - DAY_MS) + found.step
        return found.at

    runs.register(put_in_place(monkeypatch), a_replay())
    monkeypatch.setattr(replay, "position", position)
    monkeypatch.setattr(replay, "first_ingest", lambda *_: END - DAY_MS)
    monkeypatch.setattr(replay, "reach", lambda *_: END)
    monkeypatch.setattr(replay, "is_living", lambda *_: found.lives)
    monkeypatch.setattr(replay, "LOOK_S", 0)
    return found


def test_the_wait_ends_where_the_log_ended_and_counts_what_was_replayed(
    settings: Settings, replaying: SimpleNamespace
) -> None:
    done = replay.await_caught_up(settings, REPLAY)
    assert (done.until, done.log_ms, replaying.at) == (END, DAY_MS, END)
    again = replay.await_caught_up(settings, REPLAY)
    assert again.log_ms == 0


def test_a_run_that_dies_or_stands_is_told(
    settings: Settings, replaying: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaying.step = 0
    monkeypatch.setattr(replay, "STALL_S", -1)
    with pytest.raises(UserError, match=f"has stood at .*replay wait {REPLAY}"):
        replay.await_caught_up(settings, REPLAY)
    replaying.lives = False
    with pytest.raises(UserError, match=f"no longer at work.*samewater resume {REPLAY}"):
        replay.await_caught_up(settings, REPLAY)


def test_a_day_that_is_not_in_hdfs_as_in_hbase_is_not_flipped(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {"ALL|ALL": {"orders": "1", "amount": "1.00", "users": "1"}}
    held: dict[str, Any] = {"versions": {}, "doubled": []}
    monkeypatch.setattr(replay, "read_report", lambda *_: SimpleNamespace(table=table))
    monkeypatch.setattr(stores, "hdfs", lambda _: nullcontext())
    monkeypatch.setattr(stores, "read_sales_files", lambda *_: (held["versions"], held["doubled"]))
    monkeypatch.setattr(replay, "files_due_s", lambda _: 0)
    with pytest.raises(UserError, match="HDFS does not hold"):
        replay.refuse_unless_whole(settings, a_replay(), DAYS[2])
    held["versions"] = {END: table}
    replay.refuse_unless_whole(settings, a_replay(), DAYS[2])
    held["doubled"] = [stores.Doubled("ALL|ALL", 2)]
    with pytest.raises(UserError, match="HDFS does not hold"):
        replay.refuse_unless_whole(settings, a_replay(), DAYS[2])


# ---------------------------------------------------------------- what differs


def test_both_logic_versions_are_said_and_the_rules_that_differ() -> None:
    other = a_replay(settings={"lateness_ms": 600_000, "zone": "Asia/Shanghai"})
    assert changed_rules(a_run(), other) == {"lateness_ms": (300_000, 600_000)}
    assert logic_sentences(a_run(), other)[1:] == ["rule lateness_ms: 300000 -> 600000"]
    assert "SQL, functions or regions" in logic_sentences(a_run(), a_replay())[1]
    assert "the same" in logic_sentences(a_run(), a_replay(logic="old"))[1]


def test_minutes_differ_only_as_far_as_both_runs_are_final() -> None:
    def minute(orders: int, cents: int) -> dict[str, str]:
        return {"final": "1", "orders": str(orders), "cents": str(cents)}

    before = {"00:01|ALL": minute(1, 100), "00:02|ALL": minute(2, 200), "00:04|ALL": minute(1, 1)}
    after = {"00:01|ALL": minute(1, 100), "00:02|ALL": minute(3, 250), "00:03|110000": minute(1, -50)}
    found = list(changed_minutes("d", before, after, "00:04"))
    assert [(one.minute, one.province, one.before, one.after) for one in found] == [
        ("00:02", "ALL", (2, 200), (3, 250)),
        ("00:03", "110000", (0, 0), (1, -50)),
    ]
    assert country_of(before, "00:04") == (3, 300) and country_of(after, "24:00") == (4, 350)


# ---------------------------------------------------------------- which days are flipped


def test_days_of_a_backfill_or_of_another_log_are_left_alone() -> None:
    shown = {
        "a": a_run(),
        "b": a_replay(),
        "c": a_run("backfill-1", job=runs.BACKFILL, mode="batch"),
        "d": a_run("elsewhere", topic="x"),
        "e": None,
        "f": a_run("daily_report-batch-1", mode="batch"),
    }
    made = replay.plan(a_replay(), list(shown), shown)
    assert made.flip == {"a": LIVE, "e": "", "f": "daily_report-batch-1"}
    assert made.already == ["b"]
    assert "backfill-1" in made.left["c"] and "topic x" in made.left["d"] and len(made.left) == 2


# ---------------------------------------------------------------- deaths


class Killed(BaseException):
    """What a death looks like to the code: nothing catches it."""


class World:
    """HBase, and two Flink clusters that hold the live run and its replay; it can end at any change of either."""

    def __init__(self, hbase: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hbase, self.living, self.redis = hbase, {("realtime", LIVE), ("batch", REPLAY)}, FakeRedis()
        self.changes, self.dies_at = 0, 0
        self.both_lived = False
        runs.register(hbase, a_run(state="running"))
        runs.register(hbase, a_replay(state="running"))
        for run_id in (LIVE, REPLAY):
            for n, day in enumerate(DAYS):
                self.mark(run_id, day, END - (len(DAYS) - 1 - n) * DAY_MS)
        for name in ("amend", "publish"):
            monkeypatch.setattr(runs, name, self.mortal(getattr(runs, name)))
        monkeypatch.setattr(replay, "stop_run", self.mortal(self.stop))
        monkeypatch.setattr(replay, "resume_run", self.mortal(self.resume))
        monkeypatch.setattr(replay, "_can_move", lambda *_: True)
        monkeypatch.setattr(replay, "subtasks_of", lambda *_: 2)
        monkeypatch.setattr(replay, "await_caught_up", self.catch_up)
        monkeypatch.setattr(replay, "refuse_unless_whole", lambda *_: None)
        monkeypatch.setattr(replay.lease, "held", lambda *_: nullcontext())
        monkeypatch.setattr(stores, "redis", lambda _: self.redis)
        monkeypatch.setattr(flink_rest, "free_slots", lambda *_: 4 - 2 * self.on("realtime"))
        monkeypatch.setattr(
            flink_rest,
            "living_job",
            lambda _, cluster, run_id: "f00" if (cluster, run_id) in self.living else None,
        )

    def on(self, cluster: str) -> int:
        return sum(where == cluster for where, _ in self.living) + (cluster == "realtime")  # and the other live job

    def mark(self, run_id: str, day: str, version: int) -> None:
        marker = {f"m:{version:013}".encode(): b'{"rows": 0, "orders": 0, "amount": "0.00"}'}
        self.hbase.table("versions").put(stores.marker_key(day, run_id).encode(), marker)
        self.hbase.table("runs").put(run_id.encode(), {b"r:last_version_streaming": str(version).encode()})

    def mortal(self, change: Callable[..., Any]) -> Callable[..., Any]:
        """The change, after which the process may die."""

        def changed(*arguments: Any, **named: Any) -> Any:
            result = change(*arguments, **named)
            self.changes += 1
            if self.changes == self.dies_at:
                raise Killed
            return result

        return changed

    def stop(self, _: Settings, run_id: str) -> Any:
        self.living.remove((runs.get(self.hbase, run_id).cluster, run_id))
        return SimpleNamespace(savepoint="s")

    def resume(self, _: Settings, __: str | None, run_id: str) -> None:
        run = runs.get(self.hbase, run_id)
        assert not [where for where, living in self.living if living == run_id], "it would run twice"
        assert self.on(run.cluster) < 2, f"the cluster {run.cluster} has no place"
        self.living.add((run.cluster, run_id))

    def catch_up(self, settings: Settings, run_id: str, since: float | None = None) -> replay.CaughtUp:
        assert replay.is_living(settings, runs.get(self.hbase, run_id))
        return replay.CaughtUp(settings.time, END, 0, 1.0)

    def end(self) -> tuple[Any, ...]:
        """All that is so in the end."""
        run = runs.get(self.hbase, REPLAY)
        return sorted(self.living), runs.shown(self.hbase, runs.REPORT, DAYS), run.cluster, run.provisional

    def until_done(self, command: Callable[[], None], dies_at: int) -> bool:
        """Die at that change, then do it again; says whether it died."""
        self.changes, self.dies_at = 0, dies_at
        try:
            command()
        except Killed:
            self.dies_at = 0
            command()
            return True
        return False


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], World]]:
    def make() -> World:
        monkeypatch.undo()
        made = World(put_in_place(monkeypatch), monkeypatch)
        for day, run_id, topic in ((DAYS[0], LIVE, "orders"), (DAYS[1], "other", "x")):
            if run_id == "other":
                runs.register(made.hbase, a_run("other", topic=topic))
            said = runs.Publication(run_id=run_id, mode="streaming", topic=topic)
            runs.publish(made.hbase, runs.REPORT, day, said)
        return made

    return make


PUBLISHED = (
    [("realtime", REPLAY)],
    {DAYS[0]: REPLAY, DAYS[1]: "other", DAYS[2]: REPLAY},
    "realtime",
    False,
)
TAKEN_BACK = ([("realtime", LIVE)], {DAYS[0]: LIVE, DAYS[1]: "other", DAYS[2]: LIVE}, "batch", True)


def test_a_publication_that_dies_anywhere_comes_to_the_same_end(world: Callable[[], World], settings: Settings) -> None:
    deaths = 0
    for n in range(1, 20):
        now = world()
        deaths += now.until_done(lambda: replay.publish(settings, None, REPLAY, lambda _: None), n)
        assert now.end() == PUBLISHED, f"killed at change {n}"
        assert runs.get(now.hbase, REPLAY).base == {DAYS[0]: LIVE, DAYS[2]: ""}
    # base, two flips, a stop, a stop, where it lives now, a resume
    assert deaths == 7


def test_an_undo_that_dies_anywhere_comes_to_the_same_end(world: Callable[[], World], settings: Settings) -> None:
    deaths = 0
    for n in range(1, 20):
        now = world()
        replay.publish(settings, None, REPLAY, lambda _: None)
        deaths += now.until_done(lambda: replay.undo(settings, None, REPLAY, lambda _: None), n)
        assert now.end() == TAKEN_BACK, f"killed at change {n}"
    # a flip back, a stop, where it lives, a resume, the day that only the replay had
    assert deaths == 5


def test_an_undo_takes_back_a_publication_that_died_anywhere(world: Callable[[], World], settings: Settings) -> None:
    for n in range(2, 8):
        now = world()
        now.changes, now.dies_at = 0, n
        with pytest.raises(Killed):
            replay.publish(settings, None, REPLAY, lambda _: None)
        now.dies_at = 0
        replay.undo(settings, None, REPLAY, lambda _: None)
        living, shown, *_ = now.end()
        assert (living, shown[DAYS[0]], shown[DAYS[1]]) == ([("realtime", LIVE)], LIVE, "other")
        assert shown[DAYS[2]] in (LIVE, "")


def test_a_day_that_the_old_run_has_not_goes_on_showing_the_replay(
    world: Callable[[], World], settings: Settings
) -> None:
    now, said = world(), []
    replay.publish(settings, None, REPLAY, lambda _: None)
    now.hbase.table("versions").rows.pop(stores.marker_key(DAYS[2], LIVE).encode())
    replay.undo(settings, None, REPLAY, said.append)
    assert now.end()[1] == {DAYS[0]: LIVE, DAYS[1]: "other", DAYS[2]: REPLAY}
    assert any(DAYS[2] in sentence and "goes on showing" in sentence for sentence in said)
    now.mark(LIVE, DAYS[2], END)
    replay.undo(settings, None, REPLAY, said.append)
    assert now.end() == TAKEN_BACK


def test_a_day_that_closes_while_the_replay_moves_is_published_too(
    world: Callable[[], World], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = world()

    def catch_up(*arguments: Any) -> replay.CaughtUp:
        if ("realtime", REPLAY) in now.living:
            now.mark(REPLAY, "2025-11-13", END + DAY_MS)
        return now.catch_up(*arguments)

    monkeypatch.setattr(replay, "await_caught_up", catch_up)
    replay.publish(settings, None, REPLAY, lambda _: None)
    assert runs.shown(now.hbase, runs.REPORT, ["2025-11-13"]) == {"2025-11-13": REPLAY}


def test_doing_it_again_changes_nothing_and_says_so(world: Callable[[], World], settings: Settings) -> None:
    now, said = world(), []
    replay.publish(settings, None, REPLAY, lambda _: None)
    replay.publish(settings, None, REPLAY, said.append)
    assert now.end() == PUBLISHED and any("already" in sentence for sentence in said)
    for _ in range(2):
        replay.undo(settings, None, REPLAY, lambda _: None)
        assert now.end() == TAKEN_BACK


def test_a_replay_that_is_taken_back_catches_up_before_it_is_published_again(
    world: Callable[[], World], settings: Settings
) -> None:
    now = world()
    replay.publish(settings, None, REPLAY, lambda _: None)
    replay.undo(settings, None, REPLAY, lambda _: None)
    with pytest.raises(UserError, match=f"samewater resume {REPLAY}"):
        replay.publish(settings, None, REPLAY, lambda _: None)
    assert now.end() == TAKEN_BACK
    now.resume(settings, None, REPLAY)
    replay.publish(settings, None, REPLAY, lambda _: None)
    assert now.end() == PUBLISHED


def test_nothing_is_flipped_for_which_the_live_cluster_would_have_no_place(
    world: Callable[[], World], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = world()
    before = now.end()
    monkeypatch.setattr(flink_rest, "free_slots", lambda *_: 0)
    monkeypatch.setattr(replay, "subtasks_of", lambda _, run: 2 if run.run_id == REPLAY else 1)
    with pytest.raises(UserError, match="--parallelism 1"):
        replay.publish(settings, None, REPLAY, lambda _: None)
    assert now.end() == before


def test_of_two_replays_of_a_run_only_one_takes_its_place(world: Callable[[], World], settings: Settings) -> None:
    now = world()
    replay.publish(settings, None, REPLAY, lambda _: None)
    runs.register(now.hbase, a_run("second", replays=LIVE, provisional=True, cluster="batch"))
    with pytest.raises(UserError, match=f"undo {REPLAY}"):
        replay.publish(settings, None, "second", lambda _: None)
    with pytest.raises(UserError, match="no replay"):
        replay.publish(settings, None, LIVE, lambda _: None)
    # The replay itself may be replayed; while that one has its place, it cannot be taken back.
    runs.register(now.hbase, a_run("third", replays=REPLAY))
    with pytest.raises(UserError, match="undo third"):
        replay.undo(settings, None, REPLAY, lambda _: None)


def test_a_replay_that_nobody_was_shown_is_not_taken_back(world: Callable[[], World], settings: Settings) -> None:
    now = world()
    with pytest.raises(UserError, match="was not published"):
        replay.undo(settings, None, REPLAY, lambda _: None)
    assert ("batch", REPLAY) in now.living


@pytest.mark.parametrize(
    ("living", "named", "chosen"),
    [
        ([LIVE], None, LIVE),
        ([], None, "newer"),  # a live job that was stopped for its wrong figures
        ([LIVE, "newer"], "newer", "newer"),
        ([LIVE, "newer"], None, None),
        ([LIVE], REPLAY, None),
    ],
)
def test_a_replay_is_for_the_run_that_lives(
    world: Callable[[], World],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    living: list[str],
    named: str | None,
    chosen: str | None,
) -> None:
    now = world()
    runs.register(now.hbase, a_run("newer", submitted_at="2025-11-13T00:00:00+08:00"))
    monkeypatch.setattr(flink_rest, "living_jobs", lambda *_: [{"name": name} for name in living])
    if chosen is None:
        with pytest.raises(UserError):
            replay.live_run(settings, now.hbase, runs.REPORT, "orders", named)
    else:
        assert replay.live_run(settings, now.hbase, runs.REPORT, "orders", named).run_id == chosen


# ---------------------------------------------------------------- where it begins


class Cut:
    """A log whose partitions begin at these offsets, with these ingest times; open_log gives it."""

    def __init__(self, begins: dict[int, tuple[int, int]]) -> None:
        self.begins = begins

    def reach(self) -> dict[int, Span]:
        return {partition: Span(start, 100) for partition, (start, _) in self.begins.items()}

    def first_ingest_of(self, partition: int) -> int:
        return self.begins[partition][1]


@pytest.mark.parametrize(
    ("begins", "day"),
    [
        ({0: (0, END), 1: (0, END)}, None),
        ({0: (7, END - 2 * DAY_MS), 1: (0, END)}, "2025-11-13"),
        # The keys of a day before tell its late copies: they too must be there.
        ({0: (7, END - 2 * DAY_MS), 1: (9, END - DAY_MS - 60_001)}, "2025-11-13"),
        ({0: (7, END - 2 * DAY_MS), 1: (9, END - DAY_MS - 60_000)}, "2025-11-14"),
    ],
)
def test_a_replay_begins_with_the_first_day_of_which_retention_has_taken_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, begins: dict[int, tuple[int, int]], day: str | None
) -> None:
    monkeypatch.setattr(replay, "open_log", lambda *_: nullcontext(Cut(begins)))
    assert replay.first_whole_day(settings, "orders") == day
