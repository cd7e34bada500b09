"""What would a reader see otherwise, if another run were published?

Reads two versions of a day's report (HBase) and compares their rows; writes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import click

from flink_jobs import regions, runs, stores
from flink_jobs.console import format_option, parse_day, people, show
from flink_jobs.errors import UserError
from flink_jobs.readers import LEVELS, level_of, read_report
from flink_jobs.regions import Regions
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import Settings
from flink_jobs.stores import ALL, Table

FIGURES = ("orders", "amount", "users")
COUNTRY = f"{ALL}|{ALL}"
_NOTHING = {"orders": "0", "amount": "0.00", "users": "0"}
COLUMNS = (
    *("day", "change", "province", "province_name", "city", "city_name"),
    *(f"{name}_{when}" for name in FIGURES for when in ("before", "after")),
    "amount_change",
)


class Change(NamedTuple):
    """A row `{province}|{city}` that differs: `kind` added, removed or changed; figures as text, {} where it is not."""

    row: str
    kind: str
    before: Mapping[str, str]
    after: Mapping[str, str]


class Difference(NamedTuple):
    """A day in two runs: their ids (`before`: empty if nothing was there), what changes, and the country's figures."""

    day: str
    before: str
    after: str
    changes: list[Change]
    totals: tuple[Mapping[str, str], Mapping[str, str]]

    @property
    def counts(self) -> dict[str, int]:
        """Rows of all levels: kind -> how many."""
        found = Counter(change.kind for change in self.changes)
        return {kind: found[kind] for kind in ("added", "removed", "changed")}


def changes(before: Table, after: Table) -> list[Change]:
    """The rows that differ, in the order of their codes."""
    found = []
    for row in sorted(before.keys() | after.keys()):
        old, new = before.get(row, {}), after.get(row, {})
        if old != new:
            found.append(Change(row, "added" if not old else "removed" if not new else "changed", old, new))
    return found


def difference(day: str, before: tuple[str, Table], after: tuple[str, Table]) -> Difference:
    """Hold two runs (id, rows) of a day against each other."""
    totals = before[1].get(COUNTRY, _NOTHING), after[1].get(COUNTRY, _NOTHING)
    return Difference(day, before[0], after[0], changes(before[1], after[1]), totals)


def read_difference(settings: Settings, day: str, before: str, after: str) -> Difference:
    """Of two runs, at their newest versions. `before`: empty for a day of which nothing was published.

    Raises `UserError` if a run has no version of the day, or if HBase does not hold what its marker counted.
    """
    old = read_report(settings, day, before).table if before else {}
    return difference(day, (before, old), (after, read_report(settings, day, after).table))


def rows(found: Difference, levels: Iterable[str], names: Regions) -> list[dict[str, Any]]:
    """The changes of these levels with the names of places, as COLUMNS; amounts in yuan, `amount_change` signed."""
    given: list[dict[str, Any]] = []
    for change in found.changes:
        if level_of(change.row) not in levels:
            continue
        province, _, city = change.row.partition("|")
        before, after = {**_NOTHING, **change.before}, {**_NOTHING, **change.after}
        row: dict[str, Any] = {"day": found.day, "change": change.kind, "province": province, "city": city}
        row["province_name"] = "" if province == ALL else names.name(province)
        row["city_name"] = "" if city == ALL else names.name(province, city)
        for name in FIGURES:
            row |= {f"{name}_before": before[name], f"{name}_after": after[name]}
        row["amount_change"] = stores.yuan(stores.cents(after["amount"]) - stores.cents(before["amount"]))
        given.append({column: row[column] for column in COLUMNS})
    return given


def sentences(found: Difference) -> Iterable[str]:
    """The difference for people: what it is between, how many rows, and the totals before and after."""
    yield f"{found.day}: {found.before or 'nothing published'} -> {found.after}"
    if not found.changes:
        yield "  no row differs"
    else:
        yield "  rows of all levels: " + ", ".join(f"{count} {kind}" for kind, count in found.counts.items())
    before, after = found.totals
    yield "  country: " + ", ".join(f"{name} {before[name]} -> {after[name]}" for name in FIGURES)


def show_differences(
    settings: Settings, form: str, level: str | None, found: Sequence[Difference], also: Mapping[str, Any] | None = None
) -> None:
    """Print differences: for people sentences and the rows of one level, else every row that was asked for.

    `also`: what JSON says beside them.
    """
    names = regions.load(settings.regions_file())
    levels = LEVELS if level is None else (level,)
    every = [row for one in found for row in rows(one, levels, names)]
    if form == "table":
        for one in found:
            for line in sentences(one):
                people().print(line, soft_wrap=True)
        if every:
            show("table", COLUMNS, every, {})
        return
    about: dict[str, Any] = {"level": level or "all", **(also or {})} if form == "json" else {}
    if form == "json":
        about["days"] = [
            {"day": one.day, "before": one.before, "after": one.after, **one.counts, "totals": list(one.totals)}
            for one in found
        ]
    show(form, COLUMNS, every, about)


LEVEL = click.option("--level", type=click.Choice(LEVELS), help="Only rows of this level. [default: all]")


@click.command()
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.option("--day", required=True, help="Business day, YYYY-MM-DD.")
@click.option("--against", metavar="RUN", type=RUN_ID, help="Run to compare with. [default: the published one]")
@LEVEL
@format_option("table", "json", "csv")
@click.pass_context
def diff(context: click.Context, run_id: str, day: str, against: str | None, level: str | None, form: str) -> None:
    """What changes for readers of a day, if RUN is published.

    Exit code 1 if any row differs.

    Example: samewater diff RUN --day 2025-11-11 --level city --format csv > diff.csv
    """
    settings: Settings = context.obj
    day = parse_day(day)
    if against is None:
        with stores.hbase(settings) as connection:
            against = runs.shown(connection, runs.REPORT, [day])[day]
        if not against:
            raise UserError(f"nothing is published for {day}; name the run to compare with: --against RUN")
    found = read_difference(settings, day, against, run_id)
    show_differences(settings, form, level, [found])
    context.exit(1 if found.changes else 0)


def between(first: str, last: str) -> list[str]:
    """The days from first to last, both included."""
    begin, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    return [str(begin + dt.timedelta(n)) for n in range((end - begin).days + 1)]
