"""The jobs and questions of sql/client/, run by Flink's SQL client: the same figures, across the archive's edge too."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from flink_jobs import datagen, flink_rest, order_log, runs, stores
from flink_jobs.log_reader import open_log
from tests.archive_story import archive_of, forget
from tests.e2e.turn_of_the_year import Turn
from tests.local import Local, is_filed, is_final, is_marked, wait_until

DAY = dt.date(2025, 11, 11)
TOPIC = "sql-client"
DAYS = ("--from", str(DAY), "--to", str(DAY), "--topic", TOPIC)


@dataclass(frozen=True)
class Story:
    local: Local
    dashboard: str
    report: str
    batch: str
    ledger: Path


@pytest.fixture(scope="module")
def story(local: Local, turn: Turn, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """`turn` comes first, for the jobs of this one live on in the places that it needs."""
    settings = local.settings
    spec = datagen.Spec.by(settings, seed=8, first=DAY, last=DAY, orders=2_000)
    plan = datagen.Plan(spec)
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.parquet"
    datagen.write_ledger(plan, ledger)
    records = list(plan.records())
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    order_log.produce(settings, TOPIC, records[: len(records) // 2])
    local.samewater("archive", "--topic", TOPIC)
    order_log.produce(settings, TOPIC, records[len(records) // 2 :])
    scripts = (("dashboard", "--topic", TOPIC), ("report", "--topic", TOPIC), ("report", "--mode", "batch", *DAYS))
    # At once: the client of one does one thing after the other.
    with ThreadPoolExecutor() as clients:
        dashboard, report, batch = clients.map(lambda script: local.samewater("sql", *script).split()[-1], scripts)
    return Story(local, dashboard, report, batch, ledger)


def test_all_jobs_of_the_sql_client_equal_the_log(story: Story):
    local, settings = story.local, story.local.settings
    wait_until(lambda: is_marked(local, story.report, DAY), "the day's last marker")
    wait_until(lambda: is_filed(local, story.report, DAY), "the day's last version in HDFS")
    wait_until(lambda: is_final(local, story.dashboard, DAY), "the last final minute")
    named = ("--stream", story.report, "--batch", story.batch, "--dashboard", story.dashboard)
    local.reconcile("--from", str(DAY), "--topic", TOPIC, *named, "--ledger", str(story.ledger), code=0)
    with stores.hbase(settings) as connection:
        assert runs.get(connection, story.dashboard).state == "running"


def test_the_scripts_put_together_what_the_jobs_are_made_of(story: Story, turn: Turn):
    with stores.hbase(story.local.settings) as connection:
        for by_client, submitted in (
            (story.dashboard, turn.dashboard),
            (story.report, turn.streaming),
            (story.batch, turn.batch),
        ):
            assert runs.get(connection, by_client).logic == runs.get(connection, submitted).logic


def test_questions_are_answered_across_the_edge_of_the_archive_and_from_what_the_runs_wrote(story: Story):
    settings = story.local.settings
    edge = archive_of(story.local, TOPIC).edge
    with open_log(settings, TOPIC) as log:
        assert all(0 < edge[partition] < span.end for partition, span in log.reach().items())
    # The day has lost its beginning in the log, and its end is not archived.
    forget(story.local, TOPIC, {partition: until // 2 for partition, until in edge.items()})
    with stores.hdfs(settings) as files:  # as a batch run has it that is at work, or was killed
        for dataset in stores.DATASETS:
            files.makedirs(f"{settings.hdfs.root}/{dataset}/.staging_1/task-0-attempt-0/dt={DAY}/run=other")
    said = story.local.samewater("sql", "questions", *DAYS)
    counted = Counter({verdict: int(n) for verdict, n in re.findall(rf"\| {DAY} \| +(\w+) \| +(\d+) \|", said)})
    summary = json.loads(Path(f"{story.ledger}.summary.json").read_text())
    assert counted == summary["days"][str(DAY)]["verdicts"] and sum(counted.values()) > 2_000
    assert story.report in said, "the versions of the streaming run are not shown"


def test_a_statement_that_fails_is_told_and_the_exit_code_says_so(story: Story, changed: Callable):
    root = changed({"sql/bind/redis/close_minutes.sql": [("AS written", "AS write")]})

    def at_work() -> set[str]:
        return {job["jid"] for job in flink_rest.living_jobs(story.local.settings, "realtime")}

    before = at_work()
    said = story.local.samewater("sql", "dashboard", "--topic", TOPIC, code=2, root=root)
    assert "could not run" in said and "'written' not found" in said
    assert at_work() == before and before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sql", "report", "--mode", "batch", "--topic", TOPIC), "closed range"),
        (("sql", "dashboard", "--mode", "batch", "--topic", TOPIC), "streaming"),
        (("sql", "questions", "--from", "2031-01-01", "--topic", TOPIC), "2031-01-01"),
        (("sql", "questions", "--from", str(DAY), "--topic", "no-such-topic"), "no-such-topic"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(story: Story, arguments: tuple[str, ...], says: str):
    said = story.local.samewater(*arguments, code=2)
    assert says in said and len(said.strip().splitlines()) == 1, said
