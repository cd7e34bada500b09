"""How is a job brought to a Flink cluster?

Runs `flink run` (the same line that README.md gives for a cluster of the user's own) and then asks the cluster, because
a detached job that fails afterwards still leaves `flink run` with exit code 0. Writes `dist/udfs.zip`, which carries
the sink functions to the workers.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import click

from flink_jobs import compiled, flink_rest, runs, stack, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Settings

JOBS = ("realtime_dashboard", "daily_report")


def package() -> Path:
    """Write `dist/udfs.zip` with the functions that SQL calls; returns its path.

    It changes at once: another submission may be sending it.
    """
    target = ROOT / "dist" / "udfs.zip"
    target.parent.mkdir(exist_ok=True)
    unfinished = target.with_name(f"{uuid4()}.new")
    try:
        unfinished.write_bytes(compiled.zip_of_functions())
        return unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def submit(settings: Settings, conf: str | None, job: str, mode: str, arguments: Sequence[str]) -> str:
    """Submit a job and return its run id; a streaming job is RUNNING by then, a batch job FINISHED.

    Raises `UserError` with the job's own sentence if it refused, or with the first cause if it failed.
    """
    is_replay = any(argument.partition("=")[0] == "--replays" for argument in arguments)
    cluster = flink_rest.CLUSTERS["batch" if is_replay else mode]
    refuse_without_slots(settings, mode, _asked_parallelism(arguments), cluster)
    return _flink_run(settings, cluster, mode, conf, f"flink_jobs.{job}", package(), (), arguments)


def resubmit(
    settings: Settings,
    conf: str | None,
    run: runs.Run,
    state: str | None,
    claim: bool,
    parallelism: int | None = None,
    options: Sequence[str] = (),
) -> None:
    """Go on with a streaming run by what was kept of it, from a savepoint or checkpoint (None: from its beginning).

    `claim`: Flink removes that state once it needs it no more. `parallelism`: from now on, None as before. `options`:
    further ones of flink_jobs/resumed.py.
    It is RUNNING by then. Raises `UserError` as `submit` does.
    """
    refuse_without_slots(settings, run.mode, parallelism or subtasks_of(settings, run), run.cluster)
    restored = () if state is None else ("-s", state, "-cm", "claim" if claim else "no_claim")
    with TemporaryDirectory() as folder:
        functions = compiled.fetch_functions(settings, run.run_id, Path(folder))
        which = ["--run-id", run.run_id, *options, *(["--again"] if state is None else ["--state", state])]
        which += [] if parallelism is None else ["--parallelism", str(parallelism)]
        _flink_run(settings, run.cluster, run.mode, conf, "flink_jobs.resumed", functions, restored, which)


def subtasks_of(settings: Settings, run: runs.Run) -> int:
    """Into how many subtasks a streaming run is divided, at work or when it goes on. `UserError` if nothing is kept."""
    return run.parallelism or int(compiled.read(settings, run.run_id).options["parallelism.default"])


def _flink_run(
    settings: Settings,
    cluster: str,
    mode: str,
    conf: str | None,
    module: str,
    functions: Path,
    options: Sequence[str],
    arguments: Sequence[str],
) -> str:
    command = [*stack.behind_live_work(settings, cluster), str(stack.flink_bin()), "run", *options]
    if mode != "batch":
        command.append("-d")
    command += ["-m", getattr(settings.flink, cluster).rest, "-pym", module, "-pyfs", str(functions), "--"]
    if conf is not None:
        command += ["--conf", str(Path(conf).resolve())]
    done = subprocess.run(
        [*command, *arguments], env=stack.flink_env(settings, cluster), cwd=ROOT, capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    said = re.search(r"^run (\S+)$", output, re.MULTILINE)
    if done.returncode != 0 or said is None:
        mistake = re.findall(r"^error: (.*)$", output, re.MULTILINE)
        causes = re.findall(r"^(?:Caused by: |\S+(?:Error|Exception): |: )(.*)$", output, re.MULTILINE)
        causes = [cause for cause in causes if "Python process exits with code" not in cause]
        reason = (mistake or causes[-1:] or [output.strip()[-400:]])[-1]
        raise UserError(f"{module} was not submitted to the cluster `{cluster}`: {reason}")
    for note in re.findall(r"^note: .*$", output, re.MULTILINE):
        click.echo(note, err=True)
    if mode != "batch":
        with stores.hbase(settings) as connection:
            flink_job = runs.get(connection, said[1]).flink_job_id
        flink_rest.await_running(settings, cluster, flink_job)
    return said[1]


def _asked_parallelism(arguments: Sequence[str]) -> int | None:
    asked = list(arguments)
    if "--parallelism" in asked[:-1] and asked[asked.index("--parallelism") + 1].isdecimal():
        return int(asked[asked.index("--parallelism") + 1])
    return None


def refuse_without_slots(settings: Settings, mode: str, parallelism: int | None, cluster: str | None = None) -> None:
    """Raise `UserError`, naming the jobs there, if a cluster has too few free slots for one more job.

    `cluster`: None for that of the mode; `parallelism`: None for that of the settings. All stages of a job run at once
    (job.PIPELINED), so it needs a slot for each of its parallel subtasks.
    """
    cluster = cluster or flink_rest.CLUSTERS[mode]
    needed = settings.flink.subtasks(mode, parallelism)
    free = flink_rest.free_slots(settings, cluster, needed)
    if free < needed:
        running = [job["name"] for job in flink_rest.living_jobs(settings, cluster)]
        raise UserError(
            f"the Flink cluster `{cluster}` has {free} free slots and the job needs {needed}; "
            f"stop one of its jobs ({', '.join(running) or 'none runs'}) or give it more slots"
        )
