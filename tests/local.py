"""The command line against servers of the tests' own, as a user calls it, and what the stories share."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs import flink_rest, runs, stores
from flink_jobs.log_reader import open_log
from flink_jobs.settings import CLOCK_AHEAD_MS, ROOT, Settings
from flink_jobs.stack.instance import home
from tests.warm import forks

MEASURED: dict[str, float] = {}
"""What tests measured on the way, by what it is; printed at the end, asserted nowhere."""
Changes = dict[str, list[tuple[str, str]]]
"""File of the repository -> texts to be replaced: (old, new)."""
COMMAND = "from flink_jobs.cli import main; main()"
CALLS = "s in commands of `samewater`"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    """Poll until the condition holds; fail with what was waited for."""
    waiting = Retrying(
        retry=retry_if_result(lambda ok: not ok),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(0.5),
        retry_error_callback=lambda _: pytest.fail(f"not within {seconds:.0f} s: {what}"),
    )
    waiting(condition)


def forget(settings: Settings, topic: str, before: Mapping[int, int]) -> None:
    """Remove the records before these offsets, as retention does."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    try:
        admin.delete_records({TopicPartition(topic, partition): offset for partition, offset in before.items()})
    finally:
        admin.close()
    with open_log(settings, topic) as log:
        assert {partition: span.start for partition, span in log.reach().items()} == dict(before)


@contextmanager
def open_door(settings: Settings, topic: str) -> Iterator[None]:
    """Let a topic take records whose ingest time is far ahead, as topics of other makers may; and close it again."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)

    def let(most: int) -> None:
        config = {"message.timestamp.after.max.ms": str(most)}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, config)])

    try:
        let(2**63 - 1)
        yield
        let(CLOCK_AHEAD_MS)
    finally:
        admin.close()


@dataclass(frozen=True)
class Local:
    """The test instance: its settings, and `samewater` as a user calls it.

    `wide`: the same settings, but that a batch job has two subtasks. `flink`: the command that stands for `flink`,
    answered by a JVM that stays (tests/warm).
    """

    settings: Settings
    conf: Path
    wide: Path
    flink: Path

    def samewater(
        self,
        *arguments: str,
        code: int | None = 0,
        root: Path = ROOT,
        conf: Path | None = None,
        flink_run: bool = False,
    ) -> str:
        """Run a command and return what it printed; `code`: the exit code it must have (None: any).

        `root`: a copy of the code to run instead of this one. `flink_run`: jobs are submitted by the real `flink run`.
        """
        done = self.run(*arguments, code=code, root=root, conf=conf, flink_run=flink_run)
        return done.stdout + done.stderr

    def run(
        self,
        *arguments: str,
        code: int | None = 0,
        root: Path = ROOT,
        conf: Path | None = None,
        flink_run: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """As `samewater`; returns the ended process.

        Begins in a process that has all imported (tests/warm/forks.py), unless it is to be the real `flink run`.
        """
        environment = {**os.environ, "PYTHONPATH": str(root), "SAMEWATER_HOME": str(home().resolve())}
        given = ["--conf", str(conf or self.conf), *arguments]
        begin = time.monotonic()
        if flink_run:
            done = subprocess.run(
                [sys.executable, "-c", COMMAND, *given],
                cwd=root,
                env=environment,
                capture_output=True,
                text=True,
                timeout=forks.TIMEOUT_S,
            )
        else:
            done = forks.samewater(given, folder=root, environment=environment, flink=self.flink)
        MEASURED[CALLS] = MEASURED.get(CALLS, 0.0) + time.monotonic() - begin
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert code is None or done.returncode == code, f"exit code {done.returncode}: {output}"
        return done

    def submit(self, job: str, *arguments: str, root: Path = ROOT, flink_run: bool = False) -> str:
        """Submit a job; returns its run id."""
        return self.samewater("submit", job, *arguments, root=root, flink_run=flink_run).split()[-1]

    def reconcile(self, *arguments: str, code: int) -> dict[str, Any]:
        """The result of `reconcile --json` by name of check, besides the whole under `all`."""
        result = json.loads(self.run("reconcile", "--json", *arguments, code=code).stdout)
        return {check["name"]: check for check in result["checks"]} | {"all": result}


def is_marked(local: Local, run: str, day: dt.date) -> bool:
    """Whether a run has marked the last version of a day."""
    with stores.hbase(local.settings) as connection:
        family = runs.get(connection, run).family
        return local.settings.time.day_end(day) in runs.markers(connection, str(day), run, family)


def is_filed(local: Local, run: str, day: dt.date) -> bool:
    """Whether the last version of a day is in HDFS: files are committed by the checkpoint after the marker."""
    with stores.hdfs(local.settings) as files:
        versions, _ = stores.read_sales_files(files, local.settings, str(day), run)
    return local.settings.time.day_end(day) in versions


def is_final(local: Local, run: str, day: dt.date) -> bool:
    """Whether the last minute of a day is final on the dashboard of a run."""
    until = stores.read_final_until(stores.redis(local.settings), local.settings, run)
    return until is not None and until >= local.settings.time.day_end(day)


class Task(NamedTuple):
    """What Flink runs as one: the names of its operators, and what each does."""

    name: str
    description: str


def tasks_of(local: Local, run: str) -> list[Task]:
    """The tasks of a run's job."""
    with stores.hbase(local.settings) as connection:
        found = runs.get(connection, run)
    job = flink_rest.ask(local.settings, found.cluster, f"jobs/{found.flink_job_id}")
    does = {node["id"]: node["description"] for node in job["plan"]["nodes"]}
    return [Task(task["name"], does[task["id"]]) for task in job["vertices"]]


