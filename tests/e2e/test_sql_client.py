"""The jobs and questions of sql/client/, run by Flink's SQL client: the same figures, across the archive's edge too."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from flink_jobs import datagen, flink_rest, order_ledger, order_log, runs, stores
from flink_jobs.log_reader import open_log
from flink_jobs.order_draw import EPOCH
from tests.archive_story import archive_of
from tests.e2e.turn_of_the_year import Turn
from tests.local import Local, forget, is_filed, is_final, is_marked, wait_until

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


def records_of_day(story: Story) -> list[dict[str, Any]]:
    """What the generator says of the records that belong to the day."""
    ledger = order_ledger.with_days(parquet.read_table(story.ledger), story.local.settings.time)
    return [record for record in ledger.to_pylist() if record["day"] == (DAY - EPOCH).days]


def rows_of(answer: str) -> list[list[str]]:
    """The cells of the rows of a table as the client draws it, without its head."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in answer.splitlines() if line[0] == "|"]
    return rows[1:]


def test_questions_are_answered_across_the_edge_of_the_archive_and_from_what_the_runs_wrote(story: Story):
    settings = story.local.settings
    edge = archive_of(story.local, TOPIC).edge
    with open_log(settings, TOPIC) as log:
        assert all(0 < edge[partition] < span.end for partition, span in log.reach().items())
    # The day has lost its beginning in the log, and its end is not archived.
    forget(story.local.settings, TOPIC, {partition: until // 2 for partition, until in edge.items()})
    with stores.hdfs(settings) as files:  # as a batch run has it that is at work, or was killed
        for dataset in stores.DATASETS:
            files.makedirs(f"{settings.hdfs.root}/{dataset}/.staging_1/task-0-attempt-0/dt={DAY}/run=other")
    blocks = story.local.samewater("sql", "questions", *DAYS).strip().split("\n\n")
    told = {block.splitlines()[0]: rows_of(block) for block in blocks}
    records = records_of_day(story)
    orders = [r for r in records if r["verdict"] == "accepted"]
    verdicts = Counter(r["verdict"] for r in records)
    assert told["How many records of the log have which verdict?"] == [
        [str(DAY), verdict, str(number)] for verdict, number in sorted(verdicts.items())
    ]
    spent: dict[str, list[int]] = defaultdict(list)
    for r in orders:
        spent[r["user_id"]].append(r["cents"])
    best = sorted(spent.items(), key=lambda pair: (-sum(pair[1]), pair[0]))[:10]
    assert told["Who ordered for the most?"] == [[user, str(len(c)), stores.yuan(sum(c))] for user, c in best]
    grown = [row for row in told["How did the day grow, version by version, in each run?"] if row[1] == story.report]
    assert len(grown) > 20 and grown == sorted(grown)
    assert grown[-1][3:] == [str(len(orders)), stores.yuan(sum(r["cents"] for r in orders)), str(len(spent))]
    # A verdict that says it all has no reason.
    reasons = Counter((r["verdict"], r["reason"] or "<NULL>") for r in records)
    rejected = {why: n for why, n in reasons.items() if why[0] not in ("accepted", "heartbeat")}
    why = [row for row in told["Why did records not count?"] if row[1] in (story.report, story.batch)]
    assert [row[2:] for row in why] == [[*why, str(n)] for why, n in sorted(rejected.items())] * 2


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
