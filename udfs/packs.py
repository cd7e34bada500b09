"""In what form do many records travel through Flink as one value?

A pack is one BYTES value: a head (what it is, and by which version of its schema), then one Arrow record batch for each
of its parts, or the same rows compressed. Packs stand in Flink's state, in checkpoints and savepoints; a program that
reads one of another version fails loudly (`UnknownPack`) instead of reading columns as what they are not. Whoever
changes a schema or form raises its version.

Pure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from udfs import planes
from udfs.planes import Array, text_parts

_HEAD = struct.Struct("<2sBBI")  # magic, kind, version, parts; then the length of each part
_MAGIC = b"SW"
_LENGTH = struct.Struct("<Q")  # of what is compressed, before it
_BY_PLANES = 1 << 63  # in that length


class UnknownPack(ValueError):
    """A value is no pack of the kind and version that was asked for."""


PLAIN, WHOLE, PLANES = range(3)
"""How rows are written: as Arrow does; the same, compressed, and many by planes; always by planes (udfs/planes.py),
compressed. A pack of few rows is mostly Arrow's own description of them, 1.3 kB: by planes it is the least of any
number, but of few 10 times the work.
"""
MANY = 500
"""From so many rows on planes are 0.1 CPU-µs a row more work than Arrow's form, for half the bytes."""


class Kind(NamedTuple):
    """What a pack holds. `form`: PLAIN, WHOLE or PLANES."""

    name: str
    code: int
    version: int
    parts: tuple[pa.Schema, ...]
    form: int = PLAIN


VERDICTS = ("malformed", "heartbeat", "invalid", "future", "late", "late_copy", "duplicate", "accepted", "admitted")
MALFORMED, HEARTBEAT, INVALID, FUTURE, LATE, LATE_COPY, DUPLICATE, ACCEPTED, ADMITTED = range(len(VERDICTS))
"""Verdicts by their number in a pack."""
REASONS = (None, "empty", "encoding", "json", "order_id", "order_time", "user_id", "province", "city", "amount")
"""Reasons by their number in a pack."""
ORIGINS = ("log", "supply")
"""Where a candidate of a backfill comes from, by its number in a pack."""

_text, _int64, _int32, _int16, _int8, _bytes = (
    pa.string(),
    pa.int64(),
    pa.int32(),
    pa.int16(),
    pa.int8(),
    pa.binary(),
)
ORDER_COLUMNS = pa.schema(
    [
        ("order_id", _text),
        ("order_time", _int64),  # epoch ms
        ("ingest_time", _int64),  # epoch ms
        ("kafka_partition", _int32),
        ("kafka_offset", _int64),
        ("user_id", _text),
        ("place", _int16),  # of Rules.places
        ("cents", _int64),
        ("amount", _text),  # yuan, as the record spells it
        ("payload", _bytes),  # NULL where the canonical spelling of the fields is the record
    ]
)
"""A timely order, or one that a backfill may take in."""
OTHER_COLUMNS = pa.schema(
    [
        ("verdict", _int8),
        ("reason", _int8),
        ("kafka_partition", _int32),
        ("kafka_offset", _int64),
        ("ingest_time", _int64),
        ("order_id", _text),  # this and the next: NULL where it is not as the contract has it
        ("order_time", _int64),
        ("user_id", _text),
        ("province", _text),
        ("city", _text),
        ("amount", _text),
        ("payload", _bytes),
    ]
)
"""A record that is no timely order."""
ACCEPTED_COLUMNS = pa.schema([ORDER_COLUMNS.field(n) for n in range(8)])
"""An order that counts."""
SALES_COLUMNS = pa.schema([("place", _int16), ("user_id", _text), ("orders", _int32), ("cents", _int64)])
"""What a user ordered in a place; one row per (place, user_id)."""
KEY_COLUMNS = pa.schema([("order_id", _text), ("order_time", _int64)])
CANDIDATE_COLUMNS = pa.schema([*ORDER_COLUMNS, ("origin", _int8)])

RECORDS = Kind("records", 1, 3, (ORDER_COLUMNS, OTHER_COLUMNS), WHOLE)
SETTLED = Kind("accepted orders", 2, 3, (ACCEPTED_COLUMNS,), WHOLE)
SALES = Kind("sales by user", 3, 3, (SALES_COLUMNS,), PLANES)
IDS = Kind("order ids", 4, 3, (pa.schema([("order_id", _text)]),), PLANES)
KEYS = Kind("keys", 5, 3, (KEY_COLUMNS,), PLANES)
LATE_ORDERS = Kind("late orders", 6, 3, (OTHER_COLUMNS,), PLANES)
CANDIDATES = Kind("candidates of a backfill", 7, 1, (CANDIDATE_COLUMNS,))


