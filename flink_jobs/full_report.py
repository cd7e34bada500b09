"""How did a day go in each city and province, held against the days before it?

Reads the day's published version from HBase, bucket by bucket, and the published versions of the days before it from
HDFS (Parquet); which they are is chosen once, at the start (flink_jobs/full_inputs.py). Writes, under one run id: HBase
`full_report`, HDFS `full_report` and `full_report_inputs` (Parquet) and `full_report_pages` (CSV, HTML). When all of it
is written and held against what was read, one flip of `published` lets readers see it. As of a time of the day it is
made from a version of the day so far; such a report is `provisional`, and never published.

Batch only. Nothing in it depends on when or by which run it was made: a second run of the same inputs writes the same
bytes. State: managed memory, off-heap.

    flink run -pym flink_jobs.full_report -pyfs dist/udfs.zip -- --day 2025-11-11
"""

from __future__ import annotations

import datetime as dt
import json

import click
from pyflink.table import StatementSet

from flink_jobs import full_inputs, full_pages, full_store, job, lease, regions, runs, stores
from flink_jobs.console import parse_time
from flink_jobs.errors import UserError
from flink_jobs.full_inputs import Inputs
from flink_jobs.session import Session
from flink_jobs.settings import Settings
from flink_jobs.sql_files import SqlFiles

VIEWS = ("views/sales", "views/sales_by_place")
FUNCTIONS = ("scan_daily_sales", "put_full_report")
_NO_DAY = ("none", "none", "0")  # a day that no file has, where there is no history at all


def build(session: Session) -> StatementSet:
    """From the published day and history to the report and on to the stores, as one job."""
    session.run(
        "bind/hbase/published_day", "bind/hdfs/sales_files", "bind/hdfs/published_inputs", "bind/hdfs/published_history"
    )
    session.run(*VIEWS)
    session.view("full_report")
    session.view("full_report_inputs")
    session.run("bind/hbase/full_report_sink", "bind/hdfs/full_report_files", "bind/hdfs/full_report_input_files")
    return session.inserts(
        ("bind/hbase/put_full_report", "bind/hdfs/write_full_report", "bind/hdfs/write_full_report_inputs")
    )


def values(settings: Settings, inputs: Inputs, run_id: str) -> dict[str, str]:
    """What `${name}` stands for in the report's SQL."""
    day = inputs.day.day
    spans = full_inputs.spans(day)
    history = [(str(one.day), one.run_id, str(one.version)) for one in inputs.history] or [_NO_DAY]
    return {
        "hdfs_root": settings.hdfs.uri + settings.hdfs.root,
        "run_id": run_id,
        "day": str(day),
        "day_end": str(settings.time.day_end(day)),
        "day_run": inputs.day.run_id,
        "day_family": stores.FAMILIES[inputs.day.mode],
        "day_version": str(inputs.day.version),
        "buckets": ", ".join(f"({bucket})" for bucket in range(settings.report.buckets)),
        "inputs": ", ".join(f"('{when}', '{run}', {version})" for when, run, version in history),
        "input_runs": "|".join(sorted({run for _, run, _ in history})),
        "week_ago_known": "TRUE" if inputs.has(spans["week_ago"]) else "FALSE",
        "days_of_seven": str(inputs.count(spans["seven_from"])),
        **{name: str(first) for name, first in spans.items()},
    }


