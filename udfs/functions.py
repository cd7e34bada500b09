"""The functions by the names that SQL calls them: thin wrappers. Sinks take a batch of rows (pandas Series) a call.

Job parameters (`pipeline.global-job-parameters`) say where the stores are; `samewater.` before each name below. Every
sink returns one BIGINT per row. They are not deterministic to the planner, which must not call them twice or not at
all.

put_daily_sales(version BIGINT ms, province STRING, city STRING, orders BIGINT, amount DECIMAL yuan, users BIGINT) -> 1
put_verdict_counts(version BIGINT ms, partition INT, verdict STRING, records, offset_min, offset_max, offset_sum) -> 0
put_conflicting(version BIGINT ms, order_ids BIGINT) -> 0
put_marker(version BIGINT ms, rows BIGINT, orders BIGINT, amount DECIMAL yuan) -> 1
put_provisional_minute, put_final_minute(minute BIGINT ms, province STRING, orders BIGINT, cents BIGINT) -> 1
put_progress(final_until BIGINT ms, written BIGINT) -> 1
put_full_report(version BIGINT ms, province STRING, city STRING, cells STRING: a JSON object of texts) -> 1

scan_daily_sales(bucket INT, day STRING, run STRING, family STRING, version BIGINT ms)
  -> table of province STRING, city STRING, orders BIGINT, amount STRING yuan, users BIGINT
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pandas as pd
from pyflink.table import DataTypes, FunctionContext, ScalarFunction, TableEnvironment, TableFunction
from pyflink.table.udf import UserDefinedFunctionWrapper, udf, udtf

from udfs import PREFIX, hbase_scan
from udfs.hbase_client import HBaseClient
from udfs.hbase_sink import HBaseSink, HBaseTarget
from udfs.redis_sink import RedisSink, RedisTarget


def _parameter(context: FunctionContext, name: str) -> str:
    value = context.get_job_parameter(PREFIX + name, None)
    if value is None:
        raise ValueError(f"job parameter {PREFIX}{name} is not set; add it to pipeline.global-job-parameters")
    return str(value)


def _column(values: pd.Series | str, like: pd.Series) -> pd.Series:
    """What is the same for all rows (the planner finds out: 'ALL' of the upper levels) does not come as a Series."""
    return pd.Series(values, index=like.index) if isinstance(values, str) else values


class _HBaseFunction(ScalarFunction):  # type: ignore[misc]
    def open(self, function_context: FunctionContext) -> None:
        self.sink = HBaseSink(
            HBaseTarget(
                host=_parameter(function_context, "hbase.host"),
                port=int(_parameter(function_context, "hbase.port")),
                prefix=_parameter(function_context, "hbase.prefix"),
                buckets=int(_parameter(function_context, "buckets")),
                run_id=_parameter(function_context, "run_id"),
                mode=_parameter(function_context, "mode"),
                zone_offset_ms=int(_parameter(function_context, "zone_offset_ms")),
                provisional=_parameter(function_context, "provisional") == "yes",
            )
        )

    def close(self) -> None:
        self.sink.close()

    def is_deterministic(self) -> bool:
        return False


class PutDailySales(_HBaseFunction):
    def eval(
        self,
        version: pd.Series,
        province: pd.Series | str,
        city: pd.Series | str,
        orders: pd.Series,
        amount: pd.Series,
        users: pd.Series,
    ) -> pd.Series:
        self.sink.put_daily_sales(version, _column(province, version), _column(city, version), orders, amount, users)
        return pd.Series(1, index=version.index, dtype="int64")


class PutVerdictCounts(_HBaseFunction):
    def eval(
        self,
        version: pd.Series,
        partition: pd.Series,
        verdict: pd.Series | str,
        records: pd.Series,
        offset_min: pd.Series,
        offset_max: pd.Series,
        offset_sum: pd.Series,
    ) -> pd.Series:
        figures = {"records": records, "offset_min": offset_min, "offset_max": offset_max, "offset_sum": offset_sum}
        self.sink.put_verdict_counts(version, partition, _column(verdict, version), figures)
        return pd.Series(0, index=version.index, dtype="int64")


class PutConflicting(_HBaseFunction):
    def eval(self, version: pd.Series, order_ids: pd.Series) -> pd.Series:
        self.sink.put_conflicting(version, order_ids)
        return pd.Series(0, index=version.index, dtype="int64")


class PutMarker(_HBaseFunction):
    def eval(self, version: pd.Series, rows: pd.Series, orders: pd.Series, amount: pd.Series) -> pd.Series:
        self.sink.put_markers((int(v), *rest) for v, *rest in zip(version, rows, orders, amount, strict=True))
        return pd.Series(1, index=version.index, dtype="int64")


class PutFullReport(_HBaseFunction):
    def eval(self, version: pd.Series | int, province: pd.Series, city: pd.Series | str, cells: pd.Series) -> pd.Series:
        versions = pd.Series(version, index=cells.index)
        self.sink.put_full_report(versions, _column(province, cells), _column(city, cells), cells)
        return pd.Series(1, index=cells.index, dtype="int64")


class ScanDailySales(TableFunction):  # type: ignore[misc]
    def open(self, function_context: FunctionContext) -> None:
        self.client = HBaseClient(
            _parameter(function_context, "hbase.host"),
            int(_parameter(function_context, "hbase.port")),
            _parameter(function_context, "hbase.prefix"),
        )

    def close(self) -> None:
        self.client.close()

    def eval(
        self, bucket: int, day: str, run_id: str, family: str, version: int
    ) -> Iterator[tuple[str, str, int, str, int]]:
        yield from hbase_scan.scan_daily_sales(self.client, bucket, day, run_id, family, version)


class _RedisFunction(ScalarFunction):  # type: ignore[misc]
    def open(self, function_context: FunctionContext) -> None:
        self.sink = RedisSink(
            RedisTarget(
                host=_parameter(function_context, "redis.host"),
                port=int(_parameter(function_context, "redis.port")),
                db=int(_parameter(function_context, "redis.db")),
                prefix=_parameter(function_context, "redis.prefix"),
                run_id=_parameter(function_context, "run_id"),
                zone_offset_ms=int(_parameter(function_context, "zone_offset_ms")),
            ),
            changes_kept=int(_parameter(function_context, "redis.changes_kept")),
        )

    def is_deterministic(self) -> bool:
        return False


class PutMinute(_RedisFunction):
    """`final` is no argument of SQL: it is the same for all rows."""

    def __init__(self, final: bool) -> None:
        self.final = final

    def eval(self, minute: pd.Series, province: pd.Series, orders: pd.Series, cents: pd.Series) -> pd.Series:
        self.sink.put_minutes(self.final, minute, province, orders, cents)
        return pd.Series(1, index=minute.index, dtype="int64")


class PutProgress(_RedisFunction):
    def eval(self, final_until: pd.Series, written: pd.Series) -> pd.Series:
        self.sink.put_progress(int(final_until.max()))
        return pd.Series(1, index=final_until.index, dtype="int64")


def _sink(function: ScalarFunction) -> UserDefinedFunctionWrapper:
    return udf(function, result_type=DataTypes.BIGINT(), deterministic=False, func_type="pandas")


# Of this module by the same names, for the SQL client: CREATE FUNCTION put_marker AS 'udfs.functions.put_marker'.
put_daily_sales = _sink(PutDailySales())
put_verdict_counts = _sink(PutVerdictCounts())
put_conflicting = _sink(PutConflicting())
put_marker = _sink(PutMarker())
put_provisional_minute = _sink(PutMinute(final=False))
put_final_minute = _sink(PutMinute(final=True))
put_progress = _sink(PutProgress())
put_full_report = _sink(PutFullReport())
scan_daily_sales = udtf(
    ScanDailySales(),
    result_types=[
        DataTypes.STRING(),
        DataTypes.STRING(),
        DataTypes.BIGINT(),
        DataTypes.STRING(),
        DataTypes.BIGINT(),
    ],
)


def register(tables: TableEnvironment, names: Iterable[str]) -> None:
    """Make functions known to a table environment under their SQL names."""
    for name in names:
        tables.create_temporary_function(name, globals()[name])
