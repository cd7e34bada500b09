"""How much is ordered in minutes that are not complete yet, as far as anybody can know now?

Takes packs as they arrive (udfs/judge.py), of one share of the orders each; of each key the first copy to arrive
counts. Keys are remembered by a 64-bit hash, in the worker's memory, each with the place in the log of the record that
counted: a record that is read again after a restart counts again, for what SQL sums up goes back to the checkpoint with
it, and a copy of it does not. What came before the checkpoint is not read again, so a worker that goes on is first
shown the log there (`remember`); where nothing was counted before, it needs to know nothing. Of copies found
there, nobody knows which had counted nor which will be read again: the first by ingest time counts, when all of them
have arrived. If one never does, it lies before the checkpoint, and so does what had counted. Settled minutes compare
the keys themselves (udfs/settle.py). Pure but for that memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from udfs.packs import RECORDS, hashes, read
from udfs.planes import Array
from udfs.rules import MINUTE_MS, Rules
from udfs.settle import provinces_of

KEYS_KEPT = 1_000_000
"""So many keys are kept whatever their minute: partitions that are read out of step bring old minutes for a while."""

_Place = int
"""Ingest time, partition (32 bits) and offset (56): of two copies the less one is the first. As one number they take a
quarter of the memory of three.
"""


@dataclass
class _Awaited:
    """A key of several copies: the places that have not arrived; place and cents of the first, once that one has."""

    places: set[_Place]
    first: tuple[int, int] | None = None


class Arrivals:
    """Remembers the keys of all minutes that a timely record can still come for, by the newest ingest time seen."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        # The minute itself, one for a clock ahead, and one for partitions whose newest records are not yet here.
        self._minutes = (rules.lateness_ms + rules.future_ms) // MINUTE_MS + 3
        self._seen: dict[int, dict[int, _Place]] = {}
        self._awaited: dict[int, dict[int, _Awaited]] = {}
        """Copies that were in the log before this worker began, and have not arrived."""
        self._newest = 0

    def __call__(self, pack: bytes) -> list[tuple[str | None, int, int]]:
        """(province, orders, cents) that a pack adds to its minute; `ALL` is the country. Nothing if all are copies."""
        (orders,) = read(RECORDS, [pack], parts=1)
        if not len(orders):
            return []
        places, cents = (np.array(orders.column(name).to_numpy()) for name in ("place", "cents"))
        new = self._new(orders, places, cents)
        self._forget(int(orders.column("ingest_time").to_numpy().max()) // MINUTE_MS)
        if not new.any():
            return []
        return provinces_of(places[new], np.ones(int(new.sum()), bool), cents[new], self._rules)

    def remember(self, pack: bytes) -> None:
        """Take note of records that were counted before, by a worker that has ended, or that will be read again."""
        (orders,) = read(RECORDS, [pack], parts=1)
        if not len(orders):
            return
        minute, copies = _copies(orders)
        seen, awaited = self._seen.setdefault(minute, {}), self._awaited.setdefault(minute, {})
        for key, place in copies:
            first = seen.setdefault(key, place)
            if first != place:
                awaited.setdefault(key, _Awaited({first})).places.add(place)
                seen[key] = min(first, place)

    def _new(self, orders: pa.RecordBatch, places: Array, cents: Array) -> Array:
        """Which records count (bool each): the first of their key, or the one that was told so before.

        Where a key's last copy arrives, its place and cents become those of the first.
        """
        minute, copies = _copies(orders)
        seen, awaited = self._seen.setdefault(minute, {}), self._awaited.get(minute, {})
        new = np.zeros(len(orders), bool)
        for row, (key, place) in enumerate(copies):
            waiting = awaited.get(key)
            if waiting is None:
                new[row] = seen.setdefault(key, place) == place
                continue
            waiting.places.discard(place)
            if place == seen[key]:
                waiting.first = places[row], cents[row]
            if not waiting.places:
                assert waiting.first is not None, "the first copy was one of those awaited"
                places[row], cents[row] = waiting.first
                new[row] = True
                seen[key] = place
                del awaited[key]
        return new

    def _forget(self, newest: int) -> None:
        if newest <= self._newest:
            return
        self._newest = newest
        kept = sum(map(len, self._seen.values()))
        for minute in sorted(self._seen):
            if kept <= KEYS_KEPT or minute >= newest - self._minutes:
                return
            kept -= len(self._seen.pop(minute))
            self._awaited.pop(minute, None)


def first_ingest(pack: bytes) -> int | None:
    """The least ingest time (epoch ms) of the timely orders in a pack, None if it has none."""
    (orders,) = read(RECORDS, [pack], parts=1)
    return int(orders.column("ingest_time").to_numpy().min()) if len(orders) else None


def _copies(orders: pa.RecordBatch) -> tuple[int, Iterator[tuple[int, _Place]]]:
    """The minute that the records of a pack stand in, and the hashed key and place of each."""
    times = orders.column("order_time").to_numpy()
    keys = hashes(orders.column("order_id")) + times.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    columns = (orders.column(name).to_pylist() for name in ("ingest_time", "kafka_partition", "kafka_offset"))
    places = (ingest << 88 | partition << 56 | offset for ingest, partition, offset in zip(*columns, strict=True))
    return int(times[0]) // MINUTE_MS, zip(keys.tolist(), places, strict=True)
