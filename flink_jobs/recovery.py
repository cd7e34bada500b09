"""How is a streaming run stopped, and how does it go on?

Reads and writes the run's row in `runs`, its savepoints and checkpoints in HDFS, and its Parquet files there. What a
run needs to go on is kept by its first submission (flink_jobs/compiled.py).

HBase and Redis take every write any number of times. Files are the exception: Flink commits a file for good once the
checkpoint that closed it is complete, so going back to an older state would write the rows after it once more. `resume`
therefore removes the run's files that are younger than the state it goes back to. Parquet files are closed by
checkpoints only, and one checkpoint or savepoint is taken at a time: none is both older and not part of the state.
"""

from __future__ import annotations

import datetime as dt
import posixpath
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import click
import fsspec

from flink_jobs import flink_rest, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.progress import working
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import Settings
from flink_jobs.submit import resubmit

_PROOF = "_metadata"  # Flink writes it last
_CHECKPOINTS = 6  # some may be late


class State(NamedTuple):
    """A savepoint or checkpoint: `path` as Flink takes it; when it was completed, by the clock of HDFS."""

    path: str
    completed: dt.datetime


class Stopped(NamedTuple):
    """Where a stopped run's state lies (a path in HDFS), and how many files without an owner were removed."""

    savepoint: str
    removed: int


def files_due_s(settings: Settings) -> float:
    """How long (s) after the marker of a streaming run its files may take: the next checkpoint commits them."""
    return _CHECKPOINTS * settings.flink.checkpoint_interval_ms / 1000


def stop_run(settings: Settings, run_id: str) -> Stopped:
    """Take a savepoint, end the job, and note both. Never drains: open days stay open.

    Raises `UserError` if the run is not a living streaming run, or if the savepoint fails (the job then goes on).
    """
    run = _streaming_run(settings, run_id)
    flink_job = flink_rest.living_job(settings, run.cluster, run_id)
    if flink_job is None:
        raise UserError(f"run {run_id} is not at work; `samewater resume {run_id}` goes on with it")
    target = settings.hdfs.uri + stores.savepoints_folder(settings, run_id)
    savepoint = flink_rest.stop(settings, run.cluster, flink_job, target)
    with stores.hbase(settings) as connection:
        runs.set_state(connection, run_id, "stopped", savepoint=savepoint)
    with stores.hdfs(settings) as files:
        # All that is committed has its final name by now. What has not was left by an attempt that was killed.
        left = [name for name, _ in _files(files, settings, run_id) if posixpath.basename(name).startswith(".")]
        for name in left:
            files.rm(name)
    forget_checkpoints(settings, run_id)
    return Stopped(savepoint, len(left))


def resume_run(
    settings: Settings,
    conf: str | None,
    run_id: str,
    savepoint: str | None = None,
    parallelism: int | None = None,
    accept_gap: bool = False,
) -> State | None:
    """Go on with a run that is not at work; returns the state it went on from, None if it had none and began again.

    From `savepoint` (a path of HDFS), else from where it was stopped, else (it failed, was cancelled, or who stopped it
    died before that was noted) from its newest checkpoint or savepoint. `parallelism`: its subtasks from now on, None
    as many as before; no figure depends on it. Raises `UserError`, and changes nothing, if the topic was made again or
    has lost records that this state would go on with; with `accept_gap` it goes on behind these.
    """
    run = _streaming_run(settings, run_id)
    living = flink_rest.living_job(settings, run.cluster, run_id)
    if living is not None:
        raise UserError(f"run {run_id} is at work as Flink job {living}; stop it first: samewater stop {run_id}")
    if parallelism is not None:
        _refuse_more_than_partitions(run, parallelism)
    named = savepoint or (run.savepoint if run.state == "stopped" else None)
    with stores.hdfs(settings) as files:
        state = _state(files, named) if named else newest_state(files, settings, run)
    # A checkpoint is Flink's own again, which removes it when newer ones stand; a savepoint is the user's.
    own = state is not None and urlsplit(state.path).path.startswith(stores.checkpoints_folder(settings, run_id))
    path = None if state is None else state.path
    options = (*(["--named"] if savepoint else []), *(["--accept-gap"] if accept_gap else []))
    resubmit(settings, conf, run, path, claim=own and named is None, parallelism=parallelism, options=options)
    return state


def go_back(settings: Settings, run_id: str, path: str | None, named: bool) -> None:
    """Remove the files of a run that are younger than the state which it goes on from (None: it begins again). `named`:
    somebody has named that state.
    """
    with stores.hdfs(settings) as files:
        state = None if path is None else _state(files, path)
        if state is not None and named:
            # First: if it comes to no checkpoint, this is where it goes on again.
            with stores.hbase(settings) as connection:
                runs.set_state(connection, run_id, "stopped", savepoint=state.path)
        for name, closed in list(_files(files, settings, run_id)):
            if state is None or closed > state.completed:
                files.rm(name)


