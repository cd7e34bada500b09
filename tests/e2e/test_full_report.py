"""The full report over the turn of a year: every figure by plain Python, refusals, and what was spoilt."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from pyarrow import parquet

from flink_jobs import full_store, runs, stores
from tests.e2e.turn_of_the_year import FIRST, LAST, TOPIC, Turn
from tests.local import Local

DAY, BEFORE = LAST, LAST - dt.timedelta(1)


@dataclass(frozen=True)
class Story:
    """`dashboard`: of the story's own log; another module's may be the one that is shown."""

    local: Local
    dashboard: str
    ledger: Path
    out: Path

    def full_report(self, *arguments: str, code: int = 0) -> str:
        given = ("--day", str(DAY), "--out", str(self.out), *arguments)
        return self.local.samewater("full-report", *given, code=code, conf=self.local.wide)

    def published(self, day: dt.date = DAY) -> runs.Publication | None:
        with stores.hbase(self.local.settings) as connection:
            return runs.published(connection, runs.FULL_REPORT, str(day))


@pytest.fixture(scope="module")
def story(local: Local, turn: Turn, tmp_path_factory: pytest.TempPathFactory) -> Story:
    return Story(local, turn.dashboard, turn.ledger, tmp_path_factory.mktemp("reports"))


Sums = dict[tuple[str, str], tuple[int, int, set[str]]]


def by_day(ledger: Path, offset_ms: int, until: int | None = None) -> dict[dt.date, Sums]:
    """Day -> (province, city) of every level -> orders, cents, users, by the generator's ledger.

    `until`: only what was ordered before it (epoch ms).
    """
    found: dict[dt.date, Sums] = defaultdict(dict)
    for row in parquet.read_table(ledger).to_pylist():
        if row["verdict"] != "accepted" or (until is not None and row["order_time"] >= until):
            continue
        day = dt.date(1970, 1, 1) + dt.timedelta(milliseconds=row["order_time"] + offset_ms)
        for place in (("ALL", "ALL"), (row["province"], "ALL"), (row["province"], row["city"])):
            orders, cents, users = found[day].get(place, (0, 0, set()))
            found[day][place] = (orders + 1, cents + row["cents"], users | {row["user_id"]})
    return found


def half_up(number: Decimal, places: str) -> str:
    return str(number.quantize(Decimal(places), ROUND_HALF_UP) + 0)  # no -0.00


def expected(days: dict[dt.date, Sums], day: dt.date) -> stores.Table:
    """The full report of a day by its definition, in plain Python."""
    nothing: tuple[int, int, set[str]] = (0, 0, set())
    every = [day - dt.timedelta(n) for n in range(400)]
    month, year = day.replace(day=1), day.replace(month=1, day=1)
    known = [d for d in every if d >= FIRST]

    def ranks(of: dt.date) -> dict[tuple[str, str], int]:
        found = {}
        for level in (
            lambda p: p == ("ALL", "ALL"),
            lambda p: p[0] != "ALL" and p[1] == "ALL",
            lambda p: p[1] != "ALL",
        ):
            cents = {place: figures[1] for place, figures in days.get(of, {}).items() if level(place)}
            found |= {place: 1 + sum(other > own for other in cents.values()) for place, own in cents.items()}
        return found

    now, before = ranks(day), ranks(day - dt.timedelta(1))
    places = {place for d in known if d >= min(year, day - dt.timedelta(27)) for place in days.get(d, {})}
    report: stores.Table = {}
    for place in places:
        figures = {d: days.get(d, {}).get(place, nothing) for d in every}
        orders, cents, users = figures[day]
        above = ("ALL", "ALL") if place[1] == "ALL" else (place[0], "ALL")
        whole = days.get(day, {}).get(above, nothing)[1]
        week_ago = day - dt.timedelta(7)
        then = figures[week_ago][1]
        row = {"orders": str(orders), "amount": stores.yuan(cents), "users": str(len(users))}
        if whole:
            row["share"] = half_up(Decimal(cents) / whole, "0.0001")
        if place in now:
            row["rank"] = str(now[place])
        if place in now and place in before:
            row["rank_change"] = str(before[place] - now[place])
        if week_ago >= FIRST:
            row["week_ago_amount"] = stores.yuan(then)
            if then:
                row["week_change"] = half_up(Decimal(cents - then) / then, "0.0001")
        seven = [d for d in known if d > week_ago]
        row["mean_7"] = half_up(Decimal(sum(figures[d][1] for d in seven)) / len(seven) / 100, "0.01")
        for name, first in (("month", month), ("year", year)):
            span = [d for d in every if d >= first]
            row[f"{name}_orders"] = str(sum(figures[d][0] for d in span))
            row[f"{name}_amount"] = stores.yuan(sum(figures[d][1] for d in span))
        report["|".join(place)] = row
    return report


def test_a_day_that_is_not_reconciled_is_refused_and_waited_for(story: Story):
    said = story.full_report(code=2)
    assert "not reconciled" in said and len(said.strip().splitlines()) == 1
    assert story.published() is None
    with ThreadPoolExecutor() as beside:
        waiting = beside.submit(story.full_report, "--wait", "5", "--catch-up", "2", code=1)
        # Not of the day before the day before: that one cannot be caught up with, and is named.
        named = ("--topic", TOPIC, "--dashboard", story.dashboard)
        story.local.reconcile("--from", str(BEFORE), "--to", str(DAY), *named, code=0)
    assert f"not made: {DAY - dt.timedelta(2)} is not reconciled" in waiting.result()


@pytest.mark.parametrize("day", [BEFORE, DAY])
def test_every_figure_equals_the_ledger(story: Story, day: dt.date):
    settings = story.local.settings
    publication = story.published(day)
    assert publication is not None
    with stores.hbase(settings) as connection:
        found = full_store.read(connection, settings, str(day), publication.run_id)
    wanted = expected(by_day(story.ledger, int(settings.time.offset.total_seconds()) * 1000), day)
    assert len(wanted) > 200 and wanted["ALL|ALL"]["orders"] != "0"
    assert found == wanted
    with stores.hdfs(settings) as files:
        assert full_store.read_files(files, settings, str(day), publication.run_id) == wanted
    assert of_pages(story.out / str(day)) == wanted


def of_pages(folder: Path) -> stores.Table:
    lines = csv.DictReader((folder / "full_report.csv").open(encoding="utf-8"))
    return {
        f"{line['province']}|{line['city']}": {name: line[name] for name in full_store.FIGURES if line[name]}
        for line in lines
    }


def test_as_of_an_hour_it_is_the_day_so_far_and_is_not_published(story: Story):
    settings = story.local.settings
    shown = story.published(BEFORE)
    said = story.full_report("--day", str(BEFORE), "--as-of", "15:30")
    run_id = next(line for line in said.splitlines() if line.startswith("run ")).split()[1]
    three = settings.time.day_start(BEFORE) + 15 * 3_600_000
    wanted = expected(by_day(story.ledger, int(settings.time.offset.total_seconds()) * 1000, three), BEFORE)
    whole = expected(by_day(story.ledger, int(settings.time.offset.total_seconds()) * 1000), BEFORE)
    assert 0 < int(wanted["ALL|ALL"]["orders"]) < int(whole["ALL|ALL"]["orders"])
    assert of_pages(story.out / f"{BEFORE}-as-of-1530") == wanted
    assert f"as of {BEFORE} 15:00:00" in (story.out / f"{BEFORE}-as-of-1530" / "full_report.html").read_text("utf-8")
    assert story.published(BEFORE) == shown
    refused = story.local.samewater("publish", run_id, "--day", str(BEFORE), code=2)
    assert "no finished full report" in refused
    # What is published of DAY is a batch run's: it has the day's end alone.
    assert "that early" in story.full_report("--as-of", "15:30", code=2)
    assert "goes without" in story.full_report("--as-of", "15:30", "--anyway", code=2)


def test_a_city_is_looked_up_by_its_key(story: Story):
    (row,) = json.loads(story.local.run("lookup", "--day", str(DAY), "--city", "Shenzhen", "--json").stdout)["rows"]
    settings = story.local.settings
    wanted = expected(by_day(story.ledger, int(settings.time.offset.total_seconds()) * 1000), DAY)
    assert {name: row[name] for name in full_store.FIGURES if row[name]} == wanted["440000|440300"]
    assert "not known" in story.local.samewater("lookup", "--day", str(DAY), "--city", "Atlantis", code=2)
    assert "no full report" in story.local.samewater("lookup", "--day", "2031-01-01", "--city", "Shenzhen", code=2)


def test_a_report_is_not_made_of_what_was_spoilt_after_it_was_reconciled(story: Story):
    settings = story.local.settings
    shown = story.published()
    assert shown is not None
    pages = {file.name: file.read_bytes() for file in (story.out / str(DAY)).iterdir()}
    with stores.hbase(settings) as connection:
        day = runs.published(connection, runs.REPORT, str(DAY))
        assert day is not None
        run = runs.get(connection, day.run_id)
        key = stores.sales_key(str(DAY), run.run_id, "440000", "440300", settings.report.buckets).encode()
        column, version = f"{run.family}:amount".encode(), settings.time.day_end(DAY)
        table = connection.table("daily_sales")
        old = table.row(key)[column]
        table.put(key, {column: b"1.23"}, timestamp=version)
    try:
        said = story.full_report(code=2)
    finally:
        with stores.hbase(settings) as connection:
            connection.table("daily_sales").put(key, {column: old}, timestamp=version)
    assert str(DAY) in said and "reconcile" in said
    assert story.published() == shown
    # And what is whole again gives the same report again.
    story.full_report()
    again = story.published()
    assert again is not None and again.run_id != shown.run_id and again.digest == shown.digest
    assert {file.name: file.read_bytes() for file in (story.out / str(DAY)).iterdir()} == pages and len(pages) == 2
