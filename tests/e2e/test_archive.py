"""The log outlives its retention: archived in segments, over deaths and races, and read across the edge to the cent."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from flink_jobs import archive_edge, datagen, job, order_log, runs, stores
from flink_jobs.archive_edge import Archive
from flink_jobs.archive_reader import read_archived
from flink_jobs.errors import UserError
from flink_jobs.log_reader import LogRecord, Span, open_log, read_supply
from flink_jobs.order_log import HEARTBEAT, Record
from flink_jobs.settings import ROOT
from tests.local import Local, changed_code, run_all

FIRST = dt.date(2025, 9, 15)
SECOND = FIRST + dt.timedelta(days=1)
TOPIC, GAPPY = "kept", "gappy"
DAYS = ("--from", str(FIRST), "--to", str(SECOND), "--topic", TOPIC)
HOUR = 3_600_000
DIE = "import os; os._exit(9)"
AT_WORK = ("            result.wait()\n", f"            {DIE}\n")
COUNTED = ("            archive_edge.move_edge(connection, archive, segment)\n", f"            {DIE}\n")
ARCHIVE_METRICS = ("behind_seconds", "lost_records")


@dataclass(frozen=True)
class Story:
    """Two days: a part that was archived, one that was archived after two archivers had died over it, and the tail.

    `records`: of the whole log, as they were sent. `edges`: after the first part, the deaths, the second part; `left`:
    what lay in the archive's folder after the deaths. `streaming`, `batch`: read the log while it still held all.
    """

    local: Local
    records: list[Record]
    edges: list[dict[int, int]]
    left: list[str]
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

    def sent(self, partition: int) -> list[LogRecord]:
        """What stands in a partition, by the order of sending."""
        of_partition = [record for record in self.records if record.partition == partition]
        return [LogRecord(partition, n, record.ingest_time, record.value) for n, record in enumerate(of_partition)]


def archive_of(local: Local, topic: str) -> Archive:
    with stores.hbase(local.settings) as connection:
        stores.ensure_tables(connection)
        return archive_edge.read_archive(connection, topic)


def run_of(local: Local, run_id: str) -> runs.Run:
    with stores.hbase(local.settings) as connection:
        return runs.get(connection, run_id)


def folders_of(local: Local, topic: str) -> list[str]:
    """What lies in the archive's folder of a topic, by name."""
    with stores.hdfs(local.settings) as files:
        found = files.ls(stores.archive_folder(local.settings, topic), detail=False)
    return sorted(name.rpartition("/")[2] for name in found)


def health_of(local: Local, topic: str) -> dict[str, Any]:
    """What `health` tells of the archive of a topic: seconds behind, partition -> lost records, alerts by name."""
    found = json.loads(local.run("health", "--json", "--topic", topic, code=None).stdout)
    of = {name: [m for m in found["metrics"] if m["metric"] == f"samewater_archive_{name}"] for name in ARCHIVE_METRICS}
    return {
        "behind": [m["value"] for m in of["behind_seconds"]],
        "lost": {int(m["partition"]): m["value"] for m in of["lost_records"]},
        "alerts": sorted(alert["name"] for alert in found["alerts"] if alert["name"].startswith("Archive")),
    }


def forget(local: Local, topic: str, before: Mapping[int, int]) -> None:
    """Remove the records before these offsets, as retention does."""
    admin = KafkaAdminClient(bootstrap_servers=local.settings.kafka.bootstrap)
    try:
        admin.delete_records({TopicPartition(topic, partition): offset for partition, offset in before.items()})
    finally:
        admin.close()
    with open_log(local.settings, topic) as log:
        assert {partition: span.start for partition, span in log.reach().items()} == dict(before)


