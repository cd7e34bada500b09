"""Which rule does a record meet on its own, and with which records does it belong together?

Takes a whole batch of records of the order log; gives packs of judged records (udfs/packs.py): a pack holds what stands
in one order minute, in the row of one of its own records. A timely record stands in the minute of its order time, as
does an invalid one whose order time is timely; any other in the minute of its ingest time. The rules are those of the
order contract (README.md). Pure; any split of a log into batches leads to the same records in the same minutes.

A record in the canonical spelling is read by one regular expression and one pass over its quotes, all records at once
where they are many; any other spelling by udfs/strict_json.py, orders many at once and the rest one by one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from pyarrow import compute as pc

from udfs.packs import (
    FUTURE,
    HEARTBEAT,
    INVALID,
    LATE,
    MALFORMED,
    ORDER_COLUMNS,
    OTHER_COLUMNS,
    REASONS,
    RECORDS,
    batch,
    shares_of,
    stretches,
    write,
)
from udfs.planes import Array, text_parts
from udfs.rules import MINUTE_MS, Rules
from udfs.strict_json import (
    AMOUNT_FORM,
    CODE_FORM,
    EARLIEST_ORDER_TIME,
    ID_FORM,
    LATEST_ORDER_TIME,
    Columns,
    Fields,
    columns_of,
    read_fields,
    read_orders,
)

HEARTBEAT_VALUE = b'{"heartbeat":true}'
CANONICAL = (
    rf'^\{{"order_id":"({ID_FORM})","order_time":([1-9][0-9]{{11,12}}),"user_id":"({ID_FORM})",'
    rf'"province":"({CODE_FORM}","city":"{CODE_FORM})","amount":"({AMOUNT_FORM})"\}}$'
)
FEW = 256
"""So many records at most are read one by one: Arrow compiles an expression anew for each batch, which takes it as long
as Python takes to match it 300 times."""
_QUOTES = 22  # of a canonical record
_BETWEEN = '","city":"'  # of province and city in a canonical record
_matched = re.compile(CANONICAL).fullmatch
_REASON = {reason: number for number, reason in enumerate(REASONS)}


class Carried(NamedTuple):
    """A pack, and the row of the batch that carries it: one of its own records. `minute`: epoch ms of its begin."""

    row: int
    minute: int
    share: int
    pack: bytes


class _Orders(NamedTuple):
    """Records with all six fields of the contract's form, each column of the same length; `rows`: of the batch."""

    rows: Array
    order_id: pa.Array
    order_time: Array
    user_id: pa.Array
    place: Array  # number in Rules.places, -1 for none of them
    place_text: pa.Array  # province, `_BETWEEN`, city
    amount: pa.Array
    spelling: pa.Array  # the value where it is not canonical, else NULL


_NO_ORDERS = _Orders(
    np.zeros(0, np.int64),
    pa.array([], pa.string()),
    np.zeros(0, np.int64),
    pa.array([], pa.string()),
    np.zeros(0, np.int32),
    pa.array([], pa.string()),
    pa.array([], pa.string()),
    pa.array([], pa.binary()),
)


