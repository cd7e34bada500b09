"""Redis has lost minutes of the live dashboard: how do they come back?

Reads the order log, or its archive, through a batch run of the same logic (flink_jobs/realtime_dashboard.py), which
writes the minutes under a run id of its own; then moves them over into the keys of the run that readers see, while that
run goes on writing. Minutes before the log's closing time come back final, later ones as far as they are counted.
Removes what stands in the closed minutes and was never counted, and adds the day totals up anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import click
import happybase
import redis as redis_client

from flink_jobs import runs, stores
from flink_jobs.archive_reader import newest_ingest, open_history
from flink_jobs.console import parse_day, readable
from flink_jobs.errors import UserError
from flink_jobs.flink_rest import living_jobs
from flink_jobs.log_reader import reached
from flink_jobs.progress import progress_bar, working
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import Settings
from flink_jobs.submit import submit
from udfs.redis_sink import RedisSink, RedisTarget

CHUNK = 500  # minutes a call: Redis answers other clients in between
_LEFT_FOR = dt.timedelta(hours=1)
# Remove fields that were never counted, and let the totals of a day follow from its minutes again.
# KEYS: 1 hash of minutes, 2 hash of days. ARGV: 1 day, then fields to remove.
_ADD_UP = """
for i = 2, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
local orders, cents = {}, {}
local minutes = redis.call('HGETALL', KEYS[1])
for i = 1, #minutes, 2 do
  local province = string.match(minutes[i], '|(.*)$')
  local b, c = string.match(minutes[i + 1], '^%d:(%d+):(-?%d+)$')
  if province and b then
    orders[province] = (orders[province] or 0) + tonumber(b)
    cents[province] = (cents[province] or 0) + tonumber(c)
  end
end
for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
  local day, province = string.match(name, '^([^|]*)|(.*)$')
  if day == ARGV[1] and not orders[province] then redis.call('HDEL', KEYS[2], name) end
end
for province, count in pairs(orders) do
  redis.call('HSET', KEYS[2], ARGV[1] .. '|' .. province, string.format('%.0f:%.0f', count, cents[province]))
end
return redis.status_reply('OK')
"""


class Rebuilt(NamedTuple):
    """What came back. `until`: epoch ms before which minutes are final; `removed`: fields that were never counted;
    `lost`: day -> the backfill that is published of it and whose minutes are not there."""

    run_id: str
    first: dt.date
    last: dt.date
    minutes: int
    removed: int
    until: int
    lost: dict[str, str]


def rebuild_run(
    settings: Settings, conf: str | None, run_id: str | None, first: dt.date | None, last: dt.date | None
) -> Rebuilt:
    """Bring back the minutes of a dashboard run (None: the published one) over these business days (None: all).

    Raises `UserError` if the run is none of the dashboard's, if its logic is not that of this code, or if neither the
    log nor its archive holds what it counted.
    """
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        run = _run(connection, run_id)
    floor = {int(partition): offset for partition, offset in run.start_offsets.items()}
    # Before the batch reads: all that may count before this moment is in the log by now.
    newest = newest_ingest(settings, run.topic)
    until = reached(newest, settings.time.lateness_ms, settings.time.clock_skew_ms)
    if until is None:
        raise UserError(
            f"a partition of topic {run.topic} is empty, so no minute is final yet: there is nothing to rebuild"
        )
    until -= until % 60_000
    with open_history(settings, run.topic) as log:
        begin = log.first_ingest(floor)
    end = max(at for at in newest.values() if at is not None)
    if begin is None:
        raise UserError(f"topic {run.topic} holds nothing of what run {run.run_id} counted: retention has deleted it")
    # A shop's clock may be ahead, an order may be late: both reach into the neighbouring day.
    first = max(filter(None, (first, _date(run.from_day), settings.time.day_of(begin - settings.time.lateness_ms))))
    last = min(filter(None, (last, settings.time.day_of(end + settings.time.future_ms))))
    if last < first:
        raise UserError(f"run {run.run_id} has no record for these days; it counts {first} and later")
    _remove_left(settings, client)
    days = ("--from", str(first), "--to", str(last))
    with working(f"counting the minutes of {first} to {last} in batch"):
        batch = submit(settings, conf, runs.DASHBOARD, "batch", ("--mode", "batch", *days, "--like", run.run_id))
    minutes, removed = _move(settings, client, batch, run.run_id, first, last, until)
    with stores.hbase(settings) as connection:
        runs.sync(connection, client, settings)
        lost = _lost_backfills(settings, connection, client)
    return Rebuilt(run.run_id, first, last, minutes, removed, until, lost)


def _lost_backfills(settings: Settings, connection: happybase.Connection, client: redis_client.Redis) -> dict[str, str]:
    """Let Redis show the backfills that are published; day -> one that has its minutes no more."""
    lost = {}
    for report, day, publication, _ in runs.list_published(connection):
        if report == runs.REPORT and publication.job == runs.BACKFILL:
            runs.sync_day(connection, client, settings, day)
            if publication.rows and not stores.read_minutes(client, settings, publication.run_id, day):
                lost[day] = publication.run_id
    return lost


def _run(connection: happybase.Connection, run_id: str | None) -> runs.Run:
    if run_id is None:
        publication = runs.published(connection, runs.DASHBOARD, runs.LIVE)
        if publication is None:
            raise UserError("no dashboard run is published; name the run to rebuild with --run, see `samewater runs`")
        run_id = publication.run_id
    run = runs.get(connection, run_id)
    runs.refuse_cleaned(connection, run_id)
    if run.job != runs.DASHBOARD or run.mode != "streaming":
        raise UserError(
            f"run {run_id} is {run.job} in {run.mode}; only streaming runs of {runs.DASHBOARD} live in Redis"
        )
    return run


def _date(text: str) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


def _move(
    settings: Settings, client: redis_client.Redis, source: str, target: str, first: dt.date, last: dt.date, until: int
) -> tuple[int, int]:
    """Take over minutes from run `source` into run `target`, day by day; returns how many, and how many are removed."""
    redis, offset_ms = settings.redis, int(settings.time.offset.total_seconds()) * 1000
    place = RedisTarget(redis.host, redis.port, redis.db, redis.prefix, target, offset_ms)
    sink = RedisSink(place, changes_kept=0)  # what is brought back is no correction that a reader must be told of
    add_up = client.register_script(_ADD_UP)
    moved = removed = 0
    count = (last - first).days + 1
    with progress_bar("rebuild", count, "days") as advance:
        for day in (first + dt.timedelta(days=n) for n in range(count)):
            start = settings.time.day_start(day)
            counted = stores.read_minutes(client, settings, source, str(day))
            rows = [
                (_at(start, name), name.partition("|")[2], int(minute["orders"]), int(minute["cents"]))
                for name, minute in counted.items()
            ]
            for chunk in _chunks(row for row in rows if row[0] < until):
                sink.put_minutes(True, *zip(*chunk, strict=True))
            for chunk in _chunks(row for row in rows if row[0] >= until):
                sink.put_minutes(False, *zip(*chunk, strict=True))
            moved += len(rows)
            stands = stores.read_minutes(client, settings, target, str(day))
            strays = [name for name in stands.keys() - counted.keys() if _at(start, name) < until]
            prefix = f"{settings.redis.prefix}:{target}"
            add_up(keys=[f"{prefix}:minutes:{day}", f"{prefix}:days"], args=[str(day), *strays])
            removed += len(strays)
            advance(1)
    sink.put_progress(until)
    stores.remove_keys(client, settings, source)
    return moved, removed


def _at(day_start: int, field: str) -> int:
    """Epoch ms of the minute of a field `{HH:MM}|{province}`; for a field that is none, the day's start."""
    hour, _, minute = field.partition("|")[0].partition(":")
    return day_start + (int(hour) * 60 + int(minute)) * 60_000 if hour.isdigit() and minute.isdigit() else day_start


