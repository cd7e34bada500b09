"""What do the jobs share when they are started: arguments, the range of the log, the run, the session?

Reads the settings, the regions and the reach of the order log; writes the run into `runs` (HBase). The composition root
of both jobs: here and in the jobs' `main` connectors and servers meet, nowhere else.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import click

from flink_jobs import archive_edge, flink_rest, order_log, regions, runs, stores
from flink_jobs.archive_reader import SOURCES, Found, closed_until, open_history
from flink_jobs.errors import UserError
from flink_jobs.log_reader import Begin, Span
from flink_jobs.settings import CLOCK_AHEAD_MS, Settings
from flink_jobs.sql_files import SqlFiles, ingest_bounds, rule_values
from udfs import PREFIX

if TYPE_CHECKING:
    from udfs.rules import Rules

JUDGED = {
    # The larger the batch, the less a record costs to judge: 2.1 µs at 10,000, 8 µs at 200.
    "python.fn-execution.bundle.size": "10000",
    "python.fn-execution.arrow.batch.size": "10000",
    # A first phase would pack the packs of its own input before they travel, and hold them until the next checkpoint.
    "table.optimizer.agg-phase-strategy": "ONE_PHASE",
    # Else each operator of a task gets a copy of its row, packs included: a third of the JVM's frames in a report. What
    # keeps rows (windows, OVER, sorts) stands first in its task, or copies them as Python's operators do: a test looks.
    "pipeline.object-reuse": "true",
}
"""Flink's options of every run that judges records."""
PIPELINED = {
    # Between blocking stages no operator of the job lives in a slot, so that its Python worker ends and the next stage
    # starts another: 5 s each, six times in a report.
    "execution.batch-shuffle-mode": "ALL_EXCHANGES_PIPELINED",
    # The adaptive scheduler starts a stage when the one before it has finished: such a job would wait for itself.
    "jobmanager.scheduler": "Default",
}
"""Flink's options under which all stages of a batch job run at once."""
BATCH = {
    **PIPELINED,
    # A person or a scheduler waits for a batch run: after a few tries it says what is wrong.
    "restart-strategy.type": "fixed-delay",
    "restart-strategy.fixed-delay.attempts": "2",
    "restart-strategy.fixed-delay.delay": "5 s",
}
"""Flink's options of every batch run."""
JUDGED_IN_BATCH = {
    **JUDGED,
    **BATCH,
    # Packs, and what is made of them, stand on the heap until their bundle ends: by time, for few are many bytes.
    "python.fn-execution.bundle.time": "200",
    # Else the join that hands packs over would be one task with the sort before it (sql_files.PACED).
    "table.optimizer.multiple-input-enabled": "false",
    # A weight among operators: what late copies are looked up in holds at least one row, the late records of an hour
    # and one order minute. By the default (10 mb) it got 1.2 MB, too little for a day of 8 million orders.
    "table.exec.resource.external-buffer-memory": "64 mb",
}
"""Flink's options of every batch run that judges records."""
FIRST_DAY, LAST_DAY = dt.date(2000, 1, 1), dt.date(2099, 12, 31)


@dataclass(frozen=True)
class Request:
    """What a user asks of a job. Days are business days, both included; None: from the log's start, without end.

    `floor`, `ceiling`: partition -> offset before which, and from which on, nothing is read. `onward`: a batch reads on
    behind its days, to the log's end, where late orders of the days may stand. `replays`: the live run beside which it
    runs, on the batch cluster and shown to nobody. `source`: one of `archive_reader.SOURCES`; streaming reads the log
    alone. `ingest_until`: the ingest time (epoch ms) from which on a record's clock is wrong; None: an hour ahead of
    the clock on the wall, in batch of now. `supply_topic`, `supply`: of a backfill, the topic of late orders and its
    offsets by partition.
    """

    job: str
    mode: str
    topic: str
    from_day: dt.date | None = None
    to_day: dt.date | None = None
    run_id: str | None = None
    parallelism: int | None = None
    floor: Mapping[int, int] = field(default_factory=dict)
    ceiling: Mapping[int, int] = field(default_factory=dict)
    onward: bool = False
    replays: str | None = None
    source: str = "auto"
    ingest_until: int | None = None
    supply_topic: str = ""
    supply: Mapping[int, Span] = field(default_factory=dict)

    def between(self, starts: Mapping[str, int], ends: Mapping[str, int]) -> Request:
        """The same request, over these offsets: what an earlier attempt of the same run was to read."""
        floor, ceiling = ({int(p): offset for p, offset in offsets.items()} for offsets in (starts, ends))
        return replace(self, floor=floor, ceiling=ceiling)

    def __post_init__(self) -> None:
        if self.from_day and self.to_day and self.to_day < self.from_day:
            raise UserError(f"--to {self.to_day} lies before --from {self.from_day}; give the earlier day first")
        if self.mode == "streaming" and self.source == "archive":
            raise UserError("streaming reads the log alone; leave out --source, or give --mode batch")
        if self.mode == "batch" and not (self.from_day and self.to_day):
            raise UserError("batch needs a closed range; give --from and --to (YYYY-MM-DD)")
        if self.mode == "batch" and self.replays:
            raise UserError("a replay takes the place of a streaming run; leave out --mode batch, or --replays")

    def refuse_early(self, settings: Settings) -> None:
        """Raise `UserError` if clocks are taken for wrong that close the request's last day."""
        if self.ingest_until and self.to_day:
            closing = order_log.closing_time(settings.time, self.to_day)
            if self.ingest_until <= closing:
                named = settings.time.day_of(self.ingest_until)
                raise UserError(
                    f"--ingest-until {named} is too early: {self.to_day} is closed by what comes the day after; give "
                    f"{self.to_day + dt.timedelta(2)}"
                )