def assert_paced(tasks: list[Task], functions: set[str]) -> None:
    """Hold that each of these functions takes packs, and none in the task of the sort before it.

    It could not end a bundle while the sort gives its rows, and would hold whole days (sql_files.PACED).
    """
    takes = {task: called & functions for task in tasks if (called := set(re.findall(r"(\w+)\(", task.description)))}
    assert set().union(*takes.values()) == functions, tasks
    for task, called in takes.items():
        assert not called or not re.search("Sort|MultipleInput", task.name), (called, task)


def run_all(local: Local, topic: str, first: dt.date, last: dt.date, live: bool = False) -> tuple[str, str, str]:
    """Count days that a log holds to their end; ids of the dashboard, which is published, and both daily reports.

    Streaming is done with the last day. Which mode published a day first, is open. `live`: the streaming jobs go on;
    two of them take a third of a core even when nothing comes (docs/suite.md).
    """
    days = ("--from", str(first), "--to", str(last), "--topic", topic)
    with ThreadPoolExecutor() as beside:
        batch = beside.submit(local.submit, "daily_report", "--mode", "batch", *days)
        dashboard = local.submit("realtime_dashboard", "--topic", topic)
        streaming = local.submit("daily_report", "--topic", topic)
    wait_until(lambda: is_marked(local, streaming, last) and is_filed(local, streaming, last), "the streaming report")
    wait_until(lambda: is_final(local, dashboard, last), "the last final minute")
    local.samewater("publish", dashboard)
    if not live:
        for run in (dashboard, streaming):
            cancel(local, run)
    return dashboard, streaming, batch.result()


def cancel(local: Local, run: str) -> None:
    """End a streaming run as Flink does it, without a savepoint."""
    with stores.hbase(local.settings) as connection:
        flink_rest.cancel(local.settings, "realtime", runs.get(connection, run).flink_job_id)


def changed_code(folder: Path, changes: Changes) -> Path:
    """Copy the code into a folder, with texts replaced: file -> (old, new) pairs, each of which must occur."""
    for part in ("flink_jobs", "udfs", "sql", "conf", "tools"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, pairs in changes.items():
        file = folder / name
        text = file.read_text(encoding="utf-8")
        for old, new in pairs:
            assert old in text, f"{name} no longer holds {old!r}: the test breaks nothing"
            text = text.replace(old, new)
        file.write_text(text, encoding="utf-8")
    return folder
