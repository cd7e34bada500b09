"""What does an on-call engineer look at?

Asks Kafka, Flink's REST API, HBase, Redis and HDFS; writes nothing. Every figure has one name (`METRICS`), under which
Prometheus, `samewater health` and the rules of conf/prometheus/alerts.yaml know it.

Lags are measured against the newest ingest time in the log, so that a replay of the past has the lags that a live day
has. How far the log itself is behind the clock on the wall is a metric of its own (`log_silent_seconds`).
"""

from __future__ import annotations

import datetime as dt
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from flink_jobs import archive_edge, flink_rest, losses, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.log_reader import reached
from flink_jobs.order_log import open_door, topic_end_offsets, topic_id, topic_max_ingest, topic_start_offsets
from flink_jobs.settings import DAY_MS, HOUR_MS, MINUTE_MS, Settings

T = TypeVar("T")
PREFIX = "samewater_"
_JOB = ("run", "job")
METRICS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "server_up": (("server",), "1 if the server answers a real question."),
    "log_silent_seconds": (("topic",), "Wall-clock time since the newest ingest time in the log."),
    "partition_newest_ingest_timestamp_seconds": (("topic", "partition"), "Greatest ingest time in the partition."),
    "partition_behind_seconds": (
        ("topic", "partition"),
        "How far its newest ingest time is behind the leading partition's; 0 while records come in. +Inf: it is empty.",
    ),
    "job_up": (_JOB, "1 if every task of a run that is noted as running runs."),
    "job_restarts_total": (_JOB, "Restarts of the Flink job since it was submitted or resumed."),
    "job_failures_last_hour": (_JOB, "Failures of the last hour in Flink's exception history."),
    "sink_errors_last_hour": ((*_JOB, "sink"), "Those of them that a store caused."),
    "checkpoint_age_seconds": (_JOB, "Since the last complete checkpoint, or since the start if there is none."),
    "checkpoint_duration_seconds": (_JOB, "What the last complete checkpoint took."),
    "checkpoint_size_bytes": (_JOB, "State in the last complete checkpoint."),
    "partition_watermark_timestamp_seconds": ((*_JOB, "partition"), "Watermark of the partition in the job."),
    "partition_event_time_lag_seconds": (
        (*_JOB, "partition"),
        "How far that watermark is behind the newest ingest time of the log: by lateness, clock skew, the step that it "
        "is floored to, and what is not read yet.",
    ),
    "partition_records_lag": ((*_JOB, "partition"), "Records of the partition that the job has not read yet."),
    "partition_holds_back": ((*_JOB, "partition"), "1 for the partition that the job's watermark waits for."),
    "offsets_lost": (
        (*_JOB, "partition"),
        "Offsets that the log had lost before the run read them, and that nobody has accepted.",
    ),
    "late_rows_dropped": (
        _JOB,
        "Rows that came behind the watermark and were dropped since the job's last start: its figures are short.",
    ),
    "behind_watermark_hours": (
        (*_JOB, "partition"),
        "Hours of order time of which records came behind the watermark, so that the run does not count them, and that "
        "nobody has accepted.",
    ),
    "clock_records": (
        (*_JOB, "partition"),
        "Records with an ingest time that cannot be right, since the run's start; 0 a day after the last of them.",
    ),
    "clock_door_open": (("topic",), "1 if the broker takes records whose ingest time is far ahead of its clock."),
    "topic_replaced": (_JOB, "1 if the topic is not the one that the run began to read."),
    "screen_behind_seconds": (("run",), "How far the final minutes on the screen are behind what the log could give."),
    "report_behind_seconds": (("run",), "How far the last marked version is behind what the log could give."),
    "publication_age_seconds": (("report",), "Since the report was last published."),
    "day_unpublished_seconds": (("day",), "How long the newest closed day is without a published report, by the log."),
    "archive_behind_seconds": (("topic",), "How far what is archived is behind the log, once anything is archived."),
    "archive_lost_records": (("topic", "partition"), "Offsets that retention took before they were archived."),
    "verdict_records": (("run", "day", "verdict"), "Records of the day, as the last marked version counts them."),
    "verdict_records_last_hour": (("run", "day", "verdict"), "Those that the version before did not count."),
    "verdict_share": (("run", "day", "verdict"), "Share of what does not count in all records but heartbeats."),
}
"""Metric (without `samewater_`) -> its labels, and what it says."""
BAD = ("malformed", "invalid", "future", "late", "late_copy", "duplicate")
SINKS = {"redis_sink.py": "redis", "hbase_sink.py": "hbase", "org.apache.hadoop": "hdfs"}
"""What stands in the stack trace of a failure that a store caused -> the store."""


