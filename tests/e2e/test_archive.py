"""The log outlives its retention: archived in segments, and read across the edge to the cent."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from flink_jobs import runs, stores
from flink_jobs.log_reader import read_supply
from tests.archive_story import HOUR, archive_of, check_held, health_of, sent_to
from tests.e2e.turn_of_the_year import FIRST, SECOND, TOPIC, Turn
from tests.local import Local, forget

DAYS = ("--from", str(FIRST), "--to", str(SECOND), "--topic", TOPIC)

# The story is the session's; what fails on the way must leave no job at work.
pytestmark = pytest.mark.usefixtures("local")


def reconciled(turn: Turn, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Of the story's own dashboard: another module's may be the one that is shown."""
    found = turn.local.reconcile(*DAYS, "--dashboard", turn.dashboard, *arguments, code=code)
    return dict(found["all"])


def figures(turn: Turn, run_id: str, day: dt.date) -> tuple[stores.Table, stores.Table]:
    """Report of every city of a batch run, and verdict counts with their offsets."""
    settings = turn.local.settings
    end = settings.time.day_end(day)
    with stores.hbase(settings) as connection:
        sales = stores.read_sales(connection, settings.report.buckets, str(day), run_id, "b", end)
        return sales, stores.read_verdicts(connection, str(day), run_id, "b", end)


def run_of(local: Local, run_id: str) -> runs.Run:
    with stores.hbase(local.settings) as connection:
        return runs.get(connection, run_id)


def test_the_archive_holds_every_record_byte_by_byte_in_the_folder_of_its_hour(turn: Turn):
    local, settings = turn.local, turn.local.settings
    archive = archive_of(local, TOPIC)
    assert len(archive.segments) == 2
    held = check_held(local, archive, turn.records)
    state = json.loads(local.run("archive", "--topic", TOPIC, "--status", "--json").stdout)
    first = min(record.ingest_time for record in turn.records)
    day = settings.time.day_of(first)
    first_hour = f"{day} {(first - settings.time.day_start(day)) // HOUR:02}"
    assert (state["records"], state["first_hour"], state["gaps"]) == (len(held), first_hour, [])
    rows = {row["partition"]: (row["edge"], row["lag"], row["lost"]) for row in state["partitions"]}
    ends = {partition: len(sent_to(turn.records, partition)) for partition in archive.edge}
    assert rows == {partition: (edge, ends[partition] - edge, 0) for partition, edge in archive.edge.items()}


def test_health_tells_how_far_the_archive_is_behind(turn: Turn):
    edge = archive_of(turn.local, TOPIC).edge
    archived = max(one.ingest_time for partition in edge for one in sent_to(turn.records, partition)[: edge[partition]])
    behind = (max(record.ingest_time for record in turn.records) - archived) / 1000
    assert behind > 2 * 86_400
    assert health_of(turn.local, TOPIC) == {
        "behind": [behind],
        "lost": dict.fromkeys(edge, 0),
        "alerts": ["ArchiveBehind"],
    }


# From here on the log has lost its first day.


@pytest.fixture(scope="module")
def whole(turn: Turn) -> dict[str, Any]:
    """What `reconcile` said while the log still held all of it; then the first day is lost."""
    local, edge = turn.local, archive_of(turn.local, TOPIC).edge
    found = reconciled(turn)
    assert found["source"] == "log"
    second = local.settings.time.day_start(SECOND)
    forgotten = {p: sum(one.ingest_time < second for one in sent_to(turn.records, p)) for p in edge}
    assert all(0 < forgotten[partition] < edge[partition] for partition in forgotten)
    forget(local.settings, TOPIC, forgotten)
    return found


@pytest.mark.usefixtures("whole")
def test_the_log_alone_is_refused_for_days_that_it_has_lost(turn: Turn):
    refused = turn.local.samewater("submit", "daily_report", "--mode", "batch", *DAYS, "--source", "log", code=2)
    assert "deleted by retention" in refused


def test_days_that_the_log_has_lost_are_counted_the_same_across_the_edge(turn: Turn, whole: dict[str, Any]):
    local, archive = turn.local, archive_of(turn.local, TOPIC)
    run_id = local.submit("daily_report", "--mode", "batch", *DAYS)
    run, of_log = run_of(local, run_id), run_of(local, turn.batch)
    assert (run.source, of_log.source) == ("archive", "log") and run.logic == of_log.logic
    assert {int(partition): offset for partition, offset in run.edge_offsets.items()} == archive.edge
    assert run.start_offsets == {str(partition): 0 for partition in archive.edge}
    for day in (FIRST, SECOND):
        sales, verdicts = figures(turn, run_id, day)
        assert (sales, verdicts) == figures(turn, turn.batch, day)
        assert int(sales["ALL|ALL"]["orders"]) > 100 and verdicts
    after = reconciled(turn, "--batch", run_id)
    assert after["source"] == "archive" and after["verdicts"].keys() == whole["verdicts"].keys()
    for day, sides in after["verdicts"].items():
        assert sides["log"] == whole["verdicts"][day]["log"]


@pytest.mark.usefixtures("whole")
def test_minutes_of_a_lost_day_are_rebuilt_from_the_archive(turn: Turn):
    settings = turn.local.settings
    stores.redis(settings).delete(f"{settings.redis.prefix}:{turn.dashboard}:minutes:{FIRST}")
    assert reconciled(turn, code=1)["source"] == "archive"
    turn.local.samewater("rebuild", "--run", turn.dashboard, "--from", str(FIRST), "--to", str(FIRST))
    reconciled(turn)


@pytest.mark.usefixtures("whole")
def test_a_backfill_of_a_lost_day_reads_the_archive_too(turn: Turn):
    local = turn.local
    days = ("--from", str(FIRST), "--topic", TOPIC)
    plan = json.loads(local.run("backfill", "plan", *days, "--json").stdout)
    # Other modules may have sent supplies, which every backfill reads.
    sent = sum(1 for _ in read_supply(local.settings))
    assert plan["source"] == "archive" and plan["records"] == len(turn.records) + sent
    assert "deleted by retention" in local.samewater("backfill", *days, "--source", "log", code=2)
    said = local.samewater("backfill", *days)
    run_id = next(line for line in said.splitlines() if line.startswith("run ")).split()[1]
    assert run_of(local, run_id).source == "archive"
    local.reconcile(*days, "--backfill", run_id, code=0)