def find_range(settings: Settings, request: Request) -> Found:
    """Offsets that the request needs by partition (its days, and before them the keys that tell late copies), and where
    they are.

    The end means something in batch only. Raises `UserError` if the topic is not there, if retention has taken a part
    of the range that is not archived, or if a batch would find no record.
    """
    rules = settings.time
    with open_history(settings, request.topic, request.source if request.mode == "batch" else "log") as log:
        begins = log.begins()
        if request.from_day is None:
            return Found(log.reach(), None, begins)
        begin = rules.day_start(request.from_day) - rules.late_copy_horizon_ms - rules.future_ms
        last = LAST_DAY if request.onward or request.to_day is None else request.to_day
        until = rules.day_end(last) + rules.lateness_ms
        spans, archive, _ = log.find(begin, until, request.floor, request.ceiling or None)
        refuse_unseen(settings, request.topic, request.from_day, begins)
    if request.mode == "batch" and not any(span.start < span.end for span in spans.values()):
        raise UserError(
            f"topic {request.topic} has no record for {request.from_day} to {request.to_day}; choose days that it holds"
        )
    return Found(spans, archive if archive is not None and archive.archived(spans) else None, begins)


def refuse_unseen(settings: Settings, topic: str, first: dt.date, begins: Begin | None) -> None:
    """Raise `UserError` if a day lies before the log's begin (None: it is empty): nobody knows what was ordered."""
    # An order of the day's end may have come within the lateness.
    if begins is not None and settings.time.day_end(first) + settings.time.lateness_ms <= begins.first:
        day = settings.time.day_of(begins.first)
        raise UserError(f"{first} was never seen: topic {topic} begins on {day}; choose days that it holds")


def offsets_text(offsets: Mapping[int, int]) -> str:
    """Offsets as Flink's Kafka connector takes them: `partition:0,offset:42;partition:1,offset:7`."""
    return ";".join(f"partition:{partition},offset:{offset}" for partition, offset in sorted(offsets.items()))


def scan_end(ends: Mapping[int, int]) -> str:
    """Options of the Kafka table that end the reading before these offsets."""
    return f"'scan.bounded.mode' = 'specific-offsets', 'scan.bounded.specific-offsets' = '{offsets_text(ends)}'"


def wrong_from(settings: Settings, day: dt.datetime | None, like: runs.Run | None = None) -> int | None:
    """`Request.ingest_until` of a day that somebody named, else that of the run whose place another takes."""
    if day is not None:
        return settings.time.day_start(day.date())
    return like.ingest_until or None if like is not None else None


def is_open(settings: Settings, request: Request) -> bool:
    """Whether records that count may still come for the request's last day."""
    until = closed_until(settings, request.topic)
    return request.to_day is None or until is None or until < settings.time.day_end(request.to_day)


@dataclass(frozen=True)
class Prepared:
    """A run that is not yet written: the SQL files filled for it, Flink's options, its row of `runs`."""

    files: SqlFiles
    options: Mapping[str, str]
    run: runs.Run


