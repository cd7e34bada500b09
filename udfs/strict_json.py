"""Is one value of the order log JSON by the contract, and what do its six fields say?

For values that are not in the canonical spelling, which udfs/judge.py reads itself. A pure function of the bytes:
nothing is read from or written to anywhere, and nothing of ours is imported. Whether a region is known and whether an
order is timely is judged elsewhere.

Two tiers, which agree:

A. `orjson`, for what an ordinary JSON writer sends. It is strict (UTF-8, RFC 8259), but keeps the last of two members
   of one name and the value of a number instead of its text. So its answer is taken only for an object that is not
   nested, where a count proves that no name stands twice, and where every number is an integer of 64 bits, which no
   bound of the contract excludes, or where the document is too short for a number out of bounds.
B. `ijson` on the C parser yajl, which reports each member name and keeps its state on the heap, however deep a document
   is nested. It is alive (3.6.0 in October 2026), under the BSD licence (yajl: ISC), and its wheels bring yajl. In
   these points it departs from the contract, and each is dealt with before it sees the document:
   - it has no bounds on depth and numbers, and may not be given an integer of more than 4,300 digits at all: Python
     refuses to convert it, which its C code does not expect (`_within_bounds`);
   - vertical tab and form feed are white space to it, while JSON has them nowhere;
   - it cannot report half a surrogate pair, which RFC 8259 lets stand as an escape (`_told_apart`);
   - behind the object it overlooks a string that does not end, unless a line feed stands in it.

Others that were tried (python-rapidjson, msgspec, jiter, pysimdjson, orjson itself) refuse half a surrogate pair;
msgspec and pysimdjson do not tell a name that stands twice either, and jiter stops at depth 200.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

import ijson  # type: ignore[import-untyped]
import numpy as np
import orjson
import pyarrow as pa
from ijson.backends import yajl2_c  # type: ignore[import-untyped]  # this one or none: others read another JSON
from pyarrow import compute as pc

EARLIEST_ORDER_TIME = 946_684_800_000  # 2000-01-01T00:00:00Z
LATEST_ORDER_TIME = 4_102_444_800_000  # 2100-01-01T00:00:00Z, exclusive
DEEPEST = 999
LONGEST_NUMBER = 1_000  # characters
LONGEST_EXPONENT = 9  # digits


class Fields(NamedTuple):
    """The six fields of one JSON object; None where one is missing, of the wrong type or not of the contract's form.

    `order_time`: epoch ms, of the years 2000 to 2099. `province` and `city`: any code, known or not. `amount`: the text
    of a decimal number of yuan.
    """

    order_id: str | None
    order_time: int | None
    user_id: str | None
    province: str | None
    city: str | None
    amount: str | None


ID_FORM = "[A-Za-z0-9._:-]{1,64}"
CODE_FORM = "[A-Za-z0-9._-]{1,32}"
AMOUNT_FORM = r"-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,2})?"
_FORMS = (ID_FORM, None, ID_FORM, CODE_FORM, CODE_FORM, AMOUNT_FORM)
_KINDS = (str, int, str, str, str, str)
"""Form and type of each of `Fields`, in their order."""
_is_id = re.compile(ID_FORM).fullmatch
_is_code = re.compile(CODE_FORM).fullmatch
_is_amount = re.compile(AMOUNT_FORM).fullmatch

_members = itemgetter(*Fields._fields)
_PLAIN = frozenset((str, int, bool, type(None)))
_PLAIN_OR_FLOAT = _PLAIN | {float}
_REPLACEMENT = "\ufffd".encode()

_VERTICAL_TAB, _FORM_FEED = b"\v\f"
_LONG_EXPONENT = re.compile(rb"[eE][+-]?[0-9]{%d}" % (LONGEST_EXPONENT + 1))
# Possessive, and an unclosed string ends with the text: no text takes more than one pass.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|([\[{])|([\]}])|(-?[0-9][-+.0-9eE]*+)', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole pair
    rb"|\\u([dD][89a-fA-F][0-9a-fA-F]{2}|[fF]{3}[dD])"
    rb"|\\.",
    re.DOTALL,
)


class Columns(NamedTuple):
    """`Fields` of many orders, a column each; `order_time`: int64."""

    order_id: pa.Array
    order_time: np.ndarray[Any, Any]
    user_id: pa.Array
    province: pa.Array
    city: pa.Array
    amount: pa.Array


def read_orders(values: Sequence[bytes | None]) -> tuple[list[int], Columns]:
    """Numbers and fields of those values that are orders with all six fields of the contract's form; many at once.

    The short way of tier A. Of a value that it leaves out it says nothing: that may be an order all the same, which
    `read_fields` tells.
    """
    chosen: list[int] = []
    members: list[tuple[Any, ...]] = []
    loads = orjson.loads
    for number, value in enumerate(values):
        try:
            text = value or b""
            found = loads(text)
            six = _members(found)
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
        if _is_whole(text, found) and (
            len(found) == len(six) or _is_plain(found) or _is_plain_with_fractions(text, found)
        ):
            chosen.append(number)
            members.append(six)
    kinds = [set(map(type, column)) for column in zip(*members, strict=True)]
    typed = kinds == [{kind} for kind in _KINDS]  # then each of them need not be looked at
    fits = [
        n
        for n, six in enumerate(members)
        if (typed or (*map(type, six),) == _KINDS) and EARLIEST_ORDER_TIME <= six[1] < LATEST_ORDER_TIME
    ]
    if len(fits) != len(members):
        chosen, members = [chosen[n] for n in fits], [members[n] for n in fits]
    columns = columns_of(members)
    good = np.ones(len(members), bool)
    for texts, form in zip(columns, _FORMS, strict=True):
        if form is not None:
            good &= pc.match_substring_regex(texts, f"^(?:{form})$").to_numpy(zero_copy_only=False)
    if not good.all():
        fits = np.flatnonzero(good).tolist()
        chosen, columns = [chosen[n] for n in fits], columns_of([members[n] for n in fits])
    return chosen, columns


def columns_of(orders: Sequence[tuple[Any, ...]]) -> Columns:
    """Whole `Fields`, or tuples of the same, as columns."""
    ids, times, *others = zip(*orders, strict=True) if orders else ((),) * len(Columns._fields)
    texts = (pa.array(column, pa.string()) for column in (ids, *others))
    return Columns(next(texts), np.array(times, np.int64), *texts)


def read_fields(value: bytes) -> Fields | str:
    """Read one value of the log.

    Returns its fields, or why it is malformed: `empty` (no bytes), `encoding` (not UTF-8, or U+FFFD in it) or `json`
    (not exactly one JSON object within the contract's bounds, or a member name twice in one object). A heartbeat is an
    object without fields. Never raises for any bytes.
    """
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return _read_by_events(value)
    if type(found) is dict and _is_whole(value, found) and (_is_plain(found) or _is_plain_with_fractions(value, found)):
        return _checked(found)
    return _read_by_events(value)


def _is_whole(value: bytes, found: dict[str, Any]) -> bool:
    """Whether no member was dropped for its name, and none has U+FFFD.

    Each name, at whatever depth, stands before a colon and each string between two quotes; others may stand within
    strings, and a member that was dropped for its name adds some of both. So there are at least as many as the members
    that are left explain, and where there are just as many, none was dropped.
    """
    return (
        value.count(b":") == len(found)
        or value.count(b'"') == 2 * (len(found) + [*map(type, found.values())].count(str))
    ) and (value.isascii() or _REPLACEMENT not in value)


def _is_plain(found: dict[str, Any]) -> bool:
    """Whether nothing is nested, and no number is one whose text could be out of bounds."""
    return _PLAIN.issuperset(map(type, found.values()))


def _is_plain_with_fractions(value: bytes, found: dict[str, Any]) -> bool:
    """Whether the members are plain but for floats, none of which needs its text for a verdict."""
    return (
        type(found.get("order_time")) is not float
        and _PLAIN_OR_FLOAT.issuperset(map(type, found.values()))
        and _has_no_long_number(value)
    )


def _checked(found: dict[str, Any]) -> Fields:
    """Members by name -> fields; a value that is no text or number of Python's is of the wrong type."""
    order_id, user_id, amount = found.get("order_id"), found.get("user_id"), found.get("amount")
    province, city = found.get("province"), found.get("city")
    return Fields(
        order_id if isinstance(order_id, str) and _is_id(order_id) else None,
        _time(found.get("order_time")),
        user_id if isinstance(user_id, str) and _is_id(user_id) else None,
        province if isinstance(province, str) and _is_code(province) else None,
        city if isinstance(city, str) and _is_code(city) else None,
        amount if isinstance(amount, str) and _is_amount(amount) else None,
    )


def _time(number: Any) -> int | None:
    """An order time from an int or a Decimal of the same worth; None for any other value."""
    # type(), for True is an int. The bounds come first: 1E999999999 as an int would fill the memory.
    if type(number) not in (int, Decimal) or not EARLIEST_ORDER_TIME <= number < LATEST_ORDER_TIME:
        return None
    whole = int(number)
    return whole if whole == number else None


def _read_by_events(value: bytes) -> Fields | str:
    """Tier B: any bytes at all."""
    if not value:
        return "empty"
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return "encoding"
    if _REPLACEMENT in value:
        return "encoding"
    if _VERTICAL_TAB in value or _FORM_FEED in value:
        return "json"
    # A text in which no number can be too long is too short for too deep a value as well.
    if not (_has_no_long_number(value) or _within_bounds(value)):
        return "json"
    if b"\\u" in value:
        value = _ESCAPE.sub(_told_apart, value)
    events = ijson.sendable_list()
    try:
        parser = yajl2_c.basic_parse_coro(events)
        parser.send(value + b"\n")
        parser.close()
    except ijson.JSONError:
        return "json"
    return _from_events(events)


def _from_events(events: list[tuple[str, Any]]) -> Fields | str:
    """Fields from the events of one JSON text, or `json` if it is no object or a name stands twice in one."""
    if events[0][0] != "start_map":
        return "json"
    found: dict[str, Any] = {}
    name = ""
    depth = 0
    names: set[str] = set()  # of the innermost open object
    outer: list[set[str]] = []
    for event, item in events:
        if event == "map_key":
            if item in names:
                return "json"
            names.add(item)
            name = item
        elif event == "start_map":
            outer.append(names)
            names = set()
            depth += 1
        elif event == "end_map":
            names = outer.pop()
            depth -= 1
        elif event == "start_array":
            depth += 1
        elif event == "end_array":
            depth -= 1
        elif depth == 1:
            found[name] = item
    return _checked(found)


def _has_no_long_number(value: bytes) -> bool:
    """Whether it can be seen at once that no number is out of the contract's bounds."""
    return len(value) <= LONGEST_NUMBER and not _LONG_EXPONENT.search(value)


def _within_bounds(value: bytes) -> bool:
    """Whether depth and numbers are within the contract's bounds.

    If the text is no JSON, only what stands before the first fault counts, for a parser comes no further; behind it the
    answer may be wrong.
    """
    depth = 0
    for opening, closing, number in _TOKEN.findall(value):
        if opening:
            depth += 1
            if depth > DEEPEST:
                return False
        elif closing:
            depth -= 1
        elif len(number) > LONGEST_NUMBER:
            return False
        elif number:
            exponent = number.lower().partition(b"e")[2]
            if len(exponent.lstrip(b"+-")) > LONGEST_EXPONENT:
                return False
    return True


def _told_apart(escape: re.Match[bytes]) -> bytes:
    """Half a surrogate pair -> U+FFFD and its four digits; U+FFFD -> itself and its four digits; others as they are.

    So names that differ still differ: any U+FFFD in the text was an escape, and has its digits behind it now. Values
    may change, but hold a character that no field may have before and after.
    """
    half = escape[1]
    return escape[0] if half is None else b"\\ufffd" + half.lower()
