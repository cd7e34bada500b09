"""How is a job brought to a Flink cluster, and what has become of it?

Runs `flink run` (the same line that README.md gives for a cluster of the user's own) and asks the cluster's REST API,
because a detached job that fails afterwards still leaves `flink run` with exit code 0. Writes `dist/udfs.zip`, which
carries the sink functions to the workers.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs import runs, stack, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Settings

JOBS = ("realtime_dashboard", "daily_report")
START_S = 90.0
STOP_S = 60.0
ENDED = ("FAILED", "CANCELED", "FINISHED", "SUSPENDED")


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
        await_running(settings, cluster, flink_job)
    return said[1]


def _refuse_without_slots(settings: Settings, cluster: str, mode: str, arguments: Sequence[str]) -> None:
    """A streaming job needs a slot for each of its parallel subtasks at once, a batch job one at least."""
    asked = list(arguments)
    parallelism = getattr(settings.flink, cluster).parallelism
    if "--parallelism" in asked[:-1] and asked[asked.index("--parallelism") + 1].isdecimal():
        parallelism = int(asked[asked.index("--parallelism") + 1])
    needed = 1 if mode == "batch" else parallelism
    free = overview(settings, cluster)["slots-available"]
    if free < needed:
        running = [job["name"] for job in _ask(settings, cluster, "jobs/overview")["jobs"] if job["state"] not in ENDED]
        raise UserError(
            f"the Flink cluster `{cluster}` has {free} free slots and the job needs {needed}; "
            f"stop one of its jobs ({', '.join(running) or 'none runs'}) or give it more slots"
        )


def overview(settings: Settings, cluster: str) -> dict[str, Any]:
    """What the cluster says of itself; raises `UserError` if it does not answer."""
    answer: dict[str, Any] = _ask(settings, cluster, "overview")
    return answer


def job_state(settings: Settings, cluster: str, flink_job: str) -> str:
    """State of a Flink job by its REST API (RUNNING, RESTARTING, FAILED, …); UNKNOWN if the cluster forgot it."""
    found = [job for job in _ask(settings, cluster, "jobs/overview")["jobs"] if job["jid"] == flink_job]
    return str(found[0]["state"]) if found else "UNKNOWN"


def await_running(settings: Settings, cluster: str, flink_job: str) -> None:
    """Wait until every task of a job runs; raises `UserError` with the cause if it fails or takes too long."""

    def running() -> bool:
        answer = _ask(settings, cluster, f"jobs/{flink_job}")
        if answer["state"] in ENDED:
            causes = _ask(settings, cluster, f"jobs/{flink_job}/exceptions").get("root-exception") or answer["state"]
            raise UserError(f"Flink job {flink_job} did not start: {_first_cause(causes)}")
        return bool(answer["state"] == "RUNNING" and all(v["status"] == "RUNNING" for v in answer["vertices"]))

    try:
        Retrying(retry=retry_if_result(lambda ok: not ok), stop=stop_after_delay(START_S), wait=wait_fixed(0.3))(
            running
        )
    except RetryError as slow:
        raise UserError(
            f"Flink job {flink_job} does not run after {START_S:.0f} s; see `samewater logs {cluster}-taskmanager`"
        ) from slow


def cancel(settings: Settings, cluster: str, flink_job: str) -> None:
    """End a job without a savepoint, and wait until it has ended. Never `--drain`: it would close open days."""
    if job_state(settings, cluster, flink_job) in (*ENDED, "UNKNOWN"):
        return
    requests.patch(f"http://{getattr(settings.flink, cluster).rest}/jobs/{flink_job}?mode=cancel", timeout=20)
    Retrying(
        retry=retry_if_result(lambda state: state not in (*ENDED, "UNKNOWN")),
        stop=stop_after_delay(STOP_S),
        wait=wait_fixed(0.3),
    )(job_state, settings, cluster, flink_job)


def _first_cause(trace: str) -> str:
    causes = re.findall(r"^Caused by: (.*)$", trace, re.MULTILINE)
    return causes[-1] if causes else trace.splitlines()[0]


def _ask(settings: Settings, cluster: str, path: str) -> Any:
    rest = getattr(settings.flink, cluster).rest
    retrying = Retrying(
        retry=retry_if_exception_type(requests.Timeout), stop=stop_after_delay(30), wait=wait_fixed(0.5), reraise=True
    )
    try:
        answer = retrying(requests.get, f"http://{rest}/{path}", timeout=10)
        answer.raise_for_status()
    except requests.RequestException as down:
        raise UserError(
            f"the Flink cluster `{cluster}` at {rest} does not answer; start it (samewater up) or correct "
            f"[flink.{cluster}] rest"
        ) from down
    return answer.json()
