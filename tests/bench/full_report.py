"""What does the full report cost as history grows, and how fast is one figure of it looked up?

One, two and three years of days lie in HDFS and are published, with a row for every city, province and the country. A
report looks at the year to date, so each is made of the last day of its year: what it reads is the same, what lies
around it grows; and of the last day of January and of June, where it reads less.
"""

from __future__ import annotations

import datetime as dt
import io
import random
import time
from decimal import Decimal

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from flink_jobs import full_inputs, full_store, regions, runs, stores, submit
from flink_jobs.stack.control import status
from tests.bench.figures import Figures
from tests.bench.place import Place, Say

RUN = "daily_report-batch-history"
FIRST, YEARS = dt.date(2023, 1, 1), (2023, 2024, 2025)
REPORTED = ((1, 31), (6, 30), (12, 31))
LOOKED_UP = 3000
SCHEMA = pa.schema(
    [
        ("version", pa.int64()),
        ("province", pa.string()),
        ("city", pa.string()),
        ("orders", pa.int64()),
        ("amount", pa.decimal128(18, 2)),
        ("users", pa.int64()),
    ]
)


def measure(place: Place, figures: Figures, rounds: int, say: Say) -> None:
    """Grow the history year by year; each time make the report of three days, then look figures up."""
    figures.section("The full report")
    day = FIRST
    for number, year in enumerate(YEARS, 1):
        say(f"laying down {number} years of history")
        while day.year == year:
            _lay_down(place, day)
            day += full_inputs.DAY
        for _ in range(rounds):
            for last in (dt.date(year, *of_year) for of_year in REPORTED):
                say(f"full report of {last}, {number} years of history")
                read = (last - full_inputs.first_wanted(last)).days + 1
                label = f"{number} years of history, {read} days read"
                seconds, job_seconds, memory = _report(place, last)
                figures.add(f"full report in all, {label}", seconds, "s")
                figures.add(f"its Flink job, {label}", job_seconds, "s")
                figures.add(f"memory of batch-taskmanager, {label}", memory, "MiB")
    for _ in range(rounds):
        say("looking cities up")
        found = _look_up(place, dt.date(YEARS[-1], 12, 31))
        for name, value in zip(("p50", "p99", "max"), np.percentile(found, (50, 99, 100)), strict=True):
            figures.add(f"look-up of a city by its key {name}", float(value), "ms")


def _lay_down(place: Place, day: dt.date) -> None:
    """One published day of made-up figures: Parquet, HBase rows, marker, publication."""
    settings = place.settings
    version, table = settings.time.day_end(day), _day(place, day)
    rows = [
        (*name.split("|"), int(row["orders"]), Decimal(row["amount"]), int(row["users"])) for name, row in table.items()
    ]
    columns = [[version] * len(rows), *map(list, zip(*rows, strict=True))]
    file = io.BytesIO()
    # Flink cannot read decimals that this writer puts into a dictionary.
    pq.write_table(pa.table(columns, schema=SCHEMA), file, use_dictionary=False)
    folder = stores.run_folder(settings, "daily_sales", str(day), RUN)
    with stores.hdfs(settings) as files:
        files.makedirs(folder, exist_ok=True)
        files.pipe_file(f"{folder}/part-0.parquet", file.getvalue())
    cities = [row for name, row in table.items() if not name.endswith("|ALL")]
    marker = runs.Marker(
        rows=len(table),
        orders=sum(int(row["orders"]) for row in cities),
        amount=stores.yuan(sum(stores.cents(row["amount"]) for row in cities)),
    )
    with stores.hbase(settings) as connection:
        if day == FIRST:
            stores.ensure_tables(connection)
            runs.register(connection, runs.Run(run_id=RUN, job=runs.REPORT, mode="batch", logic="", topic="none"))
        if (day.month, day.day) in REPORTED:  # of the others the report reads the files
            with connection.table("daily_sales").batch(timestamp=version) as batch:
                for name, row in table.items():
                    province, _, city = name.partition("|")
                    key = stores.sales_key(str(day), RUN, province, city, settings.report.buckets)
                    batch.put(key.encode(), {f"b:{n}".encode(): text.encode() for n, text in row.items()})
        connection.table("versions").put(
            stores.marker_key(str(day), RUN).encode(),
            {f"m:b{version:013}".encode(): marker.model_dump_json().encode()},
        )
        said = runs.Publication(
            run_id=RUN, mode="batch", digest=stores.digest(table), rows=len(table), watermark=version
        )
        runs.publish(connection, runs.REPORT, str(day), said)


def _day(place: Place, day: dt.date) -> stores.Table:
    draw = random.Random(day.toordinal())
    names = regions.load(place.settings.regions_file())
    sums: dict[str, list[int]] = {}
    for city, province in names.cities.items():
        orders = draw.randint(1, 5000)
        cents = orders * 9_000 + draw.randint(0, 5_000_000)
        for name in (f"{province}|{city}", f"{province}|ALL", "ALL|ALL"):
            at = sums.setdefault(name, [0, 0])
            at[0] += orders
            at[1] += cents
    return {
        name: {"orders": str(orders), "amount": stores.yuan(cents), "users": str(orders * 9 // 10)}
        for name, (orders, cents) in sums.items()
    }


def _report(place: Place, day: dt.date) -> tuple[float, float, float]:
    """Seconds in all, seconds of the Flink job, resident MiB of the batch TaskManager with its workers afterwards."""
    began = time.monotonic()
    arguments = ("--day", str(day), "--anyway")
    run_id = submit.submit(place.settings, place.conf, runs.FULL_REPORT, "batch", arguments)
    seconds = time.monotonic() - began
    with stores.hbase(place.settings) as connection:
        flink_job = runs.get(connection, run_id).flink_job_id
    (row,) = (row for row in status(place.instance) if row.server == "batch-taskmanager")
    manager = psutil.Process(row.pid)
    memory = sum(process.memory_info().rss for process in (manager, *manager.children(recursive=True))) / 2**20
    return seconds, float(place.rest("batch", f"jobs/{flink_job}")["duration"]) / 1000, memory


def _look_up(place: Place, day: dt.date) -> list[float]:
    """Milliseconds of each look-up: which run is published, and the city's row of it."""
    draw = random.Random(1)
    cities = sorted(regions.load(place.settings.regions_file()).cities.items())
    found = []
    with stores.hbase(place.settings) as connection:
        for _ in range(LOOKED_UP):
            city, province = draw.choice(cities)
            began = time.perf_counter()
            publication = runs.published(connection, runs.FULL_REPORT, str(day))
            assert publication is not None
            figures = full_store.look_up(connection, place.settings, str(day), publication.run_id, province, city)
            found.append((time.perf_counter() - began) * 1000)
            assert figures["orders"] != "0"
    return found
