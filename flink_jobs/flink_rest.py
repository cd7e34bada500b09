"""What does a Flink cluster say of itself and of its jobs, and how are they told to end?

Asks the REST API of the clusters `realtime` and `batch` that the settings name. Every question has a time limit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import requests
from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from flink_jobs.waiting import last_answer

CLUSTERS = {"streaming": "realtime", "batch": "batch"}
"""Mode of a run -> the cluster that it lives on, unless it says another."""
# The batch cluster gets what live work leaves, and may have to wait for it.
START_S = {"realtime": 90.0, "batch": 300.0}
STOP_S = {"realtime": 60.0, "batch": 300.0}
SAVEPOINT_S = 300.0
SLOTS_S = 20.0
ENDED = ("FAILED", "CANCELED", "FINISHED", "SUSPENDED")
LATE_METRIC = "numlaterecordsdropped"
"""End of a metric's name in lower case: a window join has `leftNumLateRecordsDropped` and one for its right side."""
_SOURCE = "Source: "  # begins the name of a source's task


def overview(settings: Settings, cluster: str) -> dict[str, Any]:
    """What the cluster says of itself; raises `UserError` if it does not answer."""
    answer: dict[str, Any] = ask(settings, cluster, "overview")
    return answer


def free_slots(settings: Settings, cluster: str, needed: int) -> int:
    """How many slots of the cluster are free, once as many as `needed` are, or once no more will be.

    A job that has ended keeps its slots for a moment, until the TaskManager has given them back. So while more are
    taken than the living jobs have subtasks for, this waits, up to `SLOTS_S`.
    """

    def find() -> tuple[int, bool]:
        said = overview(settings, cluster)
        free, total = int(said["slots-available"]), int(said["slots-total"])
        if free >= needed:
            return free, False
        return free, total - free > sum(
            _subtasks(settings, cluster, job["jid"]) for job in living_jobs(settings, cluster)
        )

    waiting = Retrying(
        retry=retry_if_result(lambda found: found[1]),
        stop=stop_after_delay(SLOTS_S),
        wait=wait_fixed(0.3),
        retry_error_callback=last_answer,
    )
    free, _ = waiting(find)
    return free


def _subtasks(settings: Settings, cluster: str, flink_job: str) -> int:
    vertices = ask(settings, cluster, f"jobs/{flink_job}")["vertices"]
    return max((int(vertex["parallelism"]) for vertex in vertices), default=0)


def jobs(settings: Settings, cluster: str) -> list[dict[str, Any]]:
    """All jobs that the cluster remembers, as the REST API gives them: `jid`, `name`, `state`, …"""
    found: list[dict[str, Any]] = ask(settings, cluster, "jobs/overview")["jobs"]
    return found


def living_jobs(settings: Settings, cluster: str) -> list[dict[str, Any]]:
    """The jobs that have not ended."""
    return [job for job in jobs(settings, cluster) if job["state"] not in ENDED]


def living_job(settings: Settings, cluster: str, run_id: str) -> str | None:
    """The Flink job of a run (it bears the run's id as its name) that has not ended; None if there is none."""
    return next((str(job["jid"]) for job in living_jobs(settings, cluster) if job["name"] == run_id), None)


def job_state(settings: Settings, cluster: str, flink_job: str) -> str:
    """State of a Flink job by its REST API (RUNNING, RESTARTING, FAILED, …); UNKNOWN if the cluster forgot it."""
    found = [job for job in jobs(settings, cluster) if job["jid"] == flink_job]
    return str(found[0]["state"]) if found else "UNKNOWN"


def checkpoints(settings: Settings, cluster: str, flink_job: str) -> dict[str, Any]:
    """What the REST API says of a job's checkpoints: `counts`, `latest`, `history`, …"""
    answer: dict[str, Any] = ask(settings, cluster, f"jobs/{flink_job}/checkpoints")
    return answer


