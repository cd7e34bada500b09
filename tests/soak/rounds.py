"""How does one round of the soak run go? On real servers: the log, the three jobs, the comparison.

Writes a topic of its own, which it deletes in the end, and runs. The streaming jobs are unbounded and their days are
closed by heartbeats: a bounded read ends with an infinite watermark and proves nothing.
"""

from __future__ import annotations

import dataclasses
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tenacity import RetryError, Retrying, retry_if_result, stop_after_attempt, stop_after_delay, wait_fixed

from flink_jobs import datagen, flink_rest, oracle, order_log, reconcile, runs, stack, stores
from flink_jobs import submit as product
from flink_jobs.checks import (
    UNKNOWN,
    WRONG,
    Check,
    StoredDay,
    check_dashboard,
    check_minutes_against_report,
    check_modes,
    check_run,
)
from flink_jobs.console import readable
from flink_jobs.errors import UserError
from flink_jobs.log_reader import open_log, reached
from flink_jobs.order_log import Record
from flink_jobs.settings import ROOT
from flink_jobs.truth import rules_of
from tests.bench.place import Place
from tests.soak.draw import CHECKPOINT, Round, disordered, out_of_step
from tests.soak.expected import Truth, check_every_version, check_substance, expect, told

PATIENCE_S = 1800.0  # of a large round on a busy machine
FILES_S = 60.0  # beside three checkpoints


class Failed(UserError):
    """A job that ended or stood still: the round proves nothing, or shows a mistake."""


@dataclass
class Outcome:
    """What a round came to: every check, and what makes it prove less than it should."""

    checks: list[Check] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def differences(self) -> list[str]:
        """A line for each, and for each doubt: a count that nobody could read is not a count of none."""
        return [*told(self.checks, (*WRONG, UNKNOWN)), *self.doubts]


def run(place: Place, flink: Path, drawn: Round) -> Outcome:
    """One round; `flink`: the command. Raises `UserError` if a job ends, stands still or is not submitted."""
    topic = f"soak-{drawn.seed}-{int(time.time())}"
    spec = datagen.Spec.by(
        place.settings,
        seed=drawn.seed,
        first=drawn.first,
        last=drawn.last,
        orders=drawn.orders // drawn.days,
        rates=drawn.rates,
    )
    spec = dataclasses.replace(spec, partitions=drawn.partitions)
    records = out_of_step(disordered(datagen.day_records(spec), drawn.disorder_ms, drawn.seed), drawn.behind_ms)
    order_log.create_topic(place.settings, topic, drawn.partitions)
    try:
        return _round(_Round(place, flink, drawn, topic), records)
    finally:
        _end_all(place)
        order_log.delete_topic(place.settings, topic)


def _end_all(place: Place) -> None:
    """The servers are our own: a job that a failed round left would have the slots of the next one."""
    for cluster in ("realtime", "batch"):
        for job in flink_rest.living_jobs(place.settings, cluster):
            flink_rest.cancel(place.settings, cluster, job["jid"])


