"""How does an on-call engineer change the past: plan, run, look at the difference, publish, take back?

Submits flink_jobs/backfill.py to the batch cluster. Reads `runs`, `published` and the reports (HBase), the late ledger
(HDFS) and the supply (Kafka). `publish` and `undo` flip the published row of each day, and with it which minutes are
shown; nothing else writes what readers see.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import click
import happybase
import redis as redis_client

from flink_jobs import job, late, lease, order_log, runs, stores
from flink_jobs.archive_reader import newest_ingest
from flink_jobs.backfill_checks import publishing, refuse_unless_whole, refuse_unseen
from flink_jobs.console import format_option, parse_days, show
from flink_jobs.difference import LEVEL, between, read_difference, show_differences
from flink_jobs.errors import UserError
from flink_jobs.log_reader import open_log
from flink_jobs.progress import working
from flink_jobs.run_id import RUN_ID
from flink_jobs.runs import Run
from flink_jobs.settings import Settings
from flink_jobs.submit import submit
from flink_jobs.supply import read_supplies
from flink_jobs.truth import rules_of

_FINISHED = ("finished", "provisional")


# ---------------------------------------------------------------- plan


@dataclass(frozen=True)
class Plan:
    """What a backfill would read, replace and cost.

    `source`: `log`, or `archive` with the log behind its edge. `shown`: day -> run that is published, or empty.
    `late`: records of the late ledger that belong to the days. `supply`: file -> its valid orders of the days.
    `records`: how many are read. `seconds`: as long as the last batch run took for so many, None if none is known;
    `measure` says which.
    """

    topic: str
    source: str
    days: list[str]
    is_open: bool
    shown: Mapping[str, str]
    late: int
    supply: Mapping[str, int]
    rejected: Mapping[str, int]
    left_out: list[str]
    records: int
    seconds: float | None
    measure: str

    def lines(self) -> list[str]:
        """For people."""
        found = [f"days: {self.days[0]} to {self.days[-1]} ({len(self.days)})"]
        found += [f"  {day}: shows {self.shown[day] or 'nothing'}" for day in self.days]
        archive = " and its archive" if self.source == "archive" else ""
        found.append(
            f"source: topic {self.topic}{archive}, with the supply beside it: {self.records:,} records to read"
        )
        found.append(f"  late orders of these days in the late ledger: {self.late:,}")
        for name in sorted(self.supply.keys() | self.rejected.keys()):
            away = " (left out)" if name in self.left_out else ""
            bad = self.rejected.get(name, 0)
            rejected = f", {bad:,} records that cannot count" if bad else ""
            found.append(f"  supply {name or '(without a name)'}: {self.supply.get(name, 0):,} orders{rejected}{away}")
        if not self.supply and not self.rejected:
            found.append("  no supply")
        cost = "unknown, no batch run is known" if self.seconds is None else f"about {self.seconds:.0f} s"
        found.append(f"cost: {cost}{self.measure}; on the batch cluster, beside the live jobs")
        if self.is_open:
            found.append(f"note: {self.days[-1]} is not closed yet, so the result can be looked at, but not published")
        return found


def make_plan(
    settings: Settings, topic: str, first: str, last: str, take_late: bool, left_out: Sequence[str], source: str
) -> Plan:
    """Look at what there is; runs nothing. `source`: one of `archive_reader.SOURCES`. Raises `UserError` for days that
    it does not hold, or a supply that is left out but not there.
    """
    begin, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    refuse_unseen(settings, topic, begin, end)
    request = job.Request(runs.BACKFILL, "batch", topic, begin, end, onward=True, source=source)
    reads = job.find_range(settings, request)
    days = between(first, last)
    supplies = read_supplies(settings, rules_of(settings))
    unknown = sorted(set(left_out) - supplies.keys())
    if unknown:
        there = ", ".join(sorted(supplies)) or "none"
        raise UserError(f"there is no supply {unknown[0]}; there is: {there}")
    records = sum(span.end - span.start for span in reads.spans.values()) + sum(s.records for s in supplies.values())
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        arrivals = between(first, _newest_day(settings, topic))
        belonging = [
            order
            for order in late.ledger(settings, connection, arrivals, topic=topic)
            if order.verdict == "late" and str(settings.time.day_of(order.order_time)) in days
        ]
        seconds, measure = _cost(connection, records)
        shown = runs.shown(connection, runs.REPORT, days)
    return Plan(
        topic=topic,
        source=reads.source,
        days=days,
        is_open=job.is_open(settings, request),
        shown=shown,
        late=len(belonging) if take_late else 0,
        supply={name: sum(found.orders[day] for day in days) for name, found in supplies.items()},
        rejected={name: found.rejected.total() for name, found in supplies.items() if found.rejected},
        left_out=list(left_out),
        records=records,
        seconds=seconds,
        measure=measure,
    )


def _newest_day(settings: Settings, topic: str) -> str:
    newest = max(at for at in newest_ingest(settings, topic).values() if at is not None)
    return str(settings.time.day_of(newest))


def _cost(connection: happybase.Connection, records: int) -> tuple[float | None, str]:
    """How long a batch run over so many records takes, by the newest one that is like it. It starts in a fixed time, so
    fewer records are not taken for faster.
    """
    for run in runs.list_runs(connection, mode="batch"):
        read = sum(run.end_offsets.get(partition, 0) - start for partition, start in run.start_offsets.items())
        if run.job in (runs.REPORT, runs.BACKFILL) and run.state in _FINISHED and run.ended_at and read > 0:
            began = run.started_at or run.submitted_at
            took = dt.datetime.fromisoformat(run.ended_at) - dt.datetime.fromisoformat(began)
            seconds = max(took.total_seconds(), 1)
            return seconds * max(1.0, records / read), f" (run {run.run_id} took {seconds:.0f} s for {read:,} records)"
    return None, ""


# ---------------------------------------------------------------- run, publish, undo


def run_backfill(
    settings: Settings,
    conf: str | None,
    topic: str,
    first: str,
    last: str,
    take_late: bool,
    left_out: Sequence[str],
    source: str,
) -> str:
    """Count the days again into a version that nobody is shown; returns the run's id."""
    chosen = ["--late" if take_late else "--no-late", *(word for name in left_out for word in ("--without", name))]
    days = ("--from", first, "--to", last, "--source", source)
    with working(f"counting {first} to {last} again in batch"):
        return submit(settings, conf, runs.BACKFILL, "batch", ("--topic", topic, *days, *chosen))


