"""What a job saw of the log, put together from its batches: every hole, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from udfs import packs
from udfs.stretches import Stretch, places_of, stretches_of
from udfs.strict_json import EARLIEST_ORDER_TIME

held = st.dictionaries(st.integers(0, 3), st.sets(st.integers(0, 40), max_size=30).map(sorted), max_size=4)


def batches(log: dict[int, list[int]], chance: st.DataObject) -> list[list[tuple[int, int, int]]]:
    """The records (partition, offset, ingest time) as batches: each partition in order, mixed anyhow, cut anywhere."""
    left = {partition: list(offsets) for partition, offsets in log.items() if offsets}
    mixed = []
    while left:
        partition = chance.draw(st.sampled_from(sorted(left)))
        offset = left[partition].pop(0)
        mixed.append((partition, offset, EARLIEST_ORDER_TIME + chance.draw(st.integers(0, 5))))
        if not left[partition]:
            del left[partition]
    cuts = sorted(chance.draw(st.sets(st.integers(1, max(1, len(mixed) - 1)), max_size=4)))
    return [mixed[begin:end] for begin, end in pairwise([0, *cuts, len(mixed)]) if mixed[begin:end]]


def told(batch: list[tuple[int, int, int]]) -> list[Stretch]:
    return stretches_of(*(np.array(column) for column in zip(*batch, strict=True)))


@given(held, st.data())
def test_the_stretches_of_all_batches_are_what_was_read(log: dict[int, list[int]], chance: st.DataObject):
    read = [told(batch) for batch in batches(log, chance)]
    seen: dict[int, list[int]] = {}
    for stretch in (stretch for stretches in read for stretch in stretches):
        seen.setdefault(stretch.partition, []).extend(range(stretch.start, stretch.end))
    assert seen == {partition: offsets for partition, offsets in log.items() if offsets}


@given(held, st.data())
def test_side_by_side_they_show_each_hole_and_no_other(log: dict[int, list[int]], chance: st.DataObject):
    """As sql/bind/streaming/reading.sql does: each with the one before it, in the order in which they were read."""
    before: dict[int, int] = {}
    holes = set()
    for batch in batches(log, chance):
        for _, partition, start, end, _ in sorted(told(batch)):
            if partition in before and before[partition] != start:
                holes.add((partition, before[partition], start))
            before[partition] = end
    assert holes == {
        (partition, one + 1, other)
        for partition, offsets in log.items()
        for one, other in pairwise(offsets)
        if other != one + 1
    }


@given(held, st.data())
def test_a_stretch_stands_in_the_row_of_its_least_ingest_time(log: dict[int, list[int]], chance: st.DataObject):
    for batch in batches(log, chance):
        for row, partition, start, end, last in told(batch):
            of = [came for p, offset, came in batch if p == partition and start <= offset < end]
            assert (batch[row][0], batch[row][2]) == (partition, min(of)) and start <= batch[row][1] < end
            assert last == max(of)


def test_offsets_that_run_back_are_another_stretch():
    columns = [0, 0, 0, 0], [7, 8, 0, 1], [1, 2, 3, 4]
    assert stretches_of(*map(np.array, columns)) == [Stretch(0, 0, 7, 9, 2), Stretch(2, 0, 0, 2, 4)]


def test_no_record_no_stretch():
    assert stretches_of(*(np.zeros(0, int) for _ in range(3))) == []


def test_a_wrong_clock_gives_a_stretch_neither_its_row_nor_its_time():
    wrong, at = 300_000, 1_762_833_600_000
    assert told([(0, 1, wrong), (0, 2, at + 9), (0, 3, at), (0, 4, wrong)]) == [Stretch(2, 0, 1, 5, at + 9)]
    assert told([(0, 1, wrong), (0, 2, wrong)]) == [Stretch(0, 0, 1, 3, wrong)]


def rows_at(schema: pa.Schema, places: Sequence[tuple[int, int]]) -> pa.RecordBatch:
    """Records of which nothing is known but (partition, offset)."""
    known = {"kafka_partition": [p for p, _ in places], "kafka_offset": [n for _, n in places]}
    return pa.record_batch([known.get(field.name, [None] * len(places)) for field in schema], schema=schema)


def test_the_places_of_a_pack_are_those_of_its_records_by_partition():
    """Timely orders and others alike; of one kind there may be none."""
    orders = rows_at(packs.ORDER_COLUMNS, [(0, 7), (2, 40)])
    others = rows_at(packs.OTHER_COLUMNS, [(2, 39), (0, 9), (0, 8)])
    assert places_of(packs.write(packs.RECORDS, orders, others)) == [(0, 7, 9), (2, 39, 40)]
    assert places_of(packs.write(packs.RECORDS, None, others)) == [(0, 8, 9), (2, 39, 39)]
