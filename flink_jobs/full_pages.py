"""What do people get of a full report: the CSV and the page?

Pure: makes text out of the report's rows (`{province}|{city}` -> figures, flink_jobs/full_store.py) and what they were
made from. Says nothing of the run that made it or of the hour: a second run gives the same bytes.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from flink_jobs import full_charts, full_inputs
from flink_jobs.console import readable
from flink_jobs.full_inputs import DAY, Input, Inputs
from flink_jobs.full_store import FIGURES
from flink_jobs.readers import level_of
from flink_jobs.regions import Regions
from flink_jobs.settings import Settings
from flink_jobs.stores import ALL, Table

PLACE = ("province", "province_name", "province_name_en", "city", "city_name", "city_name_en")
_NOTHING = {"orders": "0", "amount": "0.00", "users": "0"}


def pages(settings: Settings, inputs: Inputs, report: Table, names: Regions) -> dict[str, bytes]:
    """File name -> content."""
    return {
        "full_report.csv": as_csv(inputs.day.day, report, names).encode(),
        "full_report.html": as_html(settings, inputs, report, names).encode(),
    }


def as_csv(day: dt.date, report: Table, names: Regions) -> str:
    """One line a place, the country first, then the provinces with their cities; a figure not known is empty."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["day", "level", *PLACE, *FIGURES])
    for row in _in_order(report):
        province, _, city = row.partition("|")
        place = [
            province,
            _name(names, province, english=False),
            _name(names, province, english=True),
            city,
            _name(names, province, city, english=False),
            _name(names, province, city, english=True),
        ]
        lines.writerow([str(day), level_of(row), *place, *(report[row].get(name, "") for name in FIGURES)])
    return text.getvalue()


def _name(names: Regions, province: str, city: str | None = None, english: bool = True) -> str:
    if ALL in (province, city):
        return ""
    return names.name(province, city, english)


def _in_order(report: Table) -> list[str]:
    order = {"country": 0, "province": 1, "city": 2}

    def key(row: str) -> tuple[str, int, str]:
        province = row.partition("|")[0]
        return ("" if province == ALL else province, order[level_of(row)], row)

    return sorted(report, key=key)


# ---------------------------------------------------------------- the page


class Source(NamedTuple):
    """Consecutive days of one run that have the same verdict."""

    days: str
    number: int
    run_id: str
    orders: int
    amount: str
    verdict: str


def as_html(settings: Settings, inputs: Inputs, report: Table, names: Regions) -> str:
    """The page: self-contained, for the screen and for A4 paper."""
    environment = Environment(
        loader=PackageLoader("flink_jobs", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "money": money,
        "count": count,
        "percent": percent,
        "change": change,
        "moved": moved,
    }
    day = inputs.day.day
    country = {**_NOTHING, **report.get(f"{ALL}|{ALL}", {})}
    provinces = _ranked(report, "province")
    return environment.get_template("full_report.html.j2").render(
        day=day,
        spans=full_inputs.spans(day),
        inputs=inputs,
        version=readable(inputs.day.version, settings.time),
        country=country,
        average=average(country),
        provinces=[_place(report[row], names, row) for row in provinces],
        cities=[
            (_place(report[row], names, row), [_place(report[city], names, city) for city in _cities_of(report, row)])
            for row in provinces
        ],
        sources=list(sources(inputs)),
        missing=day_list(inputs.missing),
        days_chart=full_charts.days(_last_days(inputs), day),
        provinces_chart=full_charts.ranking(
            [
                (
                    names.name(row.partition("|")[0]),
                    Decimal(report[row]["amount"]),
                    Decimal(report[row]["week_ago_amount"]) if "week_ago_amount" in report[row] else None,
                )
                for row in provinces
            ]
        ),
    )


def _ranked(report: Table, level: str) -> list[str]:
    """Rows of a level, by amount, those without orders last."""
    rows = [row for row in report if level_of(row) == level]
    return sorted(
        rows, key=lambda row: (int(report[row].get("rank", 10**9)), -Decimal(report[row]["year_amount"]), row)
    )


def _cities_of(report: Table, row: str) -> list[str]:
    province = row.partition("|")[0]
    return [city for city in _ranked(report, "city") if city.startswith(f"{province}|")]


def _place(fields: Mapping[str, str], names: Regions, row: str) -> dict[str, Any]:
    province, _, city = row.partition("|")
    own = None if city == ALL else city
    return {**fields, "name": names.name(province, own), "own_name": names.name(province, own, english=False)}


def _last_days(inputs: Inputs) -> dict[dt.date, Decimal | None]:
    known = {one.day: Decimal(one.amount) for one in (*inputs.history, inputs.day)}
    first = inputs.day.day - (7 * full_inputs.WEEKS_SHOWN - 1) * DAY
    return {day: known.get(day) for day in (first + n * DAY for n in range(7 * full_inputs.WEEKS_SHOWN))}


def sources(inputs: Inputs) -> Iterator[Source]:
    """What the report was made from, days of the same run together, the newest first."""
    newest_first = [inputs.day, *reversed(inputs.history)]
    numbered = [(one.day.toordinal() + at, one) for at, one in enumerate(newest_first)]
    for (_, run_id, verdict), group in groupby(numbered, key=lambda pair: (pair[0], pair[1].run_id, pair[1].verdict)):
        together: list[Input] = [one for _, one in group]
        amount = sum((Decimal(one.amount) for one in together), Decimal("0.00"))
        orders = sum(one.orders for one in together)
        days = _range(together[-1].day, together[0].day)
        yield Source(days, len(together), run_id, orders, str(amount), verdict or "not reconciled")


def day_list(days: Iterable[dt.date]) -> str:
    """Days for people, ranges together: `2025-01-01 to 2025-11-03, 2025-11-07`."""
    return ", ".join(_range(run[0], run[-1]) for run in _runs(sorted(days)))


def _runs(days: Sequence[dt.date]) -> Iterator[list[dt.date]]:
    for _, group in groupby(enumerate(days), key=lambda pair: pair[1].toordinal() - pair[0]):
        yield [day for _, day in group]


def _range(first: dt.date, last: dt.date) -> str:
    return str(first) if first == last else f"{first} to {last}"


# ---------------------------------------------------------------- how figures are written


def money(amount: str | None) -> str:
    """`1234567.80` -> `1,234,567.80`; what is not known is a dash."""
    return "–" if amount is None else f"{Decimal(amount):,.2f}"


def count(number: str | int | None) -> str:
    """`1234` -> `1,234`."""
    return "–" if number is None else f"{int(number):,}"


def percent(share: str | None) -> str:
    """`0.1234` -> `12.34 %`."""
    return "–" if share is None else f"{Decimal(share) * 100:.2f} %"


def change(ratio: str | None) -> str:
    """`-0.0512` -> `−5.12 %`, with a sign in any case."""
    if ratio is None:
        return "–"
    value = Decimal(ratio) * 100
    return f"{'−' if value < 0 else '+'}{abs(value):.2f} %"


def moved(places: str | None) -> str:
    """Places won or lost in the ranking."""
    if places is None:
        return ""
    number = int(places)
    return "=" if number == 0 else f"▲{number}" if number > 0 else f"▼{-number}"


def average(fields: Mapping[str, str]) -> str | None:
    """Amount by order, to the cent, half up; None without orders."""
    orders = int(fields["orders"])
    if orders == 0:
        return None
    return str((Decimal(fields["amount"]) / orders).quantize(Decimal("0.01"), rounding="ROUND_HALF_UP"))
