"""Where does the full report stand, and what does it hold?

Reads and writes the HBase table `full_report` (row `{bucket}|{day}|{run}|{province}|{city}`, cells of family `b` by the
columns of sql/queries/full_report.sql, all text; a figure that is not known has no cell) and, on HDFS, `full_report`,
`full_report_inputs` (Parquet) and `full_report_pages` (`full_report.csv`, `full_report.html`), each by day and run.
Which run readers see: `published`, row `full_report|{day}`.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Mapping

import fsspec
import happybase

from flink_jobs import runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from flink_jobs.stores import Table

REPORT, INPUTS, PAGES = "full_report", "full_report_inputs", "full_report_pages"
FIGURES = (
    "orders",
    "amount",
    "users",
    "share",
    "rank",
    "rank_change",
    "week_ago_amount",
    "week_change",
    "mean_7",
    "month_orders",
    "month_amount",
    "year_orders",
    "year_amount",
)
"""The figures of a row in the order of the files; amounts in yuan with two places, shares and changes with four."""


def read(connection: happybase.Connection, settings: Settings, day: str, run_id: str) -> Table:
    """All rows of a run: `{province}|{city}` -> the figures that are known."""
    found: Table = {}
    for bucket in range(settings.report.buckets):
        prefix = stores.sales_prefix(bucket, day, run_id)
        for key, cells in connection.table(REPORT).scan(row_prefix=prefix.encode(), columns=[b"b"]):
            found[key.decode()[len(prefix) :]] = _fields(cells)
    return found


def look_up(
    connection: happybase.Connection, settings: Settings, day: str, run_id: str, province: str, city: str
) -> dict[str, str]:
    """The figures of one place by its row key; empty if the report has no such row."""
    key = stores.sales_key(day, run_id, province, city, settings.report.buckets)
    return _fields(connection.table(REPORT).row(key.encode(), columns=[b"b"]))


def _fields(cells: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode().partition(":")[2]: value.decode() for name, value in cells.items()}


def read_files(files: fsspec.AbstractFileSystem, settings: Settings, day: str, run_id: str) -> Table:
    """What `read` gives, out of HDFS."""
    found: Table = {}
    for part in stores.parquet_of(
        files, stores.run_folder(settings, REPORT, day, run_id), ["province", "city", *FIGURES]
    ):
        for row in part.to_pylist():
            known = {name: str(row[name]) for name in FIGURES if row[name] is not None}
            found[f"{row['province']}|{row['city']}"] = known
    return found


def read_inputs(files: fsspec.AbstractFileSystem, settings: Settings, day: str, run_id: str) -> Table:
    """What the run has read: day -> rows, orders, amount (yuan)."""
    columns = ["input_day", "rows", "orders", "amount"]
    return {
        row["input_day"]: {name: str(row[name]) for name in columns[1:]}
        for part in stores.parquet_of(files, stores.run_folder(settings, INPUTS, day, run_id), columns)
        for row in part.to_pylist()
    }


def clear(settings: Settings, run_id: str) -> None:
    """Remove what an earlier attempt of the run left in HDFS; its rows in HBase are written over."""
    stores.clear_run(settings, (REPORT, INPUTS, PAGES), run_id)


def write_pages(settings: Settings, day: str, run_id: str, pages: Mapping[str, bytes]) -> None:
    """Write the pages of a run: file name -> content."""
    folder = stores.run_folder(settings, PAGES, day, run_id)
    with stores.hdfs(settings) as files:
        files.makedirs(folder, exist_ok=True)
        for name, content in pages.items():
            files.pipe_file(posixpath.join(folder, name), content)


def read_pages(settings: Settings, day: str, run_id: str) -> dict[str, bytes]:
    """The pages of a run; raises `UserError` if HDFS has none."""
    folder = stores.run_folder(settings, PAGES, day, run_id)
    with stores.hdfs(settings) as files:
        try:
            names = files.ls(folder, detail=False)
        except FileNotFoundError as missing:
            raise UserError(
                f"HDFS has no pages of run {run_id}: {folder} is not there; make the report again"
            ) from missing
        return {posixpath.basename(name): files.cat_file(name) for name in names}


def published(connection: happybase.Connection, day: str) -> runs.Publication:
    """The full report of a day that readers see; raises `UserError` if there is none."""
    publication = runs.published(connection, runs.FULL_REPORT, day)
    if publication is None:
        raise UserError(f"there is no full report of {day}; make it: samewater full-report --day {day}")
    return publication


def publication_of(connection: happybase.Connection, settings: Settings, run: runs.Run, day: str) -> runs.Publication:
    """What publishing a run would say. Raises `UserError` for one that has not been finished for this day."""
    runs.refuse_cleaned(connection, run.run_id)
    known = runs.get(connection, run.run_id)
    if known.state != "finished" or known.from_day != day:
        raise UserError(f"run {run.run_id} is no finished full report of {day}; see `samewater runs --job full_report`")
    report = read(connection, settings, day, run.run_id)
    version = settings.time.day_end(dt.date.fromisoformat(day))
    told = {"digest": stores.digest(report), "rows": len(report), "watermark": version}
    return runs.said_by(settings, run).model_copy(update=told)
