"""Which runs does nobody need any more, and how do they go from all three stores?

Reads `runs`, `published` and `versions` (HBase) and what lives in Flink. Removes whole runs: their rows in HBase, their
folders in HDFS, their keys in Redis. Their row of `runs` stays, with state `cleaned`, and their id is never used again:
what HBase has deleted would hide what is put there later.

A run stays as long as readers are shown it, `rollback` or `backfill undo` goes back to it, it is at work, or the
settings `[versions]` say so. Who publishes or submits a run announces that and then looks at its state; here the state
is set to `cleaning` first, and what was announced is looked at afterwards: of the two at least one sees the other. Once
rows may be gone, nothing brings a run back; killed anywhere, the next call comes to the same end.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import click
import fsspec
import happybase

from flink_jobs import compiled, flink_rest, full_store, lease, runs, stores
from flink_jobs.console import format_option, show
from flink_jobs.errors import UserError
from flink_jobs.progress import working
from flink_jobs.runs import CLEANED, CLEANING, Run
from flink_jobs.settings import Settings, Versions

JOBS = (runs.REPORT, runs.BACKFILL, runs.FULL_REPORT, runs.DASHBOARD)
DATASETS = (*stores.DATASETS, stores.ADMISSIONS, full_store.REPORT, full_store.INPUTS, full_store.PAGES)
LEASE = "clean"
_PUBLISHED = "published: "
_FINISHED = ("finished", "stopped")
_ENDED = ("finished", "provisional", "failed")  # what a job notes with the time of its end
_AT_LEAST = dt.timedelta(days=1)  # for a run of which nobody knows whether it has ended
_STATE, _BEFORE = b"r:state", b"r:state_before"
_DOOMED = b""  # in place of the state before: its rows are going
_DELETED_AT_ONCE = 1000


class Facts(NamedTuple):
    """What is known of the runs. `days`: run id -> business days that it has, or `live`; `needed`: run id -> by what;
    `seen`: run id -> when it ended, gave the last sign of life, or was last shown.
    """

    runs: Sequence[Run]
    days: Mapping[str, Sequence[str]]
    needed: Mapping[str, str]
    seen: Mapping[str, dt.datetime]
    now: dt.datetime


class Judged(NamedTuple):
    """A run, when it was last seen, and why it is kept; empty: it goes."""

    run: Run
    seen: dt.datetime
    kept: str


# ---------------------------------------------------------------- pure


def judge(rules: Versions, facts: Facts) -> list[Judged]:
    """Which runs go, and why the others stay; the newest first, as they come."""
    kept: dict[str, str] = {}
    finished: Counter[tuple[str, str]] = Counter()
    for run in facts.runs:
        age = facts.now - facts.seen[run.run_id]
        least = dt.timedelta(days=rules.kept_days)
        if run.state not in (*_ENDED, *_FINISHED):
            least = max(least, _AT_LEAST)
        newest = ""
        if run.state in _FINISHED and not facts.needed.get(run.run_id, "").startswith(_PUBLISHED):
            for day in facts.days[run.run_id]:
                finished[run.job, day] += 1
                if finished[run.job, day] <= rules.kept_runs:
                    newest = f"one of the newest {rules.kept_runs} of {run.job} of {day}"
        if run.state == CLEANING:
            continue  # a call before this one has begun it
        if run.run_id in facts.needed:
            kept[run.run_id] = facts.needed[run.run_id]
        elif run.job not in JOBS:
            kept[run.run_id] = f"runs of {run.job} are not cleaned"
        elif age < least:
            kept[run.run_id] = f"seen less than {least.days} d ago"
        elif newest:
            kept[run.run_id] = newest
    _keep_bases(facts.runs, kept)
    return [Judged(run, facts.seen[run.run_id], kept.get(run.run_id, "")) for run in facts.runs]


def _keep_bases(found: Sequence[Run], kept: dict[str, str]) -> None:
    """A backfill or a replay that stays can be held against what it replaces, and taken back to it.

    What stays for that alone keeps no further runs, or of a day that is counted again each month none would ever go.
    """
    known = {run.run_id: run for run in found if run.state != CLEANING}
    for run in [known[run_id] for run_id in kept]:
        for base in filter(None, (*run.base.values(), run.replays)):
            if base in known:
                kept.setdefault(base, f"{run.run_id} is held against it, and goes back to it")


# ---------------------------------------------------------------- what there is


def gather(settings: Settings, connection: happybase.Connection) -> Facts:
    """Look at everything. Raises `UserError` if a Flink cluster does not answer: nobody knows then what is at work."""
    found = [run for run in runs.list_runs(connection) if run.state != CLEANED]
    # What is about to be comes before what it ends in: claims before Flink's jobs, announcements before publications.
    # Else one that ends between the two looks would be seen in neither.
    claims = {run.run_id: runs.claimed(connection, run.run_id) for run in found}
    leases = lease.holders(connection)
    living = {job["name"] for c in set(flink_rest.CLUSTERS.values()) for job in flink_rest.living_jobs(settings, c)}
    needed, shown_until = _uses(connection)
    for run in found:
        who = claims[run.run_id]
        leased = [f"{run.job}|{day}" for day in run.days if f"{run.job}|{day}" in leases]
        if run.run_id in living:
            needed.setdefault(run.run_id, "at work in Flink")
        elif who is not None:
            needed.setdefault(run.run_id, f"being submitted by {who}")
        elif leased:
            needed.setdefault(run.run_id, f"{leased[0]} is being made by {leases[leased[0]]}")
    signs = runs.last_signs(connection)
    marked = runs.marked_days(connection)
    with stores.hdfs(settings) as files:
        ended = {run.run_id: _ended(settings, files, run, signs[run.run_id]) for run in found}
    seen = {run_id: max(at, shown_until.get(run_id, at)) for run_id, at in ended.items()}
    days = {run.run_id: _days(run, marked.get(run.run_id, [])) for run in found}
    return Facts(found, days, needed, seen, dt.datetime.now(dt.UTC))


def _uses(connection: happybase.Connection) -> tuple[dict[str, str], dict[str, dt.datetime]]:
    """Run id -> what needs it, and run id -> until when it was shown."""
    needed: dict[str, str] = {}
    before: dict[str, str] = {}
    until: dict[str, dt.datetime] = {}
    announced = list(runs.about_to_be_published(connection))
    for report, day, now in runs.list_shown(connection):
        history = runs.history(connection, report, day)
        if now is None and history:  # withdrawn: a rollback by name may still go back to what was shown last
            before.setdefault(history[0].run_id, f"shown last: {report} of {day} shows nothing now")
        if now is None:
            continue
        needed.setdefault(now.run_id, f"{_PUBLISHED}{report} of {day}")
        back = next((one.run_id for one in history if one.run_id != now.run_id), None)
        if back is not None:
            before.setdefault(back, f"shown before: rollback of {report} of {day} goes back to it")
        for replaced_by, one in pairwise(history):
            if replaced_by.at and replaced_by.run_id != one.run_id:
                at = dt.datetime.fromisoformat(replaced_by.at)
                until[one.run_id] = max(at, until.get(one.run_id, at))
    for report, day, run_id, who in announced:
        needed.setdefault(run_id, f"being published as {report} of {day} by {who}")
    return before | needed, until


def _ended(settings: Settings, files: fsspec.AbstractFileSystem, run: Run, sign: dt.datetime) -> dt.datetime:
    if run.state in _ENDED and run.ended_at:
        return dt.datetime.fromisoformat(run.ended_at)
    if run.mode != "streaming":
        return sign
    folder = stores.checkpoints_folder(settings, run.run_id)
    attempts = files.ls(folder, detail=True) if files.exists(folder) else []
    times = [dt.datetime.fromtimestamp(info["modificationTime"] / 1000, dt.UTC) for info in attempts]
    return max([sign, *times])


def _days(run: Run, marked: Sequence[str]) -> list[str]:
    return run.days or ([runs.LIVE] if run.job == runs.DASHBOARD else list(marked))


# ---------------------------------------------------------------- removing


def clean_runs(settings: Settings, held: lease.Held | None = None) -> list[Judged]:
    """Remove the runs that go; returns all of them as they were judged. Raises `UserError` if `held` is lost."""
    stores.redis(settings).close()  # if it is down, that is said before anything is removed
    with stores.hbase(settings) as connection:
        judged = judge(settings.versions, gather(settings, connection))
        for one in judged:
            if not one.kept:
                _begin(connection, one.run.run_id)
        # Who has come before that is seen now, who comes after it sees the state.
        again = gather(settings, connection)
        for place, one in enumerate(judged):
            if one.kept:
                continue
            if held is not None and held.lost:
                raise UserError("somebody else cleans too, for this process was not seen alive; run it again")
            needed = again.needed.get(one.run.run_id)
            if needed is not None and _go_back(connection, one.run.run_id):
                judged[place] = one._replace(kept=needed)
                continue
            _doom(connection, one.run.run_id)
            remove(settings, connection, one.run)
            runs.set_state(connection, one.run.run_id, CLEANED)
    return judged


def _begin(connection: happybase.Connection, run_id: str) -> None:
    """Set the state to `cleaning`, and keep the one before."""
    key, table = run_id.encode(), connection.table("runs")
    state: bytes | None = table.row(key, columns=[_STATE]).get(_STATE)
    if state == CLEANING.encode():
        return
    table.put(key, {_BEFORE: state or b"submitted"})
    if not runs.check_and_put_cell(connection, "runs", key, _STATE, state, CLEANING.encode()):
        raise UserError(f"run {run_id} changed its state at the same moment; run samewater clean again")


def _go_back(connection: happybase.Connection, run_id: str) -> bool:
    """Set the state to what it was, unless rows may be gone; says whether the run stays."""
    key = run_id.encode()
    before = connection.table("runs").row(key, columns=[_BEFORE]).get(_BEFORE, _DOOMED)
    if before == _DOOMED:
        return False
    # If it is no longer `cleaning`, who submits the run has noted what it does.
    runs.check_and_put_cell(connection, "runs", key, _STATE, CLEANING.encode(), before)
    return True


def _doom(connection: happybase.Connection, run_id: str) -> None:
    connection.table("runs").put(run_id.encode(), {_BEFORE: _DOOMED})


def remove(settings: Settings, connection: happybase.Connection, run: Run) -> None:
    """Remove what a run has written, in any order and any number of times; all of it is found by its keys."""
    for day in _days_in_hbase(settings, connection, run):
        buckets = range(settings.report.buckets)
        by_bucket = [stores.sales_prefix(bucket, day, run.run_id) for bucket in buckets]
        # First what says that there is something to read.
        _delete(connection, "versions", [stores.marker_key(day, run.run_id)], exact=True)
        _delete(connection, "daily_sales", by_bucket)
        _delete(connection, "full_report", by_bucket)
        _delete(connection, "verdicts", [f"{day}|{run.run_id}|"])
    _delete(connection, "offsets_read", [f"{run.run_id}|"])
    with stores.hdfs(settings) as files:
        for folder in list(_folders(settings, files, run)):
            files.rm(folder, recursive=True)
    stores.remove_keys(stores.redis(settings), settings, run.run_id)


def _days_in_hbase(settings: Settings, connection: happybase.Connection, run: Run) -> list[str]:
    """The run's days; of one without an end, every day of which HBase has rows, of whatever run."""
    if run.days or run.job == runs.DASHBOARD:
        return run.days
    found = set(runs.marked_days(connection).get(run.run_id, []))
    for table, prefixes in (
        ("daily_sales", [f"{bucket}|" for bucket in range(settings.report.buckets)]),
        ("verdicts", [""]),
    ):
        for prefix in prefixes:
            found.update(_days_of(connection.table(table), prefix))
    return sorted(found)