def prepare(
    settings: Settings,
    request: Request,
    config: Mapping[str, str],
    provisional: bool = False,
) -> Prepared:
    """Resolve the range of the log and of its archive, and say how the run is to be made.

    `provisional`: its last day is open, so it is not published by itself; nor is a replay.

    Raises `UserError` as `find_range` does, and for a streaming run of more subtasks than the topic has partitions.
    """
    request.refuse_early(settings)
    found = find_range(settings, request)
    like = request.replays or request.run_id
    if like and request.ingest_until is None:  # by the same clock as the run that it replays, or its first attempt
        with stores.hbase(settings) as connection:
            stores.ensure_tables(connection)
            request = replace(request, ingest_until=wrong_from(settings, None, runs.find(connection, like)))
    if request.mode == "streaming":
        subtasks = settings.flink.subtasks(request.mode, request.parallelism)
        refuse_idle_subtasks(request.topic, subtasks, len(found.spans))
        order_log.refuse_open_door(settings, request.topic)
    return prepare_over(settings, request, found, config, provisional, order_log.topic_id(settings, request.topic))


def prepare_over(
    settings: Settings,
    request: Request,
    found: Found,
    config: Mapping[str, str],
    provisional: bool = False,
    topic_id: str = "",
) -> Prepared:
    """Say how a run over this range is to be made; asks no server."""
    starts = {partition: span.start for partition, span in found.spans.items()}
    ends = {partition: span.end for partition, span in found.spans.items()}
    run_id = request.run_id or runs.new_run_id(settings, request.job, request.mode)
    new_partitions = "'scan.topic-partition-discovery.interval' = '10 s'"
    rules = rule_values(settings, rules_of(settings))
    until = request.ingest_until
    if until is None and request.mode == "batch":
        until = order_log.believed_until()
    places = {
        "bootstrap": settings.kafka.bootstrap,
        "topic": request.topic,
        "run_id": run_id,
        "start_offsets": offsets_text(starts),
        "scan_end": scan_end(ends) if request.mode == "batch" else new_partitions,
        "told": "dashboard" if request.job == runs.DASHBOARD else "marker",
        **ingest_bounds(until),
        "from_day": str(request.from_day or FIRST_DAY),
        "to_day": str(request.to_day or LAST_DAY),
        "hdfs_root": settings.hdfs.uri + settings.hdfs.root,
        **_places_of_archive(settings, found),
    }
    run = runs.Run(
        run_id=run_id,
        job=request.job,
        mode=request.mode,
        logic="",
        settings=json.loads(settings.time.model_dump_json()),
        topic=request.topic,
        topic_id=topic_id,
        from_day=str(request.from_day or ""),
        to_day=str(request.to_day or ""),
        start_offsets={str(partition): offset for partition, offset in starts.items()},
        end_offsets={str(partition): offset for partition, offset in ends.items()} if request.mode == "batch" else {},
        source=found.source,
        ingest_until=until or 0,
        log_begins=found.begins.whole if found.begins else 0,
        edge_offsets={str(partition): offset for partition, offset in found.edge.items()},
        supply_topic=request.supply_topic,
        supply_offsets={str(partition): list(span) for partition, span in request.supply.items()},
        submitted_at=runs.now_iso(settings),
        submitted_by=runs.submitter(),
        cluster=flink_rest.CLUSTERS["batch" if request.replays else request.mode],
        replays=request.replays or "",
        provisional=bool(request.replays),
        whole_rows=True,
    )
    options = flink_options(settings, run, request.parallelism, provisional or run.provisional) | dict(config)
    return Prepared(SqlFiles(settings, request.mode, rules, places), options, run)


def refuse_idle_subtasks(topic: str, subtasks: int, partitions: int) -> None:
    """Raise `UserError` if a subtask of the source would read no partition: without a watermark of its own it would
    hold every window open for ever. (An idle timeout, Flink's remedy, loses the records of whoever was only late.)
    """
    if subtasks > partitions:
        raise UserError(
            f"topic {topic} has {partitions} partitions for {subtasks} subtasks: one that reads none would "
            f"keep the watermark from ever moving; give --parallelism {partitions} or less, or add partitions"
        )


def _places_of_archive(settings: Settings, found: Found) -> dict[str, str]:
    """Where the records of a range lie if the archive has some of them: the log is then read behind its edge only."""
    spans, archive = found.spans, found.archive
    if archive is None:
        return {}
    folder, tail = stores.archive_folder(settings, archive.topic), archive.tail(spans)
    return {
        "log_table": "orders_behind_the_edge",
        "start_offsets": offsets_text({partition: span.start for partition, span in tail.items()}),
        "scan_end": scan_end({partition: span.end for partition, span in tail.items()}),
        "archive_folder": settings.hdfs.uri + folder,
        "archive_pattern": archive_edge.pattern(folder, archive.parts(spans)),
        "archived_offsets": archive_edge.condition(archive.archived(spans)),
    }