def write(kind: Kind, *parts: pa.RecordBatch | None) -> bytes:
    """A pack of record batches with the schemas of the kind, in their order; None: that part is empty."""
    bodies = []
    lengths = []
    for part in parts:
        if part is None or not part.num_rows:
            body = b""
        else:
            by_planes = kind.form == PLANES or (kind.form == WHOLE and part.num_rows >= MANY)
            body = planes.written(part) if by_planes else part.serialize().to_pybytes()
            if kind.form != PLAIN:
                length = len(body) | (_BY_PLANES if by_planes else 0)
                body = _LENGTH.pack(length) + pa.compress(body, codec="zstd", asbytes=True)
        bodies.append(body)
        lengths.append(len(body))
    head = _HEAD.pack(_MAGIC, kind.code, kind.version, len(parts)) + struct.pack(f"<{len(parts)}I", *lengths)
    return b"".join((head, b"\0" * (-len(head) % 8), *bodies))


def read(kind: Kind, packs: Iterable[bytes], parts: int | None = None) -> list[pa.RecordBatch]:
    """The rows of several packs: one record batch for each part of the kind, or for the first `parts` of them.

    Raises `UnknownPack` for a value of another kind or version.
    """
    schemas = kind.parts[:parts]
    batches: list[list[pa.RecordBatch]] = [[] for _ in schemas]
    for pack in packs:
        for found, schema, (body, by_planes) in zip(batches, schemas, _bodies(kind, pack, len(schemas)), strict=True):
            if body is not None:
                found.append(planes.read(body, schema) if by_planes else pa.ipc.read_record_batch(body, schema))
    return [joined(found, schema) for found, schema in zip(batches, schemas, strict=True)]


def _bodies(kind: Kind, pack: bytes, wanted: int) -> list[tuple[pa.Buffer | None, bool]]:
    """Each part as it was before it was compressed, None if it is empty, and whether it is by planes."""
    if len(pack) < _HEAD.size:
        raise UnknownPack(f"a value of {len(pack)} bytes is no pack of {kind.name}")
    magic, code, version, parts = _HEAD.unpack_from(pack)
    if (magic, code, parts) != (_MAGIC, kind.code, len(kind.parts)):
        raise UnknownPack(f"a value that begins with {pack[:8]!r} is no pack of {kind.name}")
    if version != kind.version:
        raise UnknownPack(
            f"a pack of {kind.name} has version {version}, these functions read version {kind.version}: the state was "
            "written by other functions; go on with those that the run began with"
        )
    lengths = struct.unpack_from(f"<{parts}I", pack, _HEAD.size)
    at = _HEAD.size + 4 * parts
    at += -at % 8
    whole = pa.py_buffer(pack)
    found: list[tuple[pa.Buffer | None, bool]] = []
    for length in lengths[:wanted]:
        body, by_planes = whole.slice(at, length), False
        if length and kind.form != PLAIN:
            (told,) = _LENGTH.unpack_from(pack, at)
            by_planes = bool(told & _BY_PLANES)
            body = pa.decompress(body.slice(_LENGTH.size), told & ~_BY_PLANES, codec="zstd")
        found.append((body if length else None, by_planes))
        at += length
    return found


def batch(schema: pa.Schema, columns: Sequence[pa.Array]) -> pa.RecordBatch:
    """A record batch of columns in the order of the schema."""
    return pa.RecordBatch.from_arrays(list(columns), schema=schema)


@cache
def _nothing(schema: pa.Schema) -> pa.RecordBatch:
    return batch(schema, [pa.array([], field.type) for field in schema])


def joined(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Several record batches of a schema as one."""
    batches = [one for one in batches if one.num_rows]
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return _nothing(schema)
    (one,) = pa.Table.from_batches(batches, schema).combine_chunks().to_batches()
    return one


def stretches(groups: Array) -> list[tuple[int, int]]:
    """[begin, end) of each stretch of equal numbers; of sorted ones: of each group."""
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(groups)]
    return list(pairwise(edges)) if len(groups) else []


# The hash is part of what stands in state: packs of one key must meet in the same share, today and after a restore.
_WEIGHTS = np.array([pow(0x9E3779B97F4A7C15, n + 1, 1 << 64) for n in range(64)], np.uint64)


def hashes(texts: pa.Array) -> Array:
    """A 64-bit hash (uint64) of each text; texts of 1 to 64 bytes, as ids are."""
    if not len(texts):
        return np.zeros(0, np.uint64)
    ends, octets = text_parts(texts)
    octets = octets.astype(np.uint64)
    starts = ends[:-1].astype(np.int64)
    place = np.arange(len(octets)) - np.repeat(starts, np.diff(ends))
    found = np.add.reduceat((octets + np.uint64(1)) * _WEIGHTS[place], starts)
    found ^= found >> np.uint64(32)
    found *= np.uint64(0xD6E8FEB86659FD93)
    found ^= found >> np.uint64(32)
    return found


def shares_of(texts: pa.Array, shares: int) -> Array:
    """In which of so many shares each text stands (int64)."""
    if shares == 1:
        return np.zeros(len(texts), np.int64)
    return (hashes(texts) % np.uint64(shares)).astype(np.int64)
