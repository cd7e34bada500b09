"""What are readers shown of each day, who decided that, and how is it changed or taken back?

Reads and writes `published` (HBase), by one atomic check-and-put; the pointers in Redis follow. What a flip says of the
run comes from `runs`, and from the rows as they are stored then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import happybase
import redis as redis_client

from flink_jobs import backfill_checks, full_store, lease, runs, stores
from flink_jobs.console import format_option, parse_day, readable, show
from flink_jobs.errors import UserError
from flink_jobs.run_id import RUN_ID
from flink_jobs.runs import Publication
from flink_jobs.settings import Settings

REPORTS = (runs.REPORT, runs.FULL_REPORT, runs.DASHBOARD)
_NOW = ("report", "day", "run_id", "job", "mode", "version", "rows", "reconciled", "who", "at", "why", "previous")
_HISTORY = ("report", "day", "at", "who", "why", "run_id", "state", "job", "mode", "logic", "version", "rows", "digest")


def describe(connection: happybase.Connection, settings: Settings, run: runs.Run, day: str) -> Publication:
    """What publishing this run, of whatever job, would say. Raises `UserError` if it cannot be published."""
    make = full_store.publication_of if run.job == runs.FULL_REPORT else runs.publication_of
    return make(connection, settings, run, day)


def follow(
    settings: Settings, connection: happybase.Connection, client: redis_client.Redis, report: str, day: str
) -> None:
    """Let Redis show what has just been published."""
    if report == runs.DASHBOARD:
        runs.sync(connection, client, settings)
    elif report == runs.REPORT:
        runs.sync_day(connection, client, settings, day)


def is_taken_back(shown: Sequence[Publication], to: str | None, instead_of: str | None) -> bool:
    """Whether a rollback has been done before: `to` is what is shown, or it was `instead_of` that was taken away.

    `shown`: the history, the newest first. A rollback that names neither is always a new one.
    """
    if not shown or (to is None and instead_of is None):
        return False
    now, taken = shown[0], [one for one in shown if one.run_id != shown[0].run_id]
    there = now.run_id == to if to is not None else now.why == runs.ROLLBACK
    return there and (instead_of is None or [one.run_id for one in taken[:1]] == [instead_of])


# ---------------------------------------------------------------- commands


def _report_option(**more: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--report", type=click.Choice(REPORTS), **more)


@click.command()
@click.option("--day", help="Only this business day, YYYY-MM-DD; live: the dashboard's.")
@_report_option(help="Only this report.")
@click.option("--history", is_flag=True, help="Also what was shown before, the newest first, and why.")
@format_option("table", "json", "csv")
@click.pass_obj
def published(settings: Settings, day: str | None, report: str | None, history: bool, form: str) -> None:
    """The published run of each report and day.

    With --history, state is that of the run now: one that is cleaned cannot be shown again.

    Example: samewater published --day 2025-11-11 --history
    """
    of_day = day if day in (None, runs.LIVE) else parse_day(str(day))
    with stores.hbase(settings) as connection:
        found = _shown_before(connection) if history else _shown_now(connection)
        rows = [
            _row(settings, form, name, when, one) | more
            for name, when, one, more in found
            if of_day in (None, when) and report in (None, name)
        ]
    if not rows and of_day is not None:
        raise UserError(f"nothing is published of {of_day}; `samewater runs` tells which runs could be")
    show(form, _HISTORY if history else _NOW, rows, {})


def _shown_now(connection: happybase.Connection) -> Iterator[tuple[str, str, Publication, dict[str, str]]]:
    for report, day, now, verdict in runs.list_published(connection):
        yield report, day, now, {"reconciled": "" if verdict is None else verdict.word}


def _shown_before(connection: happybase.Connection) -> Iterator[tuple[str, str, Publication, dict[str, str]]]:
    """Also of days that show nothing now."""
    states = {run.run_id: run.state for run in runs.list_runs(connection)}
    for report, day, _ in runs.list_shown(connection):
        for one in runs.history(connection, report, day):
            yield report, day, one, {"state": states.get(one.run_id, "")}


def _row(settings: Settings, form: str, report: str, day: str, publication: Publication) -> dict[str, Any]:
    row = {"report": report, "day": day, **publication.model_dump()}
    row["version"] = "" if publication.watermark is None else readable(publication.watermark, settings.time)
    if form != "json":
        row["rows"] = "" if publication.rows is None else publication.rows
        row["digest"] = publication.digest or ""
        row["previous"] = " ".join(publication.previous)
    return row


@click.command()
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.option("--day", help="Business day of a report; a run of the dashboard needs none.")
@click.option("--instead-of", metavar="RUN", type=RUN_ID, help="Only if this run is the published one.")
@click.option("--why", metavar="TEXT", default="", help="The reason, for the history.")
@click.option("--anyway", is_flag=True, help="Even a dashboard run that is behind the one on the screen.")
@click.pass_obj
def publish(settings: Settings, run_id: str, day: str | None, instead_of: str | None, why: str, anyway: bool) -> None:
    """Let readers see a run; `rollback` takes it back.

    Example: samewater publish RUN --day 2025-11-11 --instead-of OTHER_RUN --why "the till of Shenzhen came late"
    """
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
        if run.job == runs.BACKFILL:
            raise UserError(f"run {run_id} is a backfill's, shown on all its days: samewater backfill publish {run_id}")
        if run.job != runs.DASHBOARD and day is None:
            raise UserError(f"run {run_id} is published day by day; name one with --day")
        which = runs.LIVE if run.job == runs.DASHBOARD or day is None else parse_day(day)
        if which == runs.LIVE and not anyway:
            _refuse_behind(settings, run_id, runs.published(connection, run.job, which))
        new = describe(connection, settings, run, which).model_copy(update={"why": why.strip()})
        report = runs.report_of(run)
        client = stores.redis(settings)  # if it is down, that is said before anything is flipped
        flipped = runs.publish(connection, report, which, new, instead_of)
        follow(settings, connection, client, report, which)
    before = f", before it {flipped.previous[0]}" if flipped.previous else ""
    click.echo(f"{report} of {which} shows run {run_id}{before}")


@click.command()
@click.option("--day", help="Business day of a report; the dashboard needs none.")
@_report_option(default=runs.REPORT, show_default=True, help="What is taken back.")
@click.option("--to", metavar="RUN", type=RUN_ID, help="Show this run of the history. [default: the one before]")
@click.option("--instead-of", metavar="RUN", type=RUN_ID, help="Only if this run is the published one.")
@click.option("--anyway", is_flag=True, help="Even to a dashboard run that is behind the one on the screen.")
@click.pass_obj
def rollback(
    settings: Settings, day: str | None, report: str, to: str | None, instead_of: str | None, anyway: bool
) -> None:
    """Show again what was shown before, by the history.

    The run that it takes away is what the next rollback shows again. With --to or --instead-of, doing it twice changes
    nothing more.

    Example: samewater rollback --day 2025-11-11 --instead-of RUN
    """
    if (day is None) != (report == runs.DASHBOARD):
        raise UserError(
            f"{report} is published day by day; name one with --day"
            if day is None
            else f"{report} is published as a whole; leave --day out"
        )
    which = runs.LIVE if day is None else parse_day(day)
    client = stores.redis(settings)  # if it is down, that is said before anything is flipped
    with stores.hbase(settings) as connection:
        shown = runs.history(connection, report, which)
        if runs.published(connection, report, which) is not None and is_taken_back(shown, to, instead_of):
            follow(settings, connection, client, report, which)
            click.echo(f"{report} of {which} shows run {shown[0].run_id} already")
            return
        now, back = runs.before(connection, report, which, to)
        if report == runs.DASHBOARD and not anyway:
            _refuse_behind(settings, back.run_id, now)
        with _whole(settings, connection, back.run_id):
            # Bound to what has just been looked at: of two at once one is told, and nothing is taken back twice.
            runs.rollback(connection, settings, report, which, instead_of or now.run_id, back.run_id, describe=describe)
        follow(settings, connection, client, report, which)
    click.echo(f"{report} of {which} shows run {back.run_id} again, in place of {now.run_id}")


@contextmanager
def _whole(settings: Settings, connection: happybase.Connection, run_id: str) -> Iterator[None]:
    """Inside the block a backfill's run is not done again, and was whole at its beginning. Raises `UserError`."""
    run = runs.find(connection, run_id)
    if run is None or run.job != runs.BACKFILL:
        yield
        return
    with lease.held(settings, backfill_checks.publishing(run_id)):
        backfill_checks.refuse_unless_whole(settings, run)
        yield


def _refuse_behind(settings: Settings, run_id: str, on_screen: Publication | None) -> None:
    """Counts on the screen never go back: raise `UserError` if this run has fewer final minutes than the one shown."""
    if on_screen is None or on_screen.run_id == run_id:
        return
    client = stores.redis(settings)
    shown = stores.read_final_until(client, settings, on_screen.run_id)
    own = stores.read_final_until(client, settings, run_id)
    # Both close their minutes by the same log: they may differ by the one that is being closed.
    if shown is not None and (own is None or own < shown - 60_000):
        reached = "nothing yet" if own is None else readable(own, settings.time)
        raise UserError(
            f"run {run_id} is final until {reached}, run {on_screen.run_id} on the screen until "
            f"{readable(shown, settings.time)}; wait until it has caught up, or say --anyway"
        )
