"""What do the functions of functions.py do, once a worker calls them?

One class a function: `open` reads the job's parameters (where the stores are, what the rules are), `eval` turns SQL's
values into those of the pure functions, and back. Reads and writes what these do. A module apart, for it imports
pandas, Arrow and the stores' clients (0.7 s), and whoever only declares the functions does without them: `flink run`,
and the SQL client, which starts a Python process for each statement that names one.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyflink.table import FunctionContext

from udfs import PREFIX, hbase_scan, tallies
from udfs import admit as admission
from udfs import settle as settling
from udfs.arrivals import Arrivals, first_ingest
from udfs.hbase_client import HBaseClient
from udfs.hbase_sink import HBaseSink, HBaseTarget
from udfs.judge import Judge
from udfs.log_check import LogCheck
from udfs.log_tail import read_tail
from udfs.redis_sink import RedisSink, RedisTarget
from udfs.rules import Rules
from udfs.stretches import stretches_of
from udfs.strict_json import EARLIEST_ORDER_TIME

ASKED_EACH_S = 10.0
"""So often at most a dashboard asks Kafka whether its topic is still the one that it began to read."""


def _parameter(context: FunctionContext, name: str) -> str:
    value = context.get_job_parameter(PREFIX + name, None)
    if value is None:
        raise ValueError(f"job parameter {PREFIX}{name} is not set; add it to pipeline.global-job-parameters")
    return str(value)


def _column(values: pd.Series | str, like: pd.Series) -> pd.Series:
    """What is the same for all rows (the planner finds out: 'ALL' of the upper levels) does not come as a Series."""
    return pd.Series(values, index=like.index) if isinstance(values, str) else values


def _rules(context: FunctionContext) -> Rules:
    pa.set_cpu_count(1)  # a worker has one slot's work; threads of Arrow would wait for each other
    return Rules.from_parameters(partial(_parameter, context))


def _bootstrap(context: FunctionContext) -> str:
    # Job parameters hold no colon and no comma: flink_jobs/job.py.
    return _parameter(context, "kafka.bootstrap").replace("=", ":").replace("+", ",")


def _offsets(context: FunctionContext, name: str) -> dict[int, int]:
    pairs = (pair.split("=") for pair in _parameter(context, name).split("+") if pair != "-")
    return {int(partition): int(offset) for partition, offset in pairs}


def _packs(values: Sequence[bytes | None] | None) -> list[bytes]:
    return [bytes(value) for value in values or () if value is not None]


class Body:
    """What SQL calls: `open` once in a worker, `eval` with SQL's values, `close` at the worker's end."""

    def open(self, function_context: FunctionContext) -> None:
        pass

    def close(self) -> None:
        pass


# ---------------------------------------------------------------- orders


class JudgeRecords(Body):
    def open(self, function_context: FunctionContext) -> None:
        rules = _rules(function_context)
        self.judge, self.zone_ms = Judge(rules), rules.zone_offset_ms
        self.reached: dict[int, int] = {}  # partition -> the last ingest time that was right

    def eval(self, payload: pd.Series, partition: pd.Series, offset: pd.Series, ingest: pd.Series) -> pd.DataFrame:
        """A record that was left out has the partition -2 less its own, or -1 if it was not to be read at all."""
        values = pa.array(payload, pa.binary(), from_pandas=True)
        parts = partition.to_numpy()
        places = offset.to_numpy(), ingest.to_numpy().astype("datetime64[ms]").astype(np.int64) - self.zone_ms
        minutes = np.full(len(values), np.datetime64("NaT"), "datetime64[ms]")
        shares = np.zeros(len(values), np.int32)
        packs = np.full(len(values), None, object)
        taken = np.flatnonzero(parts >= 0)
        judged = values if len(taken) == len(values) else values.take(pa.array(taken))
        for number, minute, share, pack in self.judge(judged, parts[taken], *(column[taken] for column in places)):
            row = taken[number]
            minutes[row], shares[row], packs[row] = np.datetime64(minute + self.zone_ms, "ms"), share, pack
        # Numbers, not NULLs, where there is no stretch: pandas has no cheap integers with NULLs.
        of = np.full(len(values), -1, np.int32)
        starts, ends, lasts = (np.full(len(values), -1, np.int64) for _ in range(3))
        read = np.flatnonzero(parts != -1)
        own = np.where(parts < 0, -2 - parts, parts)[read]
        for number, part, start, end, last in stretches_of(own, *(column[read] for column in places)):
            row = read[number]
            if last >= EARLIEST_ORDER_TIME:
                self.reached[part] = last
            # Of wrong clocks and nothing else: that of what came before.
            of[row], starts[row], ends[row], lasts[row] = part, start, end, self.reached.get(part, last)
        return pd.DataFrame(
            {"order_minute": minutes, "share": shares, "pack": packs}
            | {"kafka_partition": of, "read_from": starts, "read_until": ends, "last_ingest": lasts}
        )


_Row = tuple[Any, ...]
_EPOCH = dt.datetime(1970, 1, 1)


class _PackFunction(Body):
    def open(self, function_context: FunctionContext) -> None:
        self.rules = _rules(function_context)

    def pack_row(self, kind: str, pack: bytes, minute: int | None = None, share: int | None = None) -> _Row:
        at = None if minute is None else _EPOCH + dt.timedelta(milliseconds=minute + self.rules.zone_offset_ms)
        return (kind, pack, at, share, *(None,) * 16)

    @staticmethod
    def count_rows(counts: Iterable[settling.Count]) -> Iterator[_Row]:
        for partition, verdict, *figures in counts:
            yield ("count", None, None, None, verdict, partition, *figures, *(None,) * 10)

    @staticmethod
    def record_rows(kind: str, records: Iterable[settling.Record]) -> Iterator[_Row]:
        for verdict, reason, partition, *rest in records:
            yield (kind, None, None, None, verdict, partition, None, None, None, None, reason, *rest)


class Settle(_PackFunction):
    def eval(self, packs: Sequence[bytes]) -> Iterator[_Row]:
        found = settling.settle(_packs(packs), self.rules)
        for piece, pack in enumerate(found.accepted):
            yield self.pack_row("accepted", pack, share=piece)
        if found.keys is not None:
            yield self.pack_row("keys", found.keys)
        yield from self.count_rows(found.counts)
        yield from self.record_rows("rejected", found.rejected)
        for minute, share, pack in found.late:
            yield self.pack_row("late", pack, minute, share)


class TellCopies(_PackFunction):
    def eval(self, late: Sequence[bytes], keys: Sequence[bytes | None]) -> Iterator[_Row]:
        counts, rejected = settling.tell_copies(_packs(late), _packs(keys), self.rules)
        yield from self.count_rows(counts)
        yield from self.record_rows("rejected", rejected)


class MinuteSales(_PackFunction):
    def eval(self, packs: Sequence[bytes]) -> Iterator[_Row]:
        yield from settling.minute_sales(_packs(packs), self.rules)


class ArrivingSales(_PackFunction):
    def open(self, function_context: FunctionContext) -> None:
        super().open(function_context)
        self.arrivals = Arrivals(self.rules)
        self.bootstrap = _bootstrap(function_context)
        self.topic = _parameter(function_context, "topic")
        self.ingest_until = int(_parameter(function_context, "ingest_until"))
        self.clock_ahead_ms = int(_parameter(function_context, "clock_ahead_ms"))
        self.begun: set[int] = set()

    def eval(self, pack: bytes, share: int, number: int) -> Iterator[_Row]:
        """`number`: of the packs of the share, counted by SQL's state. With the first nothing has counted before."""
        pack = bytes(pack)
        if share not in self.begun:
            at_ms = first_ingest(pack)
            if number > 1 and at_ms is not None:
                self._remember(share, at_ms)
            if number == 1 or at_ms is not None:
                self.begun.add(share)
        yield from self.arrivals(pack)

    def _remember(self, share: int, at_ms: int) -> None:
        """`at_ms`: where it goes on, ingest time (epoch ms)."""
        judge = Judge(self.rules)
        span_ms = 2 * (self.rules.lateness_ms + self.rules.future_ms)
        until = self.ingest_until or int(time.time() * 1000) + self.clock_ahead_ms
        tail = read_tail(self.bootstrap, self.topic, span_ms, until, at_ms)
        while records := list(islice(tail, 10_000)):
            partition, offset, ingest, values = zip(*records, strict=True)
            places = (np.array(partition, np.int32), np.array(offset, np.int64), np.array(ingest, np.int64))
            for _, _, of, pack in judge(pa.array(values, pa.binary()), *places):
                if of == share:
                    self.arrivals.remember(pack)


