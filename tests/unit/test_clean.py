"""Do exactly the runs go that nobody can need, and whole, wherever it is killed and whoever comes at the same time?"""

from __future__ import annotations

import copy
import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner
from fake_hbase import FakeRedis, marker_column, put_in_place
from fsspec.implementations.memory import MemoryFileSystem

from flink_jobs import (
    clean,
    compiled,
    flink_rest,
    late,
    lease,
    readers,
    rebuild,
    reconcile,
    recovery,
    runs,
    stores,
)
from flink_jobs.clean import Facts, judge
from flink_jobs.errors import UserError
from flink_jobs.runs import Run
from flink_jobs.settings import DEFAULT_FILE, Settings, Versions

DAY, NEXT = "2025-11-11", "2025-11-12"
END = 1_762_876_800_000  # 2025-11-12T00:00:00+08:00
NOW = dt.datetime(2026, 1, 20, tzinfo=dt.UTC)
LONG_AGO = "2026-01-01T00:00:00+08:00"


def a_run(run_id: str, **changes: Any) -> Run:
    fields = {"job": runs.REPORT, "mode": "batch", "logic": "l", "topic": "orders", "from_day": DAY, "to_day": DAY}
    return Run.model_validate({"run_id": run_id, "state": "finished", "ended_at": LONG_AGO, **fields, **changes})


# ---------------------------------------------------------------- which go


def gone(found: list[Run], needed: dict[str, str] | None = None, age: dict[str, float] | None = None, **kept: int):
    """Ids of the runs that go. `age`: days since each was last seen; 30 unless told."""
    seen = {run.run_id: NOW - dt.timedelta(days=(age or {}).get(run.run_id, 30)) for run in found}
    days = {run.run_id: run.days or [runs.LIVE] for run in found}
    facts = Facts(found, days, needed or {}, seen, NOW)
    return [
        one.run.run_id for one in judge(Versions(**{"kept_runs": 0, "kept_days": 7, **kept}), facts) if not one.kept
    ]


def test_a_run_goes_once_it_is_old_enough():
    found = [a_run("new"), a_run("old")]
    assert gone(found, age={"new": 6.9, "old": 7.1}) == ["old"]
    assert gone(found, age={"new": 0, "old": 0}, kept_days=0) == ["new", "old"]


def test_the_newest_finished_runs_of_each_job_and_day_stay():
    found = [a_run(f"r{n}") for n in range(4)] + [a_run("other-day", from_day=NEXT, to_day=NEXT)]
    found += [a_run("both-days", to_day=NEXT), a_run("report", job=runs.FULL_REPORT)]
    assert gone([*found, a_run("last")], kept_runs=2) == ["r2", "r3", "last"]


def test_a_run_that_failed_takes_nobodys_place_and_stays_for_its_days_only():
    found = [a_run("failed", state="failed"), a_run("provisional", state="provisional"), a_run("good"), a_run("bad")]
    assert gone(found, kept_runs=1) == ["failed", "provisional", "bad"]


def test_what_is_shown_takes_no_place_among_those_that_nobody_is_shown():
    found = [a_run("shown"), a_run("before"), a_run("one")]
    needed = {"shown": "published: daily_report of 2025-11-11", "before": "shown before: …"}
    assert gone(found, needed, kept_runs=1) == ["one"]
    assert gone(found, needed, kept_runs=2) == []


def test_a_run_of_which_nobody_knows_whether_it_has_ended_stays_for_a_day_at_least():
    found = [a_run("running", state="running"), a_run("begun", state="submitted"), a_run("ended")]
    ages = {"running": 0.9, "begun": 1.1, "ended": 0.1}
    assert gone(found, age=ages, kept_days=0) == ["begun", "ended"]