def failures(settings: Settings, cluster: str, flink_job: str) -> list[dict[str, Any]]:
    """The failures that Flink remembers of a job, newest first: `timestamp` (epoch ms), `stacktrace`, `taskName`."""
    found: list[dict[str, Any]] = ask(settings, cluster, f"jobs/{flink_job}/exceptions")["exceptionHistory"]["entries"]
    return found


def job_metrics(settings: Settings, cluster: str, flink_job: str, names: Iterable[str]) -> dict[str, float]:
    """Metrics of a job by name; one that Flink has not gathered yet is left out."""
    found = ask(settings, cluster, f"jobs/{flink_job}/metrics?get={','.join(names)}")
    return {metric["id"]: float(metric["value"]) for metric in found}


def source_metrics(settings: Settings, cluster: str, flink_job: str, endings: tuple[str, ...]) -> dict[str, float]:
    """Metrics of a job's sources whose names end so: name -> the least value over the subtasks."""
    found = _of_subtasks(settings, cluster, flink_job, lambda name: name.endswith(endings), of=_SOURCE)
    return {metric["id"]: float(metric["min"]) for metric in found}


def _of_subtasks(
    settings: Settings, cluster: str, flink_job: str, is_wanted: Callable[[str], bool], of: str = ""
) -> Iterator[Mapping[str, Any]]:
    """Metrics of a job's tasks: id, and what they come to over the subtasks. `is_wanted`: by the metric's name; `of`:
    tasks whose names begin so.
    """
    for vertex in ask(settings, cluster, f"jobs/{flink_job}")["vertices"]:
        if not vertex["name"].startswith(of):
            continue
        path = f"jobs/{flink_job}/vertices/{vertex['id']}/subtasks/metrics"
        names = [metric["id"] for metric in ask(settings, cluster, path) if is_wanted(metric["id"])]
        if names:
            yield from ask(settings, cluster, f"{path}?get={quote(','.join(names), safe=',')}")


def watermark(settings: Settings, cluster: str, flink_job: str) -> int | None:
    """The least watermark that any task of a job has been given (a rowtime in ms); None while one has had none.

    What stands on an earlier time has gone through all of the job, or there was nothing.
    """
    least: list[int] = []
    for vertex in ask(settings, cluster, f"jobs/{flink_job}")["vertices"]:
        if not vertex["name"].startswith(_SOURCE):  # which is given none
            told = ask(settings, cluster, f"jobs/{flink_job}/vertices/{vertex['id']}/watermarks")
            if len(told) < vertex["parallelism"]:
                return None
            least += [int(one["value"]) for one in told]
    return min(least) if least and min(least) > 0 else None


def dropped_late(settings: Settings, cluster: str, flink_job: str) -> int:
    """How many rows the operators of a job have dropped since its last start because they came behind the watermark; of
    those that have told it by now.
    """
    found = _of_subtasks(settings, cluster, flink_job, lambda name: name.lower().endswith(LATE_METRIC))
    return sum(int(metric["sum"]) for metric in found)


def await_running(settings: Settings, cluster: str, flink_job: str) -> None:
    """Wait until every task of a job runs; raises `UserError` with the cause if it fails or takes too long."""

    def running() -> bool:
        # Not of the job itself: that answer is as old as `web.refresh-interval`, 3 s.
        job = next((one for one in jobs(settings, cluster) if one["jid"] == flink_job), None)
        if job is None:
            return False
        if job["state"] in ENDED:
            causes = ask(settings, cluster, f"jobs/{flink_job}/exceptions").get("root-exception") or job["state"]
            raise UserError(f"Flink job {flink_job} did not start: {_first_cause(causes)}")
        return bool(job["state"] == "RUNNING" and job["tasks"]["running"] == job["tasks"]["total"])

    limit = START_S[cluster]
    try:
        Retrying(retry=retry_if_result(lambda ok: not ok), stop=stop_after_delay(limit), wait=wait_fixed(0.2))(running)
    except RetryError as slow:
        raise UserError(
            f"Flink job {flink_job} does not run after {limit:.0f} s; see `samewater logs {cluster}-taskmanager`"
        ) from slow


