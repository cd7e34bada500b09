"""What kind of silence is it, or what else keeps the figures from being whole?

Reads and writes nothing: it is given a look of `metrics` and what Flink says of the dashboard's job, and names what
somebody in front of the screen must know, the gravest first. The words are the page's, in its language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flink_jobs.metrics import Look

STALLED_S = 90.0  # as in the alert PartitionStalled
SILENT_S = 120.0  # as in the alert LogSilent
BEHIND_S = 120.0  # as in the alert ScreenBehind
REPLAY_S = 86_400.0
REPLAY_SILENT_S = 70.0  # a replay in real time brings a heartbeat a minute
QUIET_MS = 180_000
ALIVE = ("RUNNING", "RESTARTING")
SERVERS = ("kafka", "flink-realtime", "hbase", "redis", "hdfs", "flink-batch")


class Job(NamedTuple):
    """The dashboard's job. `noted`: its run's state in HBase; `flink`: what Flink says now, None: no answer."""

    run: str
    noted: str
    flink: str | None


@dataclass
class Pace:
    """How fast the log goes, by the clock on the wall: what a second means differs between a live day and a replay.

    `speed`: seconds of the log per second; `unmoved_s`: how long its newest record has been the newest.
    """

    speed: float = 1.0
    unmoved_s: float = 0.0
    _ingest: int | None = None
    _at: float = 0.0
    _moved_at: float = 0.0

    def seen(self, ingest: int | None, at_s: float) -> Pace:
        """Note the newest ingest time (epoch ms) of a look at this monotonic second."""
        if ingest is None or self._ingest is None:
            self._moved_at = at_s
        elif ingest != self._ingest and at_s > self._at:
            self.speed = max(0.0, (ingest - self._ingest) / 1000 / (at_s - self._at))
            self._moved_at = at_s
        self._ingest, self._at = ingest, at_s
        self.unmoved_s = at_s - self._moved_at
        return self


def conditions(look: Look, job: Job | None, newest: int | None, pace: Pace) -> list[dict[str, Any]]:
    """What is to be said, the gravest first: `kind` and what its sentence needs. Empty: orders flow.

    `newest`: start of the newest minute with an order; times are epoch ms, durations seconds.
    """
    said: list[dict[str, Any]] = []
    if job is not None and job.flink is not None and job.flink not in ALIVE:
        said.append({"kind": "job_down", "run": job.run, "state": job.flink, "noted": job.noted})
    if job is not None and job.flink == "RESTARTING":
        said.append({"kind": "job_restarting", "run": job.run})
    said += [
        {"kind": "server", "server": s, "says": look.silent[s]}
        for s in ("kafka", "flink-realtime", "hbase")
        if s in look.silent
    ]
    silent_s = _silent(look, pace)
    stalled = [
        {"partition": int(partition), "behind_s": None if behind == float("inf") else round(behind)}
        for (_, partition), behind in sorted(look.of("partition_behind_seconds").items())
        if behind > STALLED_S
    ]
    ingest = newest_ingest(look)
    if stalled:
        said.append({"kind": "stalled", "partitions": stalled})
    if silent_s is not None and ingest is not None:
        said.append({"kind": "log_silent", "since": ingest, "silent_s": round(silent_s)})
    elif ingest is not None and not stalled and _quiet(newest, ingest):
        said.append({"kind": "quiet", "since": newest})
    # A replay at 60 times the pace is a minute behind after a second.
    behind = max(look.of("screen_behind_seconds").values(), default=0.0)
    if behind > BEHIND_S * max(1.0, pace.speed):
        own = (n for (run, *_), n in look.of("partition_records_lag").items() if job is not None and run == job.run)
        said.append({"kind": "behind", "behind_s": round(behind), "unread": round(sum(own))})
    return said


def _silent(look: Look, pace: Pace) -> float | None:
    """How long the log has been silent, in seconds of the wall, if that is too long.

    The newest record of a replay is old from the start, so there it counts how long we saw nothing newer.
    """
    silent = max(look.of("log_silent_seconds").values(), default=0.0)
    if silent <= SILENT_S:
        return None
    if silent <= REPLAY_S:
        return silent
    return pace.unmoved_s if pace.unmoved_s > REPLAY_SILENT_S else None


def _quiet(newest: int | None, ingest: int) -> bool:
    return newest is None or ingest - newest > QUIET_MS + 60_000


def newest_ingest(look: Look) -> int | None:
    """The newest ingest time of any partition, epoch ms; None if Kafka did not say."""
    known = look.of("partition_newest_ingest_timestamp_seconds").values()
    return round(max(known) * 1000) if known else None


def freshness(look: Look, run: str) -> dict[str, Any]:
    """Of each partition: newest ingest time and watermark (epoch ms), lag (s), unread records, and who holds back."""
    ingest = by_partition(look, "partition_newest_ingest_timestamp_seconds")
    marks = by_partition(look, "partition_watermark_timestamp_seconds", run)
    lags = by_partition(look, "partition_event_time_lag_seconds", run)
    unread = by_partition(look, "partition_records_lag", run)
    holds = by_partition(look, "partition_holds_back", run)
    behind = by_partition(look, "partition_behind_seconds")
    partitions = [
        {
            "partition": n,
            "ingest": round(ingest[n] * 1000) if n in ingest else None,
            "watermark": round(marks[n] * 1000) if n in marks else None,
            "lag_s": round(lags[n], 1) if n in lags else None,
            "unread": round(unread[n]) if n in unread else None,
            "holds_back": bool(holds.get(n)) and len(set(marks.values())) > 1,
            "stalled": behind.get(n, 0) > STALLED_S,
        }
        for n in sorted({*ingest, *marks, *behind})
    ]
    return {
        "partitions": partitions,
        "watermark": round(min(marks.values()) * 1000) if marks else None,
        "lag_s": round(max(lags.values()), 1) if lags else None,
        "unread": round(sum(unread.values())) if unread else None,
    }


def by_partition(look: Look, metric: str, run: str | None = None) -> Mapping[int, float]:
    """Partition -> value of a metric, of one run if it is one of runs."""
    return {
        int(sample.named["partition"]): sample.value
        for sample in look.samples
        if sample.metric == metric and (run is None or sample.named["run"] == run)
    }
