"""Are runs registered once, versions counted by their markers, and published rows flipped by one writer only?"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, cast

import pytest
from fake_hbase import FakeHBase, FakeRedis, marker_column

from flink_jobs import process_id, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.runs import Publication, Run
from flink_jobs.settings import DEFAULT_FILE, Settings

DAY = "2025-11-11"
END = 1_762_876_800_000  # 2025-11-12T00:00:00+08:00
HOUR = 3_600_000


@pytest.fixture
def settings() -> Settings:
    return Settings.load(DEFAULT_FILE)


@pytest.fixture
def hbase() -> Any:
    return FakeHBase()


def a_run(run_id: str = "daily_report-batch-1", **changes: Any) -> Run:
    fields = {
        "job": "daily_report",
        "mode": "batch",
        "logic": "abc",
        "settings": {"lateness_ms": 300_000},
        "topic": "orders",
        "from_day": DAY,
        "to_day": DAY,
        "start_offsets": {"0": 17},
        "submitted_at": "2025-11-12T01:00:00+08:00",
        "submitted_by": "somebody@here",
    }
    return Run.model_validate({"run_id": run_id, **fields, **changes})


def a_publication(run_id: str, **changes: Any) -> Publication:
    return Publication.model_validate({"run_id": run_id, "mode": "batch", "who": f"owner of {run_id}", **changes})


def test_a_run_id_names_job_mode_and_second_and_is_never_the_same_twice(settings: Settings) -> None:
    ids = {runs.new_run_id(settings, "daily_report", "batch") for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch(r"daily_report-batch-[0-9]{8}T[0-9]{6}-[0-9a-f]{6}", run_id) for run_id in ids)


def test_a_registered_run_is_read_back_as_it_was(hbase: Any) -> None:
    runs.register(hbase, a_run())
    assert runs.get(hbase, "daily_report-batch-1") == a_run()


def test_a_run_lives_on_the_cluster_of_its_mode_unless_it_says_another(hbase: Any) -> None:
    for run_id, fields in (("b", {}), ("s", {"mode": "streaming"}), ("r", {"mode": "streaming", "cluster": "batch"})):
        runs.register(hbase, a_run(run_id, **fields))
    hbase.table("runs").put(b"of-an-earlier-release", {b"r:job": b"daily_report", b"r:mode": b"streaming"})
    found = {run.run_id: run.cluster for run in runs.list_runs(hbase)}
    assert found == {"b": "batch", "s": "realtime", "r": "batch", "of-an-earlier-release": "realtime"}


def test_registering_a_run_again_changes_nothing(hbase: Any) -> None:
    runs.register(hbase, a_run())
    runs.set_state(hbase, "daily_report-batch-1", "running", "f00")
    again = runs.register(hbase, a_run(submitted_at="2026-01-01T00:00:00+08:00"))
    assert (again.state, again.flink_job_id, again.submitted_at) == ("running", "f00", "2025-11-12T01:00:00+08:00")
    assert runs.get(hbase, "daily_report-batch-1") == again


@pytest.mark.parametrize("change", [{"logic": "x"}, {"topic": "x"}, {"mode": "streaming"}, {"to_day": ""}])
def test_the_id_of_a_run_cannot_be_taken_for_another_run(hbase: Any, change: dict[str, str]) -> None:
    runs.register(hbase, a_run())
    with pytest.raises(UserError, match=next(iter(change))):
        runs.register(hbase, a_run(**change))
    assert runs.get(hbase, "daily_report-batch-1") == a_run()


@pytest.mark.parametrize("change", [{"job": "realtime_dashboard"}, {"mode": "streaming"}, {"topic": "x"}])
def test_of_two_that_register_one_id_at_the_same_moment_for_different_runs_one_is_refused(
    hbase: Any, change: dict[str, str]
) -> None:
    hbase.table("runs").after_read = [lambda: runs.register(hbase, a_run(**change))]
    with pytest.raises(UserError, match=f"daily_report-batch-1 has {next(iter(change))}"):
        runs.register(hbase, a_run())
    assert runs.get(hbase, "daily_report-batch-1") == a_run(**change)


def test_of_two_that_register_the_same_run_at_the_same_moment_both_are_told_what_is_stored(hbase: Any) -> None:
    def rival() -> None:
        runs.register(hbase, a_run(end_offsets={"0": 30}))
        runs.set_state(hbase, "daily_report-batch-1", "running", "f00")

    hbase.table("runs").after_read = [rival]
    found = runs.register(hbase, a_run(end_offsets={"0": 31}))
    assert (found.state, found.end_offsets) == ("running", {"0": 30}) and found == runs.get(hbase, found.run_id)


def test_a_run_that_an_earlier_release_registered_is_still_read_and_keeps_its_id(hbase: Any) -> None:
    old = {"job": "daily_report", "mode": "batch", "logic": "abc", "topic": "orders", "start_offsets": '{"0": 17}'}
    hbase.table("runs").put(b"old", {f"r:{name}".encode(): text.encode() for name, text in old.items()})
    assert runs.get(hbase, "old").start_offsets == {"0": 17}
    with pytest.raises(UserError, match="has mode 'batch', not 'streaming'"):
        runs.register(hbase, a_run("old", mode="streaming"))


def test_a_state_noted_for_a_run_that_nobody_registered_takes_no_id_away(hbase: Any) -> None:
    runs.set_state(hbase, "daily_report-batch-1", "failed")
    assert runs.get(hbase, "daily_report-batch-1").job == "?"
    assert runs.register(hbase, a_run()) == a_run(state="failed")


def test_a_run_that_nobody_registered_is_a_mistake_of_the_user(hbase: Any) -> None:
    with pytest.raises(UserError, match="nope"):
        runs.get(hbase, "nope")


def test_runs_are_listed_by_job_mode_and_topic_the_newest_first(hbase: Any) -> None:
    runs.register(hbase, a_run("old", submitted_at="2025-11-12T01:00:00+08:00"))
    runs.register(hbase, a_run("new", submitted_at="2025-11-12T02:00:00+08:00"))
    runs.register(hbase, a_run("other_topic", topic="x"))
    runs.register(hbase, a_run("live", mode="streaming"))
    found = runs.list_runs(hbase, job="daily_report", mode="batch", topic="orders")
    assert [run.run_id for run in found] == ["new", "old"]
    assert len(runs.list_runs(hbase)) == 4


def test_the_versions_of_a_run_are_those_with_a_marker_the_oldest_first(hbase: Any) -> None:
    versions = hbase.table("versions")
    for version in (END, END - HOUR):
        key = stores.marker_key(DAY, "one").encode()
        column = marker_column("b", version)
        versions.put(key, {column: b'{"rows": 3, "orders": 1, "amount": "1.00"}'})
    versions.put(stores.marker_key(DAY, "one-more").encode(), {b"m:b1762876800000": b"{}"})
    found = runs.markers(hbase, DAY, "one", "b")
    assert list(found) == [END - HOUR, END]
    assert found[END] == runs.Marker(rows=3, orders=1, amount="1.00")
    assert runs.runs_of_day(hbase, DAY) == ["one", "one-more"]


def test_the_versions_of_one_mode_say_nothing_of_the_other(hbase: Any) -> None:
    key = stores.marker_key(DAY, "one").encode()
    for family, orders in (("s", 1), ("b", 2)):
        marker = runs.Marker(rows=3, orders=orders, amount="1.00").model_dump_json().encode()
        hbase.table("versions").put(key, {marker_column(family, END): marker})
    assert [runs.markers(hbase, DAY, "one", family)[END].orders for family in ("s", "b")] == [1, 2]


def test_the_versions_that_an_earlier_release_marked_still_count(hbase: Any) -> None:
    key = stores.marker_key(DAY, "one").encode()
    hbase.table("versions").put(key, {f"m:{END:013}".encode(): b'{"rows": 3, "orders": 1, "amount": "1.00"}'})
    assert list(runs.markers(hbase, DAY, "one", "s")) == [END]


def test_the_versions_of_a_day_are_told_by_run(hbase: Any) -> None:
    runs.set_state(hbase, "unknown", "running")
    for run_id, mode, family in (("one", "batch", "b"), ("two", "streaming", "s"), ("three", "batch", "s")):
        runs.register(hbase, a_run(run_id, mode=mode))
        marker = {marker_column(family, END): b'{"rows": 3, "orders": 1, "amount": "1.00"}'}
        for key in (run_id, "unknown"):
            hbase.table("versions").put(stores.marker_key(DAY, key).encode(), marker)
    found = {run.run_id: list(markers) for run, markers in runs.versions_of_day(hbase, DAY)}
    assert found == {"one": [END], "two": [END]}


def test_a_run_is_submitted_by_one_at_a_time(hbase: Any, settings: Settings) -> None:
    runs.register(hbase, a_run())
    held = runs.claim(hbase, settings, "daily_report-batch-1")
    with pytest.raises(UserError, match="is being submitted by"):
        runs.claim(hbase, settings, "daily_report-batch-1")
    runs.release(hbase, "daily_report-batch-1", held)
    runs.claim(hbase, settings, "daily_report-batch-1")


def test_of_two_that_claim_a_run_at_the_same_moment_one_is_told(hbase: Any, settings: Settings) -> None:
    runs.register(hbase, a_run())
    hbase.table("runs").after_read = [lambda: runs.claim(hbase, settings, "daily_report-batch-1")]
    with pytest.raises(UserError, match=f"is being submitted by {re.escape(runs.submitter())}"):
        runs.claim(hbase, settings, "daily_report-batch-1")


def test_the_claim_of_a_process_that_died_is_taken_over_and_its_release_does_nothing(
    hbase: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.register(hbase, a_run())
    dead = runs.claim(hbase, settings, "daily_report-batch-1")
    monkeypatch.setattr(runs, "CLAIM_LASTS", dt.timedelta(0))
    taken = runs.claim(hbase, settings, "daily_report-batch-1")
    monkeypatch.undo()
    runs.release(hbase, "daily_report-batch-1", dead)
    with pytest.raises(UserError, match=re.escape(taken.partition(" since ")[0])):
        runs.claim(hbase, settings, "daily_report-batch-1")


@pytest.mark.parametrize("gone", [True, False, None])
def test_a_claim_is_taken_over_at_once_if_its_process_is_gone_from_this_machine(
    hbase: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, gone: bool | None
) -> None:
    """None: it ran on another machine, so it lasts its time."""
    runs.register(hbase, a_run())
    runs.claim(hbase, settings, "daily_report-batch-1")
    host, pid, started = process_id.own()
    asked: list[tuple[str, int, float]] = []
    monkeypatch.setattr(process_id, "is_gone", lambda *process: asked.append(process) or gone)
    if gone:
        runs.claim(hbase, settings, "daily_report-batch-1")
    else:
        with pytest.raises(UserError, match="is being submitted by"):
            runs.claim(hbase, settings, "daily_report-batch-1")
    assert asked == [(host, pid, started)]


def test_nothing_is_published_at_first(hbase: Any) -> None:
    assert runs.published(hbase, "daily_report", DAY) is None
    assert list(runs.list_published(hbase)) == []


def test_a_flip_keeps_the_history_the_newest_first(hbase: Any) -> None:
    for run_id in ("a", "b", "c"):
        runs.publish(hbase, "daily_report", DAY, a_publication(run_id))
    found = runs.published(hbase, "daily_report", DAY)
    assert found is not None
    assert (found.run_id, found.previous) == ("c", ["b", "a"])


def test_undo_is_the_same_flip_back(hbase: Any) -> None:
    for run_id in ("a", "b", "a"):
        runs.publish(hbase, "daily_report", DAY, a_publication(run_id))
    found = runs.published(hbase, "daily_report", DAY)
    assert found is not None
    assert (found.run_id, found.previous) == ("a", ["b", "a"])


def test_publishing_the_published_run_again_adds_no_history(hbase: Any) -> None:
    runs.publish(hbase, "daily_report", DAY, a_publication("a"))
    runs.publish(hbase, "daily_report", DAY, a_publication("a", rows=3))
    found = runs.published(hbase, "daily_report", DAY)
    assert found is not None
    assert (found.rows, found.previous) == (3, [])


def test_of_two_writers_the_loser_is_told_who_won_and_changes_nothing(hbase: Any) -> None:
    runs.publish(hbase, "daily_report", DAY, a_publication("a"))
    hbase.table("published").after_read = [lambda: runs.publish(hbase, "daily_report", DAY, a_publication("rival"))]
    with pytest.raises(UserError, match="owner of rival, who published run rival"):
        runs.publish(hbase, "daily_report", DAY, a_publication("mine"))
    found = runs.published(hbase, "daily_report", DAY)
    assert found is not None
    assert (found.run_id, found.previous) == ("rival", ["a"])


def test_a_flip_can_be_bound_to_what_was_seen_before(hbase: Any) -> None:
    with pytest.raises(UserError, match="nothing, not run a"):
        runs.publish(hbase, "daily_report", DAY, a_publication("b"), instead_of="a")
    assert runs.publish(hbase, "daily_report", "2025-11-12", a_publication("b"), instead_of="").run_id == "b"
    with pytest.raises(UserError, match="run b, not nothing"):
        runs.publish(hbase, "daily_report", "2025-11-12", a_publication("a"), instead_of="")
    runs.publish(hbase, "daily_report", DAY, a_publication("a"))
    with pytest.raises(UserError, match="run a, not run x"):
        runs.publish(hbase, "daily_report", DAY, a_publication("b"), instead_of="x")
    assert runs.publish(hbase, "daily_report", DAY, a_publication("b"), instead_of="a").previous == ["a"]


def test_the_history_says_what_was_shown_by_whom_and_why_the_newest_first(hbase: Any) -> None:
    assert runs.history(hbase, "daily_report", DAY) == []
    runs.publish(hbase, "daily_report", DAY, a_publication("a", digest="1"))
    runs.publish(hbase, "daily_report", DAY, a_publication("b", why="the till was closed twice"))
    runs.publish(hbase, "daily_report", DAY, a_publication("c"))
    found = runs.history(hbase, "daily_report", DAY)
    assert [(one.run_id, one.why, one.who) for one in found] == [
        ("c", "published", "owner of c"),
        ("b", "the till was closed twice", "owner of b"),
        ("a", "first", "owner of a"),
    ]
    assert found[0] == runs.published(hbase, "daily_report", DAY) and found[2].digest == "1"


def test_what_an_earlier_release_published_is_still_read(hbase: Any) -> None:
    old = b'{"at": "2025-11-12T01:00:00+08:00", "digest": "d", "mode": "batch", "offsets": {"0": 7}, "previous": [], '
    old += b'"rows": 3, "run_id": "a", "watermark": 1762876800000, "who": "w"}'
    hbase.table("published").put(b"daily_report|2025-11-11", {b"p:current": old})
    found = runs.published(hbase, "daily_report", DAY)
    assert found is not None
    assert (found.run_id, found.rows, found.job, found.why, found.ends) == ("a", 3, "", "", None)


# ---------------------------------------------------------------- undo


def with_a_version(hbase: Any, run: Run) -> Run:
    """Register a run, with a marked version of the day (no rows)."""
    runs.register(hbase, run)
    marker = {marker_column(run.family, END): b'{"rows": 0, "orders": 0, "amount": "0.00"}'}
    hbase.table("versions").put(stores.marker_key(DAY, run.run_id).encode(), marker)
    return run


def publish_all(hbase: Any, settings: Settings, *names: str) -> None:
    for name in names:
        run = with_a_version(hbase, a_run(name))
        runs.publish(hbase, "daily_report", DAY, runs.publication_of(hbase, settings, run, DAY))


def test_a_rollback_shows_the_run_before_and_the_next_one_goes_forward_again(hbase: Any, settings: Settings) -> None:
    publish_all(hbase, settings, "a", "b", "c")
    assert runs.rollback(hbase, settings, "daily_report", DAY).run_id == "b"
    found = runs.published(hbase, "daily_report", DAY)
    assert found is not None
    assert (found.run_id, found.why, found.previous, found.who) == ("b", "rollback", ["c", "b", "a"], runs.submitter())
    assert runs.rollback(hbase, settings, "daily_report", DAY).run_id == "c"
    assert runs.rollback(hbase, settings, "daily_report", DAY, to="a").run_id == "a"


def test_a_rollback_goes_to_nothing_but_the_history(hbase: Any, settings: Settings) -> None:
    with pytest.raises(UserError, match="shows nothing"):
        runs.rollback(hbase, settings, "daily_report", DAY)
    publish_all(hbase, settings, "a")
    with pytest.raises(UserError, match="no other run was published"):
        runs.rollback(hbase, settings, "daily_report", DAY)
    with_a_version(hbase, a_run("b"))
    with pytest.raises(UserError, match="run b was never published"):
        runs.rollback(hbase, settings, "daily_report", DAY, to="b")
    found = runs.published(hbase, "daily_report", DAY)
    assert found is not None and found.run_id == "a"


def test_a_rollback_can_be_bound_to_what_was_seen_and_loses_to_a_rival(hbase: Any, settings: Settings) -> None:
    publish_all(hbase, settings, "a", "b")
    with pytest.raises(UserError, match="run b, not run x"):
        runs.rollback(hbase, settings, "daily_report", DAY, instead_of="x")
    with_a_version(hbase, a_run("rival"))
    hbase.table("versions").after_read = [
        lambda: runs.publish(hbase, "daily_report", DAY, a_publication("rival")),
    ]
    with pytest.raises(UserError, match="run rival, not run b"):
        runs.rollback(hbase, settings, "daily_report", DAY)


def test_a_rollback_to_a_run_that_was_removed_is_refused(hbase: Any, settings: Settings) -> None:
    publish_all(hbase, settings, "a", "b")
    del hbase.table("versions").rows[stores.marker_key(DAY, "a").encode()]
    with pytest.raises(UserError, match="run a has no version"):
        runs.rollback(hbase, settings, "daily_report", DAY)


def test_a_backfill_is_published_as_the_daily_report_once_it_is_finished(hbase: Any, settings: Settings) -> None:
    run = with_a_version(hbase, a_run("fill", job=runs.BACKFILL, end_offsets={"0": 30}))
    assert runs.report_of(run) == runs.REPORT
    with pytest.raises(UserError, match="is submitted, not finished"):
        runs.publication_of(hbase, settings, run, DAY)
    runs.set_state(hbase, run.run_id, "finished")
    found = runs.publication_of(hbase, settings, run, DAY)
    assert (found.job, found.logic, found.topic, found.ends) == (runs.BACKFILL, "abc", "orders", {"0": 30})


def test_a_provisional_backfill_is_never_published(hbase: Any, settings: Settings) -> None:
    run = with_a_version(hbase, a_run("fill", job=runs.BACKFILL, provisional=True))
    runs.set_state(hbase, run.run_id, "provisional")
    with pytest.raises(UserError, match="is provisional: 2025-11-11 was not closed"):
        runs.publication_of(hbase, settings, run, DAY)


def test_a_verdict_is_told_as_long_as_what_it_was_made_of_is_published(hbase: Any) -> None:
    runs.publish(hbase, "daily_report", DAY, a_publication("a", digest="1"))
    assert runs.reconciled(hbase, DAY) is None
    red = runs.Reconciled(run_id="a", digest="1", topic="orders", equal=False, says="NOT EQUAL", failed=["report"])
    runs.note_reconciled(hbase, DAY, red)
    green = red.model_copy(update={"equal": True, "failed": []})
    runs.note_reconciled(hbase, DAY, green)
    assert runs.reconciled(hbase, DAY) == green
    assert [verdict for *_, verdict in runs.list_published(hbase)] == [green]
    for other in (a_publication("a", digest="2"), a_publication("b", digest="1")):
        runs.publish(hbase, "daily_report", DAY, other)
        assert runs.reconciled(hbase, DAY) is None
    runs.publish(hbase, "daily_report", DAY, a_publication("a", digest="1"))
    assert runs.reconciled(hbase, DAY) == green, "undo brings the run back, and what was found of it"


def test_a_publication_describes_the_newest_marked_version_and_no_later_cell(hbase: Any, settings: Settings) -> None:
    run = a_run(mode="streaming")
    key = stores.sales_key(DAY, run.run_id, "ALL", "ALL", settings.report.buckets).encode()
    for version, orders in ((END - 2 * HOUR, b"1"), (END - HOUR, b"2"), (END, b"3")):
        hbase.table("daily_sales").put(key, {b"s:orders": orders}, timestamp=version)
    for version in (END - 2 * HOUR, END - HOUR):
        marker = {marker_column(run.family, version): b'{"rows": 1, "orders": 0, "amount": "0.00"}'}
        hbase.table("versions").put(stores.marker_key(DAY, run.run_id).encode(), marker)
    found = runs.publication_of(hbase, settings, run, DAY)
    assert (found.watermark, found.rows) == (END - HOUR, 1)
    assert found.digest == stores.digest({"ALL|ALL": {"orders": "2"}})
    assert found.offsets == {"0": 17}


def test_a_run_without_a_version_of_the_day_cannot_be_published(hbase: Any, settings: Settings) -> None:
    with pytest.raises(UserError, match="no version of 2025-11-11"):
        runs.publication_of(hbase, settings, a_run(), DAY)


def test_the_pointer_in_redis_follows_the_published_dashboard(hbase: Any, settings: Settings) -> None:
    redis = cast(Any, FakeRedis())
    assert runs.sync(hbase, redis, settings) is None
    assert redis == {}
    for run_id in ("first", "second"):
        runs.publish(hbase, runs.DASHBOARD, runs.LIVE, a_publication(run_id))
        assert runs.sync(hbase, redis, settings) == run_id
        assert redis == {"samewater:current": run_id}


def test_a_day_is_shown_by_the_backfill_that_is_published_of_it_and_by_no_other_run(
    hbase: Any, settings: Settings
) -> None:
    redis = cast(Any, FakeRedis({"samewater:current": "live"}))
    assert runs.sync_day(hbase, redis, settings, DAY) is None
    for run_id, job in (
        ("a", "daily_report"),
        ("fill", runs.BACKFILL),
        ("fill2", runs.BACKFILL),
        ("b", "daily_report"),
    ):
        runs.publish(hbase, "daily_report", DAY, a_publication(run_id, job=job))
        wanted = run_id if job == runs.BACKFILL else None
        for _ in range(2):
            assert runs.sync_day(hbase, redis, settings, DAY) == wanted
        assert stores.backfilled_by(redis, settings, DAY) == wanted
        assert stores.backfilled_by(redis, settings, "2025-11-12") is None
        assert stores.current_generation(redis, settings) == "live"


def test_a_backfill_of_another_order_log_than_the_screens_shows_no_minutes_until_the_screen_is_of_its_log(
    hbase: Any, settings: Settings
) -> None:
    redis = cast(Any, FakeRedis())
    runs.publish(hbase, runs.REPORT, DAY, a_publication("fill", job=runs.BACKFILL, topic="past"))
    for run_id, topic, wanted in (("one", "past", "fill"), ("two", "demo", None), ("three", "past", "fill")):
        runs.publish(hbase, runs.DASHBOARD, runs.LIVE, a_publication(run_id, topic=topic))
        assert runs.sync(hbase, redis, settings) == run_id  # the days follow by themselves
        assert stores.backfilled_by(redis, settings, DAY) == wanted == runs.minutes_of(hbase, DAY)


def test_what_is_withdrawn_is_shown_to_nobody_and_can_be_published_as_if_it_had_never_been(hbase: Any) -> None:
    runs.publish(hbase, "daily_report", DAY, a_publication("a"), instead_of="")
    with pytest.raises(UserError, match="shows run a, not run b"):
        runs.withdraw(hbase, "daily_report", DAY, "b")
    hbase.table("published").after_read = [lambda: runs.publish(hbase, "daily_report", DAY, a_publication("c"))]
    with pytest.raises(UserError, match="shows run c, not run a"):
        runs.withdraw(hbase, "daily_report", DAY, "a")
    runs.withdraw(hbase, "daily_report", DAY, "c")
    assert runs.published(hbase, "daily_report", DAY) is None and list(runs.list_published(hbase)) == []
    assert [one.run_id for one in runs.history(hbase, "daily_report", DAY)] == ["c", "a"]
    with pytest.raises(UserError, match="shows nothing"):
        runs.withdraw(hbase, "daily_report", DAY, "c")
    assert runs.publish(hbase, "daily_report", DAY, a_publication("d"), instead_of="").why == "first"


def test_of_two_syncs_of_a_day_the_one_with_older_knowledge_does_not_have_the_last_word(
    hbase: Any, settings: Settings
) -> None:
    class Interrupted(FakeRedis):
        def hset(self, key: str, name: str, value: str) -> None:
            runs.publish(hbase, "daily_report", DAY, a_publication("a"))
            super().hset(key, name, value)

    redis = cast(Any, Interrupted())
    runs.publish(hbase, "daily_report", DAY, a_publication("fill", job=runs.BACKFILL))
    assert runs.sync_day(hbase, redis, settings, DAY) is None
    assert stores.backfilled_by(redis, settings, DAY) is None


def test_of_two_syncs_the_one_with_older_knowledge_does_not_have_the_last_word(hbase: Any, settings: Settings) -> None:
    class Interrupted(FakeRedis):
        def set(self, key: str, value: str) -> None:
            if value == "first":  # between our look at `published` and our write, somebody flips and syncs
                runs.publish(hbase, runs.DASHBOARD, runs.LIVE, a_publication("second"))
            super().set(key, value)

    redis = cast(Any, Interrupted())
    runs.publish(hbase, runs.DASHBOARD, runs.LIVE, a_publication("first"))
    assert runs.sync(hbase, redis, settings) == "second"
    assert redis == {"samewater:current": "second"}


# ---------------------------------------------------------------- what is cleaned


@pytest.mark.parametrize("state", runs.GONE)
def test_a_run_that_is_cleaned_is_neither_begun_again_nor_claimed_nor_published(
    hbase: Any, settings: Settings, state: str
) -> None:
    run = with_a_version(hbase, a_run("a"))
    publish_all(hbase, settings, "b")
    runs.set_state(hbase, "a", state)
    with pytest.raises(UserError, match="its id is not used again"):
        runs.register(hbase, run)
    for refused in (
        lambda: runs.claim(hbase, settings, "a"),
        lambda: runs.publication_of(hbase, settings, run, DAY),
        lambda: runs.publish(hbase, "daily_report", DAY, a_publication("a")),
        lambda: runs.rollback(hbase, settings, "daily_report", DAY, to="a"),
    ):
        with pytest.raises(UserError, match=r"run a (was cleaned|was never published)"):
            refused()
    assert runs.shown(hbase, "daily_report", [DAY])[DAY] == "b" and runs.get(hbase, "a").state == state
    assert runs.claimed(hbase, "a") is None and list(runs.about_to_be_published(hbase)) == []


def test_a_run_whose_cleaning_begins_while_it_is_being_published_is_not_shown(hbase: Any, settings: Settings) -> None:
    run = with_a_version(hbase, a_run("a"))
    new = runs.publication_of(hbase, settings, run, DAY)
    hbase.table("published").after_read = [lambda: runs.set_state(hbase, "a", runs.CLEANING)]
    with pytest.raises(UserError, match="was cleaned"):
        runs.publish(hbase, "daily_report", DAY, new)
    assert runs.published(hbase, "daily_report", DAY) is None


def test_who_cleans_sees_a_run_that_is_about_to_be_published_and_one_that_is_claimed(
    hbase: Any, settings: Settings
) -> None:
    run = with_a_version(hbase, a_run("a"))
    seen: list[Any] = []
    hbase.table("runs").after_read = [lambda: seen.extend(runs.about_to_be_published(hbase))]
    runs.publish(hbase, "daily_report", DAY, a_publication("a"))
    ((report, day, run_id, who),) = seen
    assert (report, day, run_id) == ("daily_report", DAY, run.run_id) and who.startswith(runs.submitter())
    assert list(runs.about_to_be_published(hbase)) == [], "that is over"
    assert runs.claimed(hbase, "a") is None
    held = runs.claim(hbase, settings, "a")
    assert runs.claimed(hbase, "a") == held
    runs.release(hbase, "a", held)
    assert runs.claimed(hbase, "a") is None


def test_what_a_publisher_that_died_has_announced_is_forgotten(hbase: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hbase.table("published").put(b"daily_report|" + DAY.encode(), {b"p:next|a": b"me since 2025-11-12T01:00:00+00:00"})
    assert list(runs.about_to_be_published(hbase)) == []
