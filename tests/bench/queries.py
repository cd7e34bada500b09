"""What do a job's queries cost without its stores? The program that `alone.py` hands to `flink run`.

Reads the order topic up to its present end, in both modes, or Parquet files with the same records; writes into
`blackhole`, or for files returns the day's sales by city. Beside the jobs, questions without the contract
(BESIDE). Last line of its output: `{"job": id, "sales": {…} or null, "compiled": seconds or null}`.

    flink run -pym tests.bench.queries -pyfs dist/udfs.zip -- --conf … daily_report streaming --topic orders
"""

from __future__ import annotations

import datetime as dt
import json
import time
from pathlib import Path
from string import Template
from types import ModuleType

import click
from pyflink.table import TableDescriptor

from flink_jobs import daily_report, job, realtime_dashboard, stores
from flink_jobs.session import Session, start
from flink_jobs.settings import Settings

JOBS: dict[str, ModuleType] = {"realtime_dashboard": realtime_dashboard, "daily_report": daily_report}
BARE_ON = "bare_orders"
BESIDE: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "bare_dashboard": ((BARE_ON, "bare_dashboard"), {}),
    "bare_report": ((BARE_ON, "bare_report"), {}),
    "metadata_alone": (
        ("metadata_alone",),
        # Else every record would give a row of its own: a sum that grows.
        {
            "table.exec.mini-batch.enabled": "true",
            "table.exec.mini-batch.allow-latency": "1 s",
            "table.exec.mini-batch.size": "10000",
        },
    ),
}
"""Question -> the files of tests/bench that it is made of (a table; a question), and Flink's options for it."""
FROM_KAFKA = """'connector' = 'kafka',
  'topic' = '{topic}',
  'properties.bootstrap.servers' = '{bootstrap}',
  'properties.group.id' = 'samewater-bench',
  'scan.startup.mode' = 'earliest-offset',
  'scan.bounded.mode' = 'latest-offset'"""
"""How each of BESIDE reads the log: all of it up to its present end."""
ORDERS_IN_FILES = """CREATE TEMPORARY TABLE orders (
  kafka_partition INT, kafka_offset BIGINT, ingest_ltz TIMESTAMP_LTZ(3)
) WITH ('connector' = 'filesystem', 'path' = 'file://{folder}', 'format' = 'parquet')
LIKE orders_schema (EXCLUDING METADATA)"""


@click.command()
@click.argument("name", type=click.Choice([*JOBS, *BESIDE]))
@click.argument("mode", type=click.Choice(["streaming", "batch"]))
@click.option("--conf", required=True)
@click.option("--topic", required=True)
@click.option("--day", required=True, type=click.DateTime(["%Y-%m-%d"]))
@click.option("--files", help="Folder of Parquet files to read instead of the topic.")
@click.option("--parallelism", type=int)
@click.option("--option", "options", multiple=True, help="A Flink option, key=value.")
def main(
    name: str,
    mode: str,
    conf: str,
    topic: str,
    day: dt.datetime,
    files: str | None,
    parallelism: int | None,
    options: tuple[str, ...],
) -> None:
    """Run the queries of a job to the end of its input."""
    settings = Settings.load(conf)
    request = job.Request(name, mode, topic, day.date(), day.date(), None, parallelism)
    given = dict(option.split("=", 1) for option in options)
    if name in BESIDE:
        files_of, chosen = BESIDE[name]
        prepared = job.prepare(settings, request, chosen | given)
        _beside(settings, topic, files_of, Session(prepared.files, prepared.options))
        return
    module = JOBS[name]
    chosen = {**module.options(mode, settings), **given}
    prepared = job.prepare(settings, request, chosen)
    prepared.files.also(scan_end="'scan.bounded.mode' = 'latest-offset'")
    session = start(prepared, module.FUNCTIONS, ORDERS_IN_FILES.format(folder=files) if files else None)
    module.query(session)
    if files is None:
        _into_blackhole(session, module.QUERIES, mode)
    else:
        _sales(session)


def _beside(settings: Settings, topic: str, names: tuple[str, ...], session: Session) -> None:
    text = "".join(Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8") for name in names)
    filled = Template(text).substitute(from_kafka=FROM_KAFKA.format(topic=topic, bootstrap=settings.kafka.bootstrap))
    table, question, _ = filled.split(";\n")
    session.tables.execute_sql(table)
    session.tables.create_temporary_view("answer", session.tables.sql_query(question))
    _into_blackhole(session, ("answer",), "streaming")


def _into_blackhole(session: Session, queries: tuple[str, ...], mode: str) -> None:
    statements = session.tables.create_statement_set()
    for query in queries:
        statements.add_insert(TableDescriptor.for_connector("blackhole").build(), session.tables.from_path(query))
    begin = time.monotonic()
    # As session.launch does. Flink compiles no plan for batch.
    plan = statements.compile_plan() if mode == "streaming" else None
    compiled = time.monotonic() - begin
    result = statements.execute() if plan is None else plan.execute()
    result.wait()
    said = {"job": str(result.get_job_client().get_job_id()), "sales": None}
    click.echo(json.dumps(said | {"compiled": None if plan is None else compiled}))


def _sales(session: Session) -> None:
    result = session.tables.execute_sql(
        "SELECT province, city, orders, amount, users FROM daily_sales WHERE province <> 'ALL' AND city <> 'ALL'"
    )
    with result.collect() as rows:
        sales = {
            f"{province}|{city}": (orders, stores.cents(str(amount)), users)
            for province, city, orders, amount, users in rows
        }
    click.echo(json.dumps({"job": str(result.get_job_client().get_job_id()), "sales": sales, "compiled": None}))


if __name__ == "__main__":
    main()
