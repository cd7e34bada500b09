"""The functions that SQL calls: declared without what only their bodies need, and each with a body."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pyarrow as pa
import pytest
from pyflink.table.types import DataTypes, to_arrow_type
from pyflink.table.udf import UserDefinedFunctionWrapper
from pyflink.table.utils import arrow_to_pandas, pandas_to_arrow

from tests.unit.test_core import BY_RULES, MINUTE_MS, NOON, value
from udfs import PREFIX, bodies, functions


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


YEARS = {"1969": -1, "now": NOON, "2286": 10_000_000_000_000, "10000": 253_402_300_800_000}


@pytest.mark.parametrize("came", YEARS.values(), ids=YEARS)
def test_a_record_stands_in_its_minute_whatever_its_ingest_time(came: int):
    """As a worker calls `judge`. Nanoseconds would end in 2262: a record of later would end the job, for ever."""
    parameters = BY_RULES.as_parameters()
    judge = bodies.JudgeRecords()
    judge.open(SimpleNamespace(get_job_parameter=lambda name, _: parameters[name.removeprefix(PREFIX)]))
    kinds = [DataTypes.BYTES(), DataTypes.INT(), DataTypes.BIGINT(), DataTypes.TIMESTAMP(3)]
    columns = ([value(), None], [0, 0], [7, 8], [came + BY_RULES.zone_offset_ms] * 2)
    arrays = [pa.array(column, to_arrow_type(kind)) for column, kind in zip(columns, kinds, strict=True)]
    found = judge.eval(*arrow_to_pandas(None, kinds, [pa.record_batch(arrays, ["", "", "", ""])]))
    returned = functions.judge._result_type
    told = pandas_to_arrow(pa.schema([("", to_arrow_type(returned))]), None, [returned], [found]).column(0)
    minutes = told.field("order_minute").cast(pa.int64()).drop_null().to_pylist()
    assert minutes == [came // MINUTE_MS * MINUTE_MS + BY_RULES.zone_offset_ms]
    assert told.field("pack").null_count == 1