class HourParts(_PackFunction):
    def eval(self, accepted: Sequence[bytes]) -> Iterator[_Row]:
        yield from tallies.hour_parts(_packs(accepted))


class PlaceSales(_PackFunction):
    def eval(self, sales: Sequence[bytes]) -> Iterator[_Row]:
        yield from tallies.place_sales(_packs(sales), self.rules)


class CountedSales(_PackFunction):
    def eval(self, accepted: Sequence[bytes]) -> Iterator[_Row]:
        yield from settling.counted_sales(_packs(accepted), self.rules)


class RowsOf(_PackFunction):
    def eval(self, packs: Sequence[bytes]) -> Iterator[_Row]:
        yield from self.record_rows("row", settling.rows_of(_packs(packs), self.rules))


class LateCandidates(_PackFunction):
    def eval(self, late: bytes) -> Iterator[_Row]:
        for minute, share, pack in admission.of_log(bytes(late), self.rules):
            yield self.pack_row("candidates", pack, minute, share)


class SupplyCandidates(_PackFunction):
    def eval(self, pack: bytes) -> Iterator[_Row]:
        candidates, rest = admission.of_supply(bytes(pack), self.rules)
        for minute, share, found in candidates:
            yield self.pack_row("candidates", found, minute, share)
        yield from self.record_rows("supply", rest)


