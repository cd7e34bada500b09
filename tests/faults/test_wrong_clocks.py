"""Wrong clocks and partitions that come later: the day is whole, in both modes, and every such record is told."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, NewPartitions

from flink_jobs import checks, datagen, oracle, order_log, stores
from flink_jobs.order_log import HEARTBEAT, Record
from flink_jobs.settings import MINUTE_MS
from flink_jobs.truth import rules_of
from tests.faults.test_losses import has_hour, held, shown, take_back
from tests.local import Local, cancel, is_filed, is_final, is_marked, open_door, wait_until

DAY = dt.date(2025, 11, 11)
ORDERS = 2_400
YEAR_2052 = 2_587_680_000_000
MORNING, AFTERNOON = 8, 16


def add_partition(local: Local, topic: str, number: int) -> None:
    """Let a topic have so many partitions."""
    admin = KafkaAdminClient(bootstrap_servers=local.settings.kafka.bootstrap)
    try:
        admin.create_partitions({topic: NewPartitions(number)})
    finally:
        admin.close()


def health(local: Local, topic: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(local.run("health", "--json", "--topic", topic, code=None).stdout)
    return found


def reads(local: Local, topic: str, run: str, partition: int) -> bool:
    """Whether a job has read all of a partition."""
    lags = [
        one["value"]
        for one in health(local, topic)["metrics"]
        if one["metric"] == "samewater_partition_records_lag"
        and (one["run"], one["partition"]) == (run, str(partition))
    ]
    return lags == [0.0]


@pytest.fixture
def records(local: Local) -> list[Record]:
    spec = datagen.Spec.by(local.settings, seed=51, first=DAY, last=DAY, orders=ORDERS)
    return list(datagen.day_records(replace(spec, partitions=2)))


def test_partitions_that_are_added_are_read_whole_and_wrong_clocks_spoil_no_day(local: Local, records: list[Record]):
    settings, topic = local.settings, "wrong-clocks"
    start = settings.time.day_start(DAY)
    eight, four = (start + hour * checks.HOUR_MS for hour in (MORNING, AFTERNOON))
    night = [r for r in records if r.ingest_time < eight]
    morning = [
        r._replace(partition=2) if n % 3 == 2 else r
        for n, r in enumerate(r for r in records if eight <= r.ingest_time < four)
    ]
    closing = order_log.closing_time(settings.time, DAY)
    evening = [
        r._replace(partition=3) if n % 4 == 3 else r for n, r in enumerate(r for r in records if r.ingest_time >= four)
    ]
    order_log.create_topic(settings, topic, 2)
    some = next(r for r in night if r.value and r.value != HEARTBEAT)
    wrong = [
        Record(0, YEAR_2052, HEARTBEAT),
        some._replace(partition=0, ingest_time=some.ingest_time * 1000),
        some._replace(partition=1, ingest_time=some.ingest_time // 1000),
    ]
    with open_door(settings, topic):
        assert "takes records whose ingest time is further ahead" in local.samewater(
            "submit", "daily_report", "--topic", topic, code=2
        )
        order_log.produce(settings, topic, [*night, *wrong])
    dashboard = local.submit("realtime_dashboard", "--topic", topic)
    report = local.submit("daily_report", "--topic", topic)
    wait_until(lambda: has_hour(local, report, MORNING - 1), "the hours of the night")
    found = health(local, topic)
    assert {alert["name"] for alert in found["alerts"]} - {"LogSilent"} == {"ClockRecords"}, found["alerts"]
    assert {
        (one["run"], one["partition"], one["value"])
        for one in found["metrics"]
        if one["metric"] == "samewater_clock_records"
    } == {(run, partition, value) for run in (dashboard, report) for partition, value in (("0", 2.0), ("1", 1.0))}

    add_partition(local, topic, 3)
    order_log.produce(settings, topic, [Record(2, eight, HEARTBEAT)])
    for run in (dashboard, report):
        wait_until(lambda run=run: reads(local, topic, run, 2), "the new partition")  # type: ignore[misc]
    order_log.produce(settings, topic, morning)
    wait_until(lambda: has_hour(local, report, AFTERNOON - 1), "the hours before four")

    local.samewater("stop", report)
    add_partition(local, topic, 4)
    order_log.produce(settings, topic, [Record(partition, four, HEARTBEAT) for partition in range(4)])
    wait_until(lambda: reads(local, topic, dashboard, 3), "the partition that came while the report stood")
    local.samewater("resume", report)
    wait_until(lambda: reads(local, topic, report, 3), "the partition that came while it stood")
    order_log.produce(settings, topic, [*evening, *(Record(partition, closing, HEARTBEAT) for partition in range(4))])
    wait_until(lambda: is_marked(local, report, DAY) and is_filed(local, report, DAY), "the day")
    wait_until(lambda: is_final(local, dashboard, DAY), "the last final minute")
    local.samewater("publish", dashboard)
    days = ("--from", str(DAY), "--to", str(DAY), "--topic", topic)
    batch = local.submit("daily_report", "--mode", "batch", *days)
    found = health(local, topic)
    assert {alert["name"] for alert in found["alerts"]} <= {"ClockRecords", "LogSilent"}, found["alerts"]
    result = local.reconcile(*days, "--stream", report, "--batch", batch, "--dashboard", dashboard, code=0)
    assert result["streaming: clock"]["verdict"] == result["batch: clock"]["verdict"] == checks.OK
    with stores.hdfs(settings) as files:
        for run in (report, batch):
            kept, _ = stores.read_rejected(files, settings, stores.CLOCK, run)
            assert sorted(int(cells["ingest_time"]) for cells in kept.values()) == sorted(r.ingest_time for r in wrong)
    read = [(r.partition, n, r.ingest_time, r.value) for n, r in enumerate([*night, *morning, *evening])]
    rules = rules_of(settings)
    day = oracle.totals(oracle.classify(read, rules), rules, str(DAY), str(DAY))[str(DAY)]
    with stores.hbase(settings) as connection:
        of = settings.report.buckets, str(DAY), batch, "b", settings.time.day_end(DAY)
        assert stores.read_sales(connection, *of) == checks.sales_table(day)
    for run in (dashboard, report):
        cancel(local, run)


def test_a_batch_does_not_end_at_an_order_that_is_stamped_hours_ahead(local: Local, records: list[Record]):
    settings, topic = local.settings, "hours-ahead"
    six = next(n for n, r in enumerate(records) if r.ingest_time >= settings.time.day_start(DAY) + 18 * checks.HOUR_MS)
    ahead = records[six]._replace(ingest_time=records[six].ingest_time + 9 * checks.HOUR_MS, value=HEARTBEAT)
    sent = [*records[:six], ahead, *records[six:]]
    order_log.create_topic(settings, topic, 2)
    closing = order_log.closing_time(settings.time, DAY)
    order_log.produce(settings, topic, [*sent, *(Record(partition, closing, HEARTBEAT) for partition in range(2))])
    days = ("--from", str(DAY), "--to", str(DAY), "--topic", topic)
    batch = local.submit("daily_report", "--mode", "batch", *days)
    rules = rules_of(settings)
    read = [(r.partition, n, r.ingest_time, r.value) for n, r in enumerate(sent)]
    day = oracle.totals(oracle.classify(read, rules), rules, str(DAY), str(DAY))[str(DAY)]
    with stores.hbase(settings) as connection:
        of = settings.report.buckets, str(DAY), batch, "b", settings.time.day_end(DAY)
        assert stores.read_sales(connection, *of) == checks.sales_table(day)
    result = local.reconcile(*days, "--batch", batch, code=1)
    assert {name: result[name]["verdict"] for name in ("batch: report", "batch: verdicts")} == {
        "batch: report": checks.OK,
        "batch: verdicts": checks.OK,
    }
    refused = local.samewater(
        "submit", "daily_report", "--mode", "batch", "--from", "2025-11-01", "--to", str(DAY), "--topic", topic, code=2
    )
    assert "2025-11-01 was never seen" in refused


def test_a_day_that_lacks_what_came_behind_a_clock_that_was_ahead_is_not_published(local: Local, records: list[Record]):
    """Clocks of both partitions, ahead by less than an hour: they pass the door, and close minutes too early."""
    settings, topic = local.settings, "ahead"
    moment = settings.time.day_start(DAY) + AFTERNOON * checks.HOUR_MS + 20 * MINUTE_MS
    closing = order_log.closing_time(settings.time, DAY)
    before = [r for r in records if r.ingest_time < moment]
    clocks = [Record(partition, moment + 50 * MINUTE_MS, HEARTBEAT) for partition in range(2)]
    rest = [r for r in records if r.ingest_time >= moment]
    order_log.create_topic(settings, topic, 2)
    order_log.produce(settings, topic, [*before, *clocks])
    report = local.submit("daily_report", "--topic", topic)
    wait_until(lambda: has_hour(local, report, AFTERNOON + 1), "the hour that is closed too early")
    order_log.produce(settings, topic, [*rest, *(Record(partition, closing, HEARTBEAT) for partition in range(2))])

    end = settings.time.day_end(DAY)
    wait_until(lambda: end in held(local, report), "the day's last version is held back")
    assert held(local, report) == list(range(end - (23 - AFTERNOON - 1) * checks.HOUR_MS, end + 1, checks.HOUR_MS))
    assert "RecordsBehindWatermark" in {alert["name"] for alert in health(local, topic)["alerts"]}
    assert "records behind the watermark" in local.samewater("versions", "--day", str(DAY))
    assert shown(local) != report
    take_back(local)  # what another story published
    batch = local.submit(
        "daily_report", "--mode", "batch", "--from", str(DAY), "--to", str(DAY), "--topic", topic, "--parallelism", "1"
    )
    assert shown(local) == batch
    rules = rules_of(settings)
    read = [(r.partition, n, r.ingest_time, r.value) for n, r in enumerate([*before, *rest])]
    day = oracle.totals(oracle.classify(read, rules), rules, str(DAY), str(DAY))[str(DAY)]
    whole = checks.sales_table(day)
    with stores.hbase(settings) as connection:
        assert stores.read_sales(connection, settings.report.buckets, str(DAY), batch, "b", end) == whole
        short = stores.read_sales(connection, settings.report.buckets, str(DAY), report, "s", end)
    assert int(whole["ALL|ALL"]["orders"]) - int(short["ALL|ALL"]["orders"]) > 10
    said = local.samewater("accept-gap", report)
    assert "records behind the watermark" in said and str(DAY) in said
    assert held(local, report) == []
    cancel(local, report)
