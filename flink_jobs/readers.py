"""What was sold on a day, and minute by minute; which runs and versions are there?

Reads HBase, HDFS (with `--from-hdfs`) and Redis; writes nothing but the pointers in Redis, and prints. Figures are
always one version of one run, and say of which: by default the run that is published, at its newest marked version. A
version without its marker is never shown, nor a mix of two.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import click
import happybase

from flink_jobs import checks, flink_rest, losses, regions, stores
from flink_jobs import runs as run_table
from flink_jobs.console import format_option, parse_day, parse_time, readable, show
from flink_jobs.errors import UserError
from flink_jobs.regions import Regions
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import Settings
from flink_jobs.stores import ALL, Table

LEVELS = ("country", "province", "city")


class Snapshot(NamedTuple):
    """One version of a run's day: `version` epoch ms; `table`: `{province}|{city}` -> orders, amount, users."""

    run: run_table.Run
    version: int
    published: bool
    table: Table


# ---------------------------------------------------------------- pure


def level_of(row: str) -> str:
    """Which level a row `{province}|{city}` of the report belongs to."""
    province, _, city = row.partition("|")
    return "city" if city != ALL else "province" if province != ALL else "country"


def marked_version(versions: Iterable[int], as_of: int | None) -> int | None:
    """The newest version not after `as_of`; None if there is none."""
    return max((version for version in versions if as_of is None or version <= as_of), default=None)


def against_marker(table: Table, marker: run_table.Marker) -> str | None:
    """None if the rows are those the marker counted, and each level adds up to the one above; else what differs.

    A batch run that is repeated writes its rows once more, under its old marker: in the midst of that, cities and the
    levels above them may be of two attempts.
    """
    cities = [fields for row, fields in table.items() if level_of(row) == "city"]
    try:
        orders = sum(int(fields["orders"]) for fields in cities)
        amount = stores.yuan(sum(stores.cents(fields["amount"]) for fields in cities))
    except (KeyError, ValueError) as bad:
        return f"a cell is missing or spoilt ({bad})"
    found = run_table.Marker(rows=len(table), orders=orders, amount=amount)
    if found == marker and checks.totals_from_cities(table) != checks.stored_totals(table):
        return "its cities do not add up to the levels above"
    if found == marker:
        return None
    return (
        f"{found.rows} rows, {found.orders} orders, {found.amount} yuan are stored, "
        f"but {marker.rows} rows, {marker.orders} orders, {marker.amount} yuan were written"
    )


def report_rows(table: Table, level: str, names: Regions) -> list[dict[str, Any]]:
    """The rows of one level in the order of their codes, with names: orders and users int, amount decimal text."""
    rows: list[dict[str, Any]] = []
    for row, fields in sorted(table.items()):
        if level_of(row) != level:
            continue
        province, _, city = row.partition("|")
        place: dict[str, Any] = {}
        if level != "country":
            place |= {"province": province, "province_name": names.name(province)}
        if level == "city":
            place |= {"city": city, "city_name": names.name(province, city)}
        figures = {"orders": int(fields["orders"]), "amount": fields["amount"], "users": int(fields["users"])}
        rows.append(place | figures)
    return rows


def minute_rows(minutes: Table, province: str) -> list[dict[str, Any]]:
    """The minutes of one province (or `ALL`) in order: state `final` or `provisional`, orders int, amount decimal text.

    Raises `UserError` for a value that is not `final:orders:cents`.
    """
    rows: list[dict[str, Any]] = []
    for name, fields in sorted(minutes.items()):
        minute, _, of = name.partition("|")
        if of != province:
            continue
        try:
            state = {"1": "final", "0": "provisional"}[fields["final"]]
            orders, amount = int(fields["orders"]), stores.yuan(int(fields["cents"]))
        except (KeyError, ValueError) as spoilt:
            raise UserError(f"minute {name} in Redis is spoilt ({fields}); `samewater reconcile` names it") from spoilt
        rows.append({"minute": minute, "state": state, "orders": orders, "amount": amount})
    return rows


# ---------------------------------------------------------------- reading


def choose_run(connection: happybase.Connection, day: str, run_id: str | None) -> tuple[run_table.Run, bool]:
    """The run whose report of the day is to be read, and whether it is the published one.

    Raises `UserError` if none is published, naming the runs that have the day, or if there is nothing at all.
    """
    publication = run_table.published(connection, run_table.REPORT, day)
    if run_id is not None:
        run_table.refuse_cleaned(connection, run_id)
        return run_table.get(connection, run_id), publication is not None and publication.run_id == run_id
    if publication is None:
        candidates = run_table.runs_of_day(connection, day)
        if not candidates:
            raise UserError(f"there is no report of {day}: no run has a version of it; see `samewater runs`")
        raise UserError(
            f"nothing is published for {day}; name one of its runs with --run, or publish it: {', '.join(candidates)}"
        )
    return run_table.get(connection, publication.run_id), True


