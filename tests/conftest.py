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
from flink_jobs.stack import create_instance, settings_file, to_toml
from flink_jobs.stack.control import down, up
from tests.local import MEASURED, Local, changed_code


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if MEASURED:
        terminalreporter.section("measured")
    for what, value in MEASURED.items():
        terminalreporter.write_line(f"{value:8.1f}  {what}")


@pytest.fixture(scope="session")
def parallelism() -> int:
    """Of a job, unless a test says another."""
    return 2


@pytest.fixture(scope="session")
def servers(parallelism: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """All servers, up for the session; nothing of them is left afterwards."""
    from tests.warm.flink import WarmFlink  # brings PyFlink, for which tests without servers need not wait

    name = f"test-{os.getpid()}"
    # Often, for tests wait for what a checkpoint completes: files in HDFS, a place to go back to.
    often = {"checkpoint_interval_ms": 5_000}
    # No job has load for minutes. To compile for it took a sixth of the tests' processor time.
    little = {"second_compiler": False, "parallelism": parallelism}
    instance = create_instance(name, often | dict.fromkeys(CLUSTERS.values(), little))
    try:
        up(instance, print)
        settings = Settings.load(settings_file(name))
        wide = tmp_path_factory.mktemp("settings") / "wide.toml"
        values = settings.model_dump(mode="json")
        values["flink"]["batch"]["parallelism"] = 2
        wide.write_text(to_toml(values), encoding="utf-8")
        with WarmFlink() as warm:
            yield Local(settings, settings_file(name).resolve(), wide, warm.command)
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
