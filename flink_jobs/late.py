"""Which orders came too late to count, and what would they be worth?

Reads the late ledger: the `late` and `late_copy` rows of HDFS `rejected` (Parquet), of the run whose report of the
day is published, else of the newest run that has files of it. Prints; writes nothing. A day here is that of arrival
(ingest time), where the ledger files them; `order_day` is the business day that they would belong to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import click
import fsspec
import happybase

from flink_jobs import runs, stores
from flink_jobs.console import format_option, parse_days, readable, show
from flink_jobs.difference import between
from flink_jobs.errors import UserError
from flink_jobs.progress import working
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import Settings

VERDICTS = ("late", "late_copy")


class LateOrder(NamedTuple):
    """One row of the late ledger. `verdict`: `late`, new money, or `late_copy`, of an order that counts already.

    `ingest_time`, `order_time`: epoch ms; `amount`: yuan, as the shop wrote it.
    """

    arrived: str
    verdict: str
    partition: int
    offset: int
    ingest_time: int
    order_id: str
    order_time: int
    user_id: str
    province: str
    city: str
    amount: str


def read_late(files: fsspec.AbstractFileSystem, settings: Settings, day: str, run_id: str) -> list[LateOrder]:
    """What arrived too late on a day, as a run's files have it, in the order of arrival."""
    places = ["verdict", "kafka_partition", "kafka_offset", "ingest_time"]
    columns = [*places, "order_id", "order_time", "user_id", "province", "city", "amount"]
    found = [
        LateOrder(day, *values)
        for part in stores.parquet_of(files, stores.run_folder(settings, "rejected", day, run_id), columns)
        for values in zip(*(part[column].to_pylist() for column in columns), strict=True)
        if values[0] in VERDICTS
    ]
    return sorted(found, key=lambda one: (one.ingest_time, one.partition, one.offset))


def ledger(
    settings: Settings,
    connection: happybase.Connection,
    days: Iterable[str],
    run_id: str | None = None,
    topic: str | None = None,
) -> Iterator[LateOrder]:
    """What arrived too late on these days, of this run or of the one that the ledger of each day is read from.

    `topic`: only runs of this order log; by default the published run's, whichever it is, else that of the settings.
    """
    if run_id is not None:
        runs.refuse_cleaned(connection, run_id)
    with stores.hdfs(settings) as files:
        for day in days:
            chosen = run_id or _run_of(connection, files, settings, day, topic)
            if chosen is not None:
                yield from read_late(files, settings, day, chosen)


def _run_of(
    connection: happybase.Connection,
    files: fsspec.AbstractFileSystem,
    settings: Settings,
    day: str,
    topic: str | None,
) -> str | None:
    published = runs.published(connection, runs.REPORT, day)
    if published is not None and topic in (None, published.topic):
        return published.run_id
    for run in runs.list_runs(connection, job=runs.REPORT, topic=topic or settings.kafka.topic):
        if not run.provisional and files.exists(stores.run_folder(settings, "rejected", day, run.run_id)):
            return run.run_id
    return None


def by_order_day(settings: Settings, orders: Iterable[LateOrder]) -> list[dict[str, Any]]:
    """Records and yuan by (order_day, verdict). Several late copies of one order are several records: a backfill counts
    one of them.
    """
    sums: dict[tuple[str, str], list[int]] = {}
    for order in orders:
        of = sums.setdefault((str(settings.time.day_of(order.order_time)), order.verdict), [0, 0])
        of[0] += 1
        of[1] += _cents(order.amount)
    return [
        {"order_day": day, "verdict": verdict, "records": records, "amount": stores.yuan(cents)}
        for (day, verdict), (records, cents) in sorted(sums.items())
    ]


def _cents(amount: str) -> int:
    """A valid amount as a shop may write it, with no, one or two places."""
    whole, _, places = amount.partition(".")
    return stores.cents(f"{whole}.{places:0<2}")


@click.command()
@click.option("--from", "first", required=True, help="First day of arrival, YYYY-MM-DD.")
@click.option("--to", "last", help="Last day of arrival, included.  [default: the first]")
@click.option("--topic", help="Order log.  [default: that of the published run]")
@click.option("--order-day", help="Only orders of this business day.")
@click.option("--run", "run_id", metavar="RUN", type=RUN_ID, help="Read this run's files, published or not.")
@click.option("--rows", is_flag=True, help="Every record, not the sums by day of order.")
@format_option("table", "json", "csv")
@click.pass_obj
def late(
    settings: Settings,
    first: str,
    last: str | None,
    topic: str | None,
    order_day: str | None,
    run_id: str | None,
    rows: bool,
    form: str,
) -> None:
    """The orders that came too late to count.

    late is new money, late_copy a copy of an order that counts already. `samewater backfill` takes late ones in.

    Example: samewater late --from 2025-11-11 --to 2025-11-13 --order-day 2025-11-11 --rows --format csv
    """
    first, last = parse_days(first, last)
    with working("reading the late ledger"), stores.hbase(settings) as connection:
        found = list(ledger(settings, connection, between(first, last), run_id, topic))
    if order_day is not None:
        found = [order for order in found if str(settings.time.day_of(order.order_time)) == order_day]
    if not found:
        raise UserError(
            f"no late order arrived from {first} to {last}{f' for {order_day}' if order_day else ''}; see "
            "`samewater published` for the days that there are"
        )
    if not rows:
        show(form, ["order_day", "verdict", "records", "amount"], by_order_day(settings, found), {})
        return
    time = settings.time
    show(
        form,
        [*LateOrder._fields],
        [
            order._asdict()
            | {"ingest_time": readable(order.ingest_time, time), "order_time": readable(order.order_time, time)}
            for order in found
        ],
        {},
    )
