"""Which offsets of the log did a run not see, what is held back for it, and who has accepted that?

Reads `offsets_read` and `versions` (HBase), which the job's sink writes (udfs/hbase_sink.py); writes `r:accepted_gaps`
of the run and, of versions that were held back, the markers and publications. A gap is a hole in the offsets that the
run read, and that the log itself does not explain: retention or somebody's hand took records before they were read. Or
it is what a run read, but when its order minute was over, so that no window took it: a clock was ahead, and went right.
A run that has one goes on and writes its figures, but no version behind it counts until somebody accepts the gap.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

import click
import happybase

from flink_jobs import archive_edge, flink_rest, order_log, runs, stores
from flink_jobs.archive_reader import read_archived
from flink_jobs.console import readable
from flink_jobs.errors import UserError
from flink_jobs.log_reader import Span
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import MINUTE_MS, Settings

if TYPE_CHECKING:
    from udfs.hbase_sink import HBaseSink


def told(gaps: Iterable[stores.Gap]) -> str:
    """Gaps in words: which partition, from which offset to which, and how many."""
    return "; ".join(map(_told, gaps))


def _told(gap: stores.Gap) -> str:
    if gap.behind:
        return f"{_of(gap)}: records behind the watermark, within offsets {gap.start} to {gap.end - 1}"
    if gap.start < gap.end:
        return f"{_of(gap)}: offsets {gap.start} to {gap.end - 1} ({gap.end - gap.start:,})"
    return f"{_of(gap)}: offset {gap.end} after {gap.start - 1}, so this is not the log that it was"


def _of(gap: stores.Gap) -> str:
    """A partition of the supply is -1 less its own (sql/views/all_stretches.sql)."""
    return f"partition {gap.partition}" if gap.partition >= 0 else f"supply partition {-1 - gap.partition}"


def is_accepted(run: runs.Run, gap: stores.Gap) -> bool:
    """Whether somebody has accepted that the run's figures stand without these offsets. As udfs/hbase_sink.py.

    Of records behind the watermark the offsets say between which they lie: who accepts them accepts no loss there.
    """

    def covers(partition: int, start: int, end: int, behind: bool) -> bool:
        if gap.start > gap.end or start > end:
            return (partition, start, end) == gap[:3]
        within = start <= gap.start and gap.end <= end
        return partition == gap.partition and within and behind == gap.behind

    return any(covers(*accepted) for accepted in run.accepted_gaps)


def note_accepted(settings: Settings, run_id: str, gaps: Iterable[stores.Gap]) -> None:
    """Write down that somebody has accepted these gaps of a run."""
    with stores.hbase(settings) as connection:
        known = runs.get(connection, run_id).accepted_gaps
        accepted = sorted({*known, *(runs.AcceptedGap(*gap[:3], gap.behind) for gap in gaps)})
        if accepted != known:
            runs.amend(connection, run_id, accepted_gaps=[list(gap) for gap in accepted])


def unaccepted(connection: happybase.Connection, run: runs.Run) -> list[stores.Gap]:
    """The gaps of a run that nobody has accepted, by partition and offset."""
    return [gap for gap in stores.read_gaps(connection, run.run_id, run.family) if not is_accepted(run, gap)]


def concerns(settings: Settings, run: runs.Run, gap: stores.Gap, day: str) -> bool:
    """Whether a business day of a run may lack records of a gap.

    What was lost came between what was read around it. A backfill takes orders in on the day of their order time,
    whenever they came.
    """
    time = settings.time
    if run.job == runs.BACKFILL:
        return not run.days or day in run.days
    if gap.behind:
        return str(time.day_of(gap.since)) <= day <= str(time.day_of(gap.at))
    first = str(time.day_of(gap.since - time.clock_skew_ms)) if gap.since else ""
    last = str(time.day_of(gap.at + time.lateness_ms + time.future_ms)) if gap.at else str(dt.date.max)
    return first <= day <= last


def stands_without(settings: Settings, connection: happybase.Connection, run: runs.Run, day: str) -> list[stores.Gap]:
    """The gaps of a run that may lie in this day, and without which its figures stand: somebody has accepted them, or
    they came behind the watermark, which versions may have been marked before.
    """
    gaps = stores.read_gaps(connection, run.run_id, run.family)
    return [gap for gap in gaps if (gap.behind or is_accepted(run, gap)) and concerns(settings, run, gap, day)]


def partial_since(settings: Settings, connection: happybase.Connection, run: runs.Run, day: str) -> int | None:
    """The ingest time (epoch ms) from which on a run's log holds all, if that is behind the day's begin; else None.

    A minute is no matter: a partition that is quiet has a heartbeat each minute.
    """
    at = begins(settings, connection, run)
    start = settings.time.day_start(dt.date.fromisoformat(day))
    return at if at is not None and start + MINUTE_MS < at else None


def begins(settings: Settings, connection: happybase.Connection, run: runs.Run) -> int | None:
    """The ingest time (epoch ms) at which a run's log begins; None if it has not said so, as those of earlier releases.

    Of a topic that was empty when it began: that of the first record that it read, less what its minute lacks.
    """
    if run.log_begins or run.mode != "streaming":
        return run.log_begins or None
    began = stores.read_began(connection, run.run_id, run.family)
    return None if began is None else began + settings.time.lateness_ms


def lacks(settings: Settings, connection: happybase.Connection, run: runs.Run, day: str) -> list[str]:
    """What a run's day does not hold, in words that stand behind "the whole day, but": the beginning, or what somebody
    accepted not to have been read.
    """
    found = []
    if since := partial_since(settings, connection, run, day):
        found.append(f"partial: its log begins at {readable(since, settings.time)}")
    if without := stands_without(settings, connection, run, day):
        found.append(f"without {told(without)}")
    return found


def notes_of_day(settings: Settings, connection: happybase.Connection, day: str) -> list[str]:
    """What people must know of a day: which runs hold versions back, and which stand without a part of the log."""
    notes = []
    for run_id in runs.runs_of_day(connection, day):
        run = runs.find(connection, run_id)
        if run is None or run.mode not in stores.FAMILIES:
            continue
        held = runs.held_versions(connection, day, run)
        if held:
            lost = told(unaccepted(connection, run)) or "what its versions count"
            notes.append(f"run {run_id} holds {len(held)} versions back: it did not see or count {lost}")
        notes += [f"run {run_id} has the day {lack}" for lack in lacks(settings, connection, run, day)]
    return notes


def sink_of(settings: Settings, run: runs.Run, provisional: bool) -> HBaseSink:
    """Writes markers of a run beside its job. `provisional`: it publishes nothing."""
    from udfs.hbase_sink import HBaseSink, HBaseTarget  # not above: flink_jobs/job.py says why
    from udfs.log_check import LogCheck

    target = HBaseTarget(
        host=settings.hbase.host,
        port=settings.hbase.port,
        prefix=settings.hbase.prefix,
        buckets=settings.report.buckets,
        run_id=run.run_id,
        mode=run.mode,
        zone_offset_ms=int(settings.time.offset.total_seconds()) * 1000,
        provisional=provisional,
        start_offsets=run.starts,
        end_offsets=run.ends,
        topic_id=run.topic_id,
        clock_skew_ms=settings.time.clock_skew_ms,
    )
    bootstrap = settings.kafka.bootstrap
    return HBaseSink(target, LogCheck(bootstrap, run.topic), LogCheck(bootstrap, run.supply_topic))


def forget(settings: Settings, run_id: str) -> None:
    """Forget what an earlier attempt of a batch run did not see: the next one looks for itself."""
    with stores.hbase(settings) as connection:
        stores.forget_reading(connection, run_id, stores.FAMILIES["batch"])
        runs.amend(connection, run_id, unseen_at_end=False)


def refuse_retention(settings: Settings, run: runs.Run) -> None:
    """Raise `UserError` if the log may have lost what a batch run that has ended was to read of it, or is another.

    For a run that does not tell what it read: what the log still holds when all is read, it held before.
    """
    if order_log.topic_id(settings, run.topic) != run.topic_id:
        raise UserError(f"topic {run.topic} was deleted and made again while run {run.run_id} read it; run it again")
    held = order_log.topic_start_offsets(settings, run.topic)
    edge = {int(partition): offset for partition, offset in run.edge_offsets.items()}
    ends = run.ends
    gaps = [
        stores.Gap(partition, read_from, lost_until, 0, 0)
        for partition, start in run.starts.items()
        if (read_from := max(start, edge.get(partition, 0)))
        < (lost_until := min(held.get(partition, 0), ends.get(partition, 0)))
    ]
    if gaps:
        raise UserError(
            f"retention took {told(gaps)} of topic {run.topic} while run {run.run_id} was at work, so it may be short; "
            "run it again, it will say which days the log still holds"
        )


def refuse(settings: Settings, run_id: str) -> None:
    """Raise `UserError`, naming them, if a batch run that has written all has gaps that nobody has accepted."""
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
        unseen = unaccepted(connection, run)
        gaps = _explained(settings, connection, run, unseen)
        held = _held(connection, run)
        runs.amend(connection, run_id, unseen_at_end=bool(gaps))
    if gaps:
        raise UserError(
            f"run {run_id} did not see a part of the log: {told(gaps)} were gone when it came there. Its figures are "
            "written, but no version behind that counts and no day is published; read an archive that holds them, or "
            f"let the days stand without: samewater accept-gap {run_id}"
        )
    if held and not unseen:
        raise _untold(run_id)
    if held:  # for what the archive explains, and the sink did not know
        _release(settings, run, held)


def _untold(run_id: str) -> UserError:
    return UserError(
        f"run {run_id} holds versions back although no gap is known: it did not tell that it had read what they "
        "count. That is a fault of the job; submit it again"
    )


def _explained(
    settings: Settings, connection: happybase.Connection, run: runs.Run, gaps: list[stores.Gap]
) -> list[stores.Gap]:
    """Of a run that read an archive: those gaps that the archive does not explain. Below its edge it has every record
    that the log had; where it has none, there was none.

    Raises `UserError` if the archive's files do not hold what was counted.
    """
    below = [gap for gap in gaps if gap.start < gap.end <= run.edge_offsets.get(str(gap.partition), 0)]
    if not below:
        return gaps
    archive = archive_edge.read_archive(connection, run.topic)
    with stores.hdfs(settings) as files:
        empty = [
            gap
            for gap in below
            if not any(read_archived(files, settings, archive, {gap.partition: Span(gap.start, gap.end)}))
        ]
    stores.explain_gaps(connection, run.run_id, run.family, empty)
    return [gap for gap in gaps if gap not in empty]


Waiting = list[tuple[str, int, runs.Held]]
"""Versions that are held back: day, version (epoch ms), what the marker would say."""


def _held(connection: happybase.Connection, run: runs.Run) -> Waiting:
    days = runs.marked_days(connection).get(run.run_id, [])
    return [(day, at, held) for day in days for at, held in runs.held_versions(connection, day, run).items()]


def _release(settings: Settings, run: runs.Run, held: Waiting) -> list[str]:
    """Mark what was held back, but for what still lies behind a gap; returns the days of which something counts now."""
    from udfs.hbase_sink import Marker  # not above: flink_jobs/job.py says why

    marked: set[int] = set()
    for publishes in sorted({one.publishes for _, _, one in held}):
        sink = sink_of(settings, run, provisional=not publishes)
        due = [
            Marker(at, one.rows, one.orders, Decimal(one.amount)) for _, at, one in held if one.publishes == publishes
        ]
        marked |= {marker.version for marker in sink.release(due)}
        sink.close()
    return sorted({day for day, at, _ in held if at in marked})


def accept(settings: Settings, run_id: str) -> tuple[list[stores.Gap], list[str]]:
    """Let a run's figures stand without what it did not see; returns the gaps, and the days whose versions count now.

    Written down first, so that a marker which is due meanwhile is marked either by the job or here. Raises `UserError`
    while a batch run is at work, and if nothing is known that it did not see.
    """
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        run = runs.get(connection, run_id)
        runs.refuse_cleaned(connection, run_id)
        if run.mode == "batch" and (
            runs.claimed(connection, run_id) or flink_rest.living_job(settings, run.cluster, run_id) is not None
        ):
            raise UserError(f"run {run_id} is at work; wait until that has ended")
        gaps, held = unaccepted(connection, run), _held(connection, run)
    if held and not gaps and not run.accepted_gaps:
        raise _untold(run_id)
    note_accepted(settings, run_id, gaps)
    days = _release(settings, run, held)
    if run.unseen_at_end:
        with stores.hbase(settings) as connection:
            # A backfill publishes nothing by itself; whether its last day was open is written down with it.
            is_open = run.provisional if run.job == runs.BACKFILL else not all(one.publishes for *_, one in held)
            runs.set_state(connection, run_id, "provisional" if is_open else "finished")
            runs.amend(connection, run_id, unseen_at_end=False)
    return gaps, days


@click.command("accept-gap")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.pass_obj
def accept_gap(settings: Settings, run_id: str) -> None:
    """Let a run's figures stand without what it did not see or count.

    Records that the log had lost before the run came there, or that came behind the watermark. The versions that were
    held back for them count from now on, and its days are published as ever; readers of these days are told.

    Example: samewater accept-gap daily_report-streaming-20261111T080000-1a2b3c
    """
    gaps, days = accept(settings, run_id)
    if not gaps and not days:
        raise UserError(f"run {run_id} has seen all of the log that it has come to; there is nothing to accept")
    if gaps:
        click.echo(f"run {run_id} stands without {told(gaps)}")
    click.echo(f"versions that count now: of {', '.join(days)}" if days else "no version was held back")
