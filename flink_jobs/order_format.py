"""How is an order written?

The wire format of the order contract, for those who write it: the generator and the import. Reads and writes nothing.
The jobs (in SQL) and the oracle read it, each with a parser of their own, so nothing here is shared with them.
"""

from __future__ import annotations

from typing import NamedTuple

OLDEST_MS = 946_684_800_000  # 2000-01-01 UTC: the contract's bounds of order_time, [OLDEST_MS, NEWEST_MS)
NEWEST_MS = 4_102_444_800_000  # 2100-01-01 UTC
ID_PATTERN = r"[A-Za-z0-9._:-]{1,64}"  # of order_id and user_id
MOST_CENTS = 9_999_999_999_99  # ten digits before the point


class Order(NamedTuple):
    """One order as the shop meant it. `order_time`: epoch ms; `cents`: yuan / 100."""

    order_id: str
    order_time: int
    user_id: str
    province: str
    city: str
    cents: int


def amount_text(cents: int) -> str:
    """Cents -> yuan with two places, e.g. -5 -> `-0.05`."""
    sign, cents = ("-", -cents) if cents < 0 else ("", cents)
    return f"{sign}{cents // 100}.{cents % 100:02}"


def members(order: Order) -> dict[str, str]:
    """Field name -> its JSON text, in the order of the canonical form."""
    return {
        "order_id": f'"{order.order_id}"',
        "order_time": str(order.order_time),
        "user_id": f'"{order.user_id}"',
        "province": f'"{order.province}"',
        "city": f'"{order.city}"',
        "amount": f'"{amount_text(order.cents)}"',
    }


def write(fields: dict[str, str]) -> bytes:
    """JSON object without white space from names and JSON texts."""
    return ("{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}").encode()


def canonical(order: Order) -> bytes:
    """The order as the gateway writes it (order contract): `write(members(order))`, in one step."""
    order_id, order_time, user_id, province, city, cents = order
    return (
        f'{{"order_id":"{order_id}","order_time":{order_time},"user_id":"{user_id}","province":"{province}",'
        f'"city":"{city}","amount":"{amount_text(cents)}"}}'
    ).encode()