def rules_of(settings: Settings, shares: int = 1) -> Rules:
    """The rules by which records are judged. `shares`: into how many parts a minute's orders are divided."""
    # Not above: a run that goes on brings the functions that it began with, and those of another age differ.
    from udfs.rules import Rules

    of = settings.time
    return Rules(
        lateness_ms=of.lateness_ms,
        future_ms=of.future_ms,
        late_copy_horizon_ms=of.late_copy_horizon_ms,
        zone_offset_ms=int(of.offset.total_seconds()) * 1000,
        regions=regions.load(settings.regions_file()).provinces,
        shares=shares,
    )


def flink_options(
    settings: Settings, run: runs.Run, parallelism: int | None = None, provisional: bool = False
) -> dict[str, str]:
    """Flink's options that every run has: its name, parallelism and recovery, and what its functions must know."""
    subtasks = settings.flink.subtasks(run.mode, parallelism)
    return {
        "table.local-time-zone": settings.time.zone,
        **(_recovery(settings, run.run_id) if run.mode == "streaming" else {}),
        "pipeline.name": run.run_id,
        "parallelism.default": str(subtasks),
        "pipeline.global-job-parameters": ",".join(
            f"{PREFIX}{name}:{value}"
            for name, value in {
                "run_id": run.run_id,
                "mode": run.mode,
                **rules_of(settings, shares=shares_of_a_minute(subtasks)).as_parameters(),
                "buckets": settings.report.buckets,
                "topic": run.topic,
                # Nor may it be empty.
                "topic_id": run.topic_id or "-",
                "start_offsets": _as_parameter(run.starts),
                "end_offsets": _as_parameter(run.ends),
                "supply_topic": run.supply_topic or "-",
                "clock_skew_ms": settings.time.clock_skew_ms,
                "ingest_until": run.ingest_until,
                "clock_ahead_ms": CLOCK_AHEAD_MS,
                # A parameter may hold neither colon nor comma.
                "kafka.bootstrap": settings.kafka.bootstrap.replace(":", "=").replace(",", "+"),
                "hbase.host": settings.hbase.host,
                "hbase.port": settings.hbase.port,
                "hbase.prefix": settings.hbase.prefix,
                "redis.host": settings.redis.host,
                "redis.port": settings.redis.port,
                "redis.db": settings.redis.db,
                "redis.prefix": settings.redis.prefix,
                "redis.changes_kept": settings.redis.changes_kept,
                "provisional": "yes" if provisional else "no",
            }.items()
        ),
    }


def _as_parameter(offsets: Mapping[int, int]) -> str:
    return "+".join(f"{partition}={offset}" for partition, offset in offsets.items()) or "-"


