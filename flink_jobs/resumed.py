"""How does a streaming run go on, as it was submitted?

Reads from HDFS what was kept of the run (flink_jobs/compiled.py), and of its row of `runs` whether it publishes by
itself now; reads and writes what the job itself does. Submitted by `samewater resume`, which fetches the run's own
functions and names the state that it goes on with:

    flink run -d -s SAVEPOINT -pym flink_jobs.resumed -pyfs udfs.zip -- --run-id RUN
"""

from __future__ import annotations

import click

from flink_jobs import compiled, job, runs, stores
from flink_jobs.session import execute
from flink_jobs.settings import Settings


@click.command()
@click.option("--conf", type=click.Path(dir_okay=False), help="Settings file; default conf/samewater.toml.")
@click.option("--run-id", required=True, help="The run that goes on.")
@click.option("--parallelism", type=click.IntRange(min=1), help="Its subtasks from now on; default as before.")
def main(conf: str | None, run_id: str, parallelism: int | None) -> None:
    """Go on with a run."""
    settings = Settings.load(conf)
    kept = compiled.read(settings, run_id)
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
    if parallelism is not None:
        run = run.model_copy(update={"parallelism": parallelism})
    kept = kept.model_copy(update={"options": job.kept_options(kept.options, run)})
    with job.attempt(settings, run_id) as started:
        started(execute(kept))
        if parallelism is not None:
            with stores.hbase(settings) as connection:
                runs.amend(connection, run_id, parallelism=parallelism)
    click.echo(f"run {run_id}")


if __name__ == "__main__":
    job.main(main)