def test_what_a_backfill_that_stays_goes_back_to_stays_too():
    chain = [
        a_run("second", job=runs.BACKFILL, base={DAY: "first"}),
        a_run("first", job=runs.BACKFILL, base={DAY: "report", NEXT: ""}),
        a_run("report"),
        a_run("third", job=runs.BACKFILL, base={DAY: "alone"}),
        a_run("alone"),
    ]
    assert gone(chain, {"second": "published: daily_report of 2025-11-11"}) == ["report", "third", "alone"]
    assert gone(chain, age={"first": 1, "third": 1}) == ["second"], "also of one that is not shown yet"


def test_runs_of_jobs_that_are_not_known_here_stay():
    assert gone([a_run("x", job="unique_visitors"), a_run("y", job="?")]) == []


def test_a_cleaning_that_was_begun_is_ended_whatever_the_settings_say_by_now():
    assert gone([a_run("x", state=runs.CLEANING)], age={"x": 0}, kept_runs=9) == ["x"]


# ---------------------------------------------------------------- what is there


class Files(MemoryFileSystem):
    """HDFS as far as the cleaning sees it: listings tell when a thing was changed."""

    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    def ls(self, path: str, detail: bool = True, **more: Any) -> Any:
        found = super().ls(path, detail=detail, **more)
        return [one | {"modificationTime": 1_768_000_000_000} for one in found] if detail else found


class Place:
    """The three stores, and what lives in Flink."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        self.hbase = put_in_place(monkeypatch)
        self.redis = FakeRedis()
        Files.store, Files.pseudo_dirs = {}, [""]
        self.files = Files()
        self.living: list[str] = []
        monkeypatch.setattr(stores, "redis", lambda _: self.redis)
        monkeypatch.setattr(stores, "hdfs", self._opened)
        monkeypatch.setattr(stores, "ensure_tables", lambda _: None)
        monkeypatch.setattr(flink_rest, "living_jobs", lambda *_: [{"name": name} for name in self.living])

    @contextmanager
    def _opened(self, _: Settings) -> Iterator[Any]:
        yield self.files

    def write(self, run: Run, days: tuple[str, ...] = (DAY,), version: int = END) -> Run:
        """All that a run may leave: marked rows, files (also unfinished ones), state, minutes."""
        runs.register(self.hbase, run)
        runs.set_state(self.hbase, run.run_id, run.state, ended_at=run.ended_at)
        family, root, buckets = run.family, self.settings.hdfs.root, self.settings.report.buckets
        for day in days:
            for row in ("ALL|ALL", "110000|ALL", "110000|110100", "440000|440300"):
                key = stores.sales_key(day, run.run_id, *row.split("|"), buckets=buckets).encode()
                for at in (version - 3_600_000, version):
                    self.hbase.table("daily_sales").put(key, {f"{family}:orders".encode(): b"1"}, at)
                self.hbase.table("full_report").put(key, {b"b:orders": b"1"}, version)
            key = f"{day}|{run.run_id}|00000|late".encode()
            self.hbase.table("verdicts").put(key, {f"{family}:records".encode(): b"1"}, version)
            marker = {marker_column(family, version): b'{"rows": 0, "orders": 0, "amount": "0.00"}'}
            self.hbase.table("versions").put(stores.marker_key(day, run.run_id).encode(), marker)
            for dataset in clean.DATASETS:
                self.files.pipe_file(f"{stores.run_folder(self.settings, dataset, day, run.run_id)}/part", b"x")
            self.files.pipe_file(f"{root}/daily_sales/.staging_1/task-0/dt={day}/run={run.run_id}/part", b"x")
            self.redis[f"samewater:{run.run_id}:minutes:{day}"] = {"00:00|ALL": "1:1:1"}
        self.files.pipe_file(f"{compiled.folder(self.settings, run.run_id)}/job.json", b"x")
        self.files.pipe_file(f"{stores.checkpoints_folder(self.settings, run.run_id)}/j/chk-1/_metadata", b"x")
        self.files.pipe_file(f"{stores.savepoints_folder(self.settings, run.run_id)}/s/_metadata", b"x")
        return run

    def publish(self, run: Run, report: str = runs.REPORT, day: str = DAY) -> None:
        said = runs.said_by(self.settings, run).model_copy(update={"at": LONG_AGO})
        runs.publish(self.hbase, report, day, said)

    def left(self, run_id: str) -> list[str]:
        """Everything in the stores that bears the run's id, but its row of `runs` and the publications."""
        found = [
            f"{name} {key.decode()}"
            for name in ("daily_sales", "full_report", "verdicts", "versions")
            for key, cells in self.hbase.table(name).rows.items()
            if f"|{run_id}|" in f"{key.decode()}|" and any(cells.values())
        ]
        found += [name for name in self.files.find("/") if f"/{run_id}/" in name or f"run={run_id}/" in name]
        return found + [key for key in self.redis if key.startswith(f"samewater:{run_id}:")]

    def everything(self) -> Any:
        return copy.deepcopy((self.hbase.tables["runs"].rows, {**self.redis}, sorted(self.files.find("/"))))

    def clean(self) -> dict[str, str]:
        """Run id -> why it is kept; empty if it went."""
        return {one.run.run_id: one.kept for one in clean.clean_runs(self.settings)}

    def state(self, run_id: str) -> str:
        return runs.get(self.hbase, run_id).state


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    settings = Settings.load(DEFAULT_FILE)
    return Place(settings.model_copy(update={"versions": Versions(kept_runs=0, kept_days=1)}), monkeypatch)


