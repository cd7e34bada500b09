"""How much is being ordered, minute by minute, in the country and in each province?

Reads the order log (Kafka). Writes Redis: every minute twice, first as it grows (provisional), then exactly, once the
watermark has passed it (final); day totals follow from the minutes.

Time: event time, watermark on the minute. State: heap. The provisional figures de-duplicate on arrival and forget a key
after an hour; the final ones stand on the exact window Top-1, whose state ends with its window. No idle timeout.

    flink run -d -pym flink_jobs.realtime_dashboard -pyfs dist/udfs.zip --
"""

from __future__ import annotations

import datetime as dt

import click
from pyflink.table import StatementSet

from flink_jobs import job, runs, stores
from flink_jobs.session import Session
from flink_jobs.settings import Settings

QUERIES = ("minutes_provisional", "minutes_final", "minutes_passed")
SINKS = ("put_provisional_minute", "put_final_minute", "put_progress")
CONFIG = {
    "state.backend.type": "hashmap",
    # Window operators do not look at it (their timers end their state): it is that of minutes_provisional alone.
    "table.exec.state.ttl": "1 h",
    "execution.buffer-timeout.interval": "5 ms",
    "python.fn-execution.bundle.time": "20",
}


def build(session: Session) -> StatementSet:
    """From the table `orders` to the minutes and on to Redis, as one job."""
    for query in QUERIES:
        session.view(query)
    session.run("bind/redis/dashboard_sink", "bind/redis/minutes_written")
    return session.inserts(("bind/redis/write_provisional", "bind/redis/close_minutes"))


def publish(settings: Settings, run: runs.Run) -> None:
    """Let readers see this generation from now on: flip `published`, and let the pointer in Redis follow."""
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        new = runs.publication_of(connection, settings, run, runs.LIVE)
        runs.publish(connection, runs.DASHBOARD, runs.LIVE, new)
        runs.sync(connection, client, settings)


@click.command()
@job.options
def main(
    conf: str | None, topic: str | None, run_id: str | None, from_day: dt.datetime | None, parallelism: int | None
) -> None:
    """Submit the live dashboard."""
    settings = Settings.load(conf)
    stores.redis(settings).close()  # a sink that is down is said now, not by a restart loop
    first = from_day.date() if from_day else None
    request = job.Request(
        runs.DASHBOARD, "streaming", topic or settings.kafka.topic, first, run_id=run_id, parallelism=parallelism
    )
    session, run = job.start(settings, request, CONFIG, "MINUTE", SINKS)
    statements = build(session)
    run = job.register(settings, session, run)
    job.launch(settings, session, run, statements)
    publish(settings, run)
    click.echo(f"run {run.run_id}")


if __name__ == "__main__":
    job.main(main)