def version_as_of(
    settings: Settings, connection: happybase.Connection, run: run_table.Run, day: str, as_of: int | None
) -> tuple[int, run_table.Marker]:
    """The newest marked version of a run's day not after `as_of` (epoch ms). Raises `UserError` if there is none."""
    markers = run_table.markers(connection, day, run.run_id, run.family)
    version = marked_version(markers, as_of)
    if version is None:
        had = f"its versions begin at {readable(min(markers), settings.time)}" if markers else "it has none"
        raise UserError(f"run {run.run_id} has no version of {day} that early: {had}; see `samewater versions`")
    return version, markers[version]


def read_report(
    settings: Settings, day: str, run_id: str | None = None, as_of: int | None = None, from_hdfs: bool = False
) -> Snapshot:
    """One version of a day's report: the newest marked one not after `as_of` (epoch ms).

    Raises `UserError` if there is none, or if what is stored is not what its marker counted.
    """
    with stores.hbase(settings) as connection:
        run, is_published = choose_run(connection, day, run_id)
        version, marker = version_as_of(settings, connection, run, day, as_of)
        if from_hdfs:
            with stores.hdfs(settings) as files:
                by_version, _ = stores.read_sales_files(files, settings, day, run.run_id)
            table = by_version.get(version, {})
        else:
            table = stores.read_sales(connection, settings.report.buckets, day, run.run_id, run.family, version)
    differs = against_marker(table, marker)
    if differs is not None:
        raise UserError(
            f"{'HDFS' if from_hdfs else 'HBase'} does not hold version {readable(version, settings.time)} of run "
            f"{run.run_id} as it was written: {differs}; run `samewater reconcile --from {day}`"
        )
    return Snapshot(run, version, is_published, table)


def province_code(names: Regions, text: str) -> str:
    """The code of a province given by code or by name; `ALL` for the country. Raises `UserError`."""
    if text == ALL or text in names.provinces:
        return text
    found = [code for code in names.provinces if text.casefold() in (names.name(code).casefold(), names.names[code])]
    if len(found) != 1:
        raise UserError(f"province {text!r} is not known; give a code or name of the regions file, or ALL")
    return found[0]


# ---------------------------------------------------------------- commands


@click.command()
@click.option("--day", required=True, help="Business day, YYYY-MM-DD.")
@click.option("--level", type=click.Choice(LEVELS), default="province", show_default=True)
@click.option("--as-of", help="Newest version not after this: HH:MM of the day, or YYYY-MM-DDTHH:MM.")
@click.option("--run", "run_id", metavar="RUN", type=RUN_ID, help="Read this run, published or not.")
@click.option("--from-hdfs", is_flag=True, help="Read the Parquet files in place of HBase.")
@format_option("table", "json", "csv")
@click.pass_obj
def report(
    settings: Settings, day: str, level: str, as_of: str | None, run_id: str | None, from_hdfs: bool, form: str
) -> None:
    """A day's orders, amount and users, by region.

    Example: samewater report --day 2025-11-11 --level city --as-of 15:00
    """
    day = parse_day(day)
    until = None if as_of is None else parse_time(as_of, day, settings.time)
    found = read_report(settings, day, run_id, until, from_hdfs)
    names = regions.load(settings.regions_file())
    with stores.hbase(settings) as connection:
        lacks = losses.lacks(settings, connection, found.run, day)
    columns = [*_place_columns(level), "orders", "amount", "users"]
    about = {
        "report": run_table.REPORT,
        "day": day,
        "level": level,
        "run": found.run.run_id,
        "published": "yes" if found.published else "no",
        "version": readable(found.version, settings.time),
        "covers": ", ".join(["the whole day" if found.version == _end(settings, day) else "the day so far", *lacks]),
    }
    show(form, columns, report_rows(found.table, level, names), about)


def _place_columns(level: str) -> list[str]:
    city = ["city", "city_name"] if level == "city" else []
    return [] if level == "country" else ["province", "province_name", *city]


def _end(settings: Settings, day: str) -> int:
    return settings.time.day_end(dt.date.fromisoformat(day))


