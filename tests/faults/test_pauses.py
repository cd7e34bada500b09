"""Is a partition that pauses for hours, while the other goes on, waited for?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from flink_jobs import checks, order_log, runs, stores
from flink_jobs.order_format import Order, canonical
from tests.local import Local, is_filed, is_marked, wait_until

DAY = dt.date(2025, 11, 11)
TOPIC = "orders-paused"


def test_an_idle_timeout_turns_reconcile_red(local: Local, changed: Callable):
    """With a timeout the job passes the paused partition by and loses what it brings."""
    root = changed(
        {
            "sql/bind/orders_kafka.sql": [
                ("'format' = 'raw',", "'format' = 'raw', 'scan.watermark.idle-timeout' = '1 s',")
            ]
        }
    )
    noon = local.settings.time.day_start(DAY) + 12 * 3_600_000
    end = order_log.closing_time(local.settings.time, DAY)
    minutes = range(noon, end + 1, 60_000)

    def record(partition: int, at: int) -> order_log.Record:
        order = canonical(Order(f"P{partition}-{at}", at - 1000, "U1", "110000", "110100", 100))
        return order_log.Record(partition, at, order if at < end - 1_800_000 else order_log.HEARTBEAT)

    order_log.create_topic(local.settings, TOPIC, 2)
    # Both partitions in one subtask: else the paused one's would be idle as a whole.
    run = local.submit("daily_report", "--topic", TOPIC, "--parallelism", "1", root=root)
    order_log.produce(local.settings, TOPIC, (record(0, at) for at in minutes))

    def passed() -> bool:
        # While one partition goes on, the other is idle alone: were both so at once, the watermark would stand.
        order_log.produce(local.settings, TOPIC, [record(0, end)])
        with stores.hbase(local.settings) as connection:
            return bool(runs.markers(connection, str(DAY), run, "s"))

    wait_until(passed, "an hour that the job closed without the paused partition")
    order_log.produce(local.settings, TOPIC, (record(1, at) for at in minutes))
    wait_until(lambda: is_marked(local, run, DAY), "the marker of the day")
    wait_until(lambda: is_filed(local, run, DAY), "the files of the day")
    days = ("--from", str(DAY), "--to", str(DAY), "--topic", TOPIC)
    batch = local.submit("daily_report", "--mode", "batch", *days)
    result = local.reconcile(*days, "--stream", run, "--batch", batch, code=1)
    assert result["streaming: report"]["verdict"] == checks.DIFFERENT
    assert result["batch: report"]["verdict"] == checks.OK
