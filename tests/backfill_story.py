"""A log of three closed days and an open one, with both jobs over it, and what a shop sends afterwards."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flink_jobs import datagen, order_log, runs, stores
from flink_jobs.order_log import Record
from tests.local import Local, run_all

FIRST = dt.date(2025, 10, 6)
SECOND, THIRD, OPEN = (FIRST + dt.timedelta(n) for n in (1, 2, 3))
TOPIC = "past"
SUPPLY = "shop-42.jsonl"
PROVINCE = "820000"  # of which the generator makes no order
CITY, OTHER_CITY = "820100", "820200"


@dataclass(frozen=True)
class Story:
    """One log of three closed days and an open one. `at`: order time of the extra orders, in an hour's last minute."""

    local: Local
    dashboard: str
    streaming: str
    ledger: Path
    at: int

    def days(self, first: dt.date, last: dt.date | None = None) -> tuple[str, ...]:
        return ("--from", str(first), "--to", str(last or first), "--topic", TOPIC)

    def backfill(self, *arguments: str, code: int = 0, root: Path | None = None, conf: Path | None = None) -> str:
        more: dict[str, Any] = {} if root is None else {"root": root}
        return self.local.samewater("backfill", *arguments, code=code, conf=conf, **more)

    def run_of(self, said: str) -> str:
        return next(line for line in said.splitlines() if line.startswith("run ")).split()[1]

    def newest(self) -> str:
        (newest, *_) = json.loads(self.local.run("backfill", "list", "--json").stdout)["rows"]
        return str(newest["run_id"])

    def shown(self, day: dt.date) -> str:
        with stores.hbase(self.local.settings) as connection:
            return runs.shown(connection, runs.REPORT, [str(day)])[str(day)]

    def country(self, day: dt.date) -> dict[str, Any]:
        (row,) = json.loads(self.local.run("report", "--day", str(day), "--level", "country", "--json").stdout)["rows"]
        return dict(row)

    def seen(self, day: dt.date) -> tuple[str, str, str]:
        """All that readers see of a day: the report of every city, out of HBase and out of HDFS, and its minutes."""
        report = ("report", "--day", str(day), "--level", "city", "--format", "csv")
        files = (*report, "--from-hdfs")
        minutes = self.local.run("minutes", "--day", str(day), "--format", "csv", code=None)
        return self.local.run(*report).stdout, self.local.run(*files).stdout, minutes.stdout

    def equal(self, *arguments: str) -> dict[str, Any]:
        return self.local.reconcile("--topic", TOPIC, *arguments, code=0)


def order(story_at: int, order_id: str, amount: str, city: str = CITY, user: str = "U-extra") -> dict[str, Any]:
    return {
        "order_id": order_id,
        "order_time": story_at,
        "user_id": user,
        "province": PROVINCE,
        "city": city,
        "amount": amount,
    }


def written(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def past(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Story:
    settings = local.settings
    spec = datagen.Spec.by(settings, seed=6, first=FIRST, last=THIRD, orders=400)
    assert spec.empty_province == PROVINCE
    plan = datagen.Plan(spec)
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.parquet"
    datagen.write_ledger(plan, ledger)
    at = settings.time.day_start(FIRST) + (10 * 60 + 59) * 60_000 + 30_000
    open_at = settings.time.day_start(OPEN) + 60_000
    extra = [
        Record(0, at + 299_000, written(order(at, "E-in-time", "4.59"))),
        Record(1, at + 300_001, written(order(at, "E-late", "5.01"))),
        Record(2, at + 400_000, written(order(at, "E-in-time", "4.59"))),
        Record(0, open_at + 1_000, written(order(open_at, "E-open", "1.00"))),
    ]
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    # By ingest time: no partition is stalled in this story.
    order_log.produce(settings, TOPIC, sorted([*plan.records(), *extra], key=lambda record: record.ingest_time))
    dashboard, streaming, _ = run_all(local, TOPIC, FIRST, THIRD, live=True)
    with stores.hbase(settings) as connection:  # whichever mode was first
        run = runs.get(connection, streaming)
        for day in (FIRST, SECOND, THIRD):
            runs.publish(connection, runs.REPORT, str(day), runs.publication_of(connection, settings, run, str(day)))
    return Story(local, dashboard, streaming, ledger, at)


def tied(past: Story) -> list[bytes]:
    """Two copies of one order with the same ingest time; the one whose digest is less comes first."""
    at = {"ingest_time": past.at + 600_000}
    copies = [written(order(past.at, "S-tie", amount, OTHER_CITY) | at) for amount in ("0.01", "0.02")]
    return sorted(copies, key=lambda value: hashlib.md5(value).digest(), reverse=True)


@pytest.fixture(scope="module")
def supplied(past: Story, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A shop's file: new orders of FIRST (one of them twice, one with two amounts at the same moment, one under another
    time than it counts already) and one of SECOND; copies; and what is no order.
    """
    second = past.local.settings.time.day_start(SECOND) + 3_600_000
    new = order(past.at, "S-new", "100.00", user="U-shop")
    lines = [
        written(new),
        written(order(past.at + 60_000, "S-old", "20.00", OTHER_CITY) | {"ingest_time": past.at + 500_000}),
        written(order(past.at, "E-in-time", "4.59")),
        written(order(past.at + 120_000, "E-in-time", "0.40")),
        *tied(past),
        written(new),
        written(order(past.at, "E-late", "5.01")),
        written(new | {"order_id": "S-bad", "city": "nowhere"}),
        b"not json",
        written(order(second, "S-second", "7.00")),
    ]
    file = tmp_path_factory.mktemp("supply") / SUPPLY
    file.write_bytes(b"\n".join(lines) + b"\n")
    said = past.local.samewater("supply", str(file))
    assert "11 records" in said and f"8 orders of {FIRST}" in said and f"1 orders of {SECOND}" in said
    assert "invalid city" in said and "malformed json" in said
    return past
