"""The log outlives its retention: archived in segments, and read across the edge to the cent."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from flink_jobs import datagen, order_log, runs, stores
from flink_jobs.log_reader import read_supply
from flink_jobs.order_log import Record
from flink_jobs.settings import ROOT
from tests.archive_story import HOUR, archive_of, check_held, forget, health_of, sent_to
from tests.local import Local, run_all

FIRST = dt.date(2025, 9, 15)
SECOND = FIRST + dt.timedelta(days=1)
TOPIC = "kept"
DAYS = ("--from", str(FIRST), "--to", str(SECOND), "--topic", TOPIC)


@dataclass(frozen=True)
class Story:
    """Two days: two parts that were archived, and the tail.

    `records`: of the whole log, as they were sent. `streaming`, `batch`: read the log while it still held all.
    """

    local: Local
    records: list[Record]
    dashboard: str
    streaming: str
    batch: str

    def figures(self, run_id: str, day: dt.date) -> tuple[stores.Table, stores.Table]:
        """Report of every city, and verdict counts with their offsets."""
        settings = self.local.settings
        end = settings.time.day_end(day)
        with stores.hbase(settings) as connection:
            sales = stores.read_sales(connection, settings.report.buckets, str(day), run_id, "b", end)
            return sales, stores.read_verdicts(connection, str(day), run_id, "b", end)


def run_of(local: Local, run_id: str) -> runs.Run:
    with stores.hbase(local.settings) as connection:
        return runs.get(connection, run_id)


@pytest.fixture(scope="module")
def story(local: Local) -> Story:
    settings = local.settings
    spec = datagen.Spec.by(settings, seed=15, first=FIRST, last=SECOND, orders=300)
    records = sorted(datagen.Plan(spec).records(), key=lambda record: record.ingest_time)
    noon = settings.time.day_start(SECOND) + 12 * HOUR
    until_noon = sum(record.ingest_time < noon for record in records)
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    order_log.produce(settings, TOPIC, records[: until_noon // 2])
    local.samewater("archive", "--topic", TOPIC, conf=local.wide)
    order_log.produce(settings, TOPIC, records[until_noon // 2 : until_noon])
    local.samewater("archive", "--topic", TOPIC)
    order_log.produce(settings, TOPIC, records[until_noon:])
    return Story(local, records, *run_all(local, TOPIC, FIRST, SECOND))


def test_the_archive_holds_every_record_byte_by_byte_in_the_folder_of_its_hour(story: Story):
    local, settings = story.local, story.local.settings
    archive = archive_of(local, TOPIC)
    assert len(archive.segments) == 2
    held = check_held(local, archive, story.records)
    state = json.loads(local.run("archive", "--topic", TOPIC, "--status", "--json").stdout)
    first = min(record.ingest_time for record in story.records)
    day = settings.time.day_of(first)
    first_hour = f"{day} {(first - settings.time.day_start(day)) // HOUR:02}"
    assert (state["records"], state["first_hour"], state["gaps"]) == (len(held), first_hour, [])
    rows = {row["partition"]: (row["edge"], row["lag"], row["lost"]) for row in state["partitions"]}
    ends = {partition: len(sent_to(story.records, partition)) for partition in archive.edge}
    assert rows == {partition: (edge, ends[partition] - edge, 0) for partition, edge in archive.edge.items()}


def test_health_tells_how_far_the_archive_is_behind(story: Story):
    edge = archive_of(story.local, TOPIC).edge
    archived = max(
        one.ingest_time for partition in edge for one in sent_to(story.records, partition)[: edge[partition]]
    )
    behind = (max(record.ingest_time for record in story.records) - archived) / 1000
    assert 0 < behind < 86_400
    assert health_of(story.local, TOPIC) == {"behind": [behind], "lost": dict.fromkeys(edge, 0), "alerts": []}


# From here on the log has lost its first day.


@pytest.fixture(scope="module")
def whole(story: Story) -> dict[str, Any]:
    """What `reconcile` said while the log still held all of it; then the first day is lost."""
    local, edge = story.local, archive_of(story.local, TOPIC).edge
    found = local.reconcile(*DAYS, code=0)["all"]
    assert found["source"] == "log"
    second = local.settings.time.day_start(SECOND)
    forgotten = {p: sum(one.ingest_time < second for one in sent_to(story.records, p)) for p in edge}
    assert all(0 < forgotten[partition] < edge[partition] for partition in forgotten)
    forget(local, TOPIC, forgotten)
    return found


@pytest.mark.usefixtures("whole")
def test_the_log_alone_is_refused_for_days_that_it_has_lost(story: Story):
    refused = story.local.samewater("submit", "daily_report", "--mode", "batch", *DAYS, "--source", "log", code=2)
    assert "deleted by retention" in refused


def test_days_that_the_log_has_lost_are_counted_the_same_across_the_edge(story: Story, whole: dict[str, Any]):
    local, archive = story.local, archive_of(story.local, TOPIC)
    run_id = local.submit("daily_report", "--mode", "batch", *DAYS)
    run, of_log = run_of(local, run_id), run_of(local, story.batch)
    assert (run.source, of_log.source) == ("archive", "log") and run.logic == of_log.logic
    assert {int(partition): offset for partition, offset in run.edge_offsets.items()} == archive.edge
    assert run.start_offsets == {str(partition): 0 for partition in archive.edge}
    for day in (FIRST, SECOND):
        sales, verdicts = story.figures(run_id, day)
        assert (sales, verdicts) == story.figures(story.batch, day)
        assert int(sales["ALL|ALL"]["orders"]) > 100 and verdicts
    after = local.reconcile(*DAYS, "--batch", run_id, code=0)
    assert after["all"]["source"] == "archive" and after["all"]["verdicts"].keys() == whole["verdicts"].keys()
    for day, sides in after["all"]["verdicts"].items():
        assert sides["log"] == whole["verdicts"][day]["log"]


@pytest.mark.usefixtures("whole")
def test_minutes_of_a_lost_day_are_rebuilt_from_the_archive(story: Story):
    settings = story.local.settings
    stores.redis(settings).delete(f"{settings.redis.prefix}:{story.dashboard}:minutes:{FIRST}")
    assert story.local.reconcile(*DAYS, code=1)["all"]["source"] == "archive"
    story.local.samewater("rebuild", "--from", str(FIRST), "--to", str(FIRST))
    story.local.reconcile(*DAYS, code=0)


@pytest.mark.usefixtures("whole")
def test_the_sql_client_is_answered_from_the_archive(story: Story, changed: Callable):
    """The first of its questions: the others read the same views, or files."""
    text = (ROOT / "sql/client/questions.sql").read_text(encoding="utf-8")
    others = text[text.index("\n-- Who ordered") :]
    root = changed({"sql/client/questions.sql": [(others, "")]})
    said = story.local.samewater("sql", "questions", *DAYS, root=root)
    for day in (FIRST, SECOND):
        _, verdicts = story.figures(story.batch, day)
        accepted = sum(int(row["records"]) for name, row in verdicts.items() if name.endswith("|accepted"))
        assert re.search(rf"\| {day} \| +accepted \| +{accepted} \|", said), said


@pytest.mark.usefixtures("whole")
def test_a_backfill_of_a_lost_day_reads_the_archive_too(story: Story):
    local = story.local
    days = ("--from", str(FIRST), "--topic", TOPIC)
    plan = json.loads(local.run("backfill", "plan", *days, "--json").stdout)
    # Other modules may have sent supplies, which every backfill reads.
    sent = sum(1 for _ in read_supply(local.settings))
    assert plan["source"] == "archive" and plan["records"] == len(story.records) + sent
    assert "deleted by retention" in local.samewater("backfill", *days, "--source", "log", code=2)
    said = local.samewater("backfill", *days)
    run_id = next(line for line in said.splitlines() if line.startswith("run ")).split()[1]
    assert run_of(local, run_id).source == "archive"
    local.reconcile(*days, "--backfill", run_id, code=0)