class Judge:
    """Judges batches by the rules of one run."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._place_texts = pa.array([f"{province}{_BETWEEN}{city}" for province, city in rules.places])
        self._place_of = {text: number for number, text in enumerate(self._place_texts.to_pylist())}

    def __call__(self, payload: pa.Array, partition: Array, offset: Array, ingest: Array) -> list[Carried]:
        """Judge records: values (binary, NULL for a tombstone), places in the log, and ingest times (epoch ms)."""
        canonical, orders = self._few(payload) if len(payload) <= FEW else self._many(payload)
        others = _Others(payload, partition, offset, ingest, self._rules.shares)
        if not canonical.all():
            orders = _joined(orders, self._odd(payload, np.flatnonzero(~canonical), others))
        rules, at, came = self._rules, orders.order_time, ingest[orders.rows]
        in_bounds = (at >= EARLIEST_ORDER_TIME) & (at < LATEST_ORDER_TIME)
        late, future = at < came - rules.lateness_ms, at > came + rules.future_ms
        valid = in_bounds & (orders.place >= 0)
        timely = valid & ~late & ~future
        if not timely.all():
            rest = np.flatnonzero(~timely)
            verdicts = np.where(~valid[rest], INVALID, np.where(late[rest], LATE, FUTURE))
            self._put_aside(orders, rest, verdicts, in_bounds, others)
        return self._packed(orders, np.flatnonzero(timely), partition, offset, ingest, others)

    def _few(self, payload: pa.Array) -> tuple[Array, _Orders]:
        """What `_many` gives, record by record."""
        found = [None if value is None else _matched(value.decode("latin-1")) for value in payload.to_pylist()]
        canonical = np.array([match is not None for match in found], bool)
        if not canonical.any():
            return canonical, _NO_ORDERS
        ids, times, users, places, amounts = zip(*(match.groups() for match in found if match), strict=True)
        return canonical, _Orders(
            np.flatnonzero(canonical),
            pa.array(ids, pa.string()),
            np.array([int(time) for time in times], np.int64),
            pa.array(users, pa.string()),
            np.array([self._place_of.get(place, -1) for place in places], np.int32),
            pa.array(places, pa.string()),
            pa.array(amounts, pa.string()),
            pa.nulls(len(ids), pa.binary()),
        )

    def _many(self, payload: pa.Array) -> tuple[Array, _Orders]:
        """Which records have the canonical spelling (bool each), and what they say."""
        canonical = pc.fill_null(pc.match_substring_regex(payload, CANONICAL), False).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(canonical)
        if not len(rows):
            return canonical, _NO_ORDERS
        records = payload if len(rows) == len(payload) else payload.take(pa.array(rows))
        _, octets = text_parts(records)
        quotes = np.flatnonzero(octets == ord('"')).astype(np.int32).reshape(len(rows), _QUOTES)
        place_text = _texts(octets, quotes[:, 12] + 1, quotes[:, 17])
        times = pc.cast(_texts(octets, quotes[:, 5] + 2, quotes[:, 6] - 1), pa.int64())
        return canonical, _Orders(
            rows,
            _texts(octets, quotes[:, 2] + 1, quotes[:, 3]),
            times.to_numpy(),
            _texts(octets, quotes[:, 8] + 1, quotes[:, 9]),
            self._place(place_text),
            place_text,
            _texts(octets, quotes[:, 20] + 1, quotes[:, 21]),
            pa.nulls(len(rows), pa.binary()),
        )

    def _odd(self, payload: pa.Array, rows: Array, others: _Others) -> _Orders:
        """Read what is not canonical. What is no order at all, or lacks a field, goes to `others`."""
        values = payload.take(pa.array(rows))
        is_beat = pc.fill_null(pc.equal(values, HEARTBEAT_VALUE), False).to_numpy(zero_copy_only=False)
        for row in rows[is_beat].tolist():
            others.add(row, HEARTBEAT, None, None, None, None)
        rows, values = rows[~is_beat], values.filter(pa.array(~is_beat))
        listed = values.to_pylist()
        chosen, fields = read_orders(listed) if len(listed) > FEW else ([], columns_of(()))
        left = np.ones(len(rows), bool)
        left[chosen] = False
        whole: list[int] = []
        read: list[Fields] = []
        for number in np.flatnonzero(left).tolist():
            row, value = int(rows[number]), listed[number]
            found = read_fields(value) if value else "empty"
            if isinstance(found, str):
                others.add(row, MALFORMED, found, None, None, value)
            elif None in found:
                self._put_invalid(others, row, found, value)
            else:
                whole.append(number)
                read.append(found)
        if read:
            fields = Columns(*(_concatenated(both) for both in zip(fields, columns_of(read), strict=True)))
        numbers = np.array([*chosen, *whole], np.int64)
        place_text = pc.binary_join_element_wise(fields.province, fields.city, _BETWEEN)
        return _Orders(
            rows[numbers],
            fields.order_id,
            fields.order_time,
            fields.user_id,
            self._place(place_text),
            place_text,
            fields.amount,
            values.take(pa.array(numbers)),
        )

    def _place(self, texts: pa.Array) -> Array:
        """Number in Rules.places of each `province`, `_BETWEEN`, `city`; -1 for none of them."""
        found: Array = pc.fill_null(pc.index_in(texts, self._place_texts), -1).to_numpy(zero_copy_only=False)
        return found

    def _put_invalid(self, others: _Others, row: int, found: Fields, value: bytes) -> None:
        """A record that lacks a field; regions that are not known are missing too."""
        province = found.province if found.province in self._rules.regions else None
        known = province is not None and f"{province}{_BETWEEN}{found.city}" in self._place_of
        seen = found._replace(province=province, city=found.city if known else None)
        missing = next(name for name, field in zip(seen._fields, seen, strict=True) if field is None)
        others.add(row, INVALID, missing, seen, self._timely(others, row, found.order_time), value)

    def _timely(self, others: _Others, row: int, at: int | None) -> int | None:
        """The order time, if a record of it would be timely."""
        came = int(others.ingest[row])
        if at is None or not came - self._rules.lateness_ms <= at <= came + self._rules.future_ms:
            return None
        return at

    def _put_aside(self, orders: _Orders, which: Array, verdicts: Array, in_bounds: Array, others: _Others) -> None:
        """Orders of the contract's form that are invalid, future or late."""
        take = pa.array(which)
        rows = orders.rows[which].tolist()
        values = others.payload.take(pa.array(orders.rows[which])).to_pylist()
        for row, verdict, ok, place, order_id, at, user_id, text, amount, value in zip(
            rows,
            verdicts.tolist(),
            in_bounds[which].tolist(),
            orders.place[which].tolist(),
            orders.order_id.take(take).to_pylist(),
            orders.order_time[which].tolist(),
            orders.user_id.take(take).to_pylist(),
            orders.place_text.take(take).to_pylist(),
            orders.amount.take(take).to_pylist(),
            values,
            strict=True,
        ):
            province, _, city = text.partition(_BETWEEN)
            if verdict != INVALID:
                others.add(row, verdict, None, Fields(order_id, at, user_id, province, city, amount), None, value)
                continue
            known = province in self._rules.regions
            reason = "order_time" if not ok else "city" if known else "province"
            seen = Fields(
                order_id,
                at if ok else None,
                user_id,
                province if known else None,
                city if place >= 0 else None,
                amount,
            )
            others.add(row, verdict, reason, seen, self._timely(others, row, at if ok else None), value)

    def _packed(
        self, orders: _Orders, which: Array, partition: Array, offset: Array, ingest: Array, others: _Others
    ) -> list[Carried]:
        shares = self._rules.shares
        group = orders.order_time[which] // MINUTE_MS * shares
        if shares > 1:
            group += shares_of(orders.order_id.take(pa.array(which)), shares)
        by_group = np.argsort(group, kind="stable")
        sorted_groups, chosen = group[by_group], which[by_group]
        rows, take = orders.rows[chosen], pa.array(chosen)
        texts = (orders.order_id, orders.user_id, orders.amount, orders.spelling)
        if len(which) < len(orders.rows) or np.diff(group).any():  # else all of one minute, as live records are
            texts = tuple(column.take(take) for column in texts)
        ids, users, amounts, spelling = texts
        table = batch(
            ORDER_COLUMNS,
            (
                ids,
                pa.array(orders.order_time[chosen]),
                pa.array(ingest[rows]),
                pa.array(partition[rows].astype(np.int32)),
                pa.array(offset[rows].astype(np.int64)),
                users,
                pa.array(orders.place[chosen].astype(np.int16)),
                cents_of(amounts),
                amounts,
                spelling,
            ),
        )
        aside = others.batches()
        packs: list[Carried] = []
        for begin, end in stretches(sorted_groups):
            number = int(sorted_groups[begin])
            beside = aside.pop(number, None)
            pack = write(RECORDS, table.slice(begin, end - begin), beside and beside[1])
            packs.append(Carried(int(rows[begin]), number // shares * MINUTE_MS, number % shares, pack))
        for number, (row, found) in aside.items():
            packs.append(Carried(row, number // shares * MINUTE_MS, number % shares, write(RECORDS, None, found)))
        return packs


class _Others:
    """The records of a batch that are no timely orders, by the minute that they stand in; always in share 0."""

    def __init__(self, payload: pa.Array, partition: Array, offset: Array, ingest: Array, shares: int) -> None:
        self.payload = payload
        self.ingest = ingest
        self._partition, self._offset, self._shares = partition, offset, shares
        self._rows: list[tuple[Any, ...]] = []  # group, row of the batch, and the columns of OTHER_COLUMNS

    def add(
        self, row: int, verdict: int, reason: str | None, fields: Fields | None, at: int | None, value: bytes | None
    ) -> None:
        """Put a record aside. `at`: order time (epoch ms) in whose minute it stands; None: that of its ingest time."""
        came = int(self.ingest[row])
        group = (came if at is None else at) // MINUTE_MS * self._shares
        place = (int(self._partition[row]), int(self._offset[row]), came)
        self._rows.append((group, row, verdict, _REASON[reason], *place, *(fields or (None,) * 6), value))

    def batches(self) -> dict[int, tuple[int, pa.RecordBatch]]:
        """Group -> the row of its first record, and its records."""
        if not self._rows:
            return {}
        groups, rows, *columns = zip(*sorted(self._rows, key=itemgetter(0)), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, OTHER_COLUMNS, strict=True)]
        table = batch(OTHER_COLUMNS, arrays)
        return {
            groups[begin]: (rows[begin], table.slice(begin, end - begin)) for begin, end in stretches(np.array(groups))
        }


def cents_of(amounts: pa.Array) -> pa.Array:
    """Amounts of the contract's form (yuan, text) in cents (int64); exact."""
    yuan = pc.cast(amounts, pa.decimal128(13, 2))
    return pc.cast(pc.multiply(yuan, pa.scalar(100, pa.decimal128(3, 0))), pa.int64())


def _texts(octets: Array, begin: Array, end: Array) -> pa.Array:
    """The texts octets[begin:end], one for each pair."""
    lengths = end - begin
    offsets = np.zeros(len(begin) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    at = np.arange(offsets[-1], dtype=np.int32) + np.repeat(begin - offsets[:-1], lengths)
    return pa.StringArray.from_buffers(len(begin), pa.py_buffer(offsets), pa.py_buffer(np.take(octets, at)))


def _joined(canonical: _Orders, odd: _Orders) -> _Orders:
    if not len(odd.rows):
        return canonical
    if not len(canonical.rows):
        return odd
    return _Orders(*(_concatenated(both) for both in zip(canonical, odd, strict=True)))


def _concatenated(both: Sequence[Any]) -> Any:
    """Two columns as one, each of NumPy or of Arrow."""
    return np.concatenate(both) if isinstance(both[0], np.ndarray) else pa.concat_arrays(both)