@pytest.fixture(scope="module")
def story(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Story:
    settings = local.settings
    spec = datagen.Spec.by(settings, seed=15, first=FIRST, last=SECOND, orders=300)
    records = sorted(datagen.Plan(spec).records(), key=lambda record: record.ingest_time)
    noon = settings.time.day_start(SECOND) + 12 * HOUR
    until_noon = sum(record.ingest_time < noon for record in records)
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    order_log.produce(settings, TOPIC, records[: until_noon // 2])
    local.samewater("archive", "--topic", TOPIC, conf=local.wide)
    edges = [archive_of(local, TOPIC).edge]
    order_log.produce(settings, TOPIC, records[until_noon // 2 : until_noon])
    for death in (AT_WORK, COUNTED):
        dying = changed_code(tmp_path_factory.mktemp("dying"), {"flink_jobs/archive.py": [death]})
        local.samewater("archive", "--topic", TOPIC, code=2, root=dying)
    edges.append(archive_of(local, TOPIC).edge)
    left = folders_of(local, TOPIC)
    local.samewater("archive", "--topic", TOPIC)
    edges.append(archive_of(local, TOPIC).edge)
    order_log.produce(settings, TOPIC, records[until_noon:])
    return Story(local, records, edges, left, *run_all(local, TOPIC, FIRST, SECOND))


def test_archivers_that_die_leave_the_edge_and_the_next_one_removes_what_they_left(story: Story):
    first, after_deaths, second = story.edges
    assert after_deaths == first and all(second[partition] > first[partition] for partition in first)
    archive = archive_of(story.local, TOPIC)
    kept = [f"run={segment.run_id}" for segment in archive.segments]
    assert len(kept) == 2 and folders_of(story.local, TOPIC) == sorted(kept)
    assert len(set(story.left) - set(kept)) >= 1


def test_the_archive_holds_every_record_byte_by_byte_in_the_folder_of_its_hour(story: Story):
    local, settings = story.local, story.local.settings
    archive = archive_of(local, TOPIC)
    below = {partition: Span(0, edge) for partition, edge in archive.edge.items()}
    with stores.hdfs(settings) as files:
        held = list(read_archived(files, settings, archive, below))
    values = {record.value for record in held}
    assert None in values and HEARTBEAT in values, "the generator's dirt has a record without a value"
    for partition, edge in archive.edge.items():
        assert [record for record in held if record.partition == partition] == story.sent(partition)[:edge]
    for hour in (hour for segment in archive.segments for hour in segment.hours):
        start = settings.time.day_start(dt.date.fromisoformat(hour.ingest_day)) + int(hour.ingest_hour) * HOUR
        assert start <= hour.first_ingest <= hour.last_ingest < start + HOUR
    state = json.loads(local.run("archive", "--topic", TOPIC, "--status", "--json").stdout)
    first = min(record.ingest_time for record in story.records)
    day = settings.time.day_of(first)
    first_hour = f"{day} {(first - settings.time.day_start(day)) // HOUR:02}"
    assert (state["records"], state["first_hour"], state["gaps"]) == (len(held), first_hour, [])
    rows = {row["partition"]: (row["edge"], row["lag"], row["lost"]) for row in state["partitions"]}
    ends = {partition: len(story.sent(partition)) for partition in archive.edge}
    assert rows == {partition: (edge, ends[partition] - edge, 0) for partition, edge in archive.edge.items()}


def test_health_tells_how_far_the_archive_is_behind(story: Story):
    edge = archive_of(story.local, TOPIC).edge
    archived = max(one.ingest_time for partition in edge for one in story.sent(partition)[: edge[partition]])
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
    forgotten = {p: sum(one.ingest_time < second for one in story.sent(p)) for p in edge}
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


def test_of_two_archivers_at_once_one_does_the_work_and_a_gap_is_accepted_by_word_only(local: Local):
    settings = local.settings
    order_log.create_topic(settings, GAPPY, 2)
    start = settings.time.day_start(FIRST)

    def send(first: int, last: int) -> None:
        order_log.produce(
            settings, GAPPY, (Record(n % 2, start + n * 60_000, HEARTBEAT) for n in range(2 * first, 2 * last))
        )

    send(0, 60)
    with ThreadPoolExecutor() as both:
        ends = [both.submit(local.samewater, "archive", "--topic", GAPPY, code=None) for _ in range(2)]
        said = [end.result() for end in ends]
    # The second one comes while the first is at work, or when it has done all.
    assert any(f"order_archive|{GAPPY} is being made by" in text or "nothing to do" in text for text in said), said
    assert archive_of(local, GAPPY).edge == {0: 60, 1: 60}
    assert "nothing to do" in local.samewater("archive", "--topic", GAPPY)

    send(60, 2_000)
    forget(local, GAPPY, {0: 100, 1: 60})
    refused = local.samewater("archive", "--topic", GAPPY, code=2)
    assert "partition 0: retention removed offsets 60 to 99" in refused and len(refused.strip().splitlines()) == 1
    assert "removed 40 offsets" in local.samewater("archive", "--topic", GAPPY, "--status")
    found = health_of(local, GAPPY)
    assert found["lost"] == {0: 40, 1: 0} and found["alerts"] == ["ArchiveBehind", "ArchiveLostRecords"]
    local.samewater("archive", "--topic", GAPPY, "--accept-gap")
    assert health_of(local, GAPPY) == {"behind": [0], "lost": {0: 0, 1: 0}, "alerts": []}
    assert archive_of(local, GAPPY).gaps() == {0: [Span(60, 100)]}
    assert "gap: partition 0 offsets 60 to 99" in local.samewater("archive", "--topic", GAPPY, "--status")
    forget(local, GAPPY, {0: 1_500, 1: 1_500})
    touched = job.Request("daily_report", "batch", GAPPY, FIRST, FIRST)
    with pytest.raises(UserError, match="offsets 60 to 99, of which the range may need some"):
        job.find_range(settings, touched)
    assert "offsets 60 to 99" in local.samewater("reconcile", "--from", str(FIRST), "--topic", GAPPY, code=2)
