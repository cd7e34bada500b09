"""Which order has this number?

A plain function of seed, number, rules of time and regions; reads and writes nothing. A draw is a hash of (seed,
number, name of the draw), so no order depends on another, nor on how many there are. Works on whole columns (numpy).

Amounts are drawn in cents, times in epoch ms; days are business days of the rules' zone.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from flink_jobs.dirty_orders import DAY_MS, EMPTY_HOUR, HOUR_MS
from flink_jobs.order_format import Order
from flink_jobs.regions import Regions
from flink_jobs.settings import Time

MINUTE_MS = 60_000
MOST_ORDERS_A_DAY = 10_000_000
EPOCH = dt.date(2000, 1, 1)  # day 0 of the numbers
_QUIET_FROM = 10 * HOUR_MS - 5 * MINUTE_MS  # a copy in another minute is up to 3 minutes later
_USERS = 200_000

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def _hashes(seed: int, numbers: Ints, name: str) -> npt.NDArray[np.uint64]:
    """64 bits per number: splitmix64, its stream chosen by a digest of seed and name."""
    salt = int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=8).digest(), "big")
    z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _uniform(seed: int, numbers: Ints, name: str) -> Floats:
    """One draw from [0, 1) per number."""
    return (_hashes(seed, numbers, name) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def first_number(day: dt.date) -> int:
    """Number of the first order of a day; the day's orders are numbered on from it."""
    return (day - EPOCH).days * MOST_ORDERS_A_DAY


def _daily_curve() -> Floats:
    """Cumulative share of a day's orders by minute, 1,441 values from 0 to 1: humps at 11:00 and 20:30, a rush after
    midnight that fades within minutes, nothing in the empty hour."""
    minute = np.arange(1440, dtype=np.float64)
    weight = 0.15 + np.exp(-(((minute - 660) / 150) ** 2)) + 1.5 * np.exp(-(((minute - 1230) / 110) ** 2))
    weight += 12 * np.exp(-minute / 8) + 0.5 * np.exp(-minute / 60)
    weight[EMPTY_HOUR[0] // MINUTE_MS : EMPTY_HOUR[1] // MINUTE_MS] = 0
    return np.concatenate([[0.0], np.cumsum(weight) / weight.sum()])


_CURVE = _daily_curve()


@dataclass(frozen=True)
class Fields:
    """Columns of orders, in the order of their numbers; `city`: index into the draw's list of cities."""

    order_time: Ints
    user: Ints
    city: Ints
    cents: Ints


class Draw:
    """Turns numbers into orders: every method is a plain function of (seed, rules, regions, numbers)."""

    def __init__(
        self, seed: int, known: Regions, rules: Time, quiet_city: str | None, empty_province: str | None
    ) -> None:
        """`quiet_city` gets no order from 10:00, `empty_province` none at all."""
        self._seed, self._rules = seed, rules
        places = [(province, city) for province, cities in known.provinces.items() for city in cities]
        self.provinces = [province for province, _ in places]
        self.cities = [city for _, city in places]
        # Capitals come first in GB/T 2260, and a municipality weighs as much as a province of eight cities.
        weights: list[float] = []
        for province, cities in known.provinces.items():
            share = max(8, len(cities)) * (province != empty_province)
            ranks = [1 / rank for rank in range(1, len(cities) + 1)]
            weights += [share * rank / sum(ranks) for rank in ranks]
        self._share = np.cumsum(weights) / sum(weights)
        self._quiet = self.cities.index(quiet_city) if quiet_city else -1
        self._capital = self.provinces.index(self.provinces[self._quiet]) if quiet_city else -1

    def uniform(self, numbers: Ints, name: str) -> Floats:
        return _uniform(self._seed, numbers, name)

    def day_starts(self, numbers: Ints) -> Ints:
        midnight = self._rules.day_start(EPOCH)  # a fixed zone: every day has 24 h
        return midnight + numbers // MOST_ORDERS_A_DAY * DAY_MS

    def order_times(self, numbers: Ints) -> Ints:
        minute = np.searchsorted(_CURVE, self.uniform(numbers, "minute"), side="right") - 1
        return (
            self.day_starts(numbers) + minute * MINUTE_MS + (self.uniform(numbers, "ms") * MINUTE_MS).astype(np.int64)
        )

    def delays(self, numbers: Ints) -> Ints:
        """ms: 97 % from 0.1 to 20 s (median 1.5 s), the others from 20 s to 1 s within the lateness."""
        chance, tail = self.uniform(numbers, "delay"), self.uniform(numbers, "tail")
        most = self._rules.lateness_ms - 1000
        short = 100 + 19_900 * (chance / 0.97) ** 4
        long = 20_000 * np.maximum(1.0, most / 20_000) ** tail
        return np.maximum(0, np.minimum(most, np.where(chance < 0.97, short, long))).astype(np.int64)

    def partitions(self, numbers: Ints, partitions: int) -> npt.NDArray[np.int32]:
        hashes = _hashes(self._seed, numbers, "partition")
        return (hashes % np.uint64(partitions)).astype(np.int32)

    def fields(self, numbers: Ints, order_times: Ints) -> Fields:
        """Amounts: median 90 yuan, nine in ten between 5 and 2,000, at most 1 million; 1 % negative (cancelled)."""
        chance = self.uniform(numbers, "amount")
        cents = np.clip(9_000 * (chance / (1 - chance)) ** 0.9, 1, 100_000_000).astype(np.int64)
        cents = np.where(self.uniform(numbers, "cancelled") < 0.01, -cents, cents)
        user = (_USERS ** self.uniform(numbers, "user")).astype(np.int64)  # Zipf: the k-th user buys 1/k as often
        city = np.searchsorted(self._share, self.uniform(numbers, "city"), side="right").astype(np.int64)
        silent = (city == self._quiet) & (order_times - self.day_starts(numbers) >= _QUIET_FROM)
        return Fields(order_times, user, np.where(silent, self._capital, city), cents)

    def orders(self, numbers: Ints, order_times: Ints) -> list[Order]:
        f = self.fields(numbers, order_times)
        ids = [order_id(self._seed, number) for number in numbers.tolist()]
        columns = (ids, f.order_time.tolist(), f.user.tolist(), f.city.tolist(), f.cents.tolist())
        return [
            Order(id_, time, f"U{user:06}", self.provinces[city], self.cities[city], cents)
            for id_, time, user, city, cents in zip(*columns, strict=True)
        ]


def order_id(seed: int, number: int) -> str:
    """The id of an order, e.g. `O-7-094470000017`."""
    return f"O-{seed}-{number:012}"
