"""Servers of the tests' own. They run beside a demo: other ports, folders and names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from flink_jobs.flink_rest import CLUSTERS, cancel, living_jobs
from flink_jobs.settings import Settings
from flink_jobs.stack import create_instance, settings_file
from flink_jobs.stack.control import down, up
from tests.local import MEASURED, Local, changed_code


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("measured")
    for what, value in MEASURED.items():
        terminalreporter.write_line(f"{value:8.1f}  {what}")


@pytest.fixture(scope="session")
def servers() -> Iterator[Local]:
    """All servers, up for the session; nothing of them is left afterwards."""
    from tests.warm.flink import WarmFlink  # brings PyFlink, for which tests without servers need not wait

    name = f"test-{os.getpid()}"
    # Often, for tests wait for what a checkpoint completes: files in HDFS, a place to go back to.
    often = {"checkpoint_interval_ms": 10_000}
    # No job has load for minutes. To compile for it took a sixth of the tests' processor time.
    little = {cluster: {"second_compiler": False} for cluster in CLUSTERS.values()}
    instance = create_instance(name, often | little)
    try:
        up(instance, print)
        with WarmFlink() as warm:
            yield Local(Settings.load(settings_file(name)), settings_file(name).resolve(), warm.command)
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


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[dict[str, list[tuple[str, str]]]], Path]:
    """Makes a copy of the code in which texts are replaced: `changed_code`."""
    return partial(changed_code, tmp_path)
