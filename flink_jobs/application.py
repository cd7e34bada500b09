"""How does a streaming job run as an application, on a cluster of its own whose JobManager runs the program?

There the program starts anew whenever the JobManager does, so the run's id is given from outside and every start must
come to the same run: one that nobody registered begins; one that Flink has recovered by itself is left alone; any other
goes on by its compiled plan, with the state that Flink was configured to start from.

Reads and writes what the job does. `[flink.realtime] rest` of its settings is this cluster.
docker/kubernetes/ starts it so:

    PythonDriver -pym flink_jobs.application realtime_dashboard --run-id RUN
"""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from flink_jobs import compiled, flink_rest, job, resumed, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from flink_jobs.submit import JOBS


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", metavar="JOB", type=click.Choice(JOBS))
@click.option("--run-id", required=True, help="The run that this cluster is for.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def main(name: str, run_id: str, arguments: Sequence[str]) -> None:
    """Begin a run, or go on with it; ARGUMENTS go to the job when it begins."""
    settings = Settings.load()
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        known = runs.find(connection, run_id)
    if known is None:
        begin: click.Command = importlib.import_module(f"flink_jobs.{name}").main
        begin.main(["--mode", "streaming", "--run-id", run_id, *arguments], standalone_mode=False)
    elif flink_rest.living_job(settings, "realtime", run_id) is not None:
        click.echo(f"run {run_id}")
    else:
        refuse_other_functions(settings, run_id)
        resumed.main.main(["--run-id", run_id], standalone_mode=False)


def refuse_other_functions(settings: Settings, run_id: str) -> None:
    """Raise `UserError` if this image has other functions than those that the run began with."""
    with TemporaryDirectory() as folder:
        kept = compiled.fetch_functions(settings, run_id, Path(folder))
        here = Path(folder) / "here.zip"
        here.write_bytes(compiled.zip_of_functions())
        if members(kept) != members(here):
            raise UserError(
                f"run {run_id} began with other functions than this image has; "
                "go back to its image, or give the new logic a run id of its own"
            )


def members(archive: Path) -> dict[str, bytes]:
    """The files of a zip by name: two of the same files differ as a whole, for it notes their times."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


if __name__ == "__main__":
    job.main(main)
