"""The functions that SQL calls: declared without what only their bodies need, and each with a body."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyflink.table.types import DataTypes, to_arrow_type
from pyflink.table.udf import UserDefinedFunctionWrapper
from pyflink.table.utils import arrow_to_pandas, pandas_to_arrow

from flink_jobs import oracle
from tests.unit.test_core import (
    BY_RULES,
    MINUTE_MS,
    NOON,
    final,
    in_some_order,
    located,
    logs_of_copies,
    places_in_it,
    value,
)
from udfs import PREFIX, bodies, functions
from udfs.judge import Judge
from udfs.rules import Rules


def test_to_declare_the_functions_takes_neither_pandas_nor_a_client_of_a_store():
    code = "import sys, udfs.functions; print({'pandas', 'pyarrow', 'redis', 'happybase'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_each_function_has_a_body():
    declared = {name: made for name, made in vars(functions).items() if isinstance(made, UserDefinedFunctionWrapper)}
    assert len(declared) > 20
    for name, made in declared.items():
        assert issubclass(getattr(bodies, made._func._named), bodies.Body), name
        assert made._deterministic == made._func.is_deterministic(), name


def context(rules: Rules) -> Any:
    """As much of PyFlink's as the functions ask: the parameters of a job."""
    of_run = {"kafka.bootstrap": "one=9092+other=9093", "topic": "orders", "ingest_until": "0"}
    parameters = {**rules.as_parameters(), **of_run, "clock_ahead_ms": "3600000"}
    return SimpleNamespace(get_job_parameter=lambda name, _: parameters[name.removeprefix(PREFIX)])


YEARS = {"1969": -1, "now": NOON, "2286": 10_000_000_000_000, "10000": 253_402_300_800_000}


@pytest.mark.parametrize("came", YEARS.values(), ids=YEARS)
def test_a_record_stands_in_its_minute_whatever_its_ingest_time(came: int):
    """As a worker calls `judge`. Nanoseconds would end in 2262: a record of later would end the job, for ever."""
    judge = bodies.JudgeRecords()
    judge.open(context(BY_RULES))
    kinds = [DataTypes.BYTES(), DataTypes.INT(), DataTypes.BIGINT(), DataTypes.TIMESTAMP(3)]
    columns = ([value(), None], [0, 0], [7, 8], [came + BY_RULES.zone_offset_ms] * 2)
    arrays = [pa.array(column, to_arrow_type(kind)) for column, kind in zip(columns, kinds, strict=True)]
    found = judge.eval(*arrow_to_pandas(None, kinds, [pa.record_batch(arrays, ["", "", "", ""])]))
    returned = functions.judge._result_type
    told = pandas_to_arrow(pa.schema([("", to_arrow_type(returned))]), None, [returned], [found]).column(0)
    minutes = told.field("order_minute").cast(pa.int64()).drop_null().to_pylist()
    assert minutes == [came // MINUTE_MS * MINUTE_MS + BY_RULES.zone_offset_ms]
    assert told.field("pack").null_count == 1


@given(logs_of_copies, st.randoms())
def test_a_record_that_was_left_out_is_judged_by_nobody_and_carries_nothing(log: list[Any], chance: random.Random):
    records = located(log, 1)
    taken = [record for record in records if chance.random() < 0.5]

    def carried(read: list[oracle.Record]) -> list[tuple[Any, ...]]:
        """The packs, each with the offset of the record that carries it."""
        judge = bodies.JudgeRecords()
        judge.open(context(BY_RULES))
        partition, offset, came, payload = (pd.Series(column) for column in zip(*read, strict=True))
        found = judge.eval(payload, partition, offset, (came + BY_RULES.zone_offset_ms).astype("datetime64[ms]"))
        assert told(found) == set(offset[partition != -1])
        packs = found[["order_minute", "share", "pack"]].assign(offset=offset)
        return list(packs[found["pack"].notna()].itertuples(index=False, name=None))

    for no_partition in (-1, -2):
        marked = [(0 if record in taken else no_partition, *record[1:]) for record in records]
        assert carried(marked) == (carried(taken) if taken else [])


def told(judged: pd.DataFrame) -> set[int]:
    """The offsets of partition 0 that are said to have been read."""
    stretches = judged[judged["read_until"] >= 0]
    assert set(stretches["kafka_partition"]) <= {0}
    return {n for row in stretches.itertuples() for n in range(row.read_from, row.read_until)}


class Dashboard:
    """What `arriving` adds up to by minute, with the state that SQL has: the packs of each share that were counted."""

    def __init__(self, rules: Rules) -> None:
        self.rules, self.counted = rules, Counter[int]()
        self.orders = Counter[int]()

    def read(self, records: list[oracle.Record], worker: bodies.ArrivingSales) -> None:
        for partition, offset, came, payload in records:
            place = np.array([partition]), np.array([offset]), np.array([came])
            for _, minute, share, pack in Judge(self.rules)(pa.array([payload], pa.binary()), *place):
                self.counted[share] += 1
                rows = worker.eval(pack, share, self.counted[share])
                self.orders[minute] += sum(orders for province, orders, _ in rows if province == "ALL")


@given(logs_of_copies, places_in_it, places_in_it, st.integers(1, 2), st.randoms())
def test_a_dashboard_that_finds_orders_in_the_log_counts_each_once_over_a_restart(
    log: list[Any], cut: int, read: int, shares: int, chance: random.Random
):
    """Submitted to a log of which nothing has counted, its first worker waits for no copy that stands there.

    `cut`: where the checkpoint is; `read`: what was read beyond it.
    """
    rules = replace(BY_RULES, shares=shares)
    records = located(log, 3)
    arrived = in_some_order(records, chance)
    dashboard = Dashboard(rules)
    with mock.patch.object(bodies, "read_tail", lambda *_: iter(sorted(records))):
        first, second = bodies.ArrivingSales(), bodies.ArrivingSales()
        for worker in (first, second):
            worker.open(context(rules))
        dashboard.read(arrived[:cut], first)
        state = dashboard.counted.copy(), dashboard.orders.copy()
        dashboard.read(arrived[cut : cut + read], first)
        dashboard.counted, dashboard.orders = state
        dashboard.read(in_some_order(arrived[cut:], chance), second)
    assert dashboard.orders == final(records)


def test_the_end_of_the_log_is_read_once_for_a_share_that_goes_on_and_never_for_one_that_begins():
    asked = []

    def tail(*arguments: Any) -> Any:
        asked.append(arguments)
        return iter(())

    worker = bodies.ArrivingSales()
    worker.open(context(BY_RULES))
    ((_, _, _, pack),) = Judge(BY_RULES)(pa.array([value()]), np.array([0]), np.array([0]), np.array([NOON]))
    with mock.patch.object(bodies, "read_tail", tail):
        for share, number in ((0, 1), (0, 2), (1, 2), (1, 3), (2, 1)):
            assert list(worker.eval(pack, share, number))
    assert [arguments[:3] for arguments in asked] == [("one:9092,other:9093", "orders", 2 * 6 * MINUTE_MS)]
    assert asked[0][4] == NOON
    assert asked[0][3] == pytest.approx(time.time() * 1000 + 60 * MINUTE_MS, abs=MINUTE_MS)
