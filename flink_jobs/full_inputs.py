"""What is the full report of a day made from, and was all of it read?

Reads HBase: `published`, `versions` and `runs`. Writes nothing. The day itself must be closed and found equal by
`samewater reconcile`, or it is told as of a time, by a version of the day so far; of the days before it, back to the
first of January and at least four weeks, every published one is taken. What is missing is named, because a short total
must never look whole.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import happybase

from flink_jobs import losses, readers, runs, stores
from flink_jobs.console import readable
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from flink_jobs.stores import ALL, Table

WEEKS_SHOWN = 4
DAY = dt.timedelta(days=1)


class Input(NamedTuple):
    """A published version of one day. `version`: epoch ms; `rows` of all levels, `orders` and `amount` (yuan) of its
    cities, as its marker has them; `verdict`: `equal`, `NOT EQUAL` or empty, if nobody has reconciled it."""

    day: dt.date
    run_id: str
    mode: str
    version: int
    digest: str
    rows: int
    orders: int
    amount: str
    verdict: str


@dataclass(frozen=True)
class Inputs:
    """The day, the published days before it (oldest first), and those that are wanted but not published or not closed.

    `lacking`: which of them are published without a part of themselves, in words. `beware`: why the day is no ground
    for decisions, if somebody wanted the report anyway, or as of a time.
    """

    day: Input
    history: tuple[Input, ...]
    missing: tuple[dt.date, ...]
    beware: str | None = None
    lacking: tuple[str, ...] = ()

    def has(self, day: dt.date) -> bool:
        """Whether a day is among them."""
        return day == self.day.day or any(one.day == day for one in self.history)

    def count(self, first: dt.date) -> int:
        """How many days there are from `first` to the day."""
        return 1 + sum(one.day >= first for one in self.history)


def spans(day: dt.date) -> dict[str, dt.date]:
    """The first days of the spans that end with `day`, and the days that it is held against."""
    return {
        "day_before": day - DAY,
        "week_ago": day - 7 * DAY,
        "seven_from": day - 6 * DAY,
        "month_from": day.replace(day=1),
        "year_from": day.replace(month=1, day=1),
    }


def first_wanted(day: dt.date) -> dt.date:
    """The earliest day that a report of `day` looks at."""
    return min(day.replace(month=1, day=1), day - (7 * WEEKS_SHOWN - 1) * DAY)


def choose(settings: Settings, connection: happybase.Connection, day: dt.date, anyway: bool) -> Inputs:
    """What is published of the day and of the days before it, now.

    Raises `UserError` if nothing is published of the day; and, unless `anyway`, if it is not closed or not found equal.
    """
    publication = runs.published(connection, runs.REPORT, str(day))
    if publication is None:
        raise UserError(f"nothing is published of {day}; `samewater published` lists the days that there are")
    verdict = runs.reconciled(connection, str(day))
    reason = why_not(settings, connection, day, publication, verdict)
    if reason is not None and not anyway:
        raise UserError(f"{day} {reason}; --anyway makes the report nevertheless")
    marker = _marker(connection, day, publication)
    if marker is None:
        raise UserError(f"what is published of {day} has no marker; run `samewater reconcile --from {day}`")
    return _with_history(settings, connection, _input(day, publication, verdict, marker), reason)


def choose_as_of(
    settings: Settings, connection: happybase.Connection, day: dt.date, as_of: int, run_id: str | None = None
) -> Inputs:
    """The day's newest marked version not after `as_of` (epoch ms), as `report --as-of` finds it, and the days before.

    `run_id`: of this run, published or not. Raises `UserError` if there is no such run or version.
    """
    run, _ = readers.choose_run(connection, str(day), run_id)
    version, marker = readers.version_as_of(settings, connection, run, str(day), as_of)
    told = Input(day, run.run_id, run.mode, version, "", marker.rows, marker.orders, marker.amount, "")
    beware = f"is told as of {readable(version, settings.time)}, by what run {run.run_id} had counted until then"
    return _with_history(settings, connection, told, beware)


def _with_history(settings: Settings, connection: happybase.Connection, day: Input, beware: str | None) -> Inputs:
    """The day with what is published of the days before it and closed."""
    first = first_wanted(day.day)
    closed: dict[dt.date, Input] = {}
    for report, name, publication, verdict in runs.list_published(connection):
        if report == runs.REPORT and str(first) <= name < str(day.day):
            when = dt.date.fromisoformat(name)
            marker = _marker(connection, when, publication)
            if publication.watermark == settings.time.day_end(when) and marker is not None:
                closed[when] = _input(when, publication, verdict, marker)
    wanted = [first + n * DAY for n in range((day.day - first).days)]
    history = tuple(closed[when] for when in sorted(closed))
    return Inputs(
        day=day,
        history=history,
        missing=tuple(when for when in wanted if when not in closed),
        beware=beware,
        lacking=tuple(_lacking(settings, connection, (*history, day))),
    )


def _lacking(settings: Settings, connection: happybase.Connection, days: Iterable[Input]) -> Iterable[str]:
    known: dict[str, runs.Run | None] = {}
    for one in days:
        run = known.setdefault(one.run_id, runs.find(connection, one.run_id))
        if run is not None:
            yield from (f"{one.day} is {lack}" for lack in losses.lacks(settings, connection, run, str(one.day)))


def why_not(
    settings: Settings,
    connection: happybase.Connection,
    day: dt.date,
    publication: runs.Publication,
    verdict: runs.Reconciled | None,
) -> str | None:
    """Why what is published of a day is no ground for a report: not closed, not reconciled, not equal; else None."""
    run = runs.find(connection, publication.run_id)
    if publication.watermark != settings.time.day_end(day) or (run is not None and run.state == "provisional"):
        return "is not closed: orders that count may have come since it was published"
    if verdict is None:
        return f"is not reconciled: run `samewater reconcile --from {day}` first"
    if not verdict.equal:
        return f"was not found equal ({', '.join(verdict.failed)}): see `samewater reconcile --from {day}`"
    return None


def _marker(connection: happybase.Connection, day: dt.date, publication: runs.Publication) -> runs.Marker | None:
    family = stores.FAMILIES[publication.mode]
    return runs.markers(connection, str(day), publication.run_id, family).get(publication.watermark or 0)


def _input(day: dt.date, publication: runs.Publication, verdict: runs.Reconciled | None, marker: runs.Marker) -> Input:
    assert publication.watermark is not None  # its marker was found by it
    return Input(
        day,
        publication.run_id,
        publication.mode,
        publication.watermark,
        publication.digest or "",
        marker.rows,
        marker.orders,
        marker.amount,
        "" if verdict is None else verdict.word,
    )


# ---------------------------------------------------------------- is the report what it must be?


def as_read(inputs: Inputs) -> Table:
    """Day -> rows, orders, amount, as the query `full_report_inputs` must have found them; empty days have no row."""
    return {
        str(one.day): {"rows": str(one.rows), "orders": str(one.orders), "amount": one.amount}
        for one in (*inputs.history, inputs.day)
        if one.rows
    }


def refuse_unless_whole(inputs: Inputs, read: Table, report: Table, files: Table) -> None:
    """Raise `UserError` if the report is not what the published versions hold.

    `read`: day -> rows, orders, amount, what was read; `report`, `files`: the report's rows in HBase and in HDFS.
    """
    wanted = as_read(inputs)
    wrong = sorted(day for day in wanted.keys() | read.keys() if wanted.get(day) != read.get(day))
    if wrong:
        raise UserError(
            f"of {', '.join(wrong)} not that was read which is published ({read.get(wrong[0])} instead of "
            f"{wanted.get(wrong[0])}); run `samewater reconcile` on those days"
        )
    if report != files:
        different = sorted(row for row in report.keys() | files.keys() if report.get(row) != files.get(row))
        raise UserError(f"HBase and HDFS hold different rows of the report: {', '.join(different[:5])}")
    of_day = {
        row: {name: fields[name] for name in ("orders", "amount", "users")}
        for row, fields in report.items()
        if fields["orders"] != "0"
    }
    if inputs.day.digest and stores.digest(of_day) != inputs.day.digest:
        raise UserError(
            f"the report's figures of {inputs.day.day} are not those of run {inputs.day.run_id} that is published"
        )
    uneven = sorted(_uneven(report))
    if uneven:
        raise UserError(f"the cities of the report do not add up to the level above: {', '.join(uneven[:5])}")


def _uneven(report: Table) -> Iterable[str]:
    """Places whose orders or amount of any span are not the sum of the places below them."""
    for name in ("orders", "amount", "month_orders", "month_amount", "year_orders", "year_amount"):
        sums: dict[str, int] = {}
        for row, fields in report.items():
            province, _, city = row.partition("|")
            if row != f"{ALL}|{ALL}":
                above = f"{ALL}|{ALL}" if city == ALL else f"{province}|{ALL}"
                sums[above] = sums.get(above, 0) + _number(fields[name])
        yield from (f"{row} {name}" for row, total in sums.items() if _number(report[row][name]) != total)


def _number(text: str) -> int:
    return stores.cents(text) if "." in text else int(text)