def call(place: Place, *arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(clean.clean, [*arguments, "--json"], obj=place.settings, standalone_mode=False)
    assert result.exception is None, result.exception
    return list(json.loads(result.output)["rows"])


# ---------------------------------------------------------------- what goes, and what is told


def test_a_run_goes_from_all_three_stores_and_its_row_stays(place: Place):
    place.write(a_run("a"))
    whole = len(place.left("a"))
    place.write(a_run("ab"))
    place.living = ["ab"]
    assert whole > 15 and len(place.left("ab")) == whole
    told = {row["run_id"]: (row["action"], row["why"]) for row in call(place)}
    assert told["a"][0] == "removed" and told["ab"] == ("kept", "at work in Flink")
    assert place.left("a") == [] and place.state("a") == runs.CLEANED
    assert len(place.left("ab")) == whole, "its id begins like the other's"
    assert [row["run_id"] for row in call(place)] == ["ab"], "what is cleaned is told by `samewater runs` alone"


def test_a_dry_run_says_the_same_and_removes_nothing(place: Place):
    place.write(a_run("a"))
    before = place.everything()
    (row,) = call(place, "--dry-run")
    assert (row["run_id"], row["state"], row["action"]) == ("a", "finished", "would be removed")
    assert place.everything() == before


def test_a_streaming_run_without_an_end_goes_with_all_its_days_also_those_without_a_marker(place: Place):
    place.write(a_run("live", mode="streaming", state="stopped", from_day="", to_day=""), (DAY, NEXT, "2026-02-01"))
    place.hbase.table("versions").delete(stores.marker_key(NEXT, "live").encode(), [b"m"], END)
    place.write(a_run("other", from_day=NEXT, to_day=NEXT), (NEXT,))
    place.living = ["other"]
    assert len([name for name in place.left("live") if NEXT in name]) > 10
    place.clean()
    assert place.left("live") == [] and place.left("other")


def test_the_rows_of_a_day_that_has_not_ended_go_too(place: Place):
    future = round(dt.datetime.now(dt.UTC).timestamp() * 1000) + 86_400_000
    place.write(a_run("a", state="provisional"), version=future)
    place.clean()
    assert place.left("a") == []


def test_what_is_shown_and_what_a_rollback_goes_back_to_stays(place: Place):
    for run_id in ("oldest", "before", "shown", "never"):
        run = place.write(a_run(run_id))
        if run_id != "never":
            place.publish(run)
    assert place.clean() == {
        "shown": f"published: daily_report of {DAY}",
        "before": f"shown before: rollback of daily_report of {DAY} goes back to it",
        "oldest": "",
        "never": "",
    }
    runs.set_state(place.hbase, "before", "finished")
    assert runs.rollback(place.hbase, place.settings, runs.REPORT, DAY).run_id == "before"
    with pytest.raises(UserError, match="oldest was cleaned"):
        runs.rollback(place.hbase, place.settings, runs.REPORT, DAY, to="oldest")
    assert all(place.clean().values())


def test_a_run_stays_for_some_days_after_it_was_last_shown(place: Place):
    for run_id in ("a", "b", "c"):
        place.publish(place.write(a_run(run_id)))
    now = runs.said_by(place.settings, runs.get(place.hbase, "b"))
    runs.publish(place.hbase, runs.REPORT, DAY, now)  # that takes `c` away today, and `b` is shown
    runs.publish(place.hbase, runs.REPORT, DAY, now.model_copy(update={"run_id": "d"}))
    place.write(a_run("d"))
    kept = place.clean()
    assert kept["c"] == "seen less than 1 d ago" and kept["a"] == ""


def test_the_dashboard_that_was_on_the_screen_before_stays(place: Place):
    for run_id in ("older", "old", "new"):
        run = a_run(run_id, job=runs.DASHBOARD, mode="streaming", state="stopped", from_day="", to_day="")
        place.publish(place.write(run, days=()), runs.DASHBOARD, runs.LIVE)
        place.redis[f"samewater:{run_id}:days"] = {f"{DAY}|ALL": "1:1"}
    assert {run_id: bool(why) for run_id, why in place.clean().items()} == {"new": True, "old": True, "older": False}
    assert place.left("older") == [] and place.left("old")


# ---------------------------------------------------------------- who is in the way


def test_a_run_that_is_claimed_leased_or_about_to_be_published_stays(place: Place, monkeypatch: pytest.MonkeyPatch):
    for run_id, job in (("claimed", runs.REPORT), ("leased", runs.FULL_REPORT), ("next", runs.REPORT)):
        place.write(a_run(run_id, job=job))
    runs.claim(place.hbase, place.settings, "claimed")
    now = dt.datetime.now(dt.UTC).isoformat()
    place.hbase.table("published").put(f"daily_report|{DAY}".encode(), {b"p:next|next": f"me since {now}".encode()})
    with lease.held(place.settings, f"full_report|{DAY}"):
        kept = place.clean()
    assert kept["claimed"].startswith("being submitted by") and kept["leased"].startswith("full_report|2025-11-11 is")
    assert kept["next"] == f"being published as daily_report of {DAY} by me since {now}"
    assert [place.state(run_id) for run_id in kept] == ["finished"] * 3


@pytest.mark.parametrize("rival", ["publishes", "submits", "lives"])
def test_who_comes_at_the_same_moment_keeps_the_run_or_is_told(
    place: Place, rival: str, monkeypatch: pytest.MonkeyPatch
):
    run = place.write(a_run("a"))
    whole = place.left("a")
    announced = f"me since {dt.datetime.now(dt.UTC).isoformat()}".encode()

    def come() -> None:
        """After the first look, before the state is set."""
        if rival == "publishes":
            place.hbase.table("published").put(f"daily_report|{DAY}".encode(), {b"p:next|a": announced})
        elif rival == "submits":
            runs.claim(place.hbase, place.settings, "a")
        else:
            place.living = ["a"]

    begin = clean._begin
    monkeypatch.setattr(clean, "_begin", lambda *arguments: (come(), begin(*arguments)))
    assert place.clean()["a"]
    assert place.left("a") == whole and place.state("a") == "finished"
    monkeypatch.setattr(clean, "_begin", lambda *arguments: (begin(*arguments), refused()))

    def refused() -> None:
        with pytest.raises(UserError, match="was cleaned"):
            place.publish(run)
        with pytest.raises(UserError, match="was cleaned"):
            runs.claim(place.hbase, place.settings, "a")

    place.living = []
    place.hbase.table("published").put(f"daily_report|{DAY}".encode(), {b"p:next|a": b""})
    place.hbase.table("runs").put(b"a", {b"r:claim": b""})
    assert place.clean() == {"a": ""} and place.left("a") == []


def test_a_run_that_begins_to_run_in_that_moment_is_left_as_it_is(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.write(a_run("a"))
    begin = clean._begin

    def begin_and_run(connection: Any, run_id: str) -> None:
        runs.claim(connection, place.settings, run_id)
        begin(connection, run_id)
        runs.set_state(connection, run_id, "running", "f00")

    monkeypatch.setattr(clean, "_begin", begin_and_run)
    assert place.clean()["a"].startswith("being submitted by") and place.state("a") == "running" and place.left("a")


def test_two_do_not_clean_at_once(place: Place):
    place.write(a_run("a"))
    with lease.held(place.settings, clean.LEASE):
        result = CliRunner().invoke(clean.clean, [], obj=place.settings, standalone_mode=False)
    assert isinstance(result.exception, UserError) and place.state("a") == "finished"


def test_nothing_goes_while_flink_does_not_answer(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.write(a_run("a"))

    def down(*_: Any) -> Any:
        raise UserError("Flink cluster `batch` does not answer")

    monkeypatch.setattr(flink_rest, "living_jobs", down)
    with pytest.raises(UserError, match="does not answer"):
        place.clean()
    assert place.state("a") == "finished"


@pytest.mark.parametrize(
    "work",
    [
        lambda s, c: readers.read_report(s, DAY, "a"),
        lambda s, c: reconcile.choose_run(s, c, "streaming", "orders", DAY, "a"),
        lambda s, c: list(late.ledger(s, c, [DAY], "a")),
        lambda s, c: rebuild._run(c, "a"),
        lambda s, c: recovery.resume_run(s, None, "a"),
        lambda s, c: recovery.stop_run(s, "a"),
    ],
)
def test_whoever_names_a_run_that_is_cleaned_is_told(place: Place, work: Callable[[Settings, Any], Any]):
    place.write(a_run("a", mode="streaming", state="stopped"))
    place.clean()
    with pytest.raises(UserError, match="run a was cleaned"):
        work(place.settings, place.hbase)


# ---------------------------------------------------------------- killed


class Killed(BaseException):
    pass


@pytest.mark.parametrize("number", range(24))
def test_killed_at_any_point_and_called_again_it_comes_to_the_same_end(
    place: Place, monkeypatch: pytest.MonkeyPatch, number: int
):
    """Killed before the nth of all steps; some numbers lie behind the end."""
    shown = place.write(a_run("shown"))
    place.publish(shown)
    for run_id in ("a", "b"):
        place.write(a_run(run_id))
    kept = place.left("shown")
    left = number

    def fragile(step: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1:
                raise Killed
            return step(*arguments, **more)

        return run

    with monkeypatch.context() as patches:
        for module, name in (
            (clean, "_begin"),
            (clean, "_doom"),
            (clean, "_delete"),
            (stores, "remove_keys"),
            (runs, "set_state"),
            (runs, "check_and_put_cell"),
        ):
            patches.setattr(module, name, fragile(getattr(module, name)))
        try:
            place.clean()
        except Killed:
            pass
        else:
            assert number > 15, "this killed nothing"
    for run_id in ("a", "b"):
        if place.state(run_id) == runs.CLEANING:
            with pytest.raises(UserError, match="was cleaned"):
                place.publish(runs.get(place.hbase, run_id))
    place.clean()
    assert place.left("a") == place.left("b") == [] and place.left("shown") == kept
    assert [place.state(run_id) for run_id in ("a", "b", "shown")] == [runs.CLEANED, runs.CLEANED, "finished"]
    assert place.clean() == {"shown": f"published: daily_report of {DAY}"}


def test_a_run_of_which_rows_may_be_gone_is_not_brought_back(place: Place, monkeypatch: pytest.MonkeyPatch):
    place.write(a_run("a"))
    with monkeypatch.context() as patches:
        patches.setattr(clean, "_delete", lambda *_, **__: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            place.clean()
    place.living = ["a"]  # a job that somebody started by hand, past all commands
    assert place.clean() == {"a": ""} and place.state("a") == runs.CLEANED