class _Round:
    """A round at work: its servers, what it drew, its topic."""

    def __init__(self, place: Place, flink: Path, drawn: Round, topic: str) -> None:
        self.place, self.settings, self.flink, self.drawn, self.topic = place, place.settings, flink, drawn, topic
        self.outcome = Outcome()
        self.batch: Future[runs.Run] | None = None

    @property
    def days(self) -> list[str]:
        """All of its days."""
        return [str(day) for day in (self.drawn.first, self.drawn.last)][: self.drawn.days]

    @property
    def end(self) -> int:
        """End of its last day (epoch ms)."""
        return self.settings.time.day_end(self.drawn.last)

    def submit(self, job: str, mode: str, parallelism: int, *arguments: str) -> runs.Run:
        """Submit a job with the drawn options; in streaming all its tasks run by then, in batch it has ended."""
        cluster = flink_rest.CLUSTERS[mode]
        product.refuse_without_slots(self.settings, mode, parallelism, cluster)
        options = ",".join(f"{key}={value}" for key, value in self.drawn.options(mode).items())
        command = [*stack.behind_live_work(self.settings, cluster), str(self.flink), "run"]
        command += ["-d"] if mode == "streaming" else []
        command += ["-m", getattr(self.settings.flink, cluster).rest, "-pym", "tests.soak.jobs"]
        command += ["-pyfs", str(product.package()), "--", job, options, "--conf", self.place.conf, "--mode", mode]
        try:
            done = subprocess.run(
                [*command, "--topic", self.topic, "--parallelism", str(parallelism), *arguments],
                env={**stack.flink_env(self.settings, cluster), "PYTHONPATH": str(ROOT)},
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=PATIENCE_S,
            )
        except subprocess.TimeoutExpired as stuck:
            raise Failed(f"{job} in {mode} is not done after {PATIENCE_S:.0f} s") from stuck
        output = done.stdout + done.stderr
        said = re.search(r"^run (\S+)$", output, re.MULTILINE)
        if done.returncode != 0 or said is None:
            raise Failed(f"{job} in {mode} failed: {output[-1500:]}")
        found = self.place.run(said[1])
        if mode == "streaming":
            flink_rest.await_running(self.settings, cluster, found.flink_job_id)
        return found

    @contextmanager
    def streaming(self, job: str, parallelism: int) -> Iterator[runs.Run]:
        """A streaming job that runs inside the block; at its end Flink's count of dropped records is looked at."""
        found = self.submit(job, "streaming", parallelism)
        try:
            yield found
            self._look_at(found)
        finally:
            flink_rest.cancel(self.settings, "realtime", found.flink_job_id)

    def _look_at(self, run: runs.Run) -> None:
        counted = Retrying(
            retry=retry_if_result(lambda told: isinstance(told, str)),
            stop=stop_after_attempt(3),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )(reconcile.dropped_late, self.settings, run.flink_job_id)
        self.outcome.checks.append(reconcile.check_dropped(self.days[0], run.job, run.run_id, counted))
        restarts = flink_rest.job_metrics(self.settings, "realtime", run.flink_job_id, ["numRestarts"])
        if restarts.get("numRestarts"):
            self.outcome.doubts.append(
                f"{run.job} was restarted {restarts['numRestarts']:.0f} times; what it dropped before is not known"
            )

    def wait(self, run: runs.Run, condition: Callable[[], bool], what: str) -> None:
        """Wait until it holds; raises `Failed` if the run's job ends before, or if it takes too long."""

        def holds() -> bool:
            if condition():
                return True
            if self.batch is not None and self.batch.done():
                self.batch.result()  # if it has failed, that is what the round comes to
            state = flink_rest.job_state(self.settings, run.cluster, run.flink_job_id)
            if state in (*flink_rest.ENDED, "UNKNOWN"):
                raise Failed(f"{run.job} is {state} before {what}")
            return False

        try:
            Retrying(retry=retry_if_result(lambda ok: not ok), stop=stop_after_delay(PATIENCE_S), wait=wait_fixed(0.5))(
                holds
            )
        except RetryError as stuck:
            raise Failed(f"{run.job} does not come to {what} within {PATIENCE_S:.0f} s") from stuck

    def await_version(self, run: runs.Run, version: int) -> None:
        """Wait for a marked version of the report."""
        with stores.hbase(self.settings) as connection:
            self.wait(run, lambda: (runs.last_version(connection, run) or 0) >= version, self.time_name(version))

    def await_minutes(self, run: runs.Run) -> None:
        """Wait until the last minute of the dashboard is final."""
        client = stores.redis(self.settings)
        self.wait(
            run,
            lambda: (stores.read_final_until(client, self.settings, run.run_id) or 0) >= self.end,
            "its last minute",
        )

    def time_name(self, version: int) -> str:
        """A version as people read it."""
        return readable(version, self.settings.time)


def _round(at: _Round, records: list[Record]) -> Outcome:
    drawn = at.drawn
    if not drawn.parts:
        order_log.produce(at.settings, at.topic, records)
    with ThreadPoolExecutor(1) as aside:
        try:
            with at.streaming(runs.REPORT, drawn.report) as report:
                if drawn.beside:
                    with at.streaming(runs.DASHBOARD, drawn.dashboard) as dashboard:
                        batch, truth = _whole(at, report, records, aside)
                        at.await_version(report, at.end)
                        at.await_minutes(dashboard)
                else:
                    batch, truth = _whole(at, report, records, aside)
                    at.await_version(report, at.end)
                _await_files(at, report, truth)
            if not drawn.beside:
                with at.streaming(runs.DASHBOARD, drawn.dashboard) as dashboard:
                    at.await_minutes(dashboard)
            batched = batch.result()
        except BaseException:
            _end_all(at.place)  # the batch job too, or leaving the block would wait for it
            raise
    _compare(at, truth, report, batched, dashboard)
    return at.outcome