def the_backfill(connection: happybase.Connection, run_id: str) -> Run:
    """The run, if it is one of a backfill; else raises `UserError`."""
    run = runs.get(connection, run_id)
    if run.job != runs.BACKFILL:
        raise UserError(f"run {run_id} is one of {run.job}, not of a backfill; see `samewater backfill list`")
    return run


def publish_backfill(settings: Settings, run_id: str) -> list[str]:
    """Show the run on all its days, in place of what was shown when it began; returns the days that were flipped.

    Doing it again changes nothing, or flips what a publisher that died had not. Raises `UserError`, and leaves every
    day as it was, if the run is not whole, is being done again, or if somebody has published another run of one of its
    days meanwhile.
    """
    client = stores.redis(settings)
    with lease.held(settings, publishing(run_id)), stores.hbase(settings) as connection:
        run = the_backfill(connection, run_id)
        shown = runs.shown(connection, runs.REPORT, run.days)
        for day in run.days:
            if shown[day] not in (run_id, run.base[day]):
                raise UserError(
                    f"{day} shows run {shown[day] or 'nothing'}, but the backfill began when it showed "
                    f"{run.base[day] or 'nothing'}, and was held against that; begin a new backfill"
                )
        news = {
            day: runs.publication_of(connection, settings, run, day).model_copy(update={"why": "backfill"})
            for day in run.days
            if shown[day] != run_id
        }
        if news:
            refuse_unless_whole(settings, run)
        flipped: list[str] = []
        try:
            for day, publication in news.items():
                runs.publish(connection, runs.REPORT, day, publication, run.base[day])
                flipped.append(day)
                runs.sync_day(connection, client, settings, day)
        except UserError:
            with ExitStack() as all_of_them:  # one that cannot be flipped back keeps no other
                for day in flipped:
                    all_of_them.callback(_take_back, connection, client, settings, run, day)
            raise
        for day in run.days:  # also those that somebody who died then had flipped
            runs.sync_day(connection, client, settings, day)
    return flipped


