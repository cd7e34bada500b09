"""A minute is complete: which of its orders count, and what is told of the rest?

Takes the packs of one order minute (udfs/judge.py), once no timely record of it can come any more. Of each key
(order_id, order_time) the first timely record counts: the least by ingest time, then by the MD5 digest of the value;
the order is total and survives a replay. Partition and offset, which change when a log is copied, only say which of two
equal records is the duplicate. Pure; any order and any split of the packs gives the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from udfs.packs import (
    ACCEPTED,
    ACCEPTED_COLUMNS,
    DUPLICATE,
    HEARTBEAT,
    KEYS,
    LATE,
    LATE_COPY,
    LATE_ORDERS,
    REASONS,
    RECORDS,
    SETTLED,
    VERDICTS,
    read,
    shares_of,
    stretches,
    write,
)
from udfs.planes import Array
from udfs.rules import MINUTE_MS, Rules

PIECE = 250
"""So many orders at most stand in one pack of those that count: an hour's packs of one number make a row of 1 MB at
most, whatever the rate. What is on its way to a Python worker is bounded by messages (100 of 1 MB), and a row is not
divided among them."""
Place = tuple[str, str]
ALL = "ALL"
"""Stands for the level above."""


class Record(NamedTuple):
    """A record that did not count. Times: epoch ms; amount: yuan, as spelt; a field is NULL where it is not valid."""

    verdict: str
    reason: str | None
    kafka_partition: int
    kafka_offset: int
    ingest_time: int
    order_id: str | None
    order_time: int | None
    user_id: str | None
    province: str | None
    city: str | None
    amount: str | None
    payload: bytes | None


class Count(NamedTuple):
    """How many records of a partition met a verdict, and the least, the greatest and the sum of their offsets."""

    kafka_partition: int
    verdict: str
    records: int
    offset_min: int
    offset_max: int
    offset_sum: int


class Late(NamedTuple):
    """Late orders of one minute of order time (epoch ms of its begin) and share: a pack of LATE_ORDERS."""

    minute: int
    share: int
    pack: bytes


class Settled(NamedTuple):
    """What a minute came to. `accepted`: packs of SETTLED, PIECE orders each; `keys`: a pack of KEYS, None if no order
    counts.
    """

    accepted: list[bytes]
    keys: bytes | None
    counts: list[Count]
    rejected: list[Record]
    late: list[Late]


class _Tally:
    """Counts records by partition and verdict, with their offsets."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str], list[int]] = {}

    def add(self, record: Record) -> None:
        offset = record.kafka_offset
        found = self._found.setdefault((record.kafka_partition, record.verdict), [0, offset, offset, 0])
        found[0] += 1
        found[1] = min(found[1], offset)
        found[2] = max(found[2], offset)
        found[3] += offset

    def counts(self) -> list[Count]:
        return [Count(partition, verdict, *found) for (partition, verdict), found in self._found.items()]


def settle(packs: Iterable[bytes], rules: Rules) -> Settled:
    """All that the report needs of a minute (of one share of it)."""
    orders, others = read(RECORDS, packs)
    counts: list[Count] = []
    rejected: list[Record] = []
    accepted: list[bytes] = []
    keys = None
    if len(orders):
        first = is_first(orders, rules.places)
        counted = orders if first is None else orders.filter(pa.array(first))
        counts += counts_of(VERDICTS[ACCEPTED], counted)
        columns = accepted_of(counted)
        accepted += (write(SETTLED, columns.slice(begin, PIECE)) for begin in range(0, len(columns), PIECE))
        # By time, of which zstd finds more: where ids grow they are in order too.
        by_time = np.argsort(counted.column("order_time").to_numpy(), kind="stable")
        keys = write(KEYS, counted.select(["order_id", "order_time"]).take(pa.array(by_time)))
        if first is not None:
            rejected += orders_as_records(orders.filter(pa.array(~first)), rules.places)
    tally = _Tally()
    for record in rejected:
        tally.add(record)
    late: list[int] = []
    for row, record in enumerate(records_of(others)):
        if record.verdict == VERDICTS[LATE]:
            late.append(row)
            continue
        tally.add(record)
        if record.verdict != VERDICTS[HEARTBEAT]:
            rejected.append(record)
    found = _late_by_minute(others.take(pa.array(late)), rules.shares) if late else []
    return Settled(accepted, keys, counts + tally.counts(), rejected, found)