def _whole(
    at: _Round, report: runs.Run, records: list[Record], aside: ThreadPoolExecutor
) -> tuple[Future[runs.Run], dict[str, Truth]]:
    """Once the log is whole, the batch job works beside the streaming ones, and the oracle beside them all."""
    _send_in_parts(at, report, records)
    days = ("--from", str(at.drawn.first), "--to", str(at.drawn.last))
    at.batch = aside.submit(at.submit, runs.REPORT, "batch", at.drawn.batch, *days)
    return at.batch, _truth(at)


def _send_in_parts(at: _Round, report: runs.Run, records: list[Record]) -> None:
    """Append the log up to each cut, and wait there for what was drawn; nothing if it was appended before."""
    if not at.drawn.parts:
        return
    times = at.settings.time
    newest: dict[int, int | None] = dict.fromkeys(range(at.drawn.partitions))
    sent = 0
    for share, what in (*at.drawn.parts, (1.0, "")):
        part = records[sent : round(share * len(records))]
        order_log.produce(at.settings, at.topic, part)
        sent += len(part)
        for record in part:
            newest[record.partition] = max(newest[record.partition] or 0, record.ingest_time)
        until = reached(newest, times.lateness_ms, times.clock_skew_ms)
        if what == CHECKPOINT:
            _await_checkpoint(at, report)
        elif what and until is not None and until >= times.day_start(at.drawn.first):
            at.await_version(report, until - until % 3_600_000)


def _await_checkpoint(at: _Round, run: runs.Run) -> None:
    def completed() -> int:
        return int(flink_rest.checkpoints(at.settings, "realtime", run.flink_job_id)["counts"]["completed"])

    before = completed()
    at.wait(run, lambda: completed() > before, "its next checkpoint")


def _truth(at: _Round) -> dict[str, Truth]:
    rules = rules_of(at.settings)
    with open_log(at.settings, at.topic) as log:
        judged = oracle.classify(log.records(log.reach()), rules)
        found = expect(judged, rules, at.days[0], at.days[-1])
    at.outcome.checks += [check_substance(day, truth) for day, truth in found.items()]
    return found


def _read(at: _Round, run: runs.Run, day: str) -> StoredDay:
    with stores.hbase(at.settings) as connection, stores.hdfs(at.settings) as files:
        return reconcile.read_run(at.settings, connection, files, run, day)


def _await_files(at: _Round, report: runs.Run, truth: dict[str, Truth]) -> None:
    """Give the checkpoints time to finish the files; what is still missing then is left to the comparison."""

    def all_there() -> bool:
        with stores.hdfs(at.settings) as files:
            return all(
                stores.read_sales_files(files, at.settings, day, report.run_id)[0].keys()
                >= {version for version, table in one.sales.items() if table}
                and len(stores.read_rejected(files, at.settings, day, report.run_id)[0]) >= len(one.day.rejected)
                for day, one in truth.items()
            )

    Retrying(
        retry=retry_if_result(lambda there: not there),
        stop=stop_after_delay(FILES_S + 3 * at.drawn.checkpoint_ms / 1000),
        wait=wait_fixed(1),
        retry_error_callback=lambda _: False,
    )(all_there)


def _compare(at: _Round, truth: dict[str, Truth], report: runs.Run, batch: runs.Run, dashboard: runs.Run) -> None:
    client = stores.redis(at.settings)
    for day, one in truth.items():
        streamed, batched = _read(at, report, day), _read(at, batch, day)
        with stores.hbase(at.settings) as connection:
            versions = check_every_version(connection, report, day, one, streamed, at.time_name)
        minutes = stores.read_minutes(client, at.settings, dashboard.run_id, day)
        totals = stores.read_day_totals(client, at.settings, dashboard.run_id, day)
        at.outcome.checks += [
            *versions,
            *check_run(day, one.day, streamed, at.time_name),
            *check_run(day, one.day, batched, at.time_name),
            *check_modes(day, streamed, batched),
            *check_dashboard(day, one.day, dashboard.run_id, minutes, totals),
            check_minutes_against_report(day, dashboard.run_id, minutes, streamed),
        ]
