"""What was a day, minute by minute and region by region, and which versions and verdicts does it have?

Reads Redis and HBase through the readers of `flink_jobs`, one connection a request; writes nothing. Amounts are yuan as
decimal text, times epoch ms, days `YYYY-MM-DD`. Every answer names the run and version that its figures come from.

Errors are `{"error": sentence}`: 400 for a request that makes no sense, 404 for what is not there, 503 while a server
does not answer or too many questions are asked at once.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import happybase
from fastapi import APIRouter, Depends, Path, Query, Request

from flink_jobs import full_store, readers, runs, stores
from flink_jobs.console import parse_day, parse_days, parse_time
from flink_jobs.errors import UserError
from flink_jobs.regions import Regions
from flink_jobs.settings import Settings
from flink_jobs.stores import ALL
from serving.answers import (
    Error,
    FullReport,
    FullRow,
    MinuteRow,
    Minutes,
    Regional,
    RegionRow,
    ReportDay,
    Verdicts,
    VersionRow,
)
from serving.beside import published_day, reconciled, report_run

AT_ONCE = 4  # questions to the stores; a reader of the API must not slow the jobs down
WAIT_S = 5.0


class Refused(Exception):
    """A request that gets `status` and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


# ---------------------------------------------------------------- asked by

_busy = threading.BoundedSemaphore(AT_ONCE)


def _turn() -> Iterator[None]:
    if not _busy.acquire(timeout=WAIT_S):
        raise Refused(503, f"{AT_ONCE} questions are being answered already; ask again in a moment")
    try:
        yield
    finally:
        _busy.release()


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _names(request: Request) -> Regions:
    names: Regions = request.app.state.names
    return names


Day = Annotated[str, Path(description="Business day, YYYY-MM-DD.", max_length=40)]
Run = Annotated[str | None, Query(description="A run of your choice; without it the published one.", max_length=100)]
With = Annotated[Settings, Depends(_settings)]
Named = Annotated[Regions, Depends(_names)]
# Without "4XX" FastAPI would describe an answer of its own for bad input, which is never given.
errors: dict[int | str, dict[str, Any]] = {code: {"model": Error} for code in (400, 404, "4XX", 503)}
router = APIRouter(prefix="/api", dependencies=[Depends(_turn)], responses=errors, tags=["figures"])


@router.get("/days/{day}/minutes")
def minutes(
    day: Day,
    settings: With,
    names: Named,
    province: Annotated[str, Query(description="Code or name of a province; ALL for the country.")] = ALL,
    run: Run = None,
) -> Minutes:
    """The minutes of a day, final and provisional: the dashboard's, or of the backfill that is published of the day."""
    day = checked(parse_day, day)
    code = checked(readers.province_code, names, province)
    with answered():
        client = stores.redis(settings)
        try:
            backfill = None if run else stores.backfilled_by(client, settings, day)
            run = run or backfill or stores.current_generation(client, settings)
            if run is None:
                raise Refused(404, "no dashboard run is on the screen; start realtime_dashboard")
            rows = readers.minute_rows(stores.read_minutes(client, settings, run, day), code)
            until = stores.read_final_until(client, settings, run)
            if backfill:
                until = settings.time.day_end(dt.date.fromisoformat(day))
        finally:
            client.close()
    if not rows:
        raise Refused(404, f"run {run} has no minutes of {day} for {province}; choose another day")
    return Minutes(day=day, run=run, province=code, final_until=until, rows=[MinuteRow(**row) for row in rows])


@router.get("/days/{day}/provinces")
def provinces(
    day: Day,
    settings: With,
    names: Named,
    run: Run = None,
    as_of: Annotated[str | None, Query(description="Newest version not after HH:MM of the day.")] = None,
) -> Regional:
    """The report of a day by province: the published run's newest version, or the day so far."""
    return _regional(settings, names, day, run, as_of, "province")


@router.get("/days/{day}/cities")
def cities(
    day: Day,
    settings: With,
    names: Named,
    province: Annotated[str | None, Query(description="Only this province, by code or name.")] = None,
    run: Run = None,
    as_of: Annotated[str | None, Query(description="Newest version not after HH:MM of the day.")] = None,
) -> Regional:
    """The report of a day by city, as of its newest version: it is counted by the hour."""
    code = None if province is None else checked(readers.province_code, names, province)
    found = _regional(settings, names, day, run, as_of, "city")
    if code not in (None, ALL):
        found.rows = [row for row in found.rows if row.province == code]
    return found