def is_first(orders: pa.RecordBatch, places: Sequence[Place]) -> Array | None:
    """Which records are the first of their key (bool each); None: no key is there twice.

    All of them stand in one minute, so that the id and the time within the minute are the key.
    """
    ids = orders.column("order_id").dictionary_encode()
    if len(ids.dictionary) == len(orders):
        return None
    numbers = ids.indices.to_numpy().astype(np.int64)
    key = numbers * MINUTE_MS + orders.column("order_time").to_numpy() % MINUTE_MS
    by_key = np.argsort(key, kind="stable")
    equal = key[by_key][1:] == key[by_key][:-1]
    if not equal.any():
        return None
    several = by_key[np.concatenate((equal, [False])) | np.concatenate(([False], equal))]
    copies = orders.take(pa.array(several))
    ranks = zip(
        key[several].tolist(),
        copies.column("ingest_time").to_pylist(),
        (hashlib.md5(value, usedforsecurity=False).digest() for value in values_of(copies, places)),
        copies.column("kafka_partition").to_pylist(),
        copies.column("kafka_offset").to_pylist(),
        several.tolist(),
        strict=True,
    )
    first = np.ones(len(orders), bool)
    before = None
    for found, *_, row in sorted(ranks):
        first[row] = found != before
        before = found
    return first


def values_of(orders: pa.RecordBatch, places: Sequence[Place]) -> Iterator[bytes]:
    """The value of each record as it stood in the log: where it was canonical it follows from the fields."""
    columns = ("payload", "order_id", "order_time", "user_id", "place", "amount")
    for value, order_id, at, user_id, place, amount in zip(
        *(orders.column(name).to_pylist() for name in columns), strict=True
    ):
        if value is not None:
            yield value
        else:
            province, city = places[place]
            yield (
                f'{{"order_id":"{order_id}","order_time":{at},"user_id":"{user_id}","province":"{province}",'
                f'"city":"{city}","amount":"{amount}"}}'
            ).encode()


def accepted_of(orders: pa.RecordBatch) -> pa.RecordBatch:
    """Orders that count, in the columns of ACCEPTED_COLUMNS."""
    return orders.select(ACCEPTED_COLUMNS.names)


def counts_of(verdict: str, records: pa.RecordBatch) -> list[Count]:
    """One row per partition of these records."""
    partitions, offsets = records.column("kafka_partition").to_numpy(), records.column("kafka_offset").to_numpy()
    counts = []
    for partition in sorted(set(partitions.tolist())):
        found = offsets[partitions == partition]
        counts.append(Count(partition, verdict, len(found), int(found.min()), int(found.max()), int(found.sum())))
    return counts


def orders_as_records(orders: pa.RecordBatch, places: Sequence[Place]) -> list[Record]:
    """Rows of ORDER_COLUMNS as records, called duplicates; without payload where their fields say it all."""
    names = ("kafka_partition", "kafka_offset", "ingest_time", "order_id", "order_time", "user_id")
    columns = (orders.column(name).to_pylist() for name in names)
    of = orders.column("place").to_pylist()
    rest = (orders.column(name).to_pylist() for name in ("amount", "payload"))
    return [
        Record(VERDICTS[DUPLICATE], None, *fields[:6], *places[fields[6]], *fields[7:])
        for fields in zip(*columns, of, *rest, strict=True)
    ]


def records_of(others: pa.RecordBatch) -> list[Record]:
    """Rows of OTHER_COLUMNS as rejected records."""
    rows = zip(*(column.to_pylist() for column in others.columns), strict=True)
    return [Record(VERDICTS[verdict], REASONS[reason], *rest) for verdict, reason, *rest in rows]


def _late_by_minute(late: pa.RecordBatch, shares: int) -> list[Late]:
    minutes = late.column("order_time").to_numpy() // MINUTE_MS
    group = minutes * shares + shares_of(late.column("order_id"), shares)
    by_group = np.argsort(group, kind="stable")
    sorted_groups, table = group[by_group], late.take(pa.array(by_group))
    found = []
    for begin, end in stretches(sorted_groups):
        minute, share = divmod(int(sorted_groups[begin]), shares)
        pack = write(LATE_ORDERS, table.slice(begin, end - begin))
        found.append(Late(minute * MINUTE_MS, share, pack))
    return found


