"""How is a job brought to a Flink cluster?

Runs `flink run` (the same line that README.md gives for a cluster of the user's own) and then asks the cluster, because
a detached job that fails afterwards still leaves `flink run` with exit code 0. Writes `dist/udfs.zip`, which carries
the sink functions to the workers.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path

from flink_jobs import flink_rest, runs, stack, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Settings

JOBS = ("realtime_dashboard", "daily_report")


def package() -> Path:
    """Write `dist/udfs.zip` with the functions that SQL calls; returns its path."""
    target = ROOT / "dist" / "udfs.zip"
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((ROOT / "udfs").iterdir()):
            if file.suffix in (".py", ".lua"):
                archive.write(file, f"udfs/{file.name}")
    return target


def submit(settings: Settings, conf: str | None, job: str, mode: str, arguments: Sequence[str]) -> str:
    """Submit a job and return its run id; a streaming job is RUNNING by then, a batch job FINISHED.

    Raises `UserError` with the job's own sentence if it refused, or with the first cause if it failed.
    """
    cluster = "batch" if mode == "batch" else "realtime"
    _refuse_without_slots(settings, cluster, mode, arguments)
    command = [str(stack.flink_bin()), "run"]
    if mode != "batch":
        command.append("-d")
    command += ["-m", getattr(settings.flink, cluster).rest, "-pym", f"flink_jobs.{job}", "-pyfs", str(package()), "--"]
    if conf is not None:
        command += ["--conf", str(Path(conf).resolve())]
    done = subprocess.run(
        [*command, *arguments], env=stack.flink_env(settings, cluster), cwd=ROOT, capture_output=True, text=True
    )
    output = done.stdout + done.stderr
    said = re.search(r"^run (\S+)$", output, re.MULTILINE)
    if done.returncode != 0 or said is None:
        mistake = re.findall(r"^error: (.*)$", output, re.MULTILINE)
        causes = re.findall(r"^(?:Caused by: |pyflink\.\S+: |: )(.*)$", output, re.MULTILINE)
        causes = [cause for cause in causes if "Python process exits with code" not in cause]
        reason = (mistake or causes[-1:] or [output.strip()[-400:]])[-1]
        raise UserError(f"{job} ({mode}) was not submitted: {reason}")
    if mode != "batch":
        with stores.hbase(settings) as connection:
            flink_job = runs.get(connection, said[1]).flink_job_id
        flink_rest.await_running(settings, cluster, flink_job)
    return said[1]


def _refuse_without_slots(settings: Settings, cluster: str, mode: str, arguments: Sequence[str]) -> None:
    """A streaming job needs a slot for each of its parallel subtasks at once, a batch job one at least."""
    asked = list(arguments)
    parallelism = getattr(settings.flink, cluster).parallelism
    if "--parallelism" in asked[:-1] and asked[asked.index("--parallelism") + 1].isdecimal():
        parallelism = int(asked[asked.index("--parallelism") + 1])
    needed = 1 if mode == "batch" else parallelism
    free = flink_rest.overview(settings, cluster)["slots-available"]
    if free < needed:
        running = [job["name"] for job in flink_rest.living_jobs(settings, cluster)]
        raise UserError(
            f"the Flink cluster `{cluster}` has {free} free slots and the job needs {needed}; "
            f"stop one of its jobs ({', '.join(running) or 'none runs'}) or give it more slots"
        )