DROPPED_ASKED_S = 30.0


class Sample(NamedTuple):
    """One value. `labels`: in the order of `METRICS`."""

    metric: str
    labels: tuple[str, ...]
    value: float

    @property
    def named(self) -> dict[str, str]:
        """Label -> value."""
        return dict(zip(METRICS[self.metric][0], self.labels, strict=True))


@dataclass
class Look:
    """What was found at one moment. `silent`: server -> what the question to it came to; what it knows is left out."""

    samples: list[Sample] = field(default_factory=list)
    silent: dict[str, str] = field(default_factory=dict)

    def add(self, metric: str, labels: tuple[str, ...], value: float) -> None:
        """Note a value."""
        self.samples.append(Sample(metric, labels, value))

    def of(self, metric: str) -> dict[tuple[str, ...], float]:
        """Labels -> value of one metric."""
        return {sample.labels: sample.value for sample in self.samples if sample.metric == metric}


class Watch:
    """Looks again and again. It remembers the log of the look before: a partition is behind only if it stands still."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._settings, self._topic = settings, topic
        self._before: dict[int, int | None] = {}
        self._dropped: dict[str, tuple[float, int]] = {}  # run -> when it was asked, and what it has dropped

    def look(self) -> Look:
        """All metrics as they are now. Every question has a time limit; one that fails takes no other with it."""
        look = Look()
        questions: dict[str, Callable[[], Any]] = {
            "kafka": self._ask_kafka,
            "hbase": self._ask_hbase,
            "redis": lambda: stores.redis(self._settings).close(),
            "hdfs": self._ask_hdfs,
            "flink-realtime": lambda: flink_rest.jobs(self._settings, "realtime"),
            "flink-batch": lambda: flink_rest.jobs(self._settings, "batch"),
        }
        with ThreadPoolExecutor(len(questions)) as pool:
            asked = {server: pool.submit(question) for server, question in questions.items()}
        answers: dict[str, Any] = {}
        for server, answer in asked.items():
            try:
                answers[server] = answer.result()
            except UserError as silent:
                look.silent[server] = str(silent)
            look.add("server_up", (server,), float(server not in look.silent))
        newest, starts, ends, topic_id, door = answers.get("kafka", ({}, {}, {}, "", None))
        if "kafka" in answers:
            look.add("clock_door_open", (self._topic,), float(door is not None))
        _log(look, self._topic, newest, self._before)
        self._before = newest
        if "hbase" in answers:
            running, facts = answers["hbase"]
            reached_by: dict[str, int] = {}
            for run in running:
                _log_of_run(look, run, topic_id, facts.lost.get(run.run_id, []))
                _clocks(look, run, facts.clock.get(run.run_id, {}))
                cluster = f"flink-{run.cluster}"
                if cluster in answers:
                    living = {job["jid"]: job for job in answers[cluster]}
                    try:
                        _job(look, self._settings, run, living, newest, ends)
                        if run.flink_job_id in living:
                            look.add("late_rows_dropped", (run.run_id, run.job), self._dropped_late(run))
                            reached_by[run.run_id] = _done_until(self._settings, run)
                    except UserError as silent:
                        look.silent[cluster] = str(silent)
            self._results(look, facts, newest, reached_by, "redis" in answers)
            if facts.archived is not None:
                edge, last = facts.archived
                _archive(look, self._topic, edge, last, newest, starts)
        return look

    def _dropped_late(self, run: runs.Run) -> int:
        """It takes two questions for each task, so it is not asked at each look."""
        asked_at, dropped = self._dropped.get(run.run_id, (-DROPPED_ASKED_S, 0))
        if time.monotonic() - asked_at >= DROPPED_ASKED_S:
            dropped = flink_rest.dropped_late(self._settings, run.cluster, run.flink_job_id)
            self._dropped[run.run_id] = time.monotonic(), dropped
        return dropped

    def _ask_kafka(self) -> tuple[dict[int, int | None], dict[int, int], dict[int, int], str, str | None]:
        of = (self._settings, self._topic)
        return topic_max_ingest(*of), topic_start_offsets(*of), topic_end_offsets(*of), topic_id(*of), open_door(*of)

    def _ask_hdfs(self) -> None:
        with stores.hdfs(self._settings) as files:
            files.exists(self._settings.hdfs.root)

    def _ask_hbase(self) -> tuple[list[runs.Run], _Facts]:
        topic = self._topic
        with stores.hbase(self._settings) as connection:
            running = [
                run for run in runs.list_runs(connection, mode="streaming", topic=topic) if run.state == "running"
            ]
            published = list(runs.list_published(connection))
            facts = _Facts(
                # One that reads another topic says nothing of this one.
                screen=next(
                    (p.run_id for report, _, p, _ in published if report == runs.DASHBOARD and p.topic in ("", topic)),
                    None,
                ),
                published_at={
                    report: max(dt.datetime.fromisoformat(p.at) for r, _, p, _ in published if r == report and p.at)
                    for report in {r for r, _, p, _ in published if p.at}
                },
                published_days={day for report, day, *_ in published if report == runs.REPORT},
                archived=archive_edge.newest_segment(connection, topic),
            )
            for run in running:
                facts.lost[run.run_id] = losses.unaccepted(connection, run)
                facts.clock[run.run_id] = stores.read_clock(connection, run.run_id, run.family)
                # Readers do not wait for a replay that nobody is shown.
                awaited = run.job == runs.REPORT and not run.provisional
                if awaited:
                    began = losses.begins(self._settings, connection, run)
                    facts.begins = min(filter(None, (facts.begins, began)), default=None)
                last = runs.last_version(connection, run) if awaited else None
                if last is not None:
                    facts.last_versions[run.run_id] = last
                    day = str(self._settings.time.day_of(last - 1))
                    facts.verdicts[run.run_id] = (day, *_verdicts(connection, run, day, last))
            return running, facts

    def _results(
        self,
        look: Look,
        facts: _Facts,
        newest: Mapping[int, int | None],
        done: Mapping[str, int],
        redis_answers: bool,
    ) -> None:
        """`done`: run -> up to where its job has gone through the log (`_done_until`). It gives no figure of a minute
        or hour in which there was no record, and is not behind for that.
        """
        now = time.time()
        for report, at in facts.published_at.items():
            look.add("publication_age_seconds", (report,), now - at.timestamp())
        for run_id, (day, counts, before) in facts.verdicts.items():
            records = sum(count for verdict, count in counts.items() if verdict != "heartbeat")
            for verdict, count in counts.items():
                look.add("verdict_records", (run_id, day, verdict), count)
                look.add("verdict_records_last_hour", (run_id, day, verdict), count - before.get(verdict, 0))
                if verdict in BAD and records:
                    look.add("verdict_share", (run_id, day, verdict), count / records)
        times = self._settings.time
        until = reached(newest, times.lateness_ms, times.clock_skew_ms) if newest else None
        if until is None:
            return
        if facts.screen is not None and redis_answers:
            final = stores.read_final_until(stores.redis(self._settings), self._settings, facts.screen)
            if final is not None:
                known = max(final, done.get(facts.screen, 0))
                look.add("screen_behind_seconds", (facts.screen,), max(0, until - until % MINUTE_MS - known) / 1000)
        for run_id, version in facts.last_versions.items():
            known = max(version, done.get(run_id, 0))
            behind = max(0, until - until % HOUR_MS - (known - known % HOUR_MS))
            look.add("report_behind_seconds", (run_id,), behind / 1000)
        closed = times.day_of(until) - dt.timedelta(days=1)
        # Else no report runs that could be published, or nobody has ever seen a record of that day.
        if facts.last_versions and (facts.begins or 0) < times.day_end(closed):
            open_for = 0.0 if str(closed) in facts.published_days else (until - times.day_end(closed)) / 1000
            look.add("day_unpublished_seconds", (str(closed),), open_for)


@dataclass
class _Facts:
    """What HBase holds. `verdicts`: run -> day, verdict counts of its last version, and of the one before; `archived`:
    partition -> edge, and the newest segment, None if nothing of the topic is archived; `lost`: run -> what it did not
    see of the log; `clock`: run -> what it met of wrong clocks; `begins`: where
    the log of the report that is awaited begins, epoch ms.
    """

    screen: str | None
    published_at: dict[str, dt.datetime]
    published_days: set[str]
    archived: tuple[Mapping[int, int], archive_edge.Segment] | None = None
    last_versions: dict[str, int] = field(default_factory=dict)
    verdicts: dict[str, tuple[str, dict[str, int], dict[str, int]]] = field(default_factory=dict)
    lost: dict[str, list[stores.Gap]] = field(default_factory=dict)
    clock: dict[str, dict[int, stores.Clock]] = field(default_factory=dict)
    begins: int | None = None


def _done_until(settings: Settings, run: runs.Run) -> int:
    """Up to which event time (epoch ms) a job has gone through the log; 0 if it does not say."""
    mark = flink_rest.watermark(settings, run.cluster, run.flink_job_id)
    # A job's rowtime is the time on the business zone's clocks.
    return 0 if mark is None else mark - int(settings.time.offset.total_seconds()) * 1000


def _verdicts(connection: Any, run: runs.Run, day: str, version: int) -> tuple[dict[str, int], dict[str, int]]:
    def counts(at: int) -> dict[str, int]:
        found = stores.verdict_counts(connection, day, run.run_id, run.family, at)
        found.pop("conflicting", None)  # it counts order ids, not records
        return found

    return counts(version), counts(version - HOUR_MS)


def _log(look: Look, topic: str, newest: Mapping[int, int | None], before: Mapping[int, int | None]) -> None:
    known = [at for at in newest.values() if at is not None]
    if not known:
        return
    leading = max(known)
    look.add("log_silent_seconds", (topic,), max(0.0, time.time() - leading / 1000))
    for partition, at in sorted(newest.items()):
        labels = (topic, str(partition))
        moved = partition in before and before[partition] != at
        behind = float("inf") if at is None else (leading - at) / 1000
        look.add("partition_behind_seconds", labels, 0.0 if moved else behind)
        if at is not None:
            look.add("partition_newest_ingest_timestamp_seconds", labels, at / 1000)


def _log_of_run(look: Look, run: runs.Run, topic_id: str, gaps: list[stores.Gap]) -> None:
    """Whether the log is still the one that the run began to read, and what of it the run did not see."""
    if topic_id and run.topic_id:
        look.add("topic_replaced", (run.run_id, run.job), float(topic_id != run.topic_id))
    lost: Counter[int] = Counter()
    behind: dict[int, set[int]] = defaultdict(set)
    for gap in gaps:
        if gap.behind:
            behind[gap.partition].add(gap.since // HOUR_MS)
        else:
            lost[gap.partition] += max(1, gap.end - gap.start)
    for partition, offsets in sorted(lost.items()):
        look.add("offsets_lost", (run.run_id, run.job, str(partition)), offsets)
    for partition, hours in sorted(behind.items()):
        look.add("behind_watermark_hours", (run.run_id, run.job, str(partition)), len(hours))


def _clocks(look: Look, run: runs.Run, found: Mapping[int, stores.Clock]) -> None:
    """What a run met of wrong clocks; what is a day old is for those who look it up."""
    for partition, clock in sorted(found.items()):
        is_new = time.time() * 1000 - clock.at < DAY_MS
        look.add("clock_records", (run.run_id, run.job, str(partition)), float(clock.records if is_new else 0))


def _archive(
    look: Look,
    topic: str,
    edge: Mapping[int, int],
    last: archive_edge.Segment,
    newest: Mapping[int, int | None],
    starts: Mapping[int, int],
) -> None:
    """How far the archive is, of a topic of which something is archived."""
    known = [at for at in newest.values() if at is not None]
    if known and last.newest:
        look.add("archive_behind_seconds", (topic,), max(0, max(known) - max(last.newest.values())) / 1000)
    for partition, start in sorted(starts.items()):
        look.add("archive_lost_records", (topic, str(partition)), max(0, start - edge.get(partition, start)))


def _job(
    look: Look,
    settings: Settings,
    run: runs.Run,
    known: Mapping[str, Mapping[str, Any]],
    newest: Mapping[int, int | None],
    ends: Mapping[int, int],
) -> None:
    """What Flink says of one run that is noted as running."""
    labels, flink_job = (run.run_id, run.job), run.flink_job_id
    found = known.get(flink_job)
    up = found is not None and found["state"] == "RUNNING" and found["tasks"]["running"] == found["tasks"]["total"]
    look.add("job_up", labels, float(up))
    if found is None:
        return
    now_ms = time.time() * 1000
    restarts = flink_rest.job_metrics(settings, run.cluster, flink_job, ["numRestarts"]).get("numRestarts")
    if restarts is not None:
        look.add("job_restarts_total", labels, restarts)
    failures = [f for f in flink_rest.failures(settings, run.cluster, flink_job) if f["timestamp"] > now_ms - HOUR_MS]
    look.add("job_failures_last_hour", labels, len(failures))
    for trace, sink in SINKS.items():
        look.add("sink_errors_last_hour", (*labels, sink), sum(trace in f["stacktrace"] for f in failures))
    last = flink_rest.checkpoints(settings, run.cluster, flink_job)["latest"]["completed"]
    since = last["latest_ack_timestamp"] if last else found["start-time"]
    look.add("checkpoint_age_seconds", labels, (now_ms - since) / 1000)
    if last:
        look.add("checkpoint_duration_seconds", labels, last["end_to_end_duration"] / 1000)
        look.add("checkpoint_size_bytes", labels, last["state_size"])
    _partitions(look, settings, run, newest, ends)


def _partitions(
    look: Look, settings: Settings, run: runs.Run, newest: Mapping[int, int | None], ends: Mapping[int, int]
) -> None:
    found = flink_rest.source_metrics(settings, run.cluster, run.flink_job_id, ("currentWatermark", "currentOffset"))
    leading = max((at for at in newest.values() if at is not None), default=None)
    # A job's rowtime is the time on the business zone's clocks; epoch ms are that less the zone's offset.
    offset_ms = int(settings.time.offset.total_seconds()) * 1000
    watermarks: dict[int, float] = {}
    for name, value in found.items():
        split = re.search(rf"\.split\.{re.escape(run.topic)}-(\d+)\.watermark\.currentWatermark$", name)
        read = re.search(rf"\.topic\.{re.escape(run.topic)}\.partition\.(\d+)\.currentOffset$", name)
        if split and value > 0:  # before its first record it is the least number there is
            watermarks[int(split[1])] = value - offset_ms
        if read and int(read[1]) in ends and value >= 0:
            behind = max(0, ends[int(read[1])] - 1 - value)
            look.add("partition_records_lag", (run.run_id, run.job, read[1]), behind)
    for partition, watermark in sorted(watermarks.items()):
        labels = (run.run_id, run.job, str(partition))
        look.add("partition_watermark_timestamp_seconds", labels, watermark / 1000)
        look.add("partition_holds_back", labels, float(watermark == min(watermarks.values())))
        if leading is not None:
            look.add("partition_event_time_lag_seconds", labels, (leading - watermark) / 1000)