def tell_copies(late: Iterable[bytes], keys: Iterable[bytes], rules: Rules) -> tuple[list[Count], list[Record]]:
    """Which late orders of one minute and share are copies of an order that counted?

    `late`: packs of LATE_ORDERS; `keys`: packs of KEYS of the same minute and share, none if none counted. An order is
    late_copy if its key counted and its order time lies not further back than the horizon; else late.
    """
    (orders,) = read(LATE_ORDERS, late)
    known = _known(orders.column("order_id"), keys)
    tally = _Tally()
    told = []
    for record in records_of(orders):
        assert record.order_time is not None
        remembered = record.order_time >= record.ingest_time - rules.late_copy_horizon_ms
        if remembered and (record.order_id, record.order_time) in known:
            told.append(record._replace(verdict=VERDICTS[LATE_COPY]))
        else:
            told.append(record)
        tally.add(told[-1])
    return tally.counts(), told


def _known(ids: pa.Array, keys: Iterable[bytes]) -> set[tuple[str, int]]:
    """The keys that have one of these ids."""
    (counted,) = read(KEYS, keys)
    # The few ids are the table that the many keys are looked up in, not the other way round.
    hits = np.flatnonzero(pc.is_in(counted.column("order_id"), value_set=ids).to_numpy(zero_copy_only=False))
    found = counted.take(pa.array(hits))
    return set(zip(found.column("order_id").to_pylist(), found.column("order_time").to_pylist(), strict=True))


def minute_sales(packs: Iterable[bytes], rules: Rules) -> list[tuple[str | None, int, int]]:
    """(province, orders, cents) of a minute, or of one share of it: what the live dashboard needs.

    A province whose only records were copies is given with 0, for its provisional figure must be taken back. `ALL` is
    the country. A minute without orders has one row, of no province: it has passed.
    """
    (orders,) = read(RECORDS, packs, parts=1)
    if not len(orders):
        return [(None, 0, 0)]
    first = is_first(orders, rules.places)
    places = orders.column("place").to_numpy()
    cents = orders.column("cents").to_numpy()
    if first is None:
        first = np.ones(len(orders), bool)
    return provinces_of(places, first, cents, rules)


def counted_sales(packs: Iterable[bytes], rules: Rules) -> list[tuple[str | None, int, int]]:
    """(province, orders, cents) of a minute's orders that count (packs of SETTLED); `ALL` is the country."""
    (orders,) = read(SETTLED, packs)
    places, cents = orders.column("place").to_numpy(), orders.column("cents").to_numpy()
    return provinces_of(places, np.ones(len(orders), bool), cents, rules)


def provinces_of(places: Array, counts: Array, cents: Array, rules: Rules) -> list[tuple[str | None, int, int]]:
    """(province, orders, cents) of orders that count (bool) in places, and `ALL` for the country."""
    names, provinces = rules.provinces, rules.province_of[places]
    orders = np.bincount(provinces, counts, len(names)).astype(np.int64)
    sums = np.zeros(len(names), np.int64)
    np.add.at(sums, provinces[counts], cents[counts])
    seen = np.flatnonzero(np.bincount(provinces, minlength=len(names))).tolist()
    rows: list[tuple[str | None, int, int]] = [(names[n], int(orders[n]), int(sums[n])) for n in seen]
    return [*rows, (ALL, sum(row[1] for row in rows), sum(row[2] for row in rows))]


def rows_of(packs: Iterable[bytes], rules: Rules) -> list[Record]:
    """Every record of a minute but the late ones, with its verdict: what people ask for by SQL."""
    orders, others = read(RECORDS, packs)
    first = is_first(orders, rules.places)
    verdicts = [ACCEPTED] * len(orders) if first is None else np.where(first, ACCEPTED, DUPLICATE).tolist()
    timely = zip(verdicts, orders_as_records(orders, rules.places), strict=True)
    rows = [record._replace(verdict=VERDICTS[verdict]) for verdict, record in timely]
    return [*rows, *(record for record in records_of(others) if record.verdict != VERDICTS[LATE])]
