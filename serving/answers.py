"""What does the API answer with?

The shapes of its JSON, from which its description is made. Amounts are yuan as decimal text (`12.34`), times and
versions epoch ms, days `YYYY-MM-DD`.
"""

from __future__ import annotations

from pydantic import BaseModel


class Error(BaseModel):
    error: str


class MinuteRow(BaseModel):
    minute: str
    state: str
    orders: int
    amount: str


class Minutes(BaseModel):
    """`final_until`: epoch ms before which every minute is final; minutes without orders are left out."""

    day: str
    run: str
    province: str
    final_until: int | None
    rows: list[MinuteRow]


class RegionRow(BaseModel):
    """`province` and `city` are codes, empty for the level above; names in English and Chinese."""

    province: str
    province_name: str
    province_name_zh: str
    city: str = ""
    city_name: str = ""
    city_name_zh: str = ""
    orders: int
    amount: str
    users: int


class Regional(BaseModel):
    """One version of a day's report; `version`: the hour's end up to which it counts, epoch ms."""

    day: str
    run: str
    mode: str
    version: int
    published: bool
    rows: list[RegionRow]


class FullRow(BaseModel):
    """One place of the full report: its figures by the names of README.md; what is not known is left out.

    `province` and `city` are codes, `ALL` for the level above.
    """

    province: str
    city: str
    orders: int
    amount: str
    users: int
    share: str | None = None
    rank: int | None = None
    rank_change: int | None = None
    week_ago_amount: str | None = None
    week_change: str | None = None
    mean_7: str | None = None
    month_orders: int
    month_amount: str
    year_orders: int
    year_amount: str


class FullReport(BaseModel):
    """The published full report of a day; `published_at`: ISO-8601 with zone."""

    day: str
    run: str
    published_at: str
    rows: list[FullRow]


class Reconciled(BaseModel):
    equal: bool
    says: str
    failed: list[str]
    at: str


class ReportDay(BaseModel):
    """A day's published report; the other fields are left out while nothing is published."""

    day: str
    published: bool
    run: str | None = None
    mode: str | None = None
    version: int | None = None
    whole: bool | None = None
    orders: int | None = None
    amount: str | None = None
    users: int | None = None
    who: str | None = None
    at: str | None = None
    digest: str | None = None
    previous: list[str] | None = None
    differs: str | None = None
    lacks: list[str] | None = None
    reconciled: Reconciled | None = None


class Verdicts(BaseModel):
    day: str
    run: str
    mode: str
    version: int
    records: dict[str, int]


class VersionRow(BaseModel):
    run: str
    version: int
    rows: int
    orders: int
    amount: str