def _chunks(rows: Iterator[tuple[int, str, int, int]]) -> Iterator[list[tuple[int, str, int, int]]]:
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _remove_left(settings: Settings, client: redis_client.Redis) -> None:
    """Remove the minutes of batch runs that a rebuild before this one was killed over."""
    working = {job["name"] for job in living_jobs(settings, "batch")}
    with stores.hbase(settings) as connection:
        for run in runs.list_runs(connection, job=runs.DASHBOARD, mode="batch"):
            age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(run.submitted_at)
            if run.run_id not in working and age > _LEFT_FOR:
                stores.remove_keys(client, settings, run.run_id)


@click.command()
@click.option(
    "--run", "run_id", metavar="RUN", type=RUN_ID, help="Rebuild this dashboard run. [default: the published one]"
)
@click.option("--from", "from_day", help="First business day. [default: the first that the run counts]")
@click.option("--to", "to_day", help="Last business day. [default: the newest in the log]")
@click.pass_context
def rebuild(context: click.Context, run_id: str | None, from_day: str | None, to_day: str | None) -> None:
    """Bring lost minutes back into Redis, from the order log.

    The dashboard goes on meanwhile. Example: samewater rebuild --from 2026-11-11
    """
    first, last = (dt.date.fromisoformat(parse_day(day)) if day else None for day in (from_day, to_day))
    if first and last and last < first:
        raise UserError(f"--to {last} lies before --from {first}; give the earlier day first")
    settings: Settings = context.obj
    done = rebuild_run(settings, context.meta["samewater.conf"], run_id, first, last)
    click.echo(
        f"run {done.run_id} has its minutes of {done.first} to {done.last} again: {done.minutes:,} figures, final "
        f"until {readable(done.until, settings.time)}; {done.removed:,} that were never counted are removed"
    )
    for day, backfill in done.lost.items():
        click.echo(
            f"{day} shows backfill {backfill}, whose own minutes are lost; bring them back: "
            f"samewater backfill run {backfill} --only-minutes"
        )
    click.echo(
        "Not brought back: the stream of changes (it tells what changed from now on). Minutes after that time show "
        "what is counted so far, and become final as the dashboard passes them."
    )