def cancel(settings: Settings, cluster: str, flink_job: str) -> None:
    """End a job without a savepoint, and wait until it has ended. Never `--drain`: it would close open days.

    Raises `UserError` if it does not end in time, or if the cluster does not answer.
    """
    if job_state(settings, cluster, flink_job) in (*ENDED, "UNKNOWN"):
        return
    with _reached(settings, cluster) as rest:
        requests.patch(f"http://{rest}/jobs/{flink_job}?mode=cancel", timeout=20)
    _await_end(settings, cluster, flink_job)


def stop(settings: Settings, cluster: str, flink_job: str, folder: str) -> str:
    """End a job with a savepoint in `folder`, and wait until it has ended; returns the savepoint's path.

    Never `drain`: it would close open days. Raises `UserError` with the cause if the savepoint fails, or if the job
    does not end in time.
    """
    asked = _tell(settings, cluster, f"jobs/{flink_job}/stop", {"targetDirectory": folder, "drain": False})
    progress = f"jobs/{flink_job}/savepoints/{asked['request-id']}"

    def outcome() -> dict[str, Any]:
        answer: dict[str, Any] = ask(settings, cluster, progress)
        return answer

    waiting = Retrying(
        retry=retry_if_result(lambda answer: answer["status"]["id"] != "COMPLETED"),
        stop=stop_after_delay(SAVEPOINT_S),
        wait=wait_fixed(0.3),
    )
    try:
        done = waiting(outcome)["operation"]
    except RetryError as slow:
        raise UserError(
            f"Flink job {flink_job} has no savepoint after {SAVEPOINT_S:.0f} s; see its JobManager's log"
        ) from slow
    if "location" not in done:
        cause = _first_cause(done.get("failure-cause", {}).get("stack-trace", "no cause is given"))
        raise UserError(f"Flink job {flink_job} was not stopped, its savepoint failed: {cause}")
    _await_end(settings, cluster, flink_job)
    return str(done["location"])


def _await_end(settings: Settings, cluster: str, flink_job: str) -> None:
    limit = STOP_S[cluster]
    waiting = Retrying(
        retry=retry_if_result(lambda state: state not in (*ENDED, "UNKNOWN")),
        stop=stop_after_delay(limit),
        wait=wait_fixed(0.3),
    )
    try:
        waiting(job_state, settings, cluster, flink_job)
    except RetryError as slow:
        raise UserError(
            f"Flink job {flink_job} was told to end and has not after {limit:.0f} s; "
            f"see `samewater logs {cluster}-taskmanager`"
        ) from slow


def _first_cause(trace: str) -> str:
    causes = re.findall(r"^Caused by: (.*)$", trace, re.MULTILINE)
    return causes[-1] if causes else trace.splitlines()[0]


def ask(settings: Settings, cluster: str, path: str) -> Any:
    """What a cluster's REST API answers; raises `UserError` if it does not answer."""
    retrying = Retrying(
        retry=retry_if_exception_type(requests.Timeout), stop=stop_after_delay(30), wait=wait_fixed(0.5), reraise=True
    )
    with _reached(settings, cluster) as rest:
        answer = retrying(requests.get, f"http://{rest}/{path}", timeout=10)
        answer.raise_for_status()
        return answer.json()


def _tell(settings: Settings, cluster: str, path: str, what: Mapping[str, Any]) -> Any:
    with _reached(settings, cluster) as rest:
        answer = requests.post(f"http://{rest}/{path}", json=what, timeout=20)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def _reached(settings: Settings, cluster: str) -> Iterator[str]:
    rest = getattr(settings.flink, cluster).rest
    try:
        yield rest
    except requests.RequestException as down:
        raise UserError(
            f"the Flink cluster `{cluster}` at {rest} does not answer; start it (samewater up) or correct "
            f"[flink.{cluster}] rest"
        ) from down
