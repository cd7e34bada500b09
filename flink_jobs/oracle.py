"""What should the stores hold, by the order contract alone?

Reads records of the order log (from any reader) and the rules of time; writes nothing.

This is the other witness of `reconcile`: plain Python over the standard library, with a strict JSON
parser of its own. It imports nothing of the jobs, so that a mistake in their SQL is not made twice.
The core is `classify`: parse, compare two times, keep the first of each key. All times are epoch
milliseconds, all money is integer cents.

Memory: one entry (about 0.7 kB) for each distinct timely order in the range that is read.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from hashlib import md5
from typing import Any, NamedTuple

HEARTBEAT = b'{"heartbeat":true}'
EARLIEST_ORDER_TIME = 946_684_800_000  # 2000-01-01T00:00:00Z
LATEST_ORDER_TIME = 4_102_444_800_000  # 2100-01-01T00:00:00Z, exclusive
DEEPEST = 999
LONGEST_NUMBER = 1_000  # characters
LONGEST_EXPONENT = 9  # digits
ALL = "ALL"
DAY_MS = 86_400_000
MINUTE_MS = 60_000

_NAMES = ("order_id", "order_time", "user_id", "province", "city", "amount")  # of the fields in a record
_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_AMOUNT = re.compile(r"(-?)(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?")
_BRACKET = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|([\]}])', re.DOTALL)

Regions = Mapping[str, Iterable[str]]
"""Province code -> the codes of its cities."""


@dataclass(frozen=True)
class Rules:
    """The settings that a verdict depends on: milliseconds, the zone's offset, and the known regions."""

    lateness_ms: int
    future_ms: int
    late_copy_horizon_ms: int
    zone_offset_ms: int
    regions: Regions

    def day_of(self, instant: int) -> str:
        """The business day (YYYY-MM-DD) of an instant."""
        return (dt.date(1970, 1, 1) + dt.timedelta((instant + self.zone_offset_ms) // DAY_MS)).isoformat()

    def day_start(self, day: str) -> int:
        """First instant of a business day."""
        return (dt.date.fromisoformat(day) - dt.date(1970, 1, 1)).days * DAY_MS - self.zone_offset_ms

    def ingest_range(self, first_day: str, last_day: str) -> tuple[int, int]:
        """Ingest times [from, to) that hold every record which decides a verdict of these days.

        A day holds timely orders of its own time (ingested up to lateness after its end) and other records
        ingested in it. Whether one of those is a `late_copy` depends on a timely record whose order time lies up
        to the horizon back, and which may have been ingested `future_ms` before its own order time.
        """
        start = self.day_start(first_day) - max(self.late_copy_horizon_ms, 0) - self.future_ms
        return start, self.day_start(last_day) + DAY_MS + self.lateness_ms


class Order(NamedTuple):
    """A valid order: `order_time` epoch ms, `cents` integer (negative for a cancellation)."""

    order_id: str
    order_time: int
    user_id: str
    province: str
    city: str
    cents: int


class Fields(NamedTuple):
    """What can be read of a value that is no valid order: as `Order`, None where a field is not valid."""

    order_id: str | None = None
    order_time: int | None = None
    user_id: str | None = None
    province: str | None = None
    city: str | None = None
    cents: int | None = None


_NOTHING = Fields()


class Verdict(NamedTuple):
    """What a value is when it is no valid order: `malformed`, `heartbeat` or `invalid`, and why.

    `order_time`: that of an invalid order if it is itself valid, for it says on which day the record stands.
    """

    verdict: str
    reason: str
    order_time: int | None = None


class Judged(NamedTuple):
    """One record of the log with its verdict. `reason` is empty where the verdict says it all.

    `event_time` is a valid order time that is neither late nor too far ahead, whatever else is wrong with the record,
    and the ingest time of any other. `md5`: of the value of a record that did not count, empty for a tombstone.
    `fields`: of an invalid record, what can be read of it.
    """

    partition: int
    offset: int
    ingest_time: int
    event_time: int
    verdict: str
    reason: str
    order: Order | None
    md5: bytes = b""
    fields: Fields = _NOTHING


Record = tuple[int, int, int, bytes | None]
"""(partition, offset, ingest_time, value); value is None for a tombstone."""


class _NotJson(ValueError):
    """The text is accepted by Python's json module but not by the contract."""


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise _NotJson("a member name twice in one object")
    return found


def _number(convert: Callable[[str], int | float]) -> Callable[[str], int | float]:
    def read(text: str) -> int | float:
        exponent = text.lower().partition("e")[2]
        if len(text) > LONGEST_NUMBER or len(exponent.lstrip("+-")) > LONGEST_EXPONENT:
            raise _NotJson("number too long")
        return convert(text)

    return read


def _value(text: str) -> int | float:
    """A number is what it is worth, however it is written: 1.5E3 is the integer 1500."""
    exact = Decimal(text)
    if abs(exact.adjusted()) < LONGEST_NUMBER and exact == exact.to_integral_value():
        return int(exact)
    return float(text)


def _constant(text: str) -> Any:
    raise _NotJson(f"{text} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_number(int), parse_float=_number(_value), parse_constant=_constant
)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _BRACKET.finditer(text):
        if token[1]:
            depth += 1
            deepest = max(deepest, depth)
        elif token[2]:
            depth -= 1
    return deepest


def _decode(text: str) -> Any:
    """Decode one JSON text by RFC 8259 and the contract's bounds; raises ValueError for anything else."""
    if text.count("[") + text.count("{") < 100:
        return _DECODER.decode(text)
    if _depth(text) > DEEPEST:
        raise _NotJson("nested too deeply")
    # The decoder recurses once for each level, and a level within the bound must not fail on Python's own limit.
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + 3 * DEEPEST)
    try:
        return _DECODER.decode(text)
    finally:
        sys.setrecursionlimit(limit)


def _cents(amount: Any) -> int | None:
    """Integer cents of a decimal string, None if it is not one of the contract's form."""
    match = _AMOUNT.fullmatch(amount) if isinstance(amount, str) else None
    if match is None:
        return None
    sign, whole, places = match.groups()
    cents = int(whole) * 100 + int((places or "").ljust(2, "0"))
    return -cents if sign else cents


def _decoded(value: bytes | None) -> dict[str, Any] | Verdict:
    if not value:
        return Verdict("malformed", "empty")
    if value == HEARTBEAT:
        return Verdict("heartbeat", "")
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return Verdict("malformed", "encoding")
    if "\ufffd" in text:
        return Verdict("malformed", "encoding")
    try:
        found = _decode(text)
    except ValueError:
        return Verdict("malformed", "json")
    return found if type(found) is dict else Verdict("malformed", "json")


def _read(value: bytes | None, regions: Regions) -> tuple[Order | Verdict, Fields]:
    """What `parse` says of a value, and of one that is invalid what can be read of it."""
    found = _decoded(value)
    if isinstance(found, Verdict):
        return found, _NOTHING
    order_id, time, user_id = found.get("order_id"), found.get("order_time"), found.get("user_id")
    province, city = found.get("province"), found.get("city")
    if not isinstance(province, str) or province not in regions:
        province = None
    if province is None or not isinstance(city, str) or city not in regions[province]:
        city = None
    # type(), not isinstance(): True is an int for Python, and a float is none however whole it is.
    in_bounds = type(time) is int and EARLIEST_ORDER_TIME <= time < LATEST_ORDER_TIME
    # The same few thousand codes and users come back all the time: keep one copy of each.
    fields = (
        order_id if isinstance(order_id, str) and _ID.fullmatch(order_id) else None,
        time if in_bounds else None,
        sys.intern(user_id) if isinstance(user_id, str) and _ID.fullmatch(user_id) else None,
        province and sys.intern(province),
        city and sys.intern(city),
        _cents(found.get("amount")),
    )
    if None not in fields:
        return Order._make(fields), _NOTHING
    return Verdict("invalid", _NAMES[fields.index(None)], fields[1]), Fields._make(fields)


def parse(value: bytes | None, regions: Regions) -> Order | Verdict:
    """Read one value of the log by the order contract, without its neighbours and its time.

    Returns the order, or the verdict `malformed` (reason `empty`, `encoding` or `json`), `heartbeat`, or `invalid`
    with the name of the first field that fails. Never raises for any bytes.
    """
    return _read(value, regions)[0]


def classify(records: Iterable[Record], rules: Rules) -> Iterator[Judged]:
    """Give every record its one verdict: yields each record once, in no particular order.

    The first of a key (order_id, order_time) is the least by (ingest time, md5 of the value). Copies that are equal in
    both are the same bytes at the same time, so that no figure depends on which is taken; partition and offset only
    name one of them.
    """
    first: dict[tuple[str, int], tuple[int, bytes, int, int, Order]] = {}
    late: list[tuple[int, int, int, Order, bytes]] = []
    for partition, offset, ingest, value in records:
        order, fields = _read(value, rules.regions)
        if isinstance(order, Verdict):
            at = order.order_time
            timely = at is not None and ingest - rules.lateness_ms <= at <= ingest + rules.future_ms
            event_time = at if at is not None and timely else ingest
            digest = b"" if value is None or order.verdict == "heartbeat" else _digest(value)
            yield Judged(partition, offset, ingest, event_time, order.verdict, order.reason, None, digest, fields)
        elif order.order_time > ingest + rules.future_ms:
            yield Judged(partition, offset, ingest, ingest, "future", "", order, _digest(value))
        elif order.order_time < ingest - rules.lateness_ms:
            late.append((partition, offset, ingest, order, _digest(value)))
        else:
            key = (order.order_id, order.order_time)
            copy = (ingest, _digest(value), partition, offset, order)
            winner = first.setdefault(key, copy)
            if winner is not copy:
                first[key], loser = (copy, winner) if copy < winner else (winner, copy)
                yield _judged_timely(loser, "duplicate")
    for partition, offset, ingest, order, digest in late:
        remembered = order.order_time >= ingest - rules.late_copy_horizon_ms
        known = remembered and (order.order_id, order.order_time) in first
        yield Judged(partition, offset, ingest, ingest, "late_copy" if known else "late", "", order, digest)
    for copy in first.values():
        yield _judged_timely(copy, "accepted")


def wrong_clock(record: Record) -> Judged:
    """A record whose ingest time cannot be right: it stands in no time, so nothing more is asked of it."""
    partition, offset, ingest, value = record
    return Judged(partition, offset, ingest, ingest, "clock", "", None, b"" if value is None else _digest(value))


def _judged_timely(copy: tuple[int, bytes, int, int, Order], verdict: str) -> Judged:
    ingest, digest, partition, offset, order = copy
    return Judged(partition, offset, ingest, order.order_time, verdict, "", order, digest)


Supplied = tuple[Record, str]
"""A record of the supply, and the name of the file that it was sent with."""


class Admission(NamedTuple):
    """What became of a record that a backfill looked at.

    `origin`: `log` or `supply`. `verdict`: `admitted`, `duplicate` or `late_copy`; of a record of the supply that is no
    order which could count, `malformed`, `invalid` or `future`, with its reason. `day`: the business day of the order,
    or of the ingest time where there is none that could count. `fields`, `md5`: as `Judged`.
    """

    origin: str
    partition: int
    offset: int
    ingest_time: int
    verdict: str
    reason: str
    day: str
    order: Order | None
    md5: bytes = b""
    fields: Fields = _NOTHING


def wrong_clock_of_supply(record: Record) -> Admission:
    """A record of the supply whose ingest time cannot be right; `clock` stands in the place of its day too."""
    partition, offset, ingest, value = record
    digest = b"" if value is None else _digest(value)
    return Admission("supply", partition, offset, ingest, "clock", "", "clock", None, digest)


def admit(
    judged: Iterable[Judged],
    supply: Iterable[Supplied],
    rules: Rules,
    days: tuple[str, str],
    late: bool,
    without: set[str],
) -> list[Admission]:
    """What a backfill of the days (first and last, both included) takes in, beside what counts already.

    `judged`: all verdicts of the log. `late`: whether its late orders are taken in. `without`: names of supplies that
    are left out. An order that the log accepted is never taken in again, however late its copy; of several copies the
    first by (ingest time, md5 of the value) is, as among timely ones.
    """
    start, end = rules.day_start(days[0]), rules.day_start(days[1]) + DAY_MS
    accepted: set[tuple[str, int]] = set()
    found: list[Admission] = []
    candidates: list[tuple[int, bytes, str, int, int, Order]] = []
    for record in judged:
        order = record.order
        if order is None or not start <= order.order_time < end:
            continue
        if record.verdict == "accepted":
            accepted.add((order.order_id, order.order_time))
        elif record.verdict in ("late", "late_copy") and late:
            candidates.append((record.ingest_time, record.md5, "log", record.partition, record.offset, order))
    for (partition, offset, ingest, value), name in supply:
        if name in without:
            continue
        order_or_not, fields = _read(value, rules.regions)
        if isinstance(order_or_not, Verdict):
            verdict, reason = order_or_not.verdict, order_or_not.reason
            if verdict != "heartbeat":
                day = rules.day_of(ingest)
                digest = b"" if value is None else _digest(value)
                place = "supply", partition, offset, ingest
                found.append(Admission(*place, verdict, reason, day, None, digest, fields))
        elif order_or_not.order_time > ingest + rules.future_ms:
            day = rules.day_of(ingest)
            place = "supply", partition, offset, ingest
            found.append(Admission(*place, "future", "", day, order_or_not, _digest(value)))
        elif start <= order_or_not.order_time < end:
            candidates.append((ingest, _digest(value), "supply", partition, offset, order_or_not))
    taken: set[tuple[str, int]] = set()
    for ingest, digest, origin, partition, offset, order in sorted(candidates, key=lambda copy: copy[:5]):
        key = (order.order_id, order.order_time)
        verdict = "late_copy" if key in accepted else "duplicate" if key in taken else "admitted"
        taken.add(key)
        day = rules.day_of(order.order_time)
        found.append(Admission(origin, partition, offset, ingest, verdict, "", day, order, digest))
    return found


def as_judged(admissions: Iterable[Admission]) -> Iterator[Judged]:
    """The admitted orders as records that count on the day of their order time, for `totals`.

    A record of the supply stands in partition -1 less its own, so that no two records share a place.
    """
    for one in admissions:
        if one.verdict == "admitted" and one.order is not None:
            partition = one.partition if one.origin == "log" else -1 - one.partition
            yield Judged(partition, one.offset, one.ingest_time, one.order.order_time, "admitted", "", one.order)


def _digest(value: bytes | None) -> bytes:
    return md5(value or b"", usedforsecurity=False).digest()


@dataclass
class Sales:
    """Orders, money and distinct users of one place on one day."""

    orders: int = 0
    cents: int = 0
    users: set[str] = field(default_factory=set)

    def add(self, orders: int, cents: int, users: Iterable[str]) -> None:
        """Count further orders."""
        self.orders += orders
        self.cents += cents
        self.users.update(users)


@dataclass
class Count:
    """How many records, and which offsets: two sets of offsets that differ will differ here."""

    records: int = 0
    offset_min: int = 0
    offset_max: int = 0
    offset_sum: int = 0

    def add(self, offset: int) -> None:
        """Count one record at this offset."""
        self.offset_min = offset if self.records == 0 else min(self.offset_min, offset)
        self.offset_max = max(self.offset_max, offset)
        self.offset_sum += offset
        self.records += 1


@dataclass
class Day:
    """All that the log says about one business day, and what a backfill takes in beside it.

    sales: (province, city) -> Sales, with `ALL` for the totals of a province and of the country.
    minutes: (HH:MM, province or `ALL`) -> [orders, cents].
    verdicts: (partition, verdict) -> Count. rejected: each record that is kept
    beside the report, of any verdict but `accepted` and `heartbeat`.
    reasons: (verdict, reason) -> records. conflicting: order ids accepted under more than one order time.
    """

    sales: dict[tuple[str, str], Sales] = field(default_factory=lambda: defaultdict(Sales))
    minutes: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    verdicts: dict[tuple[int, str], Count] = field(default_factory=lambda: defaultdict(Count))
    reasons: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    rejected: list[Judged] = field(default_factory=list)
    records: int = 0
    conflicting: int = 0


def totals(judged: Iterable[Judged], rules: Rules, first_day: str, last_day: str) -> dict[str, Day]:
    """Count what belongs to the days first_day..last_day (both included): one `Day` each, in order."""
    start, end = rules.day_start(first_day), rules.day_start(last_day) + DAY_MS
    days = {rules.day_of(instant): Day() for instant in range(start, end, DAY_MS)}
    by_number = {(rules.day_start(day) - start) // DAY_MS: found for day, found in days.items()}
    order_ids: dict[int, set[str]] = defaultdict(set)
    conflicting: dict[int, set[str]] = defaultdict(set)
    for record in judged:
        if not start <= record.event_time < end:
            continue
        number, millis = divmod(record.event_time - start, DAY_MS)
        day = by_number[number]
        day.records += 1
        day.verdicts[record.partition, record.verdict].add(record.offset)
        day.reasons[record.verdict, record.reason] += 1
        order = record.order
        if record.verdict in ("accepted", "admitted") and order is not None:
            day.sales[order.province, order.city].add(1, order.cents, (order.user_id,))
            minute = day.minutes[f"{millis // 3_600_000:02}:{millis // MINUTE_MS % 60:02}", order.province]
            minute[0] += 1
            minute[1] += order.cents
            seen = conflicting if order.order_id in order_ids[number] else order_ids
            seen[number].add(order.order_id)
        elif record.verdict != "heartbeat":
            day.rejected.append(record)
    for number, day in by_number.items():
        day.conflicting = len(conflicting[number])
        _roll_up(day)
    return days


def _roll_up(day: Day) -> None:
    """Add the totals of provinces and country; users are counted anew at each level, for they do not add up."""
    for (province, _), city in list(day.sales.items()):
        day.sales[province, ALL].add(city.orders, city.cents, city.users)
        day.sales[ALL, ALL].add(city.orders, city.cents, city.users)
    for (minute, _), (orders, cents) in list(day.minutes.items()):
        country = day.minutes[minute, ALL]
        country[0] += orders
        country[1] += cents
