"""What a look at the log says of its partitions, and when a rule fires."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fake_hbase import FakeHBase

from flink_jobs import archive_edge, metrics
from flink_jobs.alerts import firing, load_rules
from flink_jobs.archive_edge import Archive, Segment
from flink_jobs.errors import UserError
from flink_jobs.health import _families
from flink_jobs.log_reader import Span
from flink_jobs.metrics import METRICS, Look, Sample
from flink_jobs.runs import Run
from flink_jobs.settings import Settings
from flink_jobs.stores import Clock, Gap

MINUTE = 60_000
NOON = 1_762_833_600_000  # 2025-11-11 12:00 in Shanghai


def look_at(newest: dict[int, int | None], before: dict[int, int | None]) -> Look:
    look = Look()
    metrics._log(look, "orders", newest, before)
    return look


def fired(look: Look) -> list[tuple[str, str]]:
    return [(alert.name, alert.summary) for alert in firing(load_rules(), look.samples) if alert.name != "LogSilent"]


def test_a_partition_without_heartbeats_is_told_within_a_minute_of_the_first_that_is_missing():
    # The others go on; the heartbeat of minute 1 is due and does not come.
    still = {0: NOON + MINUTE, 1: NOON, 2: NOON + MINUTE}
    assert fired(look_at(still, {0: NOON, 1: NOON, 2: NOON})) == []
    later = {0: NOON + 2 * MINUTE, 1: NOON, 2: NOON + 2 * MINUTE}
    assert fired(look_at(later, still)) == [
        ("PartitionStalled", "partition 1 of orders has had no record for 120 s while others went on")
    ]


def test_a_partition_that_brings_records_is_not_stalled_however_far_it_is_behind():
    """A fast replay: the producer sends partition 1 a moment later."""
    assert fired(look_at({0: NOON + 5 * MINUTE, 1: NOON}, {0: NOON, 1: NOON - MINUTE})) == []


def test_an_empty_partition_is_behind_for_ever():
    assert look_at({0: NOON, 1: None}, {}).of("partition_behind_seconds")["orders", "1"] == float("inf")
    assert [name for name, _ in fired(look_at({0: NOON, 1: None}, {0: NOON, 1: None}))] == ["PartitionStalled"]


def test_a_quiet_shop_is_no_stalled_partition():
    """No orders, but heartbeats in every partition."""
    assert fired(look_at({0: NOON, 1: NOON, 2: NOON}, {0: NOON - MINUTE, 1: NOON - MINUTE, 2: NOON - MINUTE})) == []


def test_an_archive_is_as_far_behind_as_the_newest_record_and_has_lost_what_retention_took_first():
    hbase, day = FakeHBase(), 86_400_000
    assert archive_edge.newest_segment(hbase, "orders") is None
    archive = Archive("orders")
    for run_id, start, end, at in (("archive-1", 0, 7, NOON), ("archive-2", 7, 10, NOON + MINUTE)):
        spans = {0: Span(start, end), 1: Span(start, end)}
        archive = archive_edge.move_edge(hbase, archive, Segment(run_id=run_id, spans=spans, newest={0: at, 1: at - 1}))
    found = archive_edge.newest_segment(hbase, "orders")
    assert found is not None and (found[0], found[1].run_id) == ({0: 10, 1: 10}, "archive-2")
    look = Look()
    metrics._archive(look, "orders", *found, {0: NOON + 3 * day, 1: NOON, 2: None}, {0: 10, 1: 14, 2: 5})
    assert look.of("archive_behind_seconds") == {("orders",): 3 * 86_400 - 60}
    lost = {("orders", "0"): 0, ("orders", "1"): 4, ("orders", "2"): 0}
    assert look.of("archive_lost_records") == lost
    assert [name for name, _ in fired(look)] == ["ArchiveLostRecords", "ArchiveBehind"]


def test_what_a_run_did_not_see_is_told_by_partition_and_a_topic_that_was_made_again_too():
    run = Run(run_id="r", job="daily_report", mode="streaming", logic="l", topic="orders", topic_id="one")
    gaps = [Gap(0, 7, 9, 0, NOON), Gap(1, 4, 10, 0, NOON), Gap(0, 20, 21, NOON, NOON), Gap(2, 9, 3, NOON, NOON)]
    gaps += [Gap(1, 40, 90, NOON, NOON + MINUTE, True), Gap(1, 100, 190, NOON + 60 * MINUTE, NOON + 60 * MINUTE, True)]
    look = Look()
    metrics._log_of_run(look, run, "two", gaps)
    labels = ("r", "daily_report")
    assert look.of("offsets_lost") == {(*labels, "0"): 3, (*labels, "1"): 6, (*labels, "2"): 1}
    assert look.of("behind_watermark_hours") == {(*labels, "1"): 2}
    assert look.of("topic_replaced") == {labels: 1}
    assert [name for name, _ in fired(look)] == ["OffsetsLost"] * 3 + ["RecordsBehindWatermark", "TopicReplaced"]


def test_a_run_that_saw_all_of_its_own_topic_is_no_alert_nor_one_of_a_release_that_did_not_look():
    run = Run(run_id="r", job="daily_report", mode="streaming", logic="l", topic="orders", topic_id="one")
    for known, now in ((run, "one"), (run.model_copy(update={"topic_id": ""}), "one"), (run, "")):
        look = Look()
        metrics._log_of_run(look, known, now, [])
        assert fired(look) == []


@pytest.mark.parametrize(
    ("metric", "labels", "well", "ill", "alert"),
    [
        ("server_up", ("redis",), 1, 0, "ServerDown"),
        ("job_up", ("r", "daily_report"), 1, 0, "JobDown"),
        ("sink_errors_last_hour", ("r", "daily_report", "hbase"), 0, 1, "SinkErrors"),
        ("checkpoint_age_seconds", ("r", "daily_report"), 30, 121, "CheckpointTooOld"),
        ("day_unpublished_seconds", ("2025-11-11",), 0, 3601, "DayNotPublished"),
        ("verdict_share", ("r", "2025-11-11", "malformed"), 0.05, 0.051, "ManyBadRecords"),
        ("archive_lost_records", ("orders", "0"), 0, 1, "ArchiveLostRecords"),
        ("offsets_lost", ("r", "daily_report", "0"), 0, 1, "OffsetsLost"),
        ("topic_replaced", ("r", "daily_report"), 0, 1, "TopicReplaced"),
        ("clock_records", ("r", "daily_report", "0"), 0, 1, "ClockRecords"),
        ("late_rows_dropped", ("r", "daily_report"), 0, 1, "LateRowsDropped"),
        ("behind_watermark_hours", ("r", "daily_report", "0"), 0, 1, "RecordsBehindWatermark"),
        ("clock_door_open", ("orders",), 0, 1, "ClockDoorOpen"),
        ("job_failures_last_hour", ("r", "daily_report"), 3, 4, "JobFailsAgainAndAgain"),
        ("partition_behind_seconds", ("orders", "0"), 90, 91, "PartitionStalled"),
        ("log_silent_seconds", ("orders",), 120, 121, "LogSilent"),
        ("screen_behind_seconds", ("r",), 120, 121, "ScreenBehind"),
        ("report_behind_seconds", ("r",), 7200, 7201, "ReportBehind"),
        ("archive_behind_seconds", ("orders",), 172_800, 172_801, "ArchiveBehind"),
    ],
)
def test_a_rule_fires_past_its_threshold_and_not_before(metric, labels, well, ill, alert):
    rules = load_rules()
    assert firing(rules, [Sample(metric, labels, well)]) == []
    assert [told.name for told in firing(rules, [Sample(metric, labels, ill)])] == [alert]


def test_no_rule_is_without_a_test_of_its_threshold():
    (marks,) = [m for m in test_a_rule_fires_past_its_threshold_and_not_before.pytestmark if m.name == "parametrize"]
    assert {row[4] for row in marks.args[1]} == {rule.name for rule in load_rules()}


class Facts:
    """What HBase holds: a dashboard and a report of the topic, final until noon, and a log that began a day before."""

    def __init__(self, **more) -> None:
        known = {"screen": "d", "published_at": {}, "published_days": {"2025-11-10"}, "last_versions": {"r": NOON}}
        self.facts = metrics._Facts(**(known | more))


def results(monkeypatch, newest: dict[int, int | None], done: dict[str, int], **more) -> Look:
    """What is told of the figures that are shown, the minutes being final until noon."""
    settings = Settings.load()
    monkeypatch.setattr(metrics.stores, "redis", lambda _: None)
    monkeypatch.setattr(metrics.stores, "read_final_until", lambda *_: NOON)
    look = Look()
    metrics.Watch(settings, "orders")._results(look, Facts(**more).facts, newest, done, True)
    return look


HOUR = 60 * MINUTE
SETTLED = 330_000  # lateness and skew
QUIET_FOR_HOURS = {0: NOON + 5 * HOUR + SETTLED}


def test_figures_are_not_behind_where_there_was_no_record(monkeypatch):
    """A day that is closed by one heartbeat, hours after the last order: the job has gone through all of it."""
    done = {"d": NOON + 5 * HOUR, "r": NOON + 5 * HOUR}
    look = results(monkeypatch, QUIET_FOR_HOURS, done)
    assert look.of("screen_behind_seconds") == {("d",): 0} and look.of("report_behind_seconds") == {("r",): 0}
    assert fired(look) == []


def test_figures_are_behind_while_the_job_has_not_gone_through_the_log(monkeypatch):
    for done in ({}, {"d": NOON + MINUTE, "r": NOON + MINUTE}):
        look = results(monkeypatch, QUIET_FOR_HOURS, done)
        assert [name for name, _ in fired(look)] == ["ScreenBehind", "ReportBehind"]
    # Of one that has got as far as the log but for two minutes, nothing is said.
    almost = {"d": NOON + 5 * HOUR - 2 * MINUTE, "r": NOON + 5 * HOUR}
    assert fired(results(monkeypatch, QUIET_FOR_HOURS, almost)) == []


def test_no_report_is_missed_of_a_day_that_nobody_has_seen(monkeypatch):
    midnight = NOON - 12 * HOUR
    now = {0: NOON + HOUR + SETTLED}
    done = {"d": NOON + HOUR, "r": NOON + HOUR}
    for begins, due in (
        (midnight + 1, []),
        (midnight, []),
        (midnight - 1, ["DayNotPublished"]),
        (None, ["DayNotPublished"]),
    ):
        look = results(monkeypatch, now, done, published_days=set(), begins=begins)
        assert [name for name, _ in fired(look)] == due
    assert fired(results(monkeypatch, now, done, begins=midnight - HOUR)) == []


def test_wrong_clocks_are_told_for_a_day(monkeypatch):
    run = Run(run_id="r", job="daily_report", mode="streaming", logic="l", topic="orders")
    monkeypatch.setattr(metrics.time, "time", lambda: NOON / 1000)
    look = Look()
    day = 24 * HOUR
    found = {0: Clock(4, 1, 2, NOON - HOUR), 1: Clock(9, 1, 2, NOON - day - 1)}
    metrics._clocks(look, run, found)
    assert look.of("clock_records") == {("r", "daily_report", "0"): 4, ("r", "daily_report", "1"): 0}
    ((name, said),) = fired(look)
    assert name == "ClockRecords" and said.startswith("4 records of partition 0 ")


def test_every_rule_tells_what_to_do_and_names_only_labels_that_its_metric_has():
    rules = load_rules()
    assert len(rules) >= 10
    for rule in rules:
        named = set(re.findall(r"\$labels\.([a-z_]+)", rule.summary))
        assert named <= set(METRICS[rule.metric][0]), rule.name
        assert len(rule.action) > 20 and "{{" not in firing([rule], [a_sample(rule)])[0].summary


def a_sample(rule) -> Sample:
    value = rule.threshold + {">": 1, "==": 0}[rule.compare]
    return Sample(rule.metric, tuple(f"a-{label}" for label in METRICS[rule.metric][0]), value)


@pytest.mark.parametrize(
    "expression", ["samewater_job_up == bool 0", "rate(samewater_job_up[1m]) > 0", "samewater_unheard_of > 1"]
)
def test_a_rule_that_health_could_not_judge_by_is_refused(tmp_path: Path, expression: str):
    file = tmp_path / "alerts.yaml"
    file.write_text(
        f"groups: [{{name: x, rules: [{{alert: A, expr: '{expression}', labels: {{severity: page}}, "
        "annotations: {summary: s, action: a}}]}]"
    )
    with pytest.raises(UserError, match="A: "):
        load_rules(file)


def test_prometheus_gets_every_metric_with_its_labels():
    families = {family.name: family for family in _families([Sample("job_restarts_total", ("r", "j"), 3)])}
    assert len(families) == len(METRICS)
    restarts = families["samewater_job_restarts"]
    assert [(s.name, s.labels, s.value) for s in restarts.samples] == [
        ("samewater_job_restarts_total", {"run": "r", "job": "j"}, 3)
    ]