def undo_backfill(settings: Settings, run_id: str) -> tuple[list[str], list[str]]:
    """Show again what was shown before, if that was nothing then nothing; returns the days that were flipped back, and
    those that show another run.

    Doing it again changes nothing.
    """
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        run = the_backfill(connection, run_id)
        shown = runs.shown(connection, runs.REPORT, run.days)
        mine = [day for day in run.days if shown[day] == run_id]
        others = [day for day in run.days if day not in mine]
        for day in mine:
            _take_back(connection, client, settings, run, day)
        for day in others:  # somebody who died may have taken them back, and no more
            runs.sync_day(connection, client, settings, day)
    return mine, others


def _take_back(
    connection: happybase.Connection, client: redis_client.Redis, settings: Settings, run: Run, day: str
) -> None:
    if run.base[day]:
        runs.rollback(connection, settings, runs.REPORT, day, instead_of=run.run_id, to=run.base[day])
    else:
        runs.withdraw(connection, runs.REPORT, day, run.run_id)
    runs.sync_day(connection, client, settings, day)


def come_since(settings: Settings, run: Run) -> tuple[int, int]:
    """Records that came after the run had fixed what it reads: in the log, and in the supply.

    Raises `UserError` if Kafka does not answer.
    """

    def after(topic: str, ends: Mapping[str, int]) -> int:
        if topic not in order_log.topics(settings):
            return 0
        with open_log(settings, topic) as log:
            return sum(span.end - ends.get(str(partition), 0) for partition, span in log.reach().items())

    read = {partition: end for partition, (_, end) in run.supply_offsets.items()}
    return after(run.topic, run.end_offsets), after(run.supply_topic, read)


# ---------------------------------------------------------------- commands


