"""What did the generator intend with each record, and what does that come to?

The ledger of truth: one row per record of a generated log (`LEDGER_SCHEMA`), in append order, stated without calling
any parser. Writes it as Parquet with a JSON summary beside it. Times are epoch ms, money is cents.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flink_jobs.dirty_orders import DAY_MS
from flink_jobs.errors import UserError
from flink_jobs.order_draw import EPOCH
from flink_jobs.order_format import amount_text
from flink_jobs.settings import Time

LEDGER_SCHEMA = pa.schema(
    [
        ("partition", pa.int32()),
        ("sequence", pa.int64()),  # within the partition, from 0: the offset, if the topic was empty
        ("ingest_time", pa.int64()),  # epoch ms
        ("verdict", pa.string()),
        ("reason", pa.string()),  # of malformed and invalid, else null
        ("kind", pa.string()),  # clean, slow_clock, heartbeat, a boundary or an entry of dirty_orders.KINDS
        ("order_id", pa.string()),  # this and the following: null in a record that carries no valid order
        ("order_time", pa.int64()),  # epoch ms; also of an invalid order, where it is itself valid
        ("user_id", pa.string()),
        ("province", pa.string()),
        ("city", pa.string()),
        ("cents", pa.int64()),  # yuan / 100
    ]
)


def with_days(ledger: pa.Table, rules: Time) -> pa.Table:
    """A ledger with the column `day`, since 1970: that of the order_time if it is valid and timely, else of ingest."""
    late_by = pc.subtract(ledger["ingest_time"], ledger["order_time"])
    timely = pc.and_(pc.less_equal(late_by, rules.lateness_ms), pc.greater_equal(late_by, -rules.future_ms))
    event_time = pc.if_else(pc.fill_null(timely, False), ledger["order_time"], ledger["ingest_time"]).to_numpy()
    return ledger.append_column("day", pa.array((event_time - rules.day_start(EPOCH)) // DAY_MS))


def summary(ledger: pa.Table, rules: Time, days: Iterable[dt.date]) -> dict[str, Any]:
    """Counts of a ledger: of verdicts, reasons and kinds, and by business day what is accepted in the country; `days`
    are listed even if empty.

    A day holds `orders`, `amount` (yuan, decimal string), `users` (distinct), `conflicting` (ids accepted under more
    than one order_time) and `verdicts`; which day a record belongs to: `with_days`.
    """
    ledger = with_days(ledger, rules)
    accepted = ledger.filter(pc.equal(ledger["verdict"], "accepted"))
    totals = accepted.group_by("day").aggregate([("cents", "sum"), ("user_id", "count_distinct")]).to_pylist()
    ids = accepted.group_by(["day", "order_id"]).aggregate([([], "count_all")])
    conflicting = Counter(ids.filter(pc.greater(ids["count_all"], 1))["day"].to_pylist())
    verdicts = ledger.group_by(["day", "verdict"]).aggregate([([], "count_all")]).to_pylist()
    entries: dict[int, dict[str, Any]] = {
        number: {"orders": 0, "amount": "0.00", "users": 0, "conflicting": conflicting[number], "verdicts": {}}
        for number in sorted({(day - EPOCH).days for day in days} | {row["day"] for row in verdicts})
    }
    for row in totals:
        entries[row["day"]] |= {"amount": amount_text(row["cents_sum"]), "users": row["user_id_count_distinct"]}
    for row in sorted(verdicts, key=lambda row: str(row["verdict"])):
        entries[row["day"]]["verdicts"][row["verdict"]] = row["count_all"]
    for entry in entries.values():
        entry["orders"] = entry["verdicts"].get("accepted", 0)
    reasons = ledger.filter(pc.is_valid(ledger["reason"]))
    return {
        "records": ledger.num_rows,
        "verdicts": _counts(ledger["verdict"]),
        "reasons": _counts(pc.binary_join_element_wise(reasons["verdict"], reasons["reason"], "/")),
        "kinds": _counts(ledger["kind"]),
        "days": {(EPOCH + dt.timedelta(days=number)).isoformat(): entry for number, entry in entries.items()},
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in sorted(pc.value_counts(column).to_pylist(), key=str)}


def write(ledger: pa.Table, counts: Mapping[str, Any], file: Path) -> None:
    """Write a ledger (Parquet) and its summary (`FILE.summary.json`). Raises `UserError` if that cannot be."""
    try:
        pq.write_table(ledger, file, compression="zstd")
        Path(f"{file}.summary.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")
    except OSError as refused:
        raise UserError(f"ledger {file} cannot be written: {refused.strerror}; name another with --ledger") from refused
