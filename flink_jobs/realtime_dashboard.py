"""How much is being ordered, minute by minute, in the country and in each province?

Reads the order log (Kafka). Writes Redis: every minute twice, first as it grows (provisional), then exactly, once the
watermark has passed it (final); day totals follow from the minutes. Writes HBase `offsets_read` if it did not see a
part of the log; the alert that follows is on the screen too.

Time: order minutes, final once no timely record of them can come (docs/core.md); watermark on the minute. State: heap,
unless the cluster says otherwise: packs of orders until their minute, and a sum for each minute and province, forgotten
by the clock (`sums_remembered` in sql_files.py). The provisional figures de-duplicate on arrival, by keys in the
worker's memory (udfs/arrivals.py), after a restart out of the log's end. No idle timeout.

In batch it writes the final minutes alone, under a run id of its own: what another run of the same logic must have come
to. `samewater rebuild` (flink_jobs/rebuild.py) brings them back into that run's keys.

    flink run -d -pym flink_jobs.realtime_dashboard -pyfs dist/udfs.zip -- --mode streaming
"""

from __future__ import annotations

import datetime as dt

import click
from pyflink.table import StatementSet

from flink_jobs import flink_rest, job, losses, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.session import Session, launch, start
from flink_jobs.settings import Settings

QUERIES = ("minutes_provisional", "minutes_final", "gaps", "clock_counts")
FUNCTIONS = ("judge", "minute_sales", "arrivals")
SINKS = ("put_provisional_minute", "put_final_minute", "put_progress", "put_gaps", "put_clock")
INSERTS = (
    "bind/redis/write_provisional",
    "bind/redis/close_minutes",
    "bind/hbase/note_gaps",
    "bind/hbase/note_clock",
)


def options(mode: str, settings: Settings) -> dict[str, str]:
    """Flink's options of a run."""
    if mode == "batch":
        return job.JUDGED_IN_BATCH
    return {
        # No state backend: the cluster's, hashmap.
        **job.JUDGED,
        # Behind the judge few rows flow, packs and sums: each goes on at once.
        "execution.buffer-timeout.interval": "0 ms",
        "python.fn-execution.bundle.time": "10",
    }


def query(session: Session) -> None:
    """From the table `orders` to a view for each of QUERIES."""
    # By the same file in both modes, which share one logic version.
    session.run("views/minute_shares", "views/arriving", "views/clock_records", "views/stretches")
    session.run("bind/streaming/reading")
    for name in QUERIES:
        session.view(name)


def build(session: Session) -> StatementSet:
    """From the table `orders` to the minutes and on to Redis, as one job."""
    query(session)
    session.run("bind/redis/dashboard_sink", "bind/redis/minutes_written")
    if session.mode == "batch":
        for name in INSERTS:
            session.files.sql(name)  # only read: both modes share one logic version
        return session.inserts(("bind/redis/close_minutes",))
    return session.inserts(INSERTS)


def publish(settings: Settings, run: runs.Run) -> str | None:
    """Let readers see this run, unless another one lives and has its minutes already; returns that one's id.

    A new run begins with an empty screen: it takes over from a living one once it has caught up, by a person's word.
    """
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        old = runs.published(connection, runs.DASHBOARD, runs.LIVE)
        if old is not None and _lives(settings, runs.find(connection, old.run_id)):
            return old.run_id
        new = runs.publication_of(connection, settings, run, runs.LIVE)
        runs.publish(connection, runs.DASHBOARD, runs.LIVE, new)
        runs.sync(connection, client, settings)
    return None


def _lives(settings: Settings, run: runs.Run | None) -> bool:
    return run is not None and flink_rest.living_job(settings, run.cluster, run.run_id) is not None


@click.command()
@click.option("--mode", type=click.Choice(["streaming", "batch"]), default="streaming", show_default=True)
@click.option("--to", "to_day", type=click.DateTime(["%Y-%m-%d"]), help="Last business day (batch).")
@click.option("--like", metavar="RUN", help="Count what this run counts: its logic, and nothing before its offsets.")
@job.REPLAYS
@job.INGEST_UNTIL
@job.options
def main(
    mode: str,
    to_day: dt.datetime | None,
    like: str | None,
    replays: str | None,
    conf: str | None,
    topic: str | None,
    run_id: str | None,
    from_day: dt.datetime | None,
    ingest_until: dt.datetime | None,
    parallelism: int | None,
) -> None:
    """Submit the live dashboard."""
    settings = Settings.load(conf)
    stores.redis(settings).close()  # a sink that is down is said now, not by a restart loop
    first, last = (day.date() if day else None for day in (from_day, to_day))
    pattern = None
    if like is not None:
        with stores.hbase(settings) as connection:
            pattern = runs.get(connection, like)
    floor = {int(partition): offset for partition, offset in pattern.start_offsets.items()} if pattern else {}
    topic = topic or (pattern.topic if pattern else settings.kafka.topic)
    until = job.wrong_from(settings, ingest_until, pattern)
    request = job.Request(
        runs.DASHBOARD, mode, topic, first, last, run_id, parallelism, floor, replays=replays, ingest_until=until
    )
    prepared = job.prepare(settings, request, options(mode, settings))
    session = start(prepared, (*FUNCTIONS, *SINKS))
    statements = build(session)
    logic = prepared.files.logic_version
    if pattern is not None and logic != pattern.logic:
        raise UserError(
            f"run {like} was made by logic {pattern.logic}, this is {logic} and would count otherwise; "
            "use the code and settings that it was submitted with"
        )
    if pattern is not None and pattern.topic_id and pattern.topic_id != prepared.run.topic_id:
        raise UserError(f"run {like} read another log: topic {topic} was deleted and made again since")
    run = job.register(settings, prepared)
    if mode == "batch":
        with job.attempt(settings, run.run_id) as started:
            result = statements.execute()
            started(str(result.get_job_client().get_job_id()))
            click.echo(f"run {run.run_id}")
            result.wait()
            losses.refuse_retention(settings, run)
            job.note(settings, run.run_id, "finished")
        return
    launch(settings, session, run, statements)
    on_screen = None if replays else publish(settings, run)
    if on_screen is not None:
        click.echo(
            f"note: readers go on seeing run {on_screen}, which lives; once this one has caught up: "
            f"samewater publish {run.run_id}"
        )
    click.echo(f"run {run.run_id}")


if __name__ == "__main__":
    job.main(main)