def shares_of_a_minute(subtasks: int) -> int:
    """Into how many parts the orders of a minute are divided: one for four subtasks.

    A part is settled in one call, whose costs are the same for ten orders as for a thousand (0.7 ms, and as much on the
    way there), so more parts make a log of few orders dear; fewer make a row of very many orders large.
    """
    return -(-subtasks // 4)


def kept_options(options: Mapping[str, str], run: runs.Run) -> dict[str, str]:
    """The options that a run was submitted with, as it publishes by itself now or does not, and is divided now.

    The shares of a minute (`shares_of_a_minute`) stay: packs in its state are divided by them.
    """
    told = re.compile(rf"{re.escape(PREFIX)}provisional:(?:yes|no)")
    now = f"{PREFIX}provisional:{'yes' if run.provisional else 'no'}"
    subtasks = {"parallelism.default": str(run.parallelism)} if run.parallelism else {}
    return {name: told.sub(now, value) for name, value in options.items()} | subtasks


def register(settings: Settings, prepared: Prepared) -> runs.Run:
    """Write the run with the logic of the files that have been read by now; makes the tables that are missing.

    Raises `UserError` for a streaming run that is registered already: that one goes on, it does not begin again.
    """
    run = prepared.run
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        known = runs.find(connection, run.run_id)
        goes_on = known is not None and known.state not in runs.GONE and (known.job, known.mode) == (run.job, run.mode)
        if run.mode == "streaming" and goes_on:
            raise UserError(
                f"run {run.run_id} is there already; `samewater resume {run.run_id}` goes on with it, "
                "and without --run-id a new run begins"
            )
        return runs.register(connection, run.model_copy(update={"logic": prepared.files.logic_version}))


def _recovery(settings: Settings, run_id: str) -> dict[str, str]:
    """Where a streaming job keeps its state, and how often it is tried again before it fails for good."""
    return {
        "execution.checkpointing.dir": settings.hdfs.uri + stores.checkpoints_folder(settings, run_id),
        "execution.checkpointing.savepoint-dir": settings.hdfs.uri + stores.savepoints_folder(settings, run_id),
        "execution.checkpointing.interval": f"{settings.flink.checkpoint_interval_ms} ms",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        # A checkpoint that is late is told by an alert and must not end the job: at the end of a day of 8 M orders
        # one operator worked for longer than a checkpoint may take; the job went back and did that again for ever.
        "execution.checkpointing.tolerable-failed-checkpoints": str(2**31 - 1),
        # A job that failed or was cancelled by hand can go on (`samewater resume`).
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # Each try waits longer; a server that comes back within the hour or so is never noticed by a person.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": str(settings.flink.restart_attempts),
    }


@contextmanager
def attempt(settings: Settings, run_id: str, noted: bool = True) -> Iterator[Callable[[str], None]]:
    """One submission of a registered run; gives the function that notes which Flink job it became.

    Of two submissions of the same run at once one is refused, and any while a Flink job of the run lives: they would
    write the same rows to HDFS twice. What goes wrong inside is noted as the run's state `failed`. `noted`: False for
    work on a finished run that leaves its state as it is.
    """
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
        cluster = run.cluster
        claim = runs.claim(connection, settings, run_id)
    try:
        living = flink_rest.living_job(settings, cluster, run_id)
        if living is not None:
            advice = "wait until that has ended" if run.mode == "batch" else f"stop it first: samewater stop {run_id}"
            raise UserError(f"run {run_id} is at work as Flink job {living}; {advice}")
    except BaseException:
        _release(settings, run_id, claim)
        raise
    try:
        yield lambda flink_job: note(settings, run_id, "running", flink_job) if noted else None
    except BaseException:
        if noted:
            note(settings, run_id, "failed")
        raise
    finally:
        _release(settings, run_id, claim)


def _release(settings: Settings, run_id: str, claim: str) -> None:
    with stores.hbase(settings) as connection:
        runs.release(connection, run_id, claim)


def note(settings: Settings, run_id: str, state: str, flink_job_id: str | None = None) -> None:
    """Write what became of a run, and when: that it began, or that it has ended."""
    now = runs.now_iso(settings)
    at = {"started_at": now} if state == "running" else {"ended_at": now}
    with stores.hbase(settings) as connection:
        runs.set_state(connection, run_id, state, flink_job_id, **at)


def options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The command-line options that every job takes."""
    for option in (
        click.option("--conf", type=click.Path(dir_okay=False), help="Settings file; default conf/samewater.toml."),
        click.option("--topic", help="Topic of the orders; default from the settings."),
        click.option("--run-id", help="Keep the id of an earlier run of the same job, range and logic."),
        click.option("--from", "from_day", type=click.DateTime(["%Y-%m-%d"]), help="First business day."),
        click.option("--parallelism", type=click.IntRange(min=1), help="Default: that of the cluster's settings."),
    ):
        function = option(function)
    return function


INGEST_UNTIL = click.option(
    "--ingest-until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Of a log of the past: the business day from which on a record's clock is wrong, two days after the last.",
)
"""The command-line option of jobs that read nothing but the log."""
REPLAYS = click.option("--replays", metavar="RUN", help="Beside this live run: on the batch cluster, shown to nobody.")
"""The command-line option of a job that can be replayed."""
source_option = click.option(
    "--source",
    type=click.Choice(SOURCES),
    default=SOURCES[0],
    show_default=True,
    help="In batch: the log, its archive with the log behind it, or (auto) that only if the log lacks a part.",
)


def main(command: click.Command) -> None:
    """Run a job's command: a mistake of the user is one sentence and exit code 2."""
    try:
        command(standalone_mode=False)
    except (UserError, click.ClickException) as mistake:
        text = mistake.format_message() if isinstance(mistake, click.ClickException) else str(mistake)
        click.echo(f"error: {text}", err=True)
        sys.exit(2)