def make(
    settings: Settings, inputs: Inputs, run_id: str | None, parallelism: int | None, state: str = "finished"
) -> runs.Run:
    """Run the job, hold what it wrote against what was read, and write the pages; publishes nothing.

    `state`: what it is noted as in the end; only what is `finished` can be published. Raises `UserError` if the stores
    do not hold what the inputs' markers promise.
    """
    day = str(inputs.day.day)
    files = SqlFiles(settings, "batch", {}, {})
    with stores.hbase(settings) as connection:
        source = runs.get(connection, inputs.day.run_id)
    run = runs.Run(
        run_id=run_id or runs.new_run_id(settings, runs.FULL_REPORT, "batch"),
        job=runs.FULL_REPORT,
        mode="batch",
        logic="",
        settings=json.loads(settings.time.model_dump_json()),
        topic=source.topic,
        from_day=day,
        to_day=day,
        submitted_at=runs.now_iso(settings),
        submitted_by=runs.submitter(),
    )
    files.also(**values(settings, inputs, run.run_id))
    options = job.flink_options(settings, run, parallelism) | job.BATCH
    session = Session(files, options)
    session.register(FUNCTIONS)
    statements = build(session)
    run = job.register(settings, job.Prepared(files, options, run))
    with job.attempt(settings, run.run_id) as started:
        full_store.clear(settings, run.run_id)
        result = statements.execute()
        started(str(result.get_job_client().get_job_id()))
        click.echo(f"run {run.run_id}")
        result.wait()
        report = check(settings, inputs, run.run_id)
        names = regions.load(settings.regions_file())
        full_store.write_pages(settings, day, run.run_id, full_pages.pages(settings, inputs, report, names))
        job.note(settings, run.run_id, state)
    return run


def check(settings: Settings, inputs: Inputs, run_id: str) -> stores.Table:
    """The report as HBase holds it, held against HDFS and against what its inputs promise; else raises `UserError`."""
    day = str(inputs.day.day)
    with stores.hbase(settings) as connection:
        report = full_store.read(connection, settings, day, run_id)
    with stores.hdfs(settings) as files:
        written = full_store.read_files(files, settings, day, run_id)
        read = full_store.read_inputs(files, settings, day, run_id)
    full_inputs.refuse_unless_whole(inputs, read, report, written)
    return report


@click.command()
@click.option("--conf", type=click.Path(dir_okay=False), help="Settings file; default conf/samewater.toml.")
@click.option("--day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Business day.")
@click.option("--anyway", is_flag=True, help="Even of a day that is not closed, or was not found equal.")
@click.option("--as-of", help="HH:MM, or YYYY-MM-DDTHH:MM: by the newest version not after it; publishes nothing.")
@click.option("--of-run", help="With --as-of: of this run, not of the published one.")
@click.option("--run-id", help="Keep the id of an earlier run of the same day and logic.")
@click.option("--parallelism", type=click.IntRange(min=1), help="Default: that of the cluster's settings.")
def main(
    conf: str | None,
    day: dt.datetime,
    anyway: bool,
    as_of: str | None,
    of_run: str | None,
    run_id: str | None,
    parallelism: int | None,
) -> None:
    """Make and publish the full report of a day."""
    settings = Settings.load(conf)
    if as_of is not None:
        until = parse_time(as_of, str(day.date()), settings.time)
        with stores.hbase(settings) as connection:
            inputs = full_inputs.choose_as_of(settings, connection, day.date(), until, of_run)
        _say(inputs)
        make(settings, inputs, run_id, parallelism, "provisional")
        return
    with lease.held(settings, f"{runs.FULL_REPORT}|{day.date()}") as held:
        _make_and_publish(settings, day.date(), anyway, run_id, parallelism, held)


def _say(inputs: Inputs) -> None:
    if inputs.beware is not None:
        click.echo(f"note: {inputs.day.day} {inputs.beware}")
    for lack in inputs.lacking:
        click.echo(f"note: {lack}")
    if inputs.missing:
        click.echo(f"note: not published, so not in the sums: {full_pages.day_list(inputs.missing)}")


def _make_and_publish(
    settings: Settings, day: dt.date, anyway: bool, run_id: str | None, parallelism: int | None, held: lease.Held
) -> None:
    with stores.hbase(settings) as connection:
        before = runs.published(connection, runs.FULL_REPORT, str(day))
        inputs = full_inputs.choose(settings, connection, day, anyway)
    _say(inputs)
    run = make(settings, inputs, run_id, parallelism)
    if held.lost:
        raise UserError(
            f"another run makes the report of {day} too, for this one was not seen alive; nothing is published"
        )
    with stores.hbase(settings) as connection:
        new = full_store.publication_of(connection, settings, run, str(day))
        runs.publish(connection, runs.FULL_REPORT, str(day), new, None if before is None else before.run_id)


if __name__ == "__main__":
    job.main(main)
