"""What were the sales of days that have passed, with the orders that came too late to count?

Reads the order log (Kafka, and its archive on HDFS) on behind its days, and the supply: the topic `orders-backfill`,
where shops send orders afterwards. Takes in (`admitted`) each order of its days that the log did not count: late in the
log, or in the supply; of each key the first, and none that counts already. Writes, under one run id: HBase
`daily_sales` and `verdicts` with a marker; HDFS `daily_sales`, `rejected` and `admissions` (Parquet); Redis: the
minutes of its days. Readers see nothing of it until it is published (flink_jobs/backfill_commands.py).

Batch only, on the batch cluster, with a consumer group of its own; the same queries as the daily report, over
`counted` (accepted and admitted orders). What it reads is fixed by offsets when it is registered: a second attempt
under the same id comes to the same rows, and replaces those of the first.

    flink run -pym flink_jobs.backfill -pyfs dist/udfs.zip -- --from 2025-11-11 --to 2025-11-11
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import replace

import click
from pyflink.table import StatementSet

from flink_jobs import daily_report, job, lease, losses, order_log, runs, stores
from flink_jobs.backfill_checks import publishing, refuse_unless_whole, refuse_unseen
from flink_jobs.errors import UserError
from flink_jobs.log_reader import Span, open_log
from flink_jobs.session import Session, start
from flink_jobs.settings import Settings

FUNCTIONS = (*daily_report.FUNCTIONS, "late_candidates", "supply_candidates", "admit", "counted_sales")
SINKS = (*daily_report.SINKS, "put_final_minute")
QUERIES = (*daily_report.QUERIES, "minutes_counted", "admissions_kept")
MINUTES = "bind/redis/write_counted"
INSERTS = (*daily_report.INSERTS, "bind/hdfs/write_admissions", MINUTES)
DATASETS = (*stores.DATASETS, stores.ADMISSIONS)
SUPPLY = "supply_"  # begins the names of the supply's tables


def build(session: Session, only_minutes: bool = False) -> StatementSet:
    """From the tables `orders` and `supply_log` to the figures and on to the stores, as one job; or to Redis alone."""
    session.run("views/supply_orders")
    session.run("views/judged", "views/packs", "views/stretches", "views/clock_records", log=SUPPLY)
    daily_report.settle(session)
    session.run("views/candidates", "views/admissions", "views/counted")
    daily_report.count(session, "batch", "views/verdicts_and_admitted")
    daily_report.watch(session, "batch", "views/all_stretches")
    for name in (*QUERIES, *daily_report.COUNTERS):
        session.view(name)
    session.run("bind/hbase/written", "bind/hbase/marker_sink", "bind/redis/dashboard_sink")
    session.run("bind/hdfs/daily_sales_files", "bind/hdfs/rejected_files", "bind/hdfs/admissions_files")
    if only_minutes:
        for name in INSERTS:
            session.files.sql(name)  # all of them are the run's logic
        return session.inserts((MINUTES,))
    return session.inserts(INSERTS)


def values(supply_topic: str, supply: Mapping[int, Span], taken: runs.Taken) -> dict[str, str]:
    """What `${name}` stands for in the SQL of a backfill alone."""
    left_out = ", ".join("'" + name.replace("'", "''") + "'" for name in taken.left_out)
    return {
        "counting": "counted",
        "verdicts": "verdicts_and_admitted",
        "stretches": "all_stretches",
        "supply_topic": supply_topic,
        "supply_start_offsets": job.offsets_text({partition: span.start for partition, span in supply.items()}),
        "supply_end_offsets": job.offsets_text({partition: span.end for partition, span in supply.items()}),
        "supply_taken": f"COALESCE(supply, '') NOT IN ({left_out})" if left_out else "TRUE",
        "late_taken": "TRUE" if taken.late else "FALSE",
    }


def supply_spans(settings: Settings) -> dict[int, Span]:
    """All that the supply holds now: partition -> offsets. Makes the topic if it is missing."""
    order_log.create_topic_if_missing(settings, settings.kafka.supply_topic, settings.kafka.partitions)
    with open_log(settings, settings.kafka.supply_topic) as log:
        return log.reach()


def clear(settings: Settings, run_id: str, only_minutes: bool = False) -> None:
    """Remove what an earlier attempt of the run left in HDFS and Redis; its rows in HBase are written over."""
    if not only_minutes:
        stores.clear_run(settings, DATASETS, run_id)
        losses.forget(settings, run_id)
    stores.remove_keys(stores.redis(settings), settings, run_id)


@click.command()
@click.option("--to", "to_day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Last business day.")
@click.option("--late/--no-late", default=True, help="Whether late orders of the log are taken in.")
@click.option("--without", "left_out", multiple=True, help="Name of a supply that is left out.")
@click.option("--only-minutes", is_flag=True, help="Of an earlier run: bring its minutes in Redis back.")
@job.source_option
@job.options
def main(
    to_day: dt.datetime,
    late: bool,
    left_out: tuple[str, ...],
    only_minutes: bool,
    source: str,
    conf: str | None,
    topic: str | None,
    run_id: str | None,
    from_day: dt.datetime | None,
    parallelism: int | None,
) -> None:
    """Count days again, with the orders that came too late."""
    settings = Settings.load(conf)
    if from_day is None:
        raise UserError("a backfill needs a first day; give --from")
    first, last = from_day.date(), to_day.date()
    known = _known(settings, run_id)
    if only_minutes and (known is None or known.state != "finished"):
        raise UserError("only a run that came to its end has minutes to bring back; name one with --run-id")
    topic = topic or (known.topic if known else settings.kafka.topic)
    refuse_unseen(settings, topic, first, last)
    taken = known.taken if known else runs.Taken(late=late, left_out=sorted(left_out))
    things = [f"{runs.BACKFILL}|{day}" for day in _days(first, last)]
    with lease.held(settings, *things, *([publishing(known.run_id)] if known else [])) as held:
        if known is not None and not only_minutes:
            _refuse_shown(settings, known)
        # Looked at before the log's end is: what is closed now is complete up to there.
        request = job.Request(
            runs.BACKFILL,
            "batch",
            topic,
            first,
            last,
            run_id,
            parallelism,
            onward=True,
            source=source,
            ingest_until=job.wrong_from(settings, None, known),
        )
        provisional = known.provisional if known else job.is_open(settings, request)
        if known is not None:
            request = request.between(known.start_offsets, known.end_offsets)
        supply_topic = known.supply_topic if known else settings.kafka.supply_topic
        supply = _spans(known.supply_offsets) if known else supply_spans(settings)
        supply_id = order_log.topic_id(settings, supply_topic)
        if known is not None and known.supply_topic_id not in ("", supply_id):
            raise UserError(
                f"run {known.run_id} was to read topic {supply_topic} when its id was {known.supply_topic_id}; it was "
                "deleted and made again since, so begin a new backfill"
            )
        request = replace(request, supply_topic=supply_topic, supply=supply)
        # Never published by the sink: a person looks at the difference first.
        prepared = job.prepare(settings, request, job.JUDGED_IN_BATCH, provisional=True)
        prepared.files.also(**values(supply_topic, supply, taken))
        session = start(prepared, (*FUNCTIONS, *SINKS))
        session.run("bind/supply_kafka")
        statements = build(session, only_minutes)
        with stores.hbase(settings) as connection:
            base = known.base if known else runs.shown(connection, runs.REPORT, map(str, _days(first, last)))
        run = prepared.run.model_copy(
            update={
                "base": base,
                "taken": taken,
                "provisional": provisional,
                "supply_topic_id": supply_id,
            }
        )
        run = job.register(settings, job.Prepared(prepared.files, prepared.options, run))
        with stores.hbase(settings) as connection:  # done again, it may read the archive where it read the log
            runs.amend(connection, run.run_id, source=prepared.run.source, edge_offsets=prepared.run.edge_offsets)
        with job.attempt(settings, run.run_id, noted=not only_minutes) as started:
            if not only_minutes:  # from here on it is not whole, so nobody can publish it
                job.note(settings, run.run_id, "running")
            clear(settings, run.run_id, only_minutes)
            result = statements.execute()
            started(str(result.get_job_client().get_job_id()))
            click.echo(f"run {run.run_id}")
            result.wait()
            if not only_minutes:
                daily_report.mark_empty_days(settings, run, first, last, provisional=True)
            refuse_unless_whole(settings, run)
            # Nobody follows the changes of a run that is not the dashboard's.
            stores.redis(settings).unlink(f"{settings.redis.prefix}:{run.run_id}:changes")
            if not only_minutes:
                losses.refuse(settings, run.run_id)
            if held.lost:
                raise UserError(f"another backfill works on these days too: run {run.run_id} was not seen alive")
            if not only_minutes:
                job.note(settings, run.run_id, "provisional" if provisional else "finished")
    if provisional:
        click.echo(f"note: {last} is not closed yet: run {run.run_id} shows what would be, and cannot be published")


def _known(settings: Settings, run_id: str | None) -> runs.Run | None:
    if run_id is None:
        return None
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        return runs.find(connection, run_id)


def _refuse_shown(settings: Settings, run: runs.Run) -> None:
    with stores.hbase(settings) as connection:
        shown = runs.shown(connection, runs.REPORT, run.days)
    mine = [day for day, run_id in shown.items() if run_id == run.run_id]
    if mine:
        raise UserError(
            f"run {run.run_id} is published, {', '.join(mine)} shows it; begin a new backfill, or take it back first: "
            f"samewater backfill undo {run.run_id}"
        )


def _days(first: dt.date, last: dt.date) -> Iterable[dt.date]:
    return [first + dt.timedelta(n) for n in range((last - first).days + 1)]


def _spans(offsets: Mapping[str, list[int]]) -> dict[int, Span]:
    return {int(partition): Span(*ends) for partition, ends in offsets.items()}


if __name__ == "__main__":
    job.main(main)
