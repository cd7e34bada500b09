"""May a backfill be run for these days, and is what it wrote whole, so that it may be published?

Reads the order log and its archive (how far they reach), HBase, HDFS and Redis (what a run wrote); writes nothing.
"""

from __future__ import annotations

import datetime as dt

from flink_jobs import checks, runs, stores
from flink_jobs.archive_reader import newest_ingest, open_history
from flink_jobs.errors import UserError
from flink_jobs.readers import against_marker
from flink_jobs.settings import Settings

LOST_MINUTES = "the minutes in Redis do not add up to the report"


def publishing(run_id: str) -> str:
    """The lease under which a run is published or done again, not both at once."""
    return f"{runs.BACKFILL}|{run_id}"


def refuse_unseen(settings: Settings, topic: str, first: dt.date, last: dt.date) -> None:
    """Raise `UserError` for days of which log and archive hold no order: before the first record, or after the last."""
    newest = max((at for at in newest_ingest(settings, topic).values() if at is not None), default=None)
    with open_history(settings, topic) as log:
        oldest = log.first_ingest({})
    if newest is None or oldest is None:
        raise UserError(f"topic {topic} is empty; there is no day to count again")
    begin, end = settings.time.day_of(oldest), settings.time.day_of(newest)
    if last > end:
        raise UserError(f"{last} lies in the future: topic {topic} reaches {end}; choose days that have begun")
    if first < begin:
        raise UserError(f"{first} was never seen: topic {topic} begins on {begin}; choose days that it holds")


def refuse_unless_whole(settings: Settings, run: runs.Run) -> None:
    """Hold what a run wrote against itself. Raises `UserError` if HBase holds other rows than the marker counted or
    cities that do not add up, or if HBase, HDFS and Redis differ.
    """
    again = f"samewater backfill run {run.run_id}"
    client = stores.redis(settings)
    with stores.hbase(settings) as connection, stores.hdfs(settings) as files:
        for day in run.days:
            version = settings.time.day_end(dt.date.fromisoformat(day))
            marker = runs.markers(connection, day, run.run_id, run.family).get(version)
            rows = stores.read_sales(connection, settings.report.buckets, day, run.run_id, run.family, version)
            by_version, doubled = stores.read_sales_files(files, settings, day, run.run_id)
            minutes = stores.read_minutes(client, settings, run.run_id, day)
            totals = stores.read_day_totals(client, settings, run.run_id, day)
            wrong = {
                "HBase has not what the marker counted": marker is None or against_marker(rows, marker) is not None,
                "HDFS holds other rows than HBase": doubled or by_version.get(version, {}) != rows,
                LOST_MINUTES: checks.days_from_minutes(minutes) != checks.report_as_days(rows)
                or totals != checks.days_from_minutes(minutes),
            }
            for what, is_so in wrong.items():
                if is_so:
                    mend = f"{again} --only-minutes" if what == LOST_MINUTES and run.state == "finished" else again
                    raise UserError(f"run {run.run_id}, {day}: {what}; run it again: {mend}")
