"""Which functions can SQL call, by which names, and of what types? What they do is in bodies.py.

Job parameters (`pipeline.global-job-parameters`) say where the stores are and what the rules are (udfs/rules.py);
`samewater.` before each name.

Orders. A pack is a BYTES value with many records (udfs/packs.py). Of one row with several packs out, SQL wants a table
function: a scalar function with a ROW would be called once for each branch of the plan.

judge(payload BYTES, kafka_partition INT, kafka_offset BIGINT, ingest_time TIMESTAMP(3))
  -> ROW<order_minute TIMESTAMP(3), share INT, pack BYTES, kafka_partition INT, read_from BIGINT, read_until BIGINT,
  last_ingest BIGINT ms>, a batch of rows a call; pack is NULL in all rows that carry none, read_until -1 in all that
  carry no stretch.
  A record of a partition below 0 is none: it was left out (udfs/bodies.py), or its ingest time cannot be right and is
  given as one before 2000. Never a WHERE before it: the planner puts
  that behind.
settle(packs ARRAY<BYTES>) -> table of kind STRING and the columns of SETTLED_COLUMNS: `accepted` rows (pack, its number
  as key_share), one `keys` row (pack), `count` rows, `rejected` rows, `late` rows (key_minute, key_share, pack)
tell_copies(late ARRAY<BYTES>, keys ARRAY<BYTES>) -> the same columns: `count` and `rejected` rows
minute_sales(packs ARRAY<BYTES>), arrivals(pack BYTES, share INT, number BIGINT: of the packs of the share)
  -> table of province STRING, orders BIGINT, cents BIGINT
hour_parts(accepted ARRAY<BYTES>) -> table of share INT, sales BYTES, ids BYTES
place_sales(sales ARRAY<BYTES>) -> table of province STRING, city STRING, orders BIGINT, cents BIGINT, users BIGINT
conflicting_ids(ids ARRAY<BYTES>) -> BIGINT
counted_sales(accepted ARRAY<BYTES>) -> as minute_sales, of orders that count
rows_of(packs ARRAY<BYTES>) -> as settle: one `row` per record but the late ones, with its verdict; for people who ask
late_candidates(late BYTES), supply_candidates(pack BYTES), admit(accepted ARRAY<BYTES>, candidates ARRAY<BYTES>)
  -> as settle, with `candidates` rows (key_minute, key_share, pack) and `log` or `supply` rows: what became of a record

Sinks take a batch of rows (pandas Series) a call and return one BIGINT per row. They are not deterministic to the
planner, which must not call them twice or not at all.

put_daily_sales(version BIGINT ms, province STRING, city STRING, orders BIGINT, amount DECIMAL yuan, users BIGINT) -> 1
put_verdict_counts(version BIGINT ms, partition INT, verdict STRING, records, offset_min, offset_max, offset_sum) -> 0
put_conflicting(version BIGINT ms, order_ids BIGINT) -> 0
put_offsets_read(version BIGINT ms, partition INT, read_until BIGINT) -> 0
put_gaps(at BIGINT ms, since BIGINT ms or 0, partition INT, expected BIGINT or -1, read_from BIGINT) -> 0
put_behind(at BIGINT ms, pack BYTES) -> 0
put_clock(partition INT, records, offset_min, offset_max, offset_sum, ingest_min, ingest_max: BIGINT) -> 0
put_marker(version BIGINT ms, rows BIGINT, orders BIGINT, amount DECIMAL yuan) -> 1
put_provisional_minute, put_final_minute(minute BIGINT ms, province STRING, orders BIGINT, cents BIGINT) -> 1
put_progress(final_until BIGINT ms, written BIGINT) -> 1
put_full_report(version BIGINT ms, province STRING, city STRING, cells STRING: a JSON object of texts) -> 1

scan_daily_sales(bucket INT, day STRING, run STRING, family STRING, version BIGINT ms)
  -> table of province STRING, city STRING, orders BIGINT, amount STRING yuan, users BIGINT
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyflink.table import DataTypes, FunctionContext, ScalarFunction, TableEnvironment, TableFunction
from pyflink.table.udf import UserDefinedFunctionWrapper, udf, udtf


class _Declared:
    """A function whose body is a class of udfs/bodies.py, made and opened in the worker that calls it."""

    def __init__(self, body: str, deterministic: bool = True, **given: Any) -> None:
        self._named, self._deterministic, self._given = body, deterministic, given

    def open(self, function_context: FunctionContext) -> None:
        from udfs import bodies  # not above: udfs/bodies.py says why

        self._body = getattr(bodies, self._named)(**self._given)
        self._body.open(function_context)

    def close(self) -> None:
        self._body.close()

    def is_deterministic(self) -> bool:
        return self._deterministic

    def eval(self, *arguments: Any) -> Any:
        return self._body.eval(*arguments)


class _Scalar(_Declared, ScalarFunction):  # type: ignore[misc]
    pass


class _Table(_Declared, TableFunction):  # type: ignore[misc]
    pass


SETTLED_COLUMNS = {
    "kind": DataTypes.STRING(),
    "pack": DataTypes.BYTES(),
    "key_minute": DataTypes.TIMESTAMP(3),
    "key_share": DataTypes.INT(),
    "verdict": DataTypes.STRING(),
    "kafka_partition": DataTypes.INT(),
    "records": DataTypes.BIGINT(),
    "offset_min": DataTypes.BIGINT(),
    "offset_max": DataTypes.BIGINT(),
    "offset_sum": DataTypes.BIGINT(),
    "reason": DataTypes.STRING(),
    "kafka_offset": DataTypes.BIGINT(),
    "ingest_time": DataTypes.BIGINT(),
    "order_id": DataTypes.STRING(),
    "order_time": DataTypes.BIGINT(),
    "user_id": DataTypes.STRING(),
    "province": DataTypes.STRING(),
    "city": DataTypes.STRING(),
    "amount": DataTypes.STRING(),
    "payload": DataTypes.BYTES(),
}
"""The columns of `settle` and its kin; which are filled follows from `kind`. Times of records: epoch ms."""


def _sink(body: str, **given: Any) -> UserDefinedFunctionWrapper:
    function = _Scalar(body, deterministic=False, **given)
    return udf(function, result_type=DataTypes.BIGINT(), deterministic=False, func_type="pandas")


def _table(body: str, *types: Any, deterministic: bool = True) -> UserDefinedFunctionWrapper:
    return udtf(_Table(body, deterministic), result_types=list(types), deterministic=deterministic)


_SETTLED, _FIGURES = tuple(SETTLED_COLUMNS.values()), (DataTypes.STRING(), DataTypes.BIGINT(), DataTypes.BIGINT())
_JUDGED = {
    "order_minute": DataTypes.TIMESTAMP(3),
    "share": DataTypes.INT(),
    "pack": DataTypes.BYTES(),
    "kafka_partition": DataTypes.INT(),
    "read_from": DataTypes.BIGINT(),
    "read_until": DataTypes.BIGINT(),
    "last_ingest": DataTypes.BIGINT(),
}

# Of this module by the same names, for the SQL client: CREATE FUNCTION put_marker AS 'udfs.functions.put_marker'.
judge = udf(
    _Scalar("JudgeRecords"),
    result_type=DataTypes.ROW([DataTypes.FIELD(name, kind) for name, kind in _JUDGED.items()]),
    func_type="pandas",
)
settle = _table("Settle", *_SETTLED)
tell_copies = _table("TellCopies", *_SETTLED)
minute_sales = _table("MinuteSales", *_FIGURES)
arrivals = _table("ArrivingSales", *_FIGURES, deterministic=False)
hour_parts = _table("HourParts", DataTypes.INT(), DataTypes.BYTES(), DataTypes.BYTES())
place_sales = _table("PlaceSales", DataTypes.STRING(), *_FIGURES, DataTypes.BIGINT())
conflicting_ids = udf(_Scalar("ConflictingIds"), result_type=DataTypes.BIGINT())
counted_sales = _table("CountedSales", *_FIGURES)
rows_of = _table("RowsOf", *_SETTLED)
late_candidates = _table("LateCandidates", *_SETTLED)
supply_candidates = _table("SupplyCandidates", *_SETTLED)
admit = _table("Admit", *_SETTLED)
put_daily_sales = _sink("PutDailySales")
put_verdict_counts = _sink("PutVerdictCounts")
put_conflicting = _sink("PutConflicting")
put_offsets_read = _sink("PutOffsetsRead")
put_gaps = _sink("PutGaps")
put_behind = _sink("PutBehind")
put_clock = _sink("PutClock")
put_marker = _sink("PutMarker")
put_provisional_minute = _sink("PutMinute", final=False)
put_final_minute = _sink("PutMinute", final=True)
put_progress = _sink("PutProgress")
put_full_report = _sink("PutFullReport")
scan_daily_sales = _table(
    "ScanDailySales",
    DataTypes.STRING(),
    DataTypes.STRING(),
    DataTypes.BIGINT(),
    DataTypes.STRING(),
    DataTypes.BIGINT(),
)


def register(tables: TableEnvironment, names: Iterable[str]) -> None:
    """Make functions known to a table environment under their SQL names."""
    for name in names:
        tables.create_temporary_function(name, globals()[name])
