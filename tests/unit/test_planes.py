"""Rows that are written by planes come back as they were, and take less."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from udfs import planes
from udfs.packs import OTHER_COLUMNS

VALUES = {
    pa.string(): st.text("ab\u00e9\u4e2d", max_size=3) | st.sampled_from(["O-1", "O-2"]),
    pa.binary(): st.binary(max_size=3),
    pa.int8(): st.integers(-(2**7), 2**7 - 1),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
}


@given(st.data(), st.integers(0, 9))
def test_rows_come_back_as_they_were(chance: st.DataObject, rows: int):
    """With NULL or without, of one length or of several, and as a part of others."""
    columns = []
    for field in OTHER_COLUMNS:
        of = chance.draw(st.sampled_from([VALUES[field.type], st.none() | VALUES[field.type], st.none()]))
        columns.append(pa.array(chance.draw(st.lists(of, min_size=rows, max_size=rows)), field.type))
    whole = pa.RecordBatch.from_arrays(columns, schema=OTHER_COLUMNS)
    part = whole.slice(chance.draw(st.integers(0, rows)), chance.draw(st.integers(0, rows)))
    for one in (whole, part):
        found = planes.read(pa.py_buffer(planes.written(one)), OTHER_COLUMNS)
        found.validate(full=True)
        assert found == one and found.schema == OTHER_COLUMNS


def test_ids_of_one_length_take_what_they_differ_by_also_beside_an_odd_one():
    drawn = np.sort(np.random.default_rng(1).choice(8_000_000, 5_000, replace=False))
    ids = [f"O-5-{number:012d}" for number in drawn]
    for texts in (ids, [*ids, "another"]):
        rows = pa.record_batch([pa.array(texts)], schema=pa.schema([("order_id", pa.string())]))
        octets = len(pa.compress(planes.written(rows), codec="zstd", asbytes=True)) / len(texts)
        # log2(8,000,000 / 5,000) bits are 1.3 bytes.
        assert octets < 2.2
