"""A Kafka of the tests' own; Flink runs in the process of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from flink_jobs.settings import Settings
from flink_jobs.stack import create_instance, flink_env, settings_file
from flink_jobs.stack.control import down, up
from flink_jobs.stack.servers import NAMES


@pytest.fixture(scope="session")
def kafka() -> Iterator[Settings]:
    """The settings of an instance of which Kafka alone is up; nothing of it is left afterwards."""
    name = f"sql-{os.getpid()}"
    instance = create_instance(name)
    try:
        up(instance, print, without=[server for server in NAMES if server != "kafka"])
        settings = Settings.load(settings_file(name))
        with pytest.MonkeyPatch.context() as patch:
            # Where PyFlink's JVM finds connectors. The batch cluster's: it needs no ZooKeeper.
            for variable, value in flink_env(settings, "batch").items():
                patch.setenv(variable, value)
            patch.setenv("JVM_ARGS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx2g")
            yield settings
    finally:
        down(instance, print, purge=True)