def _days_of(table: happybase.Table, prefix: str) -> Iterator[str]:
    """The days behind a prefix of row keys: one look for each of them."""
    start = prefix
    while True:
        # `}` follows on the bar behind a day, and `:` on all digits.
        row = next(iter(table.scan(row_start=start.encode(), row_stop=f"{prefix}:".encode(), limit=1)), None)
        if row is None:
            return
        day = row[0].decode()[len(prefix) :].partition("|")[0]
        yield day
        start = f"{prefix}{day}}}"


def _delete(connection: happybase.Connection, name: str, keys: Iterable[str], exact: bool = False) -> None:
    """Delete the rows that begin with a key (`exact`: that are it), all versions of all cells."""
    table = connection.table(name)
    for key in keys:
        rows = [
            (row, max(at for _, at in cells.values()))
            for row, cells in table.scan(row_prefix=key.encode(), include_timestamp=True)
            if not exact or row == key.encode()
        ]
        if not rows:
            continue
        # A version may lie in the future (the end of an open day), where a delete of now would not reach.
        newest = max(at for _, at in rows)
        with table.batch(timestamp=newest, batch_size=_DELETED_AT_ONCE) as batch:
            for row, _ in rows:
                batch.delete(row, columns=[family.encode() for family in stores.TABLES[name]])


