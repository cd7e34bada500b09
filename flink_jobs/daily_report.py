"""How much was ordered each business day in every city and province, and by how many users?

Reads the order log (Kafka), in batch also its archive (HDFS). Writes, under one run id: HBase `daily_sales` and
`verdicts` with a marker per version; HDFS `daily_sales` and `rejected` (Parquet). The first run to mark the last
version of a day publishes it.

Time: order minutes are settled once no timely record of them can come (docs/core.md); watermark on the minute.
Streaming gives every hour a full set of rows for the day so far (CUMULATE), batch the day (TUMBLE); all else is the
same SQL. State: RocksDB, off-heap: packs of orders until their minute, packs of hours until their day, packs of keys
for the late copies' horizon. No time-to-live, no idle timeout.

    flink run -d -pym flink_jobs.daily_report -pyfs dist/udfs.zip -- --mode streaming
    flink run    -pym flink_jobs.daily_report -pyfs dist/udfs.zip -- --mode batch --from 2025-11-11 --to 2025-11-11
"""

from __future__ import annotations

import datetime as dt

import click
from pyflink.table import StatementSet

from flink_jobs import job, losses, order_log, runs, stores
from flink_jobs.session import Session, launch, start
from flink_jobs.settings import Settings

QUERIES = ("daily_sales", "verdict_counts", "conflicting", "rejected", "offsets_read", "gaps", "behind")
COUNTERS = ("clock_counts",)
"""Queries whose rows are taken back as they grow."""
FUNCTIONS = ("judge", "settle", "tell_copies", "hour_parts", "place_sales", "conflicting_ids")
SINKS = (
    "put_daily_sales",
    "put_verdict_counts",
    "put_conflicting",
    "put_offsets_read",
    "put_gaps",
    "put_behind",
    "put_clock",
    "put_marker",
)
INSERTS = (
    "bind/hbase/mark_versions",
    "bind/hbase/note_clock",
    "bind/hbase/note_timeless_gaps",
    "bind/hdfs/write_daily_sales",
    "bind/hdfs/write_rejected",
)


def options(mode: str, settings: Settings) -> dict[str, str]:
    """Flink's options of a run; no setting changes them."""
    if mode == "batch":
        return job.JUDGED_IN_BATCH
    return {
        **job.JUDGED,
        "state.backend.type": "rocksdb",
        "state.backend.rocksdb.use-bloom-filter": "true",
        # A day's packs outgrow the memory of the state; whole indexes of them would push out all else.
        "state.backend.rocksdb.memory.partitioned-index-filters": "true",
        "execution.checkpointing.incremental": "true",
        "table.exec.mini-batch.enabled": "false",
        # A bundle is also ended by a checkpoint; the time bounds how long a row waits when there is none.
        "python.fn-execution.bundle.time": "200",
    }


def query(session: Session) -> None:
    """From the table `orders` to a view for each of QUERIES."""
    settle(session)
    count(session, session.mode)
    watch(session, session.mode)
    for name in (*QUERIES, *COUNTERS):
        session.view(name)


def settle(session: Session) -> None:
    """From complete minutes to the orders that count, the late ones told apart."""
    session.run("views/settled", "views/late_packs", "views/late_orders", "views/accepted_packs")


def count(session: Session, windows: str, *verdicts: str) -> None:
    """From the orders that count to the figures of hours and days.

    `windows`: folder of sql/bind that cuts the days; `verdicts`: views on top of verdicts_counted, if any.
    """
    session.run("views/verdicts_counted", *verdicts, "views/hours")
    session.run(f"bind/{windows}/day_windows", f"bind/{windows}/day_windows_of_verdicts")
    session.run("views/day_shares", "views/conflicting_shares")


def watch(session: Session, windows: str, *stretches: str) -> None:
    """From the batches of the log to the offsets that they brought.

    `windows`: as for `count`; `stretches`: views on top of those of the order log, if any.
    """
    session.run(
        "views/clock_records",
        "views/stretches",
        *stretches,
        f"bind/{windows}/reading",
        f"bind/{windows}/reading_windows",
    )


def build(session: Session) -> StatementSet:
    """From the table `orders` to the figures and on to the stores, as one job."""
    query(session)
    session.run(
        "bind/hbase/written", "bind/hbase/marker_sink", "bind/hdfs/daily_sales_files", "bind/hdfs/rejected_files"
    )
    return session.inserts(INSERTS)


def clear_files(settings: Settings, run_id: str) -> None:
    """Remove what an earlier attempt of the same batch run left in HDFS, and forget what it did not see of the log; its
    rows in HBase are written over.
    """
    stores.clear_run(settings, stores.DATASETS, run_id)
    losses.forget(settings, run_id)


def mark_empty_days(settings: Settings, run: runs.Run, first: dt.date, last: dt.date, provisional: bool) -> None:
    """Mark those days of a finished batch run that brought no record at all: they are empty, not missing."""
    sink = losses.sink_of(settings, run, provisional)
    for n in range((last - first).days + 1):
        sink.mark_empty_day(settings.time.day_end(first + dt.timedelta(days=n)))
    sink.close()


@click.command()
@click.option("--mode", type=click.Choice(["streaming", "batch"]), default="streaming", show_default=True)
@click.option("--to", "to_day", type=click.DateTime(["%Y-%m-%d"]), help="Last business day.")
@job.REPLAYS
@job.INGEST_UNTIL
@job.source_option
@job.options
def main(
    mode: str,
    to_day: dt.datetime | None,
    replays: str | None,
    source: str,
    conf: str | None,
    topic: str | None,
    run_id: str | None,
    from_day: dt.datetime | None,
    ingest_until: dt.datetime | None,
    parallelism: int | None,
) -> None:
    """Submit the daily report."""
    settings = Settings.load(conf)
    first, last = (day.date() if day else None for day in (from_day, to_day))
    log = topic or settings.kafka.topic
    until = job.wrong_from(settings, ingest_until)
    request = job.Request(
        runs.REPORT, mode, log, first, last, run_id, parallelism, replays=replays, source=source, ingest_until=until
    )
    provisional = mode == "batch" and job.is_open(settings, request)
    prepared = job.prepare(settings, request, options(mode, settings), provisional)
    session = start(prepared, (*FUNCTIONS, *SINKS))
    statements = build(session)
    run = job.register(settings, prepared)
    if mode == "streaming":
        launch(settings, session, run, statements)
        click.echo(f"run {run.run_id}")
        return
    if provisional:
        click.echo(f"note: {last} is not closed yet: this run is provisional and will not be published by itself")
    wrong = order_log.open_door(settings, log)
    if wrong is not None:
        click.echo(f"note: {wrong}; what a live run took for such a clock, a batch may take for a record of its day")
    with job.attempt(settings, run.run_id) as started:
        clear_files(settings, run.run_id)
        result = statements.execute()
        started(str(result.get_job_client().get_job_id()))
        click.echo(f"run {run.run_id}")
        result.wait()
        assert first is not None and last is not None
        mark_empty_days(settings, run, first, last, provisional)
        losses.refuse(settings, run.run_id)
        job.note(settings, run.run_id, "provisional" if provisional else "finished")


if __name__ == "__main__":
    job.main(main)
