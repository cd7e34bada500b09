"""Servers of the tests' own, and the command line against them. Runs beside a demo: other ports, folders and names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs.flink_rest import CLUSTERS, cancel, living_jobs
from flink_jobs.settings import ROOT, Settings
from flink_jobs.stack import create_instance, settings_file
from flink_jobs.stack.control import down, up
from flink_jobs.stack.instance import home

MEASURED: dict[str, float] = {}
"""What tests measured on the way, by what it is; printed at the end, asserted nowhere."""
COMMAND = "from flink_jobs.cli import main; main()"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("measured")
    for what, value in MEASURED.items():
        terminalreporter.write_line(f"{value:8.1f}  {what}")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    """Poll until the condition holds; fail with what was waited for."""
    waiting = Retrying(
        retry=retry_if_result(lambda ok: not ok),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(0.5),
        retry_error_callback=lambda _: pytest.fail(f"not within {seconds:.0f} s: {what}"),
    )
    waiting(condition)


@dataclass(frozen=True)
class Local:
    """The test instance: its settings, and `samewater` as a user calls it."""

    settings: Settings
    conf: Path

    def samewater(self, *arguments: str, code: int | None = 0, root: Path = ROOT, conf: Path | None = None) -> str:
        """Run a command and return what it printed; `code`: the exit code it must have (None: any).

        `root`: a copy of the code to run instead of this one.
        """
        done = self.run(*arguments, code=code, root=root, conf=conf)
        return done.stdout + done.stderr

    def run(
        self, *arguments: str, code: int | None = 0, root: Path = ROOT, conf: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """As `samewater`; returns the ended process."""
        environment = {**os.environ, "PYTHONPATH": str(root), "SAMEWATER_HOME": str(home().resolve())}
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, "--conf", str(conf or self.conf), *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
        output = done.stdout + done.stderr
        assert "Traceback" not in output, output
        assert code is None or done.returncode == code, f"exit code {done.returncode}: {output}"
        return done

    def submit(self, job: str, *arguments: str, root: Path = ROOT) -> str:
        """Submit a job; returns its run id."""
        return self.samewater("submit", job, *arguments, root=root).split()[-1]

    def reconcile(self, *arguments: str, code: int) -> dict[str, Any]:
        """The result of `reconcile --json` by name of check, besides the whole under `all`."""
        result = json.loads(self.run("reconcile", "--json", *arguments, code=code).stdout)
        return {check["name"]: check for check in result["checks"]} | {"all": result}


@pytest.fixture(scope="session")
def servers() -> Iterator[Local]:
    """All servers, up for the session; nothing of them is left afterwards."""
    name = f"test-{os.getpid()}"
    # Often, for tests wait for what a checkpoint completes: files in HDFS, a place to go back to.
    instance = create_instance(name, checkpoint_interval_ms=10_000)
    try:
        up(instance, print)
        yield Local(Settings.load(settings_file(name)), settings_file(name).resolve())
    finally:
        keep = os.environ.get("SAMEWATER_KEEP_LOGS")
        if keep:
            shutil.copytree(instance.folder / "logs", keep, dirs_exist_ok=True)
        down(instance, print, purge=True)


@pytest.fixture(scope="module")
def local(servers: Local) -> Iterator[Local]:
    """The servers for one module, whose jobs end with it, however it ended: the next one needs their slots."""
    yield servers
    for cluster in CLUSTERS.values():
        for job in living_jobs(servers.settings, cluster):
            cancel(servers.settings, cluster, job["jid"])


def changed_code(folder: Path, changes: dict[str, list[tuple[str, str]]]) -> Path:
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


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[dict[str, list[tuple[str, str]]]], Path]:
    """Makes a copy of the code in which texts are replaced: `changed_code`."""
    return partial(changed_code, tmp_path)
