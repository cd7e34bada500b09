"""What `health` tells of a running job: the partition without heartbeats, and the server that is down."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from flink_jobs import order_log, stores
from tests.local import Local, wait_until

DAY = dt.date(2025, 11, 11)
TOPIC = "health"
MINUTE = 60_000


def heartbeats(local: Local, minutes: range, partitions: tuple[int, ...]) -> None:
    start = local.settings.time.day_start(DAY)
    records = [order_log.Record(p, start + m * MINUTE, order_log.HEARTBEAT) for m in minutes for p in partitions]
    order_log.produce(local.settings, TOPIC, records)


def health(local: Local, code: int | None) -> dict[str, Any]:
    return json.loads(local.run("health", "--json", "--topic", TOPIC, code=code).stdout)


def metric(found: dict[str, Any], name: str) -> dict[str, float]:
    """Partition -> value."""
    return {m["partition"]: m["value"] for m in found["metrics"] if m["metric"] == f"samewater_{name}"}


@pytest.fixture(scope="module")
def run(local: Local) -> str:
    order_log.create_topic(local.settings, TOPIC, 3)
    heartbeats(local, range(20), (0, 1, 2))
    run = local.submit("realtime_dashboard", "--topic", TOPIC, "--parallelism", "1")
    client = stores.redis(local.settings)
    wait_until(lambda: stores.read_final_until(client, local.settings, run) is not None, "a final minute")
    return run


def test_a_partition_without_heartbeats_is_named_with_what_it_holds_back(local: Local, run: str):
    start = local.settings.time.day_start(DAY) / 1000
    heartbeats(local, range(20, 22), (0, 2))
    marks: dict[str, float] = {}

    def moved() -> bool:
        nonlocal marks
        marks = metric(health(local, code=None), "partition_watermark_timestamp_seconds")
        return len(marks) == 3 and marks["0"] > marks["1"]

    wait_until(moved, "the watermark of the partitions with heartbeats moves on")
    found = health(local, code=1)
    # Ingest time less 5 min and 30 s, floored to the minute: of 0:21 and of 0:19.
    assert marks == {"0": start + 15 * 60, "1": start + 13 * 60, "2": start + 15 * 60}
    assert metric(found, "partition_holds_back") == {"0": 0, "1": 1, "2": 0}
    assert metric(found, "partition_behind_seconds") == {"0": 0, "1": 120, "2": 0}
    assert metric(found, "partition_records_lag") == {"0": 0, "1": 0, "2": 0}
    stalled = [alert for alert in found["alerts"] if alert["name"] == "PartitionStalled"]
    assert [alert["summary"] for alert in stalled] == [
        f"partition 1 of {TOPIC} has had no record for 120 s while others went on"
    ]


def test_heartbeats_that_come_back_end_the_alert(local: Local, run: str):
    heartbeats(local, range(20, 22), (1,))
    assert "PartitionStalled" not in {alert["name"] for alert in health(local, code=1)["alerts"]}


def test_rows_that_came_behind_the_watermark_are_told(local: Local, run: str):
    """A clock that was ahead by less than an hour, and then went right."""
    start = local.settings.time.day_start(DAY) / 1000
    heartbeats(local, range(22, 80), (0, 1, 2))

    def reached() -> bool:
        marks = metric(health(local, code=None), "partition_watermark_timestamp_seconds")
        return set(marks.values()) == {start + 73 * 60}

    wait_until(reached, "the watermark of an hour ahead")
    assert "LateRowsDropped" not in {alert["name"] for alert in health(local, code=None)["alerts"]}
    heartbeats(local, range(22, 30), (0, 1, 2))
    wait_until(
        lambda: "LateRowsDropped" in {alert["name"] for alert in health(local, code=None)["alerts"]}, "the alert"
    )


def test_a_server_that_is_down_is_named_and_the_rest_is_still_shown(local: Local, run: str):
    local.samewater("down", "redis")
    try:
        found = health(local, code=1)
    finally:
        local.samewater("restart", "redis")
    assert "redis does not answer" in {alert["summary"] for alert in found["alerts"]}
    up = {m["server"]: m["value"] for m in found["metrics"] if m["metric"] == "samewater_server_up"}
    assert up == {"kafka": 1, "hbase": 1, "redis": 0, "hdfs": 1, "flink-realtime": 1, "flink-batch": 1}
    assert [m["run"] for m in found["metrics"] if m["metric"] == "samewater_checkpoint_age_seconds"] == [run]


def test_prometheus_text_holds_the_same_figures(local: Local, run: str):
    text = local.samewater("health", "--format", "prometheus", "--topic", TOPIC)
    assert f'samewater_job_up{{job="realtime_dashboard",run="{run}"}} 1.0' in text
    assert text.count("# HELP samewater_") == text.count("# TYPE samewater_") > 15