@click.command()
@click.option("--day", required=True, help="Business day, YYYY-MM-DD.")
@click.option("--province", default=ALL, show_default=True, help="Code or name of a province; ALL for the country.")
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    type=RUN_ID,
    help="Read this run of realtime_dashboard in place of the current one.",
)
@format_option("table", "json", "csv")
@click.pass_obj
def minutes(settings: Settings, day: str, province: str, run_id: str | None, form: str) -> None:
    """A day minute by minute, as the dashboard has it.

    Of a day whose published report is a backfill's, these are the minutes of that backfill.

    Example: samewater minutes --day 2025-11-11 --province Beijing --format csv
    """
    day = parse_day(day)
    code = province_code(regions.load(settings.regions_file()), province)
    client = stores.redis(settings)
    backfill = None
    if run_id is None:
        with stores.hbase(settings) as connection:
            backfill = run_table.sync_day(connection, client, settings, day)
            run_id = backfill or run_table.sync(connection, client, settings)
        if run_id is None:
            raise UserError("no dashboard run is published; start realtime_dashboard, or name a run with --run")
    read = stores.read_minutes(client, settings, run_id, day)
    rows = minute_rows(read, code)
    until = _end(settings, day) if backfill else stores.read_final_until(client, settings, run_id)
    final_until = "nothing yet" if until is None else readable(until, settings.time)
    if not rows and backfill:
        raise UserError(f"backfill {run_id} has no minutes of {day}{_why_none(settings, run_id, day, province, read)}")
    if not rows:
        raise UserError(
            f"run {run_id} has no minutes of {day} for {province}; its minutes are final until {final_until}, "
            "so choose another day or wait"
        )
    about = {"day": day, "province": code, "run": run_id, "final_until": final_until}
    show(form, ["minute", "state", "orders", "amount"], rows, about)


def _why_none(settings: Settings, backfill: str, day: str, province: str, read: Mapping[str, Any]) -> str:
    """As the end of a sentence: that nothing was sold there, or that Redis has lost what its marker counted."""
    if read:
        return f" for {province}: no order counts there; choose another province"
    with stores.hbase(settings) as connection:
        run = run_table.get(connection, backfill)
        markers = run_table.markers(connection, day, backfill, run.family)
    if not any(marker.orders for marker in markers.values()):
        return ": no order of it counts; choose another day"
    return f" any more: Redis was emptied; bring them back: samewater backfill run {backfill} --only-minutes"


@click.command()
@click.option("--job", help="Only runs of this job.")
@click.option("--mode", type=click.Choice(sorted(stores.FAMILIES)), help="Only runs of this mode.")
@format_option("table", "json", "csv")
@click.pass_obj
def runs(settings: Settings, job: str | None, mode: str | None, form: str) -> None:
    """The runs that are registered, the newest first.

    state is what was last noted of a run, flink what Flink says now of one that should be running: RUNNING, RESTARTING,
    FAILED, gone (Flink knows it no more), or ? (the cluster does not answer).
    """
    with stores.hbase(settings) as connection:
        found = run_table.list_runs(connection, job=job, mode=mode)
    about = ["run_id", "job", "mode", "topic", "from_day", "to_day"]
    columns = [*about, "state", "cluster", "flink", "logic", "submitted_at"]
    now = _flink_states(settings, [run for run in found if run.state == "running"])
    everything = [run.model_dump() | {"flink": now.get(run.run_id, "")} for run in found]
    rows = everything if form == "json" else [{column: row[column] for column in columns} for row in everything]
    show(form, columns, rows, {})


def _flink_states(settings: Settings, noted_running: list[run_table.Run]) -> dict[str, str]:
    states: dict[str, str] = {}
    for cluster in sorted({run.cluster for run in noted_running}):
        there = [run for run in noted_running if run.cluster == cluster]
        try:
            jobs = {job["jid"]: job["state"] for job in flink_rest.jobs(settings, cluster)}
            states |= {run.run_id: jobs.get(run.flink_job_id, "gone") for run in there}
        except UserError:
            states |= {run.run_id: "?" for run in there}
    return states


@click.command()
@click.option("--day", required=True, help="Business day, YYYY-MM-DD.")
@click.option("--run", "run_id", metavar="RUN", type=RUN_ID, help="Only this run.")
@format_option("table", "json", "csv")
@click.pass_obj
def versions(settings: Settings, day: str, run_id: str | None, form: str) -> None:
    """The marked versions of a day, by run.

    What --run and --as-of of `report` can choose from, and which run is published.

    Example: samewater versions --day 2025-11-11
    """
    day = parse_day(day)
    with stores.hbase(settings) as connection:
        shown = run_table.published(connection, run_table.REPORT, day)
        rows = [
            {
                "run": run.run_id,
                "job": run.job,
                "mode": run.mode,
                "published": "yes" if shown is not None and shown.run_id == run.run_id else "no",
                "version": readable(version, settings.time),
                "epoch_ms": version,
                **marker.model_dump(),
            }
            for run, markers in run_table.versions_of_day(connection, day)
            if run_id in (None, run.run_id)
            for version, marker in markers.items()
        ]
        notes = losses.notes_of_day(settings, connection, day)
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if not rows:
        raise UserError(f"there is no version of {day}{' in run ' + run_id if run_id else ''}; see `samewater runs`")
    columns = ["run", "job", "mode", "published", "version", "epoch_ms", "rows", "orders", "amount"]
    show(form, columns, rows, {"day": day})
