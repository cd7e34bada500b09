"""How much is ordered in minutes that are not complete yet, as far as anybody can know now?

Takes packs as they arrive (udfs/judge.py), of one share of the orders each; of each key the first copy to arrive
counts. Keys are remembered by a 64-bit hash, in the worker's memory alone: after a restart a copy whose first record
came before the checkpoint is counted again, until its minute is final (udfs/settle.py, which compares the keys
themselves). What SQL sums up from here is part of the checkpoint. Pure but for that memory.
"""

from __future__ import annotations

import numpy as np

from udfs.packs import RECORDS, hashes, read
from udfs.rules import MINUTE_MS, Rules
from udfs.settle import provinces_of

KEYS_KEPT = 1_000_000
"""So many keys are kept whatever their minute: partitions that are read out of step bring old minutes for a while."""


class Arrivals:
    """Remembers the keys of all minutes that a timely record can still come for, by the newest ingest time seen."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        # The minute itself, one for a clock ahead, and one for partitions whose newest records are not yet here.
        self._minutes = (rules.lateness_ms + rules.future_ms) // MINUTE_MS + 3
        self._seen: dict[int, set[int]] = {}
        self._newest = 0

    def __call__(self, pack: bytes) -> list[tuple[str | None, int, int]]:
        """(province, orders, cents) that a pack adds to its minute; `ALL` is the country. Nothing if all are copies."""
        (orders,) = read(RECORDS, [pack], parts=1)
        if not len(orders):
            return []
        times = orders.column("order_time").to_numpy()
        keys = (hashes(orders.column("order_id")) + times.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)).tolist()
        seen = self._seen.setdefault(int(times[0]) // MINUTE_MS, set())
        new = np.zeros(len(keys), bool)
        for row, key in enumerate(keys):
            if key not in seen:
                seen.add(key)
                new[row] = True
        self._forget(int(orders.column("ingest_time").to_numpy().max()) // MINUTE_MS)
        if not new.any():
            return []
        places, cents = orders.column("place").to_numpy(), orders.column("cents").to_numpy()
        return provinces_of(places[new], np.ones(int(new.sum()), bool), cents[new], self._rules)

    def _forget(self, newest: int) -> None:
        if newest <= self._newest:
            return
        self._newest = newest
        kept = sum(map(len, self._seen.values()))
        for minute in sorted(self._seen):
            if kept <= KEYS_KEPT or minute >= newest - self._minutes:
                return
            kept -= len(self._seen.pop(minute))