def _counted_again(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is counted again, but for its first day."""
    for option in (
        job.source_option,
        click.option(
            "--without", "left_out", multiple=True, help="Name of a supply that is left out; may be repeated."
        ),
        click.option(
            "--late/--no-late", "take_late", default=True, help="Whether late orders of the log are taken in."
        ),
        click.option("--topic", help="Order log.  [default: that of the settings]"),
        click.option("--to", "last", help="Last business day, included.  [default: the first]"),
    ):
        function = option(function)
    return function


@click.group(invoke_without_command=True)
@click.option("--from", "first", help="First business day, YYYY-MM-DD.")
@_counted_again
@LEVEL
@click.pass_context
def backfill(
    context: click.Context,
    first: str | None,
    last: str | None,
    topic: str | None,
    take_late: bool,
    left_out: tuple[str, ...],
    source: str,
    level: str | None,
) -> None:
    """Count days again that have passed, with late and re-sent orders.

    Says what it reads and what it will cost, runs on the batch cluster, and shows what would change. Readers see
    nothing of it until `samewater backfill publish RUN`; `samewater backfill undo RUN` takes it back.

    Example: samewater backfill --from 2025-11-11 --to 2025-11-12
    """
    if context.invoked_subcommand is not None:
        return
    if first is None:
        raise UserError("a backfill needs days; give --from and --to, or a step: samewater backfill --help")
    settings: Settings = context.obj
    first, last = parse_days(first, last)
    log = topic or settings.kafka.topic
    for line in make_plan(settings, log, first, last, take_late, left_out, source).lines():
        click.echo(line)
    run_id = run_backfill(settings, context.meta["samewater.conf"], log, first, last, take_late, left_out, source)
    click.echo(f"run {run_id}")
    _show_difference(settings, run_id, level or "province", "table")
    with stores.hbase(settings) as connection:
        provisional = the_backfill(connection, run_id).provisional
    if not provisional:
        click.echo(f"Nobody is shown this yet. To show it: samewater backfill publish {run_id}")


@backfill.command("plan")
@click.option("--from", "first", required=True, help="First business day, YYYY-MM-DD.")
@_counted_again
@format_option("table", "json")
@click.pass_obj
def plan_command(
    settings: Settings,
    first: str,
    last: str | None,
    topic: str | None,
    take_late: bool,
    left_out: tuple[str, ...],
    source: str,
    form: str,
) -> None:
    """Say what a backfill would read, replace and cost; runs nothing.

    Example: samewater backfill plan --from 2025-11-11
    """
    first, last = parse_days(first, last)
    made = make_plan(settings, topic or settings.kafka.topic, first, last, take_late, left_out, source)
    if form == "json":
        click.echo(json.dumps(made.__dict__, ensure_ascii=False, indent=2))
    else:
        click.echo("\n".join(made.lines()))


@backfill.command("run")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.option("--only-minutes", is_flag=True, help="Bring back its minutes in Redis, also while it is shown.")
@click.pass_context
def run_command(context: click.Context, run_id: str, only_minutes: bool) -> None:
    """Do a backfill that was killed again, under its id.

    It reads the same offsets of log and supply, and replaces what the attempt before it has written.
    """
    settings: Settings = context.obj
    with stores.hbase(settings) as connection:
        run = the_backfill(connection, run_id)
    days = ("--from", run.from_day, "--to", run.to_day)
    with working(f"counting {run.from_day} to {run.to_day} again in batch"):
        submit(
            settings,
            context.meta["samewater.conf"],
            runs.BACKFILL,
            "batch",
            ("--run-id", run_id, "--topic", run.topic, *days, *(["--only-minutes"] if only_minutes else [])),
        )
    click.echo(f"run {run_id}")


@backfill.command("diff")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@LEVEL
@format_option("table", "json", "csv")
@click.pass_obj
def diff_command(settings: Settings, run_id: str, level: str | None, form: str) -> None:
    """What changes on the days of a backfill: rows added, removed and changed, totals before and after.

    Against what was published when it began.

    Example: samewater backfill diff RUN --level city --format csv > diff.csv
    """
    _show_difference(settings, run_id, level, form)


def _show_difference(settings: Settings, run_id: str, level: str | None, form: str) -> None:
    with stores.hbase(settings) as connection:
        run = the_backfill(connection, run_id)
    found = [read_difference(settings, day, run.base[day], run_id) for day in run.days]
    show_differences(settings, form, level, found)


@backfill.command("publish")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.pass_obj
def publish_command(settings: Settings, run_id: str) -> None:
    """Show a backfill's figures on all its days, in report, files and minutes.

    Refused if another run was published since the backfill began.
    """
    flipped = publish_backfill(settings, run_id)
    with stores.hbase(settings) as connection:
        run = the_backfill(connection, run_id)
    for day in run.days:
        click.echo(f"{day} shows {run_id}" + ("" if day in flipped else " already"))
    try:
        in_log, in_supply = come_since(settings, run)
    except UserError as unknown:  # it is published all the same
        click.echo(f"note: what came since cannot be told: {unknown}")
    else:
        if in_supply:
            click.echo(f"note: {in_supply:,} records of the supply came since; another backfill takes them in")
        if in_log:
            click.echo(f"note: {in_log:,} records of the log came since; `samewater late` tells which are late")
    click.echo(f"To check: samewater reconcile --from {run.from_day} --to {run.to_day} --topic {run.topic}")
    click.echo(f"To take it back: samewater backfill undo {run_id}")


@backfill.command("undo")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.pass_obj
def undo_command(settings: Settings, run_id: str) -> None:
    """Show again what was shown before a backfill, in report, files and minutes."""
    back, others = undo_backfill(settings, run_id)
    with stores.hbase(settings) as connection:
        shown = runs.shown(connection, runs.REPORT, [*back, *others])
    for day in sorted(shown):
        click.echo(f"{day} shows {shown[day] or 'nothing'}" + ("" if day in back else ", as it did"))


@backfill.command("list")
@format_option("table", "json", "csv")
@click.pass_obj
def list_command(settings: Settings, form: str) -> None:
    """The backfills, the newest first, and on which of their days they are shown."""
    rows: list[dict[str, Any]] = []
    with stores.hbase(settings) as connection:
        for run in runs.list_runs(connection, job=runs.BACKFILL):
            shown = runs.shown(connection, runs.REPORT, run.days)
            rows.append(
                {
                    "run_id": run.run_id,
                    "from_day": run.from_day,
                    "to_day": run.to_day,
                    "state": run.state,
                    "shown": " ".join(day for day in run.days if shown[day] == run.run_id),
                    "without": " ".join(run.taken.left_out),
                    "submitted_at": run.submitted_at,
                }
            )
    show(form, ["run_id", "from_day", "to_day", "state", "shown", "without", "submitted_at"], rows, {})