@router.get("/days/{day}/full-report", response_model_exclude_none=True)
def full_report(
    day: Day,
    settings: With,
    names: Named,
    province: Annotated[str | None, Query(description="Only this province and its cities, by code or name.")] = None,
) -> FullReport:
    """The day held against the days before it, for the country, each province and each city."""
    day = checked(parse_day, day)
    code = ALL if province is None else checked(readers.province_code, names, province)
    with opened(settings) as connection:
        publication = full_store.published(connection, day)
        report = full_store.read(connection, settings, day, publication.run_id)
    rows = []
    for place, figures in sorted(report.items()):
        of, _, city = place.partition("|")
        if code in (ALL, of):
            rows.append(FullRow.model_validate({"province": of, "city": city, **figures}))
    return FullReport(day=day, run=publication.run_id, published_at=publication.at, rows=rows)


@router.get("/reports", response_model_exclude_none=True)
def reports(
    settings: With,
    first: Annotated[str, Query(alias="from", description="First business day.", max_length=40)],
    last: Annotated[str | None, Query(alias="to", description="Last business day; without it one day.")] = None,
) -> list[ReportDay]:
    """The published report of each day: country line, version, and what `reconcile` said."""
    first, last = checked(parse_days, first, last)
    days = (dt.date.fromisoformat(last) - dt.date.fromisoformat(first)).days + 1
    if days > settings.serving.range_days:
        raise Refused(400, f"{days} days are too many at once; ask for {settings.serving.range_days} at most")
    found = []
    with opened(settings) as connection:
        for n in range(days):
            day = str(dt.date.fromisoformat(first) + dt.timedelta(days=n))
            publication = runs.published(connection, runs.REPORT, day)
            if publication is None:
                found.append(ReportDay(day=day, published=False))
                continue
            said = published_day(connection, settings, day, publication)
            found.append(ReportDay(**said, reconciled=reconciled(connection, day)))
    return found


@router.get("/days/{day}/verdicts")
def verdicts(day: Day, settings: With, run: Run = None) -> Verdicts:
    """How many records of a day have which verdict, as of the newest version."""
    day = checked(parse_day, day)
    with opened(settings) as connection:
        found = _run(connection, settings, day, run)
        version = max(runs.markers(connection, day, found.run_id, found.family), default=None)
        if version is None:
            raise Refused(404, f"run {found.run_id} has no version of {day}")
        counts = stores.verdict_counts(connection, day, found.run_id, found.family, version)
    return Verdicts(day=day, run=found.run_id, mode=found.mode, version=version, records=counts)


@router.get("/days/{day}/versions")
def versions(day: Day, settings: With) -> list[VersionRow]:
    """The marked versions of a day, by run."""
    day = checked(parse_day, day)
    with opened(settings) as connection:
        rows = [
            VersionRow(run=found.run_id, version=version, **marker.model_dump())
            for found, markers in runs.versions_of_day(connection, day)
            for version, marker in markers.items()
        ]
    if not rows:
        raise Refused(404, f"there is no version of {day}")
    return rows


def _regional(settings: Settings, names: Regions, day: str, run: str | None, as_of: str | None, level: str) -> Regional:
    day = checked(parse_day, day)
    until = None if as_of is None else checked(parse_time, as_of, day, settings.time)
    with opened(settings) as connection:
        run = run or _run(connection, settings, day, None).run_id
    with answered():
        found = readers.read_report(settings, day, run, until)
    rows = []
    for row in readers.report_rows(found.table, level, names):
        province, city = row["province"], row.get("city")
        row["province_name_zh"] = names.name(province, english=False)
        if city:
            row["city_name_zh"] = names.name(province, city, english=False)
        rows.append(RegionRow(**row))
    return Regional(
        day=day,
        run=found.run.run_id,
        mode=found.run.mode,
        version=found.version,
        published=found.published,
        rows=rows,
    )


def _run(connection: happybase.Connection, settings: Settings, day: str, run: str | None) -> runs.Run:
    """The run that is asked for, else the published one, else one that counts the day so far."""
    if run is not None:
        return runs.get(connection, run)
    found = report_run(connection, day, settings.kafka.topic)
    if found is None:
        raise Refused(404, f"there is no report of {day}: no run has a version of it")
    return found


# ---------------------------------------------------------------- errors


def checked(parse: Any, *arguments: Any) -> Any:
    """What a parser of the command line makes of a parameter; what it refuses is the asker's mistake: 400."""
    try:
        return parse(*arguments)
    except UserError as bad:
        raise Refused(400, str(bad)) from bad


@contextmanager
def answered() -> Iterator[None]:
    """What a reader refuses: 404 if it is not there, 503 if a server does not answer or what it holds is spoilt."""
    try:
        yield
    except UserError as refused:
        raise Refused(404 if refused.__cause__ is None else 503, str(refused)) from refused


@contextmanager
def opened(settings: Settings) -> Iterator[happybase.Connection]:
    """HBase, for one request."""
    with answered(), stores.hbase(settings) as connection:
        yield connection
