"""How does a streaming run go on, as it was submitted?

Reads from HDFS what was kept of the run (flink_jobs/compiled.py) and where the state goes on in the log, and of its row
of `runs` whether it publishes by itself now; reads and writes what the job itself does. Submitted by `samewater
resume`, which fetches the run's own functions and names the state that it goes on with:

    flink run -d -s SAVEPOINT -pym flink_jobs.resumed -pyfs udfs.zip -- --run-id RUN --state SAVEPOINT
"""

from __future__ import annotations

import click

from flink_jobs import compiled, job, losses, recovery, runs, state_offsets, stores
from flink_jobs.errors import UserError
from flink_jobs.session import execute
from flink_jobs.settings import Settings


@click.command()
@click.option("--conf", type=click.Path(dir_okay=False), help="Settings file; default conf/samewater.toml.")
@click.option("--run-id", required=True, help="The run that goes on.")
@click.option("--parallelism", type=click.IntRange(min=1), help="Its subtasks from now on; default as before.")
@click.option("--state", help="The savepoint or checkpoint that it goes on from.")
@click.option("--again", is_flag=True, help="It has none, and begins again at the offsets that it was given.")
@click.option("--named", is_flag=True, help="Somebody has named that state.")
@click.option("--accept-gap", is_flag=True, help="Also if the log has lost records behind that state.")
def main(
    conf: str | None,
    run_id: str,
    parallelism: int | None,
    state: str | None,
    again: bool,
    named: bool,
    accept_gap: bool,
) -> None:
    """Go on with a run.

    Without --state and --again Flink knows where it goes on (an application's JobManager that was started again does):
    nothing is asked beforehand, and what the log has lost the job sees itself.
    """
    settings = Settings.load(conf)
    kept = compiled.read(settings, run_id)
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        run = runs.get(connection, run_id)
    gaps = []
    if state or again:
        gaps = state_offsets.lost(
            settings, run, run.starts | (state_offsets.offsets_in(state, run.topic) if state else {})
        )
    if gaps and not accept_gap:
        raise UserError(
            f"run {run_id} would not see a part of the log: {losses.told(gaps)} were gone before it read them. Begin a "
            "new run or a backfill that reads an archive; or go on behind them with --accept-gap, and readers of the "
            "days are told"
        )
    losses.note_accepted(settings, run_id, gaps)
    if parallelism is not None:
        run = run.model_copy(update={"parallelism": parallelism})
    kept = kept.model_copy(update={"options": job.kept_options(kept.options, run)})
    with job.attempt(settings, run_id) as started:
        if state or again:
            recovery.go_back(settings, run_id, state, named)
        started(execute(kept))
        if parallelism is not None:
            with stores.hbase(settings) as connection:
                runs.amend(connection, run_id, parallelism=parallelism)
    click.echo(f"run {run_id}")


if __name__ == "__main__":
    job.main(main)
