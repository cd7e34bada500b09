"""A Kafka of the tests' own; Flink runs in the process of the tests."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator

import pytest

from flink_jobs import datagen, oracle, order_log
from flink_jobs.log_reader import open_log
from flink_jobs.settings import Settings
from flink_jobs.stack import create_instance, flink_env, settings_file
from flink_jobs.stack.control import down, up
from flink_jobs.stack.servers import NAMES
from flink_jobs.truth import rules_of
from tests.soak.expected import Truth, expect

FIRST, SECOND = dt.date(2025, 11, 11), dt.date(2025, 11, 12)
TOPIC = "orders"
ORDERS = 800


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


@pytest.fixture(scope="session")
def truth(kafka: Settings) -> Truth:
    """What the oracle says of the first of two days that are in the log, by the hour."""
    plan = datagen.Plan(datagen.Spec.by(kafka, seed=20251111, first=FIRST, last=SECOND, orders=ORDERS))
    order_log.create_topic(kafka, TOPIC, kafka.kafka.partitions)
    order_log.produce(kafka, TOPIC, plan.records())
    rules = rules_of(kafka)
    with open_log(kafka, TOPIC) as log:
        return expect(oracle.classify(log.records(log.reach()), rules), rules, str(FIRST), str(FIRST))[str(FIRST)]