def _folders(settings: Settings, files: fsspec.AbstractFileSystem, run: Run) -> Iterator[str]:
    """The folders of HDFS that belong to a run: what it wrote, also in attempts that were killed, and its state."""
    for dataset in DATASETS:
        root = f"{settings.hdfs.root}/{dataset}"
        for place in files.ls(root, detail=False) if files.exists(root) else ():
            name = posixpath.basename(place)
            if name.startswith(".staging_"):
                yield from files.glob(f"{place}/*/dt=*/run={run.run_id}")
            elif not run.days or name.removeprefix("dt=") in (*run.days, stores.CLOCK):
                folder = f"{place}/run={run.run_id}"
                if files.exists(folder):
                    yield folder
    for folder in (
        compiled.folder(settings, run.run_id),
        stores.checkpoints_folder(settings, run.run_id),
        stores.savepoints_folder(settings, run.run_id),
    ):
        if files.exists(folder):
            yield folder


# ---------------------------------------------------------------- command


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would go and what stays; remove nothing.")
@format_option("table", "json", "csv")
@click.pass_obj
def clean(settings: Settings, dry_run: bool, form: str) -> None:
    """Remove whole runs that nobody is shown or can go back to.

    From HBase, HDFS and Redis. Says of every run whether it goes or why it stays. How many and how long they stay:
    [versions] in the settings.

    Example: samewater clean --dry-run
    """
    if dry_run:
        with stores.hbase(settings) as connection:
            judged = judge(settings.versions, gather(settings, connection))
    else:
        with lease.held(settings, LEASE) as held, working("cleaning"):
            judged = clean_runs(settings, held)
    gone = "would be removed" if dry_run else "removed"
    rows = [
        {
            "run_id": one.run.run_id,
            "job": one.run.job,
            "mode": one.run.mode,
            "from_day": one.run.from_day,
            "to_day": one.run.to_day,
            "state": one.run.state,
            "seen": one.seen.astimezone(dt.timezone(settings.time.offset)).isoformat(timespec="seconds"),
            "action": "kept" if one.kept else gone,
            "why": one.kept or "nobody is shown it, nobody goes back to it, and it is old enough",
        }
        for one in judged
    ]
    columns = ["run_id", "job", "mode", "from_day", "to_day", "state", "seen", "action", "why"]
    show(form, columns, rows, {})