def _refuse_more_than_partitions(run: runs.Run, parallelism: int) -> None:
    """As `job.refuse_idle_subtasks`, by the partitions that the run began with: which subtask reads those that were
    added since, its state says, and one might read none.
    """
    partitions = len(run.start_offsets)
    if parallelism > partitions:
        raise UserError(
            f"run {run.run_id} began with {partitions} partitions of {run.topic}, and each subtask must read one; "
            f"give --parallelism {partitions} or less, or begin a new run or a replay"
        )


def forget_checkpoints(settings: Settings, run_id: str) -> None:
    """Remove what Flink retained of a run that has a savepoint or will never go on."""
    with stores.hdfs(settings) as files:
        folder = stores.checkpoints_folder(settings, run_id)
        if files.exists(folder):
            files.rm(folder, recursive=True)


def _streaming_run(settings: Settings, run_id: str) -> runs.Run:
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
        runs.refuse_cleaned(connection, run_id)
    if run.mode != "streaming":
        raise UserError(f"run {run_id} is a batch run: it ends by itself, and is repeated by submitting it again")
    return run


def _state(files: fsspec.AbstractFileSystem, path: str) -> State:
    place = urlsplit(path).path
    try:
        info = files.info(posixpath.join(place, _PROOF))
    except FileNotFoundError as missing:
        raise UserError(
            f"there is no savepoint at {path}: HDFS has no {place}/{_PROOF}; name a complete one with --savepoint"
        ) from missing
    return State(path, _modified(info))


def newest_state(files: fsspec.AbstractFileSystem, settings: Settings, run: runs.Run) -> State | None:
    """The newest complete checkpoint or savepoint of a run; None if it has none.

    A savepoint that is older than its last start was left behind by a resume from another one, and is none of its
    state, unless it is the one that it was stopped with or resumed from.
    """
    patterns = (
        f"{stores.checkpoints_folder(settings, run.run_id)}/*/chk-*/{_PROOF}",
        f"{stores.savepoints_folder(settings, run.run_id)}/*/{_PROOF}",
    )
    found = [
        State(settings.hdfs.uri + posixpath.dirname(name), _modified(files.info(name)))
        for pattern in patterns
        for name in files.glob(pattern)
    ]
    kept = urlsplit(run.savepoint).path
    checkpoints, started = stores.checkpoints_folder(settings, run.run_id), run.started_at
    found = [
        state
        for state in found
        if not started
        or (place := urlsplit(state.path).path) == kept
        or place.startswith(checkpoints)
        or state.completed >= dt.datetime.fromisoformat(started)
    ]
    return max(found, key=lambda state: state.completed, default=None)


def _files(files: fsspec.AbstractFileSystem, settings: Settings, run_id: str) -> Iterator[tuple[str, dt.datetime]]:
    """The run's files in HDFS, those in progress included, and when each was closed."""
    for dataset in stores.DATASETS:
        for folder in files.glob(stores.run_folder(settings, dataset, "*", run_id)):
            for info in files.ls(folder, detail=True):
                yield info["name"], _modified(info)


def _modified(info: dict[str, int]) -> dt.datetime:
    return dt.datetime.fromtimestamp(info["modificationTime"] / 1000, dt.UTC)


# ---------------------------------------------------------------- commands


@click.command()
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.pass_obj
def stop(settings: Settings, run_id: str) -> None:
    """Stop a streaming run with a savepoint.

    `resume` goes on from there; open days stay open.

    Example: samewater stop daily_report-streaming-20261111T080000-1a2b3c
    """
    with working(f"stopping {run_id} with a savepoint"):
        stopped = stop_run(settings, run_id)
    click.echo(f"run {run_id} is stopped; its state is in {stopped.savepoint}")
    if stopped.removed:
        click.echo(f"{stopped.removed} files that attempts before it had left unfinished were removed")


@click.command()
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.option("--savepoint", metavar="PATH", help="Go back to this one. [default: the last, else the last checkpoint]")
@click.option("--parallelism", type=click.IntRange(min=1), help="Subtasks from now on. [default: as before]")
@click.option("--accept-gap", is_flag=True, help="Also behind records that the log has lost meanwhile.")
@click.pass_context
def resume(
    context: click.Context, run_id: str, savepoint: str | None, parallelism: int | None, accept_gap: bool
) -> None:
    """Go on with a streaming run.

    One that was stopped, has failed, or was cancelled by hand. It goes on as it was submitted, with the SQL and the
    functions of then. Rows that an older savepoint makes it write again replace the same rows.

    Example: samewater resume daily_report-streaming-20261111T080000-1a2b3c
    """
    with working(f"resuming {run_id}"):
        state = resume_run(context.obj, context.meta["samewater.conf"], run_id, savepoint, parallelism, accept_gap)
    if state is None:
        click.echo(f"run {run_id} had no complete checkpoint and begins again, at the offsets it was given")
    else:
        click.echo(f"run {run_id} goes on from {state.path}, of {state.completed:%Y-%m-%d %H:%M:%S} UTC")
