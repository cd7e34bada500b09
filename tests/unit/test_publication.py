"""Is what readers are shown flipped, told and taken back as the commands promise, and by one at a time?"""

from __future__ import annotations

import csv
import io
import json
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result
from fake_hbase import FakeRedis, marker_column, put_in_place

from flink_jobs import backfill_checks, full_store, lease, publication, readers, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import DEFAULT_FILE, Settings

DAY = "2025-11-11"
END = 1_762_876_800_000  # 2025-11-12T00:00:00+08:00


@pytest.fixture
def settings() -> Settings:
    return Settings.load(DEFAULT_FILE)


@pytest.fixture
def hbase(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three batch runs of the day, none of which is published."""
    fake = put_in_place(monkeypatch)
    for run_id in ("a", "b", "c"):
        a_run(fake, run_id)
    return fake


@pytest.fixture(autouse=True)
def redis(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    fake = FakeRedis()
    monkeypatch.setattr(stores, "redis", lambda _: fake)
    return fake


def a_run(hbase: Any, run_id: str, **changes: Any) -> runs.Run:
    """A finished run, with a marked version of the day (no rows)."""
    fields = {"job": runs.REPORT, "mode": "batch", "logic": f"logic of {run_id}", "topic": "orders"}
    days = {"from_day": DAY, "to_day": DAY}
    run = runs.register(hbase, runs.Run.model_validate({"run_id": run_id, **fields, **days, **changes}))
    marker = {marker_column(run.family, END): b'{"rows": 0, "orders": 0, "amount": "0.00"}'}
    hbase.table("versions").put(stores.marker_key(DAY, run_id).encode(), marker)
    runs.set_state(hbase, run_id, "finished")
    return run


def call(settings: Settings, command: Any, *arguments: str) -> Result:
    """A command as the command line calls it; a mistake of the user comes out as its exception."""
    return CliRunner().invoke(command, arguments, obj=settings, standalone_mode=False)


def said(settings: Settings, command: Any, *arguments: str) -> str:
    result = call(settings, command, *arguments)
    assert result.exception is None, result.exception
    return result.output.strip()


def sentence(settings: Settings, command: Any, *arguments: str) -> str:
    result = call(settings, command, *arguments)
    assert isinstance(result.exception, UserError), result
    return str(result.exception)


def shown(hbase: Any, report: str = runs.REPORT, day: str = DAY) -> str:
    return runs.shown(hbase, report, [day])[day]


def rows(settings: Settings, *arguments: str) -> list[dict[str, Any]]:
    return list(json.loads(said(settings, publication.published, *arguments, "--json"))["rows"])


# ---------------------------------------------------------------- publish


def test_publishing_needs_a_day_a_known_run_and_a_version(settings: Settings, hbase: Any) -> None:
    assert "--day" in sentence(settings, publication.publish, "a")
    assert "not registered" in sentence(settings, publication.publish, "nope", "--day", DAY)
    assert "no version of 2025-11-12" in sentence(settings, publication.publish, "a", "--day", "2025-11-12")
    assert "not a day" in sentence(settings, publication.publish, "a", "--day", "today")
    assert shown(hbase) == ""


def test_a_flip_can_be_bound_to_what_was_seen_and_says_why(settings: Settings, hbase: Any) -> None:
    assert said(settings, publication.publish, "a", "--day", DAY) == f"daily_report of {DAY} shows run a"
    flip = ("b", "--day", DAY, "--instead-of", "c")
    assert "shows run a, not run c" in sentence(settings, publication.publish, *flip)
    flip = ("b", "--day", DAY, "--instead-of", "a", "--why", " the till came late ")
    assert said(settings, publication.publish, *flip) == f"daily_report of {DAY} shows run b, before it a"
    assert [(row["run_id"], row["why"]) for row in rows(settings, "--day", DAY)] == [("b", "the till came late")]


# ---------------------------------------------------------------- published, and its history


def test_the_history_tells_who_when_why_and_which_run_the_newest_first(settings: Settings, hbase: Any) -> None:
    for run_id in ("a", "b"):
        said(settings, publication.publish, run_id, "--day", DAY)
    found = rows(settings, "--day", DAY, "--history")
    assert [(row["run_id"], row["why"]) for row in found] == [("b", "published"), ("a", "first")]
    runs.set_state(hbase, "a", runs.CLEANED)
    assert [row["state"] for row in rows(settings, "--history")] == ["finished", "cleaned"]
    for row in found:
        told = (row["report"], row["day"], row["who"], row["job"], row["mode"], row["logic"], row["rows"])
        assert told == (runs.REPORT, DAY, runs.submitter(), runs.REPORT, "batch", f"logic of {row['run_id']}", 0)
        assert (row["version"], row["digest"]) == ("2025-11-12 00:00:00", stores.digest({})) and row["at"]
    printed = said(settings, publication.published, "--history", "--format", "csv")
    assert [row["run_id"] for row in csv.DictReader(io.StringIO(printed))] == ["b", "a"]
    assert "published" in said(settings, publication.published, "--history")


def test_what_is_published_is_told_by_day_and_by_report(settings: Settings, hbase: Any) -> None:
    said(settings, publication.publish, "a", "--day", DAY)
    live = runs.Publication(run_id="live", mode="streaming", job=runs.DASHBOARD)
    runs.publish(hbase, runs.DASHBOARD, runs.LIVE, live)
    assert {(row["report"], row["run_id"]) for row in rows(settings)} == {
        (runs.REPORT, "a"),
        (runs.DASHBOARD, "live"),
    }
    assert [row["run_id"] for row in rows(settings, "--report", runs.DASHBOARD)] == ["live"]
    assert [row["run_id"] for row in rows(settings, "--day", "live", "--history")] == ["live"]
    assert "nothing is published of 2025-11-12" in sentence(settings, publication.published, "--day", "2025-11-12")


# ---------------------------------------------------------------- rollback


def test_a_rollback_shows_what_was_shown_before_and_the_next_one_what_it_took_away(
    settings: Settings, hbase: Any
) -> None:
    for run_id in ("a", "b", "c"):
        said(settings, publication.publish, run_id, "--day", DAY)
    back = said(settings, publication.rollback, "--day", DAY)
    assert back == f"daily_report of {DAY} shows run b again, in place of c"
    assert shown(hbase) == "b" and readers.read_report(settings, DAY).run.run_id == "b"
    said(settings, publication.rollback, "--day", DAY)
    assert shown(hbase) == "c"
    assert [row["why"] for row in rows(settings, "--history")[:3]] == ["rollback", "rollback", "published"]


@pytest.mark.parametrize("which", [("--to", "a"), ("--instead-of", "b"), ("--to", "a", "--instead-of", "b")])
def test_a_rollback_that_says_which_does_nothing_the_second_time(
    settings: Settings, hbase: Any, which: tuple[str, ...]
) -> None:
    for run_id in ("a", "b"):
        said(settings, publication.publish, run_id, "--day", DAY)
    said(settings, publication.rollback, "--day", DAY, *which)
    assert shown(hbase) == "a"
    before = runs.history(hbase, runs.REPORT, DAY)
    assert said(settings, publication.rollback, "--day", DAY, *which) == f"daily_report of {DAY} shows run a already"
    assert runs.history(hbase, runs.REPORT, DAY) == before


def test_a_rollback_is_refused_where_there_is_nothing_before_or_another_run_is_shown(
    settings: Settings, hbase: Any
) -> None:
    assert "shows nothing" in sentence(settings, publication.rollback, "--day", DAY)
    said(settings, publication.publish, "a", "--day", DAY)
    assert "no other run was published" in sentence(settings, publication.rollback, "--day", DAY)
    said(settings, publication.publish, "b", "--day", DAY)
    assert "c was never published" in sentence(settings, publication.rollback, "--day", DAY, "--to", "c")
    assert "run b, not run c" in sentence(settings, publication.rollback, "--day", DAY, "--instead-of", "c")
    assert "run b, not run a" in sentence(settings, publication.rollback, "--day", DAY, "--instead-of", "a")
    assert "name one with --day" in sentence(settings, publication.rollback)
    assert "leave --day out" in sentence(settings, publication.rollback, "--report", runs.DASHBOARD, "--day", DAY)
    assert shown(hbase) == "b"


def test_of_a_rollback_and_a_publication_at_the_same_moment_one_is_told(settings: Settings, hbase: Any) -> None:
    for run_id in ("a", "b"):
        said(settings, publication.publish, run_id, "--day", DAY)
    hbase.table("versions").after_read = [lambda: said(settings, publication.publish, "c", "--day", DAY)]
    assert "shows run c, not run b" in sentence(settings, publication.rollback, "--day", DAY)
    assert shown(hbase) == "c"


def test_the_minutes_follow_a_backfill_that_is_taken_back(settings: Settings, hbase: Any, redis: FakeRedis) -> None:
    fill = a_run(hbase, "fill", job=runs.BACKFILL)
    said(settings, publication.publish, "a", "--day", DAY)
    assert "samewater backfill publish fill" in sentence(settings, publication.publish, "fill", "--day", DAY)
    runs.publish(hbase, runs.REPORT, DAY, runs.publication_of(hbase, settings, fill, DAY))
    assert runs.sync_day(hbase, cast(Any, redis), settings, DAY) == "fill"
    assert stores.backfilled_by(redis, settings, DAY) == "fill"
    said(settings, publication.rollback, "--day", DAY)
    assert stores.backfilled_by(redis, settings, DAY) is None
    redis.hset(stores.current_days(settings), DAY, "fill")
    said(settings, publication.rollback, "--day", DAY, "--to", "a")
    assert stores.backfilled_by(redis, settings, DAY) is None, "it heals the pointer also when nothing is to be done"


@pytest.mark.parametrize("whole", [True, False])
def test_a_rollback_to_a_backfill_looks_first_whether_that_is_whole(
    settings: Settings, hbase: Any, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    def look(_: Settings, run: runs.Run) -> None:
        assert run.run_id == "fill"
        with (
            pytest.raises(UserError, match="is being made by"),
            lease.held(settings, backfill_checks.publishing("fill")),
        ):
            pytest.fail("it may be done again meanwhile")
        if not whole:
            raise UserError("it is not")

    monkeypatch.setattr(backfill_checks, "refuse_unless_whole", look)
    monkeypatch.setattr(stores, "ensure_tables", lambda _: None)
    fill = a_run(hbase, "fill", job=runs.BACKFILL)
    runs.publish(hbase, runs.REPORT, DAY, runs.publication_of(hbase, settings, fill, DAY))
    said(settings, publication.publish, "a", "--day", DAY)
    if whole:
        said(settings, publication.rollback, "--day", DAY)
    else:
        assert sentence(settings, publication.rollback, "--day", DAY) == "it is not"
    assert shown(hbase) == ("fill" if whole else "a")


def test_of_a_withdrawn_day_a_rollback_says_what_would_show_it_again(settings: Settings, hbase: Any) -> None:
    said(settings, publication.publish, "a", "--day", DAY)
    runs.withdraw(hbase, runs.REPORT, DAY, "a")
    for more in ((), ("--to", "a")):
        assert f"`samewater publish a --day {DAY}`" in sentence(settings, publication.rollback, "--day", DAY, *more)
    assert [row["run_id"] for row in rows(settings, "--day", DAY, "--history")] == ["a"]
    assert "nothing is published" in sentence(settings, publication.published, "--day", DAY)


def test_a_full_report_is_taken_back_with_the_figures_that_are_stored_now(settings: Settings, hbase: Any) -> None:
    for run_id in ("old", "new"):
        a_run(hbase, run_id, job=runs.FULL_REPORT)
        key = stores.sales_key(DAY, run_id, "ALL", "ALL", settings.report.buckets).encode()
        hbase.table(full_store.REPORT).put(key, {b"b:orders": b"3"}, END)
        said(settings, publication.publish, run_id, "--day", DAY)
    said(settings, publication.rollback, "--day", DAY, "--report", runs.FULL_REPORT)
    (now,) = rows(settings, "--report", runs.FULL_REPORT)
    assert (now["run_id"], now["rows"], now["why"]) == ("old", 1, "rollback")
    runs.set_state(hbase, "new", "failed")
    again = sentence(settings, publication.rollback, "--day", DAY, "--report", runs.FULL_REPORT)
    assert "new is no finished full report" in again and shown(hbase, runs.FULL_REPORT) == "old"


def test_the_screen_goes_back_to_an_older_dashboard_only_by_a_word(
    settings: Settings, hbase: Any, redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = {"old": END - 3_600_000, "new": END}
    monkeypatch.setattr(stores, "read_final_until", lambda client, settings, run_id: final[run_id])
    for run_id in ("old", "new"):
        a_run(hbase, run_id, job=runs.DASHBOARD, mode="streaming", from_day="", to_day="")
        said(settings, publication.publish, run_id)
    back = ("--report", runs.DASHBOARD)
    assert "wait until it has caught up" in sentence(settings, publication.rollback, *back)
    assert redis == {"samewater:current": "new"}
    said(settings, publication.rollback, *back, "--anyway")
    assert redis == {"samewater:current": "old"} and shown(hbase, runs.DASHBOARD, runs.LIVE) == "old"