class Admit(_PackFunction):
    def eval(self, accepted: Sequence[bytes], candidates: Sequence[bytes]) -> Iterator[_Row]:
        found = admission.admit(_packs(accepted), _packs(candidates), self.rules)
        if found.accepted is not None:
            yield self.pack_row("accepted", found.accepted)
        yield from self.count_rows(found.counts)
        for origin, record in found.kept:
            yield from self.record_rows(origin, [record])


class ConflictingIds(Body):
    def eval(self, ids: Sequence[bytes]) -> int:
        return tallies.conflicting_ids(_packs(ids))


# ---------------------------------------------------------------- stores


class _HBaseFunction(Body):
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
                start_offsets=_offsets(function_context, "start_offsets"),
                end_offsets=_offsets(function_context, "end_offsets"),
                topic_id=_parameter(function_context, "topic_id").strip("-"),
                clock_skew_ms=int(_parameter(function_context, "clock_skew_ms")),
            ),
            LogCheck(_bootstrap(function_context), _parameter(function_context, "topic")),
            LogCheck(_bootstrap(function_context), _parameter(function_context, "supply_topic")),
        )

    def close(self) -> None:
        self.sink.close()


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


class PutOffsetsRead(_HBaseFunction):
    def eval(self, version: pd.Series, partition: pd.Series, until: pd.Series) -> pd.Series:
        self.sink.put_offsets_read(version, partition, until)
        return pd.Series(0, index=version.index, dtype="int64")


class PutGaps(_HBaseFunction):
    def eval(
        self, at: pd.Series, since: pd.Series, partition: pd.Series, expected: pd.Series, came: pd.Series
    ) -> pd.Series:
        self.sink.put_gaps(at, since, partition, expected, came)
        return pd.Series(0, index=at.index, dtype="int64")


class PutBehind(_HBaseFunction):
    def eval(self, at: pd.Series, packs_: pd.Series) -> pd.Series:
        self.sink.put_behind(at, packs_)
        return pd.Series(0, index=at.index, dtype="int64")


class PutClock(_HBaseFunction):
    def eval(self, partition: pd.Series, records: pd.Series, *figures: pd.Series) -> pd.Series:
        self.sink.put_clock(partition, records, *figures)
        return pd.Series(0, index=records.index, dtype="int64")


class PutFullReport(_HBaseFunction):
    def eval(self, version: pd.Series | int, province: pd.Series, city: pd.Series | str, cells: pd.Series) -> pd.Series:
        versions = pd.Series(version, index=cells.index)
        self.sink.put_full_report(versions, _column(province, cells), _column(city, cells), cells)
        return pd.Series(1, index=cells.index, dtype="int64")


class ScanDailySales(Body):
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


class _RedisFunction(Body):
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


class PutMinute(_RedisFunction):
    """`final` is no argument of SQL: it is the same for all rows."""

    def __init__(self, final: bool) -> None:
        self.final = final

    def eval(self, minute: pd.Series, province: pd.Series, orders: pd.Series, cents: pd.Series) -> pd.Series:
        self.sink.put_minutes(self.final, minute, province, orders, cents)
        return pd.Series(1, index=minute.index, dtype="int64")


class PutProgress(_RedisFunction):
    """Also asks now and then whether the log is still the one that the dashboard began to read."""

    def open(self, function_context: FunctionContext) -> None:
        super().open(function_context)
        self.log = LogCheck(_bootstrap(function_context), _parameter(function_context, "topic"))
        self.topic_id = _parameter(function_context, "topic_id")
        self.run_id = _parameter(function_context, "run_id")
        self.asked_at = -math.inf

    def eval(self, final_until: pd.Series, written: pd.Series) -> pd.Series:
        if self.topic_id != "-" and time.monotonic() > self.asked_at + ASKED_EACH_S:
            self.log.refuse_another(self.topic_id, self.run_id)
            self.asked_at = time.monotonic()
        self.sink.put_progress(int(final_until.max()))
        return pd.Series(1, index=final_until.index, dtype="int64")
