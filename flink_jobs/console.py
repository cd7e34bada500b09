"""How do commands read days and times, and how do they print rows?

Reads nothing; writes to standard output: a table for people (plain columns when piped), JSON, or CSV.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from flink_jobs.errors import UserError
from flink_jobs.settings import Time

_JSON = "samewater.json"


def format_option(*forms: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options `--format` (one of `forms`, the first by default) and `--json`, its short form; argument `form`."""

    def note(context: click.Context, _: click.Parameter, asked: bool) -> None:
        context.meta[_JSON] = asked

    def decide(context: click.Context, _: click.Parameter, form: str) -> str:
        return "json" if context.meta[_JSON] else form

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        choice = click.option(
            "--format",
            "form",
            type=click.Choice(forms),
            default=forms[0],
            show_default=True,
            callback=decide,
            help="How to print.",
        )
        short = click.option(
            "--json", is_flag=True, is_eager=True, expose_value=False, callback=note, help="Short for --format json."
        )
        return choice(short(function))

    return decorate


def parse_day(text: str) -> str:
    """Check a business day `YYYY-MM-DD` and return it. Raises `UserError`."""
    try:
        day = dt.date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        day = None
    if day is None:
        raise UserError(f"{text!r} is not a day; write it as YYYY-MM-DD, such as 2026-11-11")
    return day.isoformat()


def parse_days(first: str, last: str | None) -> tuple[str, str]:
    """Check a range of days, both included; without `last` it is one day. Raises `UserError`."""
    from_day = parse_day(first)
    to_day = parse_day(last) if last is not None else from_day
    if to_day < from_day:
        raise UserError(f"the range ends on {to_day}, before it begins on {from_day}; swap --from and --to")
    return from_day, to_day


def parse_time(text: str, day: str, time: Time) -> int:
    """Epoch ms of `HH:MM` on the day, or of `YYYY-MM-DDTHH:MM[:SS]`, in the business zone unless the text names one.

    Raises `UserError`.
    """
    try:
        at = dt.datetime.fromisoformat(f"{day}T{text}" if re.fullmatch(r"[0-9]{2}:[0-9]{2}", text) else text)
    except ValueError as bad:
        raise UserError(f"{text!r} is not a time; write HH:MM or YYYY-MM-DDTHH:MM, in {time.zone}") from bad
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.timezone(time.offset))
    return round(at.timestamp() * 1000)


def readable(epoch_ms: int, time: Time) -> str:
    """`YYYY-MM-DD HH:MM:SS` in the business zone; midnight at a day's end is the next day's 00:00:00."""
    day = time.day_of(epoch_ms)
    second = (epoch_ms - time.day_start(day)) // 1000
    return f"{day} {second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def people() -> Console:
    """Standard output: as wide as the terminal, or as wide as it takes when piped, so that no value is cut."""
    return Console(file=sys.stdout, highlight=False, markup=False, width=None if sys.stdout.isatty() else 10_000)


def show(form: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    """Print rows with what they are about: above a table, around the JSON rows, as further columns of the CSV."""
    if form == "json":
        click.echo(json.dumps({**about, "rows": [dict(row) for row in rows]}, ensure_ascii=False, indent=2))
    elif form == "csv":
        lines = csv.writer(sys.stdout, lineterminator="\n")
        lines.writerow([*columns, *about])
        lines.writerows([*(row[column] for column in columns), *about.values()] for row in rows)
    else:
        _show_table(columns, rows, about)


def _show_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
    console = people()
    for name, value in about.items():
        console.print(f"{name}: {value}")
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for column in columns:
        numeric = all(re.fullmatch(r"-?[0-9.,]+", str(row[column])) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(row[column]) for column in columns))
    console.print(table)
