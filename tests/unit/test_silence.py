"""Which kind of silence is it? Each one alone, from looks as `metrics` gives them."""

from __future__ import annotations

import pytest

from flink_jobs.metrics import Look
from serving.silence import Job, Pace, conditions, freshness, newest_ingest

NOON = 1_762_833_600_000
RUN = "realtime_dashboard-streaming-1"
RUNNING = Job(RUN, "running", "RUNNING")


def look(*, silent_s: float = 1, behind: dict[int, float] | None = None, screen_s: float = 0, unread: int = 0) -> Look:
    found = Look()
    found.add("log_silent_seconds", ("orders",), silent_s)
    for partition, seconds in (behind or {0: 0.0, 1: 0.0}).items():
        found.add("partition_behind_seconds", ("orders", str(partition)), seconds)
        if seconds != float("inf"):
            found.add("partition_newest_ingest_timestamp_seconds", ("orders", str(partition)), NOON / 1000 - seconds)
    found.add("screen_behind_seconds", (RUN,), screen_s)
    found.add("partition_records_lag", (RUN, "realtime_dashboard", "0"), unread)
    return found


def kinds(found: Look, job: Job | None = RUNNING, newest: int | None = NOON, pace: Pace | None = None) -> list[str]:
    return [said["kind"] for said in conditions(found, job, newest, pace or Pace())]


def test_orders_that_flow_need_no_word():
    assert kinds(look()) == []


def test_a_quiet_shop_has_heartbeats_and_no_orders():
    assert conditions(look(), RUNNING, NOON - 300_000, Pace()) == [{"kind": "quiet", "since": NOON - 300_000}]
    assert kinds(look(), newest=None) == ["quiet"]
    assert kinds(look(), newest=NOON - 120_000) == []


def test_a_partition_without_heartbeats_is_named_and_the_shop_is_not_called_quiet():
    said = conditions(look(behind={0: 0.0, 1: 91.0, 2: float("inf")}), RUNNING, NOON - 600_000, Pace())
    partitions = [{"partition": 1, "behind_s": 91}, {"partition": 2, "behind_s": None}]
    assert said == [{"kind": "stalled", "partitions": partitions}]


@pytest.mark.parametrize("state", ["FAILED", "CANCELED", "FINISHED", "SUSPENDED", "UNKNOWN"])
def test_a_job_that_is_down_is_told_first(state: str):
    assert kinds(look(), Job(RUN, "running", state), NOON - 300_000) == ["job_down", "quiet"]


def test_a_job_that_restarts_is_not_down_and_one_that_flink_did_not_tell_of_is_neither():
    assert kinds(look(), Job(RUN, "running", "RESTARTING")) == ["job_restarting"]
    assert kinds(look(), Job(RUN, "running", None)) == []


def test_a_server_that_is_silent_is_named():
    found = look()
    found.silent |= {"hbase": "HBase does not answer", "hdfs": "HDFS does not answer"}
    assert [said.get("server") for said in conditions(found, RUNNING, NOON, Pace())] == ["hbase"]


def test_a_log_that_is_silent_is_told_live_by_its_age_and_in_a_replay_by_how_long_nothing_came():
    assert kinds(look(silent_s=121)) == ["log_silent"]
    old = look(silent_s=90_000)
    assert kinds(old, pace=Pace(unmoved_s=3)) == []
    assert kinds(old, pace=Pace(unmoved_s=71)) == ["log_silent"]


def test_how_far_behind_is_measured_by_the_pace_of_the_log():
    slow = look(screen_s=1_500, unread=800)
    assert conditions(slow, RUNNING, NOON, Pace()) == [{"kind": "behind", "behind_s": 1500, "unread": 800}]
    assert kinds(slow, pace=Pace(speed=1440)) == []


def test_the_pace_is_how_far_the_log_went_between_two_looks():
    pace = Pace()
    pace.seen(NOON, 100.0)
    assert (pace.seen(NOON + 144_000, 101.0).speed, pace.unmoved_s) == (144.0, 0.0)
    assert (pace.seen(NOON + 144_000, 131.0).speed, pace.unmoved_s) == (144.0, 30.0)


def test_freshness_is_told_by_partition_and_as_a_whole():
    found = look(behind={0: 0.0, 1: 100.0})
    for partition, mark in (("0", NOON / 1000 - 330), ("1", NOON / 1000 - 430)):
        labels = (RUN, "realtime_dashboard", partition)
        found.add("partition_watermark_timestamp_seconds", labels, mark)
        found.add("partition_event_time_lag_seconds", labels, NOON / 1000 - mark)
        found.add("partition_holds_back", labels, float(partition == "1"))
    fresh = freshness(found, RUN)
    assert (fresh["watermark"], fresh["lag_s"], fresh["unread"]) == (NOON - 430_000, 430.0, 0)
    assert [(p["partition"], p["holds_back"], p["stalled"]) for p in fresh["partitions"]] == [
        (0, False, False),
        (1, True, True),
    ]
    assert newest_ingest(found) == NOON
    assert newest_ingest(Look()) is None
