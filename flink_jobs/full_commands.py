"""How is the full report made, on demand and before dawn, and how is one figure of it looked up?

`full-report` submits flink_jobs/full_report.py for each day that is due and puts the published pages into a folder;
`full-pages` does the second alone; `lookup` reads one row of HBase by its key.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import click
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs import full_inputs, full_store, regions, runs, stores
from flink_jobs.archive_reader import closed_until
from flink_jobs.console import format_option, parse_day, parse_time, readable, show
from flink_jobs.errors import UserError
from flink_jobs.full_inputs import DAY
from flink_jobs.progress import working
from flink_jobs.readers import province_code
from flink_jobs.regions import ALL, Regions
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import Settings
from flink_jobs.stack.instance import home
from flink_jobs.submit import submit
from flink_jobs.waiting import last_answer

_ASKED_EACH_S = 5.0


def _out_option(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the pages. [default: .samewater/reports]",
    )(function)


@click.command("full-report")
@click.option("--day", help="Business day, YYYY-MM-DD. [default: yesterday]")
@click.option("--anyway", is_flag=True, help="Even of a day that is not closed, or was not found equal.")
@click.option(
    "--wait", "minutes", type=click.FloatRange(min=0), default=0, help="Minutes to wait until the day can be reported."
)
@click.option(
    "--catch-up", type=click.IntRange(0, 366), default=0, help="Also make the reports that this many days before lack."
)
@click.option("--as-of", help="As of HH:MM of the day, or YYYY-MM-DDTHH:MM: a look at the day so far; not published.")
@click.option("--run", "run_id", metavar="RUN", type=RUN_ID, help="With --as-of: of this run, published or not.")
@_out_option
@click.pass_context
def full_report(
    context: click.Context,
    day: str | None,
    anyway: bool,
    minutes: float,
    catch_up: int,
    as_of: str | None,
    run_id: str | None,
    out: Path | None,
) -> None:
    """Join a day with the days before it, and publish the report that management reads.

    The day must be closed and found equal by `reconcile`. For a scheduler, at any hour of the night: --wait until that
    is so, --catch-up on days that were missed. Exit code 1: a missed day cannot be made yet.

    \b
    Examples:
      samewater full-report --wait 240 --catch-up 7
      samewater full-report --day 2025-11-11 --as-of 15:00
    """
    settings: Settings = context.obj
    last = dt.date.fromisoformat(parse_day(day)) if day else _yesterday(settings)
    if as_of is not None:
        if anyway or minutes or catch_up:
            raise UserError("--as-of looks at a version that there is: it goes without --anyway, --wait and --catch-up")
        _look_as_of(context, last, as_of, run_id, out)
        return
    if run_id is not None:
        raise UserError("--run chooses whose version --as-of looks at; name a time, or leave it out")
    wanting = None if anyway else _await_ready(settings, last, minutes)
    # Afterwards: what has held up the last day may have held up the days before it too.
    skipped = []
    for missed in _missed(settings, last, catch_up):
        reason = _why_not(settings, missed)
        if reason is None:
            _make(context, missed, anyway=False, out=out)
        else:
            skipped.append(f"{missed} {reason}")
    for told in skipped:
        click.echo(f"not made: {told}", err=True)
    if wanting is not None:
        waited = f" after {minutes:g} min" if minutes else ""
        raise UserError(f"{last} {wanting}{waited}; --wait waits for it, --anyway does not ask")
    _make(context, last, anyway, out)
    context.exit(1 if skipped else 0)


def _yesterday(settings: Settings) -> dt.date:
    return dt.datetime.now(ZoneInfo(settings.time.zone)).date() - DAY


def _make(context: click.Context, day: dt.date, anyway: bool, out: Path | None) -> None:
    arguments = ("--day", str(day), *(["--anyway"] if anyway else []))
    with working(f"making the full report of {day}"):
        run = submit(context.obj, context.meta["samewater.conf"], runs.FULL_REPORT, "batch", arguments)
    click.echo(f"run {run} is the full report of {day}")
    click.echo(f"page: {fetch(context.obj, day, out) / 'full_report.html'}")


def _look_as_of(context: click.Context, day: dt.date, as_of: str, of_run: str | None, out: Path | None) -> None:
    settings: Settings = context.obj
    until = dt.datetime.fromtimestamp(parse_time(as_of, str(day), settings.time) / 1000, ZoneInfo(settings.time.zone))
    name = f"{day}-as-of-{until:%H%M}" if until.date() == day else f"{day}-as-of-{until:%Y-%m-%dT%H%M}"
    arguments = ("--day", str(day), "--as-of", as_of, *([] if of_run is None else ["--of-run", of_run]))
    with working(f"making the full report of {day} as of {as_of}"):
        run = submit(settings, context.meta["samewater.conf"], runs.FULL_REPORT, "batch", arguments)
    click.echo(f"run {run} is the full report of {day} as of {as_of}; it is not published")
    click.echo(f"page: {_put(settings, day, run, name, out) / 'full_report.html'}")


def _missed(settings: Settings, last: dt.date, days: int) -> list[dt.date]:
    """Days before `last` that have a published daily report and no full one, the oldest first."""
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        there = {(report, day) for report, day, *_ in runs.list_published(connection)}
    before = [last - n * DAY for n in range(days, 0, -1)]
    return [d for d in before if (runs.REPORT, str(d)) in there and (runs.FULL_REPORT, str(d)) not in there]


def _why_not(settings: Settings, day: dt.date) -> str | None:
    """Why there can be no report of the day yet; None if there can."""
    with stores.hbase(settings) as connection:
        publication = runs.published(connection, runs.REPORT, str(day))
        if publication is not None:
            verdict = runs.reconciled(connection, str(day))
            return full_inputs.why_not(settings, connection, day, publication, verdict)
    until = closed_until(settings, settings.kafka.topic)
    far = "is empty in a partition" if until is None else f"is complete until {readable(until, settings.time)}"
    return f"is not published: topic {settings.kafka.topic} {far}"


def _await_ready(settings: Settings, day: dt.date, minutes: float) -> str | None:
    """Wait until the day is published, closed and reconciled; returns what is still wanting then, None if nothing."""
    waiting = Retrying(
        retry=retry_if_result(lambda reason: reason is not None),
        stop=stop_after_delay(minutes * 60),
        wait=wait_fixed(_ASKED_EACH_S),
        retry_error_callback=last_answer,
    )
    with working(f"waiting for {day} to be closed and reconciled"):
        reason: str | None = waiting(_why_not, settings, day)
    return reason


# ---------------------------------------------------------------- the pages


def fetch(settings: Settings, day: dt.date, out: Path | None) -> Path:
    """Put the published CSV and page of a day into a folder named by the day; returns it."""
    with stores.hbase(settings) as connection:
        publication = full_store.published(connection, str(day))
    return _put(settings, day, publication.run_id, str(day), out)


def _put(settings: Settings, day: dt.date, run_id: str, name: str, out: Path | None) -> Path:
    """Put the pages of a run into a folder of this name; returns it.

    Readers of the folder see the old ones or the new ones, whole: its name is a link that is flipped.
    """
    pages = full_store.read_pages(settings, str(day), run_id)
    folder = out or home() / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    link, new = folder / name, folder / f".{name}.{run_id}.{os.getpid()}"
    if link.exists() and not link.is_symlink():
        raise UserError(f"{link} is in the way: it is no link to a report; move it or choose another folder with --out")
    new.mkdir()
    for file, content in pages.items():
        (new / file).write_bytes(content)
    old = link.resolve() if link.is_symlink() else None
    flip = folder / f".{name}.{os.getpid()}.link"
    flip.symlink_to(new.name)
    flip.replace(link)
    if old is not None and old != new.resolve() and old.parent == folder.resolve():
        shutil.rmtree(old, ignore_errors=False)
    return link


@click.command("full-pages")
@click.option("--day", required=True, help="Business day, YYYY-MM-DD.")
@_out_option
@click.pass_obj
def full_pages(settings: Settings, day: str, out: Path | None) -> None:
    """Fetch the published CSV and HTML page of a full report.

    Example: samewater full-pages --day 2025-11-11 --out reports
    """
    folder = fetch(settings, dt.date.fromisoformat(parse_day(day)), out)
    for file in sorted(folder.iterdir()):
        click.echo(file)


# ---------------------------------------------------------------- one row


def place_code(names: Regions, province: str | None, city: str | None) -> tuple[str, str]:
    """The codes of a city, of a province (city `ALL`) or of the country. Raises `UserError` for what is not known."""
    if city is None:
        return province_code(names, province or ALL), ALL
    within = None if province is None else province_code(names, province)
    found = [
        code
        for code, owner in names.cities.items()
        if within in (None, owner)
        and city.casefold() in (code.casefold(), names.names[owner, code], names.names_en[owner, code].casefold())
    ]
    if len(found) != 1:
        several = ", ".join(f"{names.name(names.cities[code])} ({code})" for code in found)
        raise UserError(
            f"city {city!r} is in {several}; name its --province"
            if found
            else f"city {city!r} is not known; give a code or name of the regions file"
        )
    return names.cities[found[0]], found[0]


@click.command()
@click.option("--day", required=True, help="Business day, YYYY-MM-DD.")
@click.option("--city", help="Code or name.")
@click.option("--province", help="Code or name; without a city, the province itself. [default: the country]")
@format_option("table", "json", "csv")
@click.pass_obj
def lookup(settings: Settings, day: str, city: str | None, province: str | None, form: str) -> None:
    """One place of the published full report, by its key in HBase.

    Example: samewater lookup --day 2025-11-11 --city Shenzhen
    """
    names = regions.load(settings.regions_file())
    where = place_code(names, province, city)
    with stores.hbase(settings) as connection:
        publication = full_store.published(connection, parse_day(day))
        figures = full_store.look_up(connection, settings, day, publication.run_id, *where)
    if not figures:
        raise UserError(f"{names.name(where[0], None if where[1] == ALL else where[1])} had no orders since January")
    row = {"province": where[0], "city": where[1], **{name: figures.get(name, "") for name in full_store.FIGURES}}
    show(form, list(row), [row], {"day": day, "run": publication.run_id})
