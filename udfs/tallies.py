"""What do settled minutes add up to, hour by hour and day by day?

Takes packs of settled orders (udfs/settle.py); gives what a place sold, users counted at each level, and the order ids
that count under several times. A user's orders meet in one share of the users, an id's in one share of the ids, so that
the figures of the shares add up at every level. Money is integer cents; no sum may leave 64 bits. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from udfs.packs import IDS, SALES, SALES_COLUMNS, SETTLED, batch, read, shares_of, write
from udfs.planes import Array
from udfs.rules import Rules
from udfs.settle import ALL

SHARES = 8
"""Into how many parts users and ids are divided; no figure depends on it."""
_MOST_CENTS = 2.0**62
"""So much at most is summed up, every amount taken as positive; half of 64 bits, for this sum is not exact."""


class HourPart(NamedTuple):
    """One share of an hour: packs of SALES (its users) and IDS (its order ids)."""

    share: int
    sales: bytes
    ids: bytes


class PlaceSales(NamedTuple):
    """Figures of a place; `ALL` stands for the level above."""

    province: str
    city: str
    orders: int
    cents: int
    users: int


def hour_parts(packs: Iterable[bytes]) -> list[HourPart]:
    """The orders of an hour (packs of SETTLED), by users and by ids."""
    (orders,) = read(SETTLED, packs)
    cents = orders.column("cents").to_numpy()
    _refuse_too_much(cents, len(orders))
    users = orders.column("user_id").dictionary_encode()
    ids = orders.column("order_id")
    place, user = orders.column("place").to_numpy().astype(np.int64), users.indices.to_numpy().astype(np.int64)
    pairs, which = np.unique(place * len(users.dictionary) + user, return_inverse=True)
    sums = np.zeros(len(pairs), np.int64)
    np.add.at(sums, which, cents)
    numbers = np.bincount(which, minlength=len(pairs))
    user_of, place_of = pairs % max(len(users.dictionary), 1), pairs // max(len(users.dictionary), 1)
    user_share, id_share = shares_of(users.dictionary, SHARES)[user_of], shares_of(ids, SHARES)
    parts = []
    for share in range(SHARES):
        mine = np.flatnonzero(user_share == share)
        sales = batch(
            SALES_COLUMNS,
            (
                pa.array(place_of[mine].astype(np.int16)),
                users.dictionary.take(pa.array(user_of[mine])),
                pa.array(numbers[mine].astype(np.int32)),
                pa.array(sums[mine]),
            ),
        )
        of_share = batch(IDS.parts[0], [ids.filter(pa.array(id_share == share)).sort()])
        parts.append(HourPart(share, write(SALES, sales), write(IDS, of_share)))
    return parts


def place_sales(packs: Iterable[bytes], rules: Rules) -> list[PlaceSales]:
    """What each city, each province and the country sold, of one share of the users (packs of SALES)."""
    (sales,) = read(SALES, packs)
    if not len(sales):
        return []
    places = rules.places
    provinces, province_of = rules.provinces, rules.province_of
    users = sales.column("user_id").dictionary_encode()
    user, many = users.indices.to_numpy().astype(np.int64), len(users.dictionary)
    place = sales.column("place").to_numpy().astype(np.int64)
    numbers = sales.column("orders").to_numpy().astype(np.int64)
    amounts = sales.column("cents").to_numpy()
    _refuse_too_much(amounts, int(numbers.sum()))
    orders, cents = np.zeros(len(places), np.int64), np.zeros(len(places), np.int64)
    np.add.at(orders, place, numbers)
    np.add.at(cents, place, amounts)
    in_city = _distinct(place, user, len(places), many)
    in_province = _distinct(province_of[place], user, len(provinces), many)
    rows = [
        PlaceSales(places[n][0], places[n][1], int(orders[n]), int(cents[n]), int(in_city[n]))
        for n in np.flatnonzero(in_city).tolist()
    ]
    for n in np.flatnonzero(in_province).tolist():
        of = province_of == n
        rows.append(PlaceSales(provinces[n], ALL, int(orders[of].sum()), int(cents[of].sum()), int(in_province[n])))
    return [*rows, PlaceSales(ALL, ALL, int(orders.sum()), int(cents.sum()), many)]


def _distinct(place: Array, user: Array, places: int, users: int) -> Array:
    """How many users each place has: by a table of bits where it is not much larger than the pairs, else by a sort."""
    if places * users <= 32 * len(user):
        seen = np.zeros(places * users, bool)
        seen[place * users + user] = True
        counts: Array = seen.reshape(places, users).sum(axis=1)
        return counts
    return np.bincount(np.unique(place * users + user) // users, minlength=places)


def conflicting_ids(packs: Iterable[bytes]) -> int:
    """How many ids of a day's share (packs of IDS) count under more than one order time: they stand there twice."""
    (ids,) = read(IDS, packs)
    codes = ids.column("order_id").dictionary_encode()
    return int(np.count_nonzero(np.bincount(codes.indices.to_numpy(), minlength=1) > 1))


def _refuse_too_much(cents: Array, orders: int) -> None:
    most = float(np.abs(cents).sum(dtype=np.float64))
    if most > _MOST_CENTS:
        raise OverflowError(
            f"{orders:,} orders of {most / 100:,.0f} yuan, cancellations not taken off, may leave 64 bits of cents. "
            "No shop has such amounts: look whose they are (`samewater sql questions`), and what sends them"
        )
