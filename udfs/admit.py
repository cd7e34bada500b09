"""Which late orders does a backfill take in?

Takes the candidates of one minute of order time and one share: late orders of the log, and the valid orders of the
supply, timely or late by the ingest time that they have; and what the log counted there (packs of SETTLED). A candidate
is `late_copy` if its key counts already (without a horizon: all that count are at hand); else the first of its key by
(ingest time, MD5 of the value) is `admitted`, as among timely copies, and the others are `duplicate`. Equal in both are
the same bytes at the same time: which of them is taken changes no figure. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from udfs.judge import cents_of
from udfs.packs import (
    ADMITTED,
    CANDIDATE_COLUMNS,
    CANDIDATES,
    DUPLICATE,
    HEARTBEAT,
    LATE,
    LATE_COPY,
    LATE_ORDERS,
    ORDER_COLUMNS,
    ORIGINS,
    RECORDS,
    SETTLED,
    VERDICTS,
    batch,
    joined,
    read,
    shares_of,
    write,
)
from udfs.planes import Array
from udfs.rules import MINUTE_MS, Rules
from udfs.settle import Count, Record, accepted_of, counts_of, orders_as_records, records_of, values_of

LOG, SUPPLY = range(len(ORIGINS))


class Candidate(NamedTuple):
    """Candidates of one minute of order time (epoch ms of its begin) and share: a pack of CANDIDATES."""

    minute: int
    share: int
    pack: bytes


class Admitted(NamedTuple):
    """What a minute's candidates came to. `accepted`: pack of SETTLED with those taken in, None if none is.

    `kept`: (origin, record) of every candidate, with its payload.
    """

    accepted: bytes | None
    counts: list[Count]
    kept: list[tuple[str, Record]]


def of_log(late: bytes, rules: Rules) -> list[Candidate]:
    """The candidates of a pack of LATE_ORDERS, which holds one minute and share."""
    (orders,) = read(LATE_ORDERS, [late])
    return _by_minute(_as_orders(orders, rules), LOG, rules)


def of_supply(records: bytes, rules: Rules) -> tuple[list[Candidate], list[Record]]:
    """The candidates of a pack of RECORDS of the supply, and its records that are no order that could count."""
    orders, others = read(RECORDS, [records])
    verdicts = others.column("verdict").to_numpy()
    late = others.filter(pa.array(verdicts == LATE))
    rest = others.filter(pa.array((verdicts != LATE) & (verdicts != HEARTBEAT)))
    found = joined([orders, _as_orders(late, rules)], ORDER_COLUMNS)
    return _by_minute(found, SUPPLY, rules), records_of(rest)


def _as_orders(others: pa.RecordBatch, rules: Rules) -> pa.RecordBatch:
    """Valid orders of OTHER_COLUMNS in ORDER_COLUMNS."""
    pairs = zip(others.column("province").to_pylist(), others.column("city").to_pylist(), strict=True)
    place = pa.array([rules.number_of[pair] for pair in pairs], pa.int16())
    made = {"place": place, "cents": cents_of(others.column("amount"))}
    columns = [made[name] if name in made else others.column(name) for name in ORDER_COLUMNS.names]
    return batch(ORDER_COLUMNS, columns)


def _by_minute(orders: pa.RecordBatch, origin: int, rules: Rules) -> list[Candidate]:
    if not len(orders):
        return []
    group = orders.column("order_time").to_numpy() // MINUTE_MS * rules.shares
    group += shares_of(orders.column("order_id"), rules.shares)
    payload = pa.array(values_of(orders, rules.places), pa.binary())
    columns = [payload if name == "payload" else orders.column(name) for name in ORDER_COLUMNS.names]
    columns.append(pa.array(np.full(len(orders), origin, np.int8)))
    table = batch(CANDIDATE_COLUMNS, columns)
    found = []
    for number in np.unique(group).tolist():
        these = table.filter(pa.array(group == number))
        minute, share = divmod(number, rules.shares)
        found.append(Candidate(minute * MINUTE_MS, share, write(CANDIDATES, these)))
    return found


def admit(accepted: Iterable[bytes], candidates: Iterable[bytes], rules: Rules) -> Admitted:
    """Decide on the candidates of one minute and share, beside what the log counted there.

    An order of the supply that is taken in stands in partition -1 less its own, so that no two records share a place.
    """
    (orders,) = read(CANDIDATES, candidates)
    if not len(orders):
        return Admitted(None, [], [])
    verdicts = _verdicts(orders, accepted)
    origins = orders.column("origin").to_numpy()
    partitions = orders.column("kafka_partition").to_numpy()
    apart = pa.array(np.where(origins == LOG, partitions, -1 - partitions).astype(np.int32))
    taken = orders.set_column(orders.schema.get_field_index("kafka_partition"), "kafka_partition", apart).filter(
        pa.array(verdicts == ADMITTED)
    )
    return Admitted(
        write(SETTLED, accepted_of(taken)) if len(taken) else None,
        counts_of(VERDICTS[ADMITTED], taken) if len(taken) else [],
        _kept(orders, verdicts, origins, rules),
    )


def _verdicts(orders: pa.RecordBatch, accepted: Iterable[bytes]) -> Array:
    (counted,) = read(SETTLED, accepted)
    ids, times = orders.column("order_id"), orders.column("order_time").to_pylist()
    near = counted.filter(pc.is_in(counted.column("order_id"), value_set=ids))
    known = set(zip(near.column("order_id").to_pylist(), near.column("order_time").to_pylist(), strict=True))
    ranks = sorted(
        zip(
            orders.column("ingest_time").to_pylist(),
            (hashlib.md5(value, usedforsecurity=False).digest() for value in orders.column("payload").to_pylist()),
            orders.column("origin").to_pylist(),
            orders.column("kafka_partition").to_pylist(),
            orders.column("kafka_offset").to_pylist(),
            zip(ids.to_pylist(), times, strict=True),
            range(len(orders)),
            strict=True,
        )
    )
    verdicts = np.full(len(orders), DUPLICATE, np.int8)
    taken = set()
    for *_, key, row in ranks:
        if key in known:
            verdicts[row] = LATE_COPY
        elif key not in taken:
            verdicts[row] = ADMITTED
            taken.add(key)
    return verdicts


def _kept(orders: pa.RecordBatch, verdicts: Array, origins: Array, rules: Rules) -> list[tuple[str, Record]]:
    records = orders_as_records(orders, rules.places)
    return [
        (ORIGINS[origin], record._replace(verdict=VERDICTS[verdict]))
        for verdict, origin, record in zip(verdicts.tolist(), origins.tolist(), records, strict=True)
    ]
