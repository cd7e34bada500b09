"""Which offsets of the log did a batch bring without a hole?

Takes the places of a batch's records; gives its stretches: offsets of one partition that follow each other. Put side by
side in the order in which a job read them, they show that it read every offset (sql/bind/*/reading.sql). Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from udfs import packs
from udfs.planes import Array
from udfs.strict_json import EARLIEST_ORDER_TIME


class Stretch(NamedTuple):
    """Offsets of one partition, `start` inclusive, `end` exclusive.

    `row`: of the batch, that of its record with the least ingest time: whatever stands on a version that ends after the
    ingest time of any of its records, the stretch stands on it too. `last`: the greatest ingest time in it, epoch ms.
    Ingest times that cannot be right, given as before `EARLIEST_ORDER_TIME`, are neither unless there is no other.
    """

    row: int
    partition: int
    start: int
    end: int
    last: int


def places_of(pack: bytes) -> list[tuple[int, int, int]]:
    """(partition, least offset, greatest) of the records of a pack, for each partition that it has some of."""
    places = [part.select(["kafka_partition", "kafka_offset"]) for part in packs.read(packs.RECORDS, [pack])]
    partition, offset = (np.concatenate([part.column(n).to_numpy() for part in places]) for n in range(2))
    found = ((number, offset[partition == number]) for number in np.unique(partition).tolist())
    return [(number, int(of.min()), int(of.max())) for number, of in found]


def stretches_of(partition: Array, offset: Array, ingest: Array) -> list[Stretch]:
    """The stretches of a batch, those of one partition in the order in which they were read."""
    if not len(partition):
        return []
    together = np.argsort(partition, kind="stable")
    partitions, offsets, came = partition[together], offset[together], ingest[together]
    in_time = np.where(came < EARLIEST_ORDER_TIME, np.iinfo(np.int64).max, came)
    breaks = (np.diff(partitions) != 0) | (np.diff(offsets) != 1)
    begins = np.concatenate(([0], np.flatnonzero(breaks) + 1))
    ends = np.concatenate((begins[1:], [len(offsets)]))
    return [
        Stretch(
            int(together[begin + np.argmin(in_time[begin:end])]),
            int(partitions[begin]),
            int(offsets[begin]),
            int(offsets[end - 1]) + 1,
            int(came[begin:end].max()),
        )
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
    ]
