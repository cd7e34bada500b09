"""Nine days over the turn of a year, one without orders: counted by both jobs in both modes, and archived in part."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pytest

from flink_jobs import datagen, order_log, runs, stores
from flink_jobs.order_log import Record
from tests.archive_story import HOUR
from tests.local import Local, run_all

FIRST, LAST = dt.date(2025, 12, 27), dt.date(2026, 1, 4)
SECOND, EMPTY = FIRST + dt.timedelta(1), dt.date(2025, 12, 30)
TOPIC = "turn-of-the-year"


@dataclass(frozen=True)
class Turn:
    """`records`: of the whole log, as they were sent; to noon of SECOND they are in the archive, in two parts.

    `streaming`, `batch`: read the log while it still held all; published are days of both, in turn.
    """

    local: Local
    records: list[Record]
    ledger: Path
    dashboard: str
    streaming: str
    batch: str


@pytest.fixture(scope="session")
def turn(servers: Local, tmp_path_factory: pytest.TempPathFactory) -> Turn:
    local, settings = servers, servers.settings
    spec = datagen.Spec.by(settings, seed=4, first=FIRST, last=LAST, orders=300, empty=frozenset({EMPTY}))
    plan = datagen.Plan(spec)
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.parquet"
    datagen.write_ledger(plan, ledger)
    # By ingest time: no partition is stalled in this story.
    records = sorted(plan.records(), key=lambda record: record.ingest_time)
    noon = settings.time.day_start(SECOND) + 12 * HOUR
    until_noon = sum(record.ingest_time < noon for record in records)
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    order_log.produce(settings, TOPIC, records[: until_noon // 2])
    local.samewater("archive", "--topic", TOPIC, conf=local.wide)
    order_log.produce(settings, TOPIC, records[until_noon // 2 : until_noon])
    local.samewater("archive", "--topic", TOPIC)
    order_log.produce(settings, TOPIC, records[until_noon:])
    dashboard, streaming, batch = run_all(local, TOPIC, FIRST, LAST)
    with stores.hbase(settings) as connection:  # whichever run was first: history of both modes
        for n in range((LAST - FIRST).days + 1):
            run, day = runs.get(connection, streaming if n % 2 else batch), str(FIRST + dt.timedelta(n))
            runs.publish(connection, runs.REPORT, day, runs.publication_of(connection, settings, run, day))
    return Turn(local, records, ledger, dashboard, streaming, batch)
