"""The log loses records before a job has read them, or is another log: no day is short without a word."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from flink_jobs import checks, datagen, flink_rest, oracle, order_log, runs, stores
from flink_jobs.stack import control, open_instance
from flink_jobs.truth import rules_of
from tests.local import Changes, Local, cancel, forget, is_marked, wait_until

DAY = dt.date(2025, 11, 11)
NOON = 12 * checks.HOUR_MS
ORDERS = 1_600
PARTITIONS = 2


class Log:
    """A topic that gets the first half of a day, and then the other; remembers what it got."""

    def __init__(self, local: Local, topic: str, seed: int) -> None:
        self.local, self.topic = local, topic
        noon = local.settings.time.day_start(DAY) + NOON
        spec = datagen.Spec.by(local.settings, seed=seed, first=DAY, last=DAY, orders=ORDERS)
        self.records = list(datagen.day_records(replace(spec, partitions=PARTITIONS)))
        self.half = next(n for n, record in enumerate(self.records) if record.ingest_time > noon)
        order_log.create_topic(local.settings, topic, PARTITIONS)
        self.begin()

    def begin(self) -> None:
        order_log.produce(self.local.settings, self.topic, self.records[: self.half])

    def end(self) -> None:
        order_log.produce(self.local.settings, self.topic, self.records[self.half :])

    def read_by(self, half: bool = True) -> dict[int, int]:
        """Partition -> offset behind the first half, or behind all."""
        return Counter(record.partition for record in (self.records[: self.half] if half else self.records))

    def lose(self) -> dict[int, tuple[int, int]]:
        """Forget a hundred records of the other half in each partition, and all before; partition -> these hundred."""
        lost = {partition: (offset, offset + 100) for partition, offset in self.read_by().items()}
        forget(self.local.settings, self.topic, {partition: end for partition, (_, end) in lost.items()})
        return lost

    def lost_unread(self, run: str, most: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        """What the run says of it: a fetch that was under way may still have brought the first of them."""
        with stores.hbase(self.local.settings) as connection:
            gaps = stores.read_gaps(connection, run, runs.get(connection, run).family)
        assert {gap.partition: gap.end for gap in gaps} == {partition: end for partition, (_, end) in most.items()}
        assert all(most[gap.partition][0] <= gap.start < gap.end for gap in gaps)
        return {gap.partition: (gap.start, gap.end) for gap in gaps}

    def sales(self, without: dict[int, tuple[int, int]]) -> stores.Table:
        """The report by the oracle, of what was not lost."""
        rules, offsets = rules_of(self.local.settings), Counter[int]()
        read: list[oracle.Record] = []
        for partition, at, value, _ in self.records:
            start, end = without.get(partition, (0, 0))
            if not start <= offsets[partition] < end:
                read.append((partition, offsets[partition], at, value))
            offsets[partition] += 1
        judged = oracle.classify(read, rules)
        return checks.sales_table(oracle.totals(judged, rules, str(DAY), str(DAY))[str(DAY)])


def told(lost: dict[int, tuple[int, int]]) -> str:
    return "; ".join(
        f"partition {partition}: offsets {start} to {end - 1} ({end - start:,})"
        for partition, (start, end) in sorted(lost.items())
    )


def has_hour(local: Local, run: str, hour: int) -> bool:
    with stores.hbase(local.settings) as connection:
        marked = runs.markers(connection, str(DAY), run, "s")
    return local.settings.time.day_start(DAY) + hour * checks.HOUR_MS in marked


def held(local: Local, run: str) -> list[int]:
    with stores.hbase(local.settings) as connection:
        return list(runs.held_versions(connection, str(DAY), runs.get(connection, run)))


def shown(local: Local) -> str | None:
    with stores.hbase(local.settings) as connection:
        published = runs.published(connection, runs.REPORT, str(DAY))
    return published and published.run_id


def alerts(local: Local, topic: str) -> set[str]:
    found = json.loads(local.run("health", "--json", "--topic", topic, code=None).stdout)
    return {alert["name"] for alert in found["alerts"]}


def written(local: Local, run: str) -> stores.Table:
    with stores.hbase(local.settings) as connection:
        family, buckets = runs.get(connection, run).family, local.settings.report.buckets
        return stores.read_sales(connection, buckets, str(DAY), run, family, local.settings.time.day_end(DAY))


@pytest.fixture(autouse=True)
def nothing_is_shown(local: Local) -> Iterable[None]:
    """The day is published by whoever has it first: each test begins without."""
    take_back(local)
    yield
    take_back(local)


def take_back(local: Local) -> None:
    with stores.hbase(local.settings) as connection:
        stores.ensure_tables(connection)
        published = runs.published(connection, runs.REPORT, str(DAY))
        if published is not None:
            runs.withdraw(connection, runs.REPORT, str(DAY), published.run_id)


def test_a_job_that_runs_and_falls_behind_retention_marks_nothing_behind_the_gap(local: Local):
    log = Log(local, "lost-while-it-ran", seed=41)
    run = local.submit("daily_report", "--topic", log.topic)
    wait_until(lambda: has_hour(local, run, 11), "the hours before noon")
    (reader,) = (
        row.pid
        for row in control.status(open_instance(local.settings))
        if row.server == "realtime-taskmanager" and row.pid
    )
    os.kill(reader, signal.SIGSTOP)
    try:
        log.end()
        most = log.lose()
    finally:
        os.kill(reader, signal.SIGCONT)
    end = local.settings.time.day_end(DAY)
    wait_until(lambda: end in held(local, run), "the day, held back")
    lost = log.lost_unread(run, most)
    assert not is_marked(local, run, DAY) and shown(local) is None
    assert not has_hour(local, run, 13) and has_hour(local, run, 11)
    assert "OffsetsLost" in alerts(local, log.topic)
    assert f"did not see or count {told(lost)}" in local.samewater("versions", "--day", str(DAY))
    said = local.samewater("accept-gap", run)
    assert told(lost) in said and str(DAY) in said
    assert is_marked(local, run, DAY) and held(local, run) == [] and shown(local) == run
    assert written(local, run) == log.sales(lost) != log.sales({})
    assert f"the whole day, without {told(lost)}" in local.samewater("report", "--day", str(DAY))
    assert "OffsetsLost" not in alerts(local, log.topic)
    assert "nothing to accept" in local.samewater("accept-gap", run, code=2)
    cancel(local, run)


def test_a_run_that_was_stopped_does_not_go_on_behind_a_gap_or_in_another_log(local: Local):
    log = Log(local, "lost-while-it-stood", seed=42)
    run = local.submit("daily_report", "--topic", log.topic)
    wait_until(lambda: has_hour(local, run, 11), "the hours before noon")
    local.samewater("stop", run)
    log.end()
    lost = log.lose()
    refused = local.samewater("resume", run, code=2)
    assert told(lost) in refused and "--accept-gap" in refused
    with stores.hbase(local.settings) as connection:
        assert runs.get(connection, run).state == "stopped", "a refusal changes nothing"
    local.samewater("resume", run, "--accept-gap")
    wait_until(lambda: is_marked(local, run, DAY), "the day")
    assert written(local, run) == log.sales(lost) != log.sales({}) and shown(local) == run
    assert f"the whole day, without {told(lost)}" in local.samewater("report", "--day", str(DAY))
    local.samewater("stop", run)
    order_log.delete_topic(local.settings, log.topic)
    order_log.create_topic(local.settings, log.topic, PARTITIONS)
    order_log.produce(local.settings, log.topic, [*log.records, *log.records])
    assert "was deleted and made again" in local.samewater("resume", run, "--accept-gap", code=2)


def test_a_job_whose_topic_is_made_again_marks_nothing_more(local: Local):
    log = Log(local, "made-again", seed=43)
    run = local.submit("daily_report", "--topic", log.topic)
    wait_until(lambda: has_hour(local, run, 11), "the hours before noon")
    order_log.delete_topic(local.settings, log.topic)
    order_log.create_topic(local.settings, log.topic, PARTITIONS)
    order_log.produce(local.settings, log.topic, log.records)
    with stores.hbase(local.settings) as connection:
        flink_job = runs.get(connection, run).flink_job_id

    def is_loud() -> bool:
        failures = flink_rest.failures(local.settings, "realtime", flink_job)
        return any("was deleted and made again" in failure["stacktrace"] for failure in failures)

    wait_until(is_loud, "a failure that says that the topic is another")
    assert "TopicReplaced" in alerts(local, log.topic)
    assert not is_marked(local, run, DAY) and not has_hour(local, run, 13) and shown(local) is None
    cancel(local, run)


STRIKES = """clear_files(settings, run.run_id)
        from kafka import TopicPartition
        from kafka.admin import KafkaAdminClient
        KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap).delete_records({TopicPartition(log, 1): BEFORE})"""


@pytest.mark.parametrize("what", ["the first records", "a whole partition"])
def test_a_batch_that_loses_records_between_planning_and_reading_is_not_published(
    local: Local, changed: Callable[[Changes], Path], what: str
):
    log = Log(local, f"lost-before-it-was-read-{what.split()[1]}", seed=44)
    log.end()
    before = 50 if what == "the first records" else log.read_by(half=False)[1]
    strikes = STRIKES.replace("BEFORE", str(before))
    root = changed({"flink_jobs/daily_report.py": [("clear_files(settings, run.run_id)", strikes)]})
    days = ("--mode", "batch", "--from", str(DAY), "--to", str(DAY), "--topic", log.topic)
    lost = {1: (0, before)}
    refused = local.samewater("submit", "daily_report", *days, root=root, code=2)
    assert told(lost) in refused
    with stores.hbase(local.settings) as connection:
        (run,) = (run for run in runs.list_runs(connection) if run.topic == log.topic)
    assert run.state == "failed" and not is_marked(local, run.run_id, DAY) and shown(local) is None
    assert told(lost) in local.samewater("accept-gap", run.run_id)
    assert written(local, run.run_id) == log.sales(lost) != log.sales({})
    assert is_marked(local, run.run_id, DAY) and shown(local) == run.run_id
    with stores.hbase(local.settings) as connection:
        assert runs.get(connection, run.run_id).state == "finished"
