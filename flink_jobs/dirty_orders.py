"""What can be wrong or odd about an order, and what does each oddity deserve?

The catalogue of the generator: each entry of `KINDS` turns one clean order into the records that a real shop would have
sent instead, and states what they deserve. Reads and writes nothing; a plain function of its arguments.

No parser is called here. An entry knows what it breaks: it says `malformed` or `invalid` with the reason; for a record
that carries a valid order it leaves the verdict open, and `judge` fills it in from the intended numbers of the order's
few records (order contract, rules 4 to 6).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import md5

from flink_jobs.order_format import NEWEST_MS, OLDEST_MS, Order, amount_text, canonical, members, write
from flink_jobs.regions import Regions
from flink_jobs.settings import Time

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
EMPTY_HOUR = (4 * HOUR_MS, 5 * HOUR_MS)  # no order is made in this hour of any day
MAX_DEPTH = 999  # the contract's bounds of nesting (the order itself is level 1) and of a number's characters
MAX_NUMBER = 1000


@dataclass
class Draft:
    """One record to be: `at` = when it is appended (epoch ms), which is also its ingest time.

    `order`: what it says, None if it says nothing valid. `verdict` and `reason`: given for `malformed` and `invalid`,
    else filled in by `judge` once `at` is final.
    """

    kind: str
    partition: int
    at: int
    value: bytes | None
    order: Order | None = None
    verdict: str = ""
    reason: str = ""
    time: int | None = None
    """The order time of an invalid order, where that is itself valid: it says on which day the record stands."""


@dataclass(frozen=True)
class Scene:
    """What an entry of the catalogue may use.

    `at`: when the order would have been appended, `partition` where, of `partitions`. `draws`: numbers in [0, 1) that
    depend on (seed, order number) alone. `day_start`: of the order's business day, epoch ms. `elsewhere`: (province,
    city) of another region. `rules`: the times that verdicts depend on.
    """

    order: Order
    at: int
    partition: int
    partitions: int
    draws: Sequence[float]
    day_start: int
    elsewhere: tuple[str, str]
    rules: Time
    regions: Regions

    @property
    def delay(self) -> int:
        return self.at - self.order.order_time

    @property
    def other_partition(self) -> int:
        """Another partition for half of the orders, the same one for the rest."""
        return (self.partition + (self.draws[7] < 0.5)) % self.partitions

    @property
    def latest_late(self) -> int:
        """The longest delay of a late record, ms: not 10 h, and not past the records that close its day."""
        left = self.day_start + DAY_MS + 3 * 60_000 - self.order.order_time
        return self.rules.lateness_ms + min(10 * HOUR_MS, left)

    def draft(
        self, kind: str, order: Order, at: int, value: bytes | None = None, partition: int | None = None
    ) -> Draft:
        """A record that carries a valid order."""
        place = self.partition if partition is None else partition
        return Draft(kind, place, at, canonical(order) if value is None else value, order)

    def wrong(self, kind: str, verdict: str, reason: str, value: bytes | None, time: int | None = None) -> Draft:
        """A record that carries none; `time`: its order time, if that is valid all the same."""
        return Draft(kind, self.partition, self.at, value, None, verdict, reason, time)


Make = Callable[[str, Scene], list[Draft]]


@dataclass(frozen=True)
class Kind:
    """An entry of the catalogue. `group`: the rate that it shares with others (`datagen.Rates`)."""

    name: str
    group: str
    make: Make = field(repr=False)


def judge(drafts: Iterable[Draft], rules: Time) -> None:
    """Fill in the verdicts of the records of one order number that carry a valid order (contract, rules 4 to 6).

    Two records that are alike in key, ingest time and bytes must be drafted in the order in which they are appended.
    """
    timely: dict[tuple[str, int], list[Draft]] = {}
    late: list[tuple[Draft, Order]] = []
    for draft in drafts:
        order = draft.order
        if order is None:
            continue
        if order.order_time - draft.at > rules.future_ms:
            draft.verdict = "future"
        elif draft.at - order.order_time > rules.lateness_ms:
            late.append((draft, order))
        else:
            timely.setdefault((order.order_id, order.order_time), []).append(draft)
    for copies in timely.values():
        copies.sort(key=lambda draft: (draft.at, md5(draft.value or b"").hexdigest()))
        for draft in copies:
            draft.verdict = "duplicate"
        copies[0].verdict = "accepted"
    for draft, order in late:
        known = (order.order_id, order.order_time) in timely
        remembered = draft.at - order.order_time <= rules.late_copy_horizon_ms
        draft.verdict = "late_copy" if known and remembered else "late"


# --- copies ---------------------------------------------------------------------------------------------------------


def _copy_at(scene: Scene) -> int:
    """When a timely copy arrives: after the original, and at the latest just within the lateness."""
    room = max(0, scene.rules.lateness_ms - 1000 - scene.delay)
    return scene.at + int(room * scene.draws[1] ** 2)


def _exact_copy(kind: str, s: Scene) -> list[Draft]:
    copies = 1 + (s.draws[2] < 0.1)
    return [s.draft(kind, s.order, s.at)] + [
        s.draft(kind, s.order, _copy_at(s) + 500 + n, None, s.other_partition) for n in range(copies)
    ]


def _copy_of_same_instant(kind: str, s: Scene) -> list[Draft]:
    # Alike in every respect but the offset, so both stay in one partition: in two, no rule could say which is first.
    return [s.draft(kind, s.order, s.at), s.draft(kind, s.order, s.at)]


def _copy_with_other_amount(kind: str, s: Scene) -> list[Draft]:
    other = s.order._replace(cents=s.order.cents + 1 + int(s.draws[2] * 10_000))
    return [s.draft(kind, s.order, s.at), s.draft(kind, other, _copy_at(s) + 500, None, s.other_partition)]


def _copy_with_other_amount_same_instant(kind: str, s: Scene) -> list[Draft]:
    other = s.order._replace(cents=s.order.cents + 1 + int(s.draws[2] * 10_000))
    return [s.draft(kind, s.order, s.at), s.draft(kind, other, s.at, None, (s.partition + 1) % s.partitions)]


def _copy_with_other_region(kind: str, s: Scene) -> list[Draft]:
    other = s.order._replace(province=s.elsewhere[0], city=s.elsewhere[1])
    return [s.draft(kind, s.order, s.at), s.draft(kind, other, _copy_at(s) + 500, None, s.other_partition)]


def _copy_in_other_minute(kind: str, s: Scene) -> list[Draft]:
    """The same order_id under another order_time of the same day: both are accepted, the id is `conflicting`."""
    apart = 61_000 + int(s.draws[1] * 120_000)
    since_midnight = s.order.order_time - s.day_start
    forward = since_midnight < DAY_MS // 2
    if forward and EMPTY_HOUR[0] <= since_midnight + apart < EMPTY_HOUR[1]:
        forward = False
    other = s.order._replace(order_time=s.order.order_time + (apart if forward else -apart))
    return [s.draft(kind, s.order, s.at), s.draft(kind, other, other.order_time + s.delay, None, s.other_partition)]


# --- times ----------------------------------------------------------------------------------------------------------


def _late_at(s: Scene) -> int:
    shortest = s.rules.lateness_ms + 1
    return s.order.order_time + shortest + int((s.latest_late - shortest) * s.draws[1] ** 3)


def _late(kind: str, s: Scene) -> list[Draft]:
    return [s.draft(kind, s.order, _late_at(s))]


def _late_twice(kind: str, s: Scene) -> list[Draft]:
    return [s.draft(kind, s.order, _late_at(s)), s.draft(kind, s.order, _late_at(s) + 1000, None, s.other_partition)]


def _late_copy(kind: str, s: Scene) -> list[Draft]:
    return [s.draft(kind, s.order, s.at), s.draft(kind, s.order, _late_at(s), None, s.other_partition)]


def _late_copy_with_other_amount(kind: str, s: Scene) -> list[Draft]:
    other = s.order._replace(cents=s.order.cents + 100)
    return [s.draft(kind, s.order, s.at), s.draft(kind, other, _late_at(s), None, s.other_partition)]


def _clock_ahead(kind: str, s: Scene) -> list[Draft]:
    ahead = s.rules.future_ms + 1 + int(s.draws[1] * 3 * HOUR_MS)
    return [s.draft(kind, s.order._replace(order_time=s.at + ahead), s.at)]


def _clock_years_back(kind: str, s: Scene) -> list[Draft]:
    newest = s.at - 2 * DAY_MS - s.rules.lateness_ms
    return [s.draft(kind, s.order._replace(order_time=OLDEST_MS + int((newest - OLDEST_MS) * s.draws[1])), s.at)]


def _order_time(order_time: int, kind: str, s: Scene) -> list[Draft]:
    return [s.draft(kind, s.order._replace(order_time=order_time), s.at)]


# --- fields ---------------------------------------------------------------------------------------------------------


def _invalid(changes: Callable[[Scene], dict[str, str | None]], reason: str, kind: str, s: Scene) -> list[Draft]:
    fields, wrong = members(s.order), changes(s)
    for name, text in wrong.items():
        if text is None:
            del fields[name]
        else:
            fields[name] = text
    time = None if "order_time" in wrong else s.order.order_time
    return [s.wrong(kind, "invalid", reason, write(fields), time)]


def _unknown_code(s: Scene) -> str:
    return next(
        code for code in ("999999", "zz-unknown") if code not in s.regions.provinces and code not in s.regions.cities
    )


def _foreign_city(s: Scene) -> str:
    """A city of another province, or of none where there is only one."""
    return s.elsewhere[1] if s.elsewhere[0] != s.order.province else _unknown_code(s)


def _fullwidth(text: str) -> str:
    """ASCII letters and digits as their full-width twins, which \\d and \\w of many languages take for the same."""
    return "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text)


_Text = Callable[[Scene], str | None]
_WRONG_FIELDS: dict[str, dict[str, _Text]] = {
    "order_id": {
        "missing": lambda s: None,
        "null": lambda s: "null",
        "number": lambda s: "17",
        "object": lambda s: '{"id":"O-1"}',
        "list": lambda s: '["O-1"]',
        "empty": lambda s: '""',
        "space_within": lambda s: '"O 17"',
        "space_behind": lambda s: f'"{s.order.order_id} "',
        "newline_behind": lambda s: f'"{s.order.order_id}\\n"',
        "65_characters": lambda s: '"' + "O" * 65 + '"',
        "full_width": lambda s: f'"{_fullwidth(s.order.order_id)}"',
        "quote": lambda s: f'"{s.order.order_id}\\""',
        "bar": lambda s: f'"{s.order.order_id}|1"',
    },
    "order_time": {
        "missing": lambda s: None,
        "null": lambda s: "null",
        "true": lambda s: "true",
        "text": lambda s: f'"{s.order.order_time}"',
        "date": lambda s: '"2026-01-01 00:00:00"',
        "point_zero": lambda s: f"{s.order.order_time}.05",
        "fraction": lambda s: f"{s.order.order_time}.5",
        "exponent_zero": lambda s: f"{s.order.order_time}.5e0",
        "exponent": lambda s: "1.7627904001235E12",
        "negative": lambda s: f"-{s.order.order_time}",
        "minus_zero": lambda s: "-0",
        "before_2000": lambda s: str(OLDEST_MS - 1),
        "from_2100": lambda s: str(NEWEST_MS),
        "above_64_bits": lambda s: "18446744073709551616",
        "hundred_digits": lambda s: "1" * 100,
    },
    "user_id": {
        "missing": lambda s: None,
        "null": lambda s: "null",
        "number": lambda s: "123",
        "empty": lambda s: '""',
        "space_within": lambda s: '"U 123"',
        "newline_behind": lambda s: f'"{s.order.user_id}\\n"',
        "65_characters": lambda s: '"' + "U" * 65 + '"',
        "chinese": lambda s: '"用户123"',
        "nul": lambda s: '"U\\u0000"',
    },
    "province": {
        "missing": lambda s: None,
        "null": lambda s: "null",
        "number": lambda s: "110000",
        "empty": lambda s: '""',
        "unknown": lambda s: f'"{_unknown_code(s)}"',
        "space_behind": lambda s: f'"{s.order.province} "',
        "list": lambda s: f'["{s.order.province}"]',
        "full_width": lambda s: f'"{_fullwidth(s.order.province)}"',
    },
    "city": {
        "missing": lambda s: None,
        "null": lambda s: "null",
        "number": lambda s: "110100",
        "empty": lambda s: '""',
        "unknown": lambda s: f'"{_unknown_code(s)}"',
        "of_another_province": lambda s: f'"{_foreign_city(s)}"',
        "space_before": lambda s: f'" {s.order.city}"',
    },
    "amount": {
        "missing": lambda s: None,
        "null": lambda s: "null",
        "number": lambda s: amount_text(s.order.cents),
        "integer": lambda s: "12",
        "empty": lambda s: '""',
        "three_places": lambda s: '"12.345"',
        "exponent": lambda s: '"1e3"',
        "plus": lambda s: '"+5.00"',
        "leading_zero": lambda s: '"05.00"',
        "no_integer_part": lambda s: '".50"',
        "no_places": lambda s: '"5."',
        "comma": lambda s: '"1,234.50"',
        "decimal_comma": lambda s: '"12,50"',
        "eleven_digits": lambda s: '"12345678901"',
        "nan": lambda s: '"NaN"',
        "currency": lambda s: '"¥12.50"',
        "full_width": lambda s: '"１２.50"',
        "space_before": lambda s: '" 12.50"',
        "newline_behind": lambda s: '"12.50\\n"',
        "only_minus": lambda s: '"-"',
    },
}
_STAMPS: dict[str, _Text] = {
    "seconds": lambda s: str(s.order.order_time // 1000),
    "microseconds": lambda s: str(s.order.order_time * 1000 + 123),
    "nanoseconds": lambda s: str(s.order.order_time * 1_000_000 + 123_456),
}
_SEVERAL_WRONG: dict[str, tuple[str, dict[str, str | None]]] = {
    "province_and_amount": ("province", {"province": '"zz-unknown"', "amount": '"1e3"'}),
    "amount_and_user_id": ("user_id", {"amount": None, "user_id": '""'}),
    "order_time_and_city": ("order_time", {"city": "17", "order_time": '"now"'}),
    "every_field": (
        "order_id",
        dict.fromkeys(("order_id", "order_time", "user_id", "province", "city", "amount"), "null"),
    ),
}
# Objects that are no order at all: the first field is missing. Only one spelling is the heartbeat.
_NO_ORDER = {
    "empty_object": b"{}",
    "heartbeat_with_space": b'{"heartbeat": true}',
    "heartbeat_with_newline": b'{"heartbeat":true}\n',
    "heartbeat_false": b'{"heartbeat":false}',
    "order_in_an_object": b'{"order":{"order_id":"O-1"}}',
}


# --- bytes ----------------------------------------------------------------------------------------------------------


def _malformed(change: Callable[[str], bytes | None], reason: str, kind: str, s: Scene) -> list[Draft]:
    return [s.wrong(kind, "malformed", reason, change(canonical(s.order).decode()))]


def _with(member: str) -> Callable[[str], bytes]:
    return lambda text: (text[:-1] + "," + member + "}").encode()


def _with_bytes(content: bytes) -> Callable[[str], bytes]:
    return lambda text: text[:-1].encode() + b',"note":"' + content + b'"}'


def _nested(levels: int) -> str:
    """A further member that makes the order `levels` deep, the order itself being the first level."""
    return '"deep":' + "[" * (levels - 1) + "]" * (levels - 1)


_MALFORMED: dict[str, tuple[str, Callable[[str], bytes | None]]] = {
    "tombstone": ("empty", lambda text: None),
    "no_bytes": ("empty", lambda text: b""),
    "latin1": ("encoding", _with_bytes(b"caf\xe9")),
    "byte_ff": ("encoding", _with_bytes(b"\xff")),
    "overlong": ("encoding", _with_bytes(b"\xc0\xaf")),
    "surrogate_bytes": ("encoding", _with_bytes(b"\xed\xa0\x80")),
    "cut_within_a_character": ("encoding", lambda text: text[:-1].encode() + b',"note":"\xe5\x8c"}'),
    "replacement_character": ("encoding", _with_bytes("\ufffd".encode())),
    "utf16_with_mark": ("encoding", lambda text: text.encode("utf-16")),
    "utf16": ("json", lambda text: text.encode("utf-16-le")),
    "mark": ("json", lambda text: b"\xef\xbb\xbf" + text.encode()),
    "text": ("json", lambda text: b"order 17 of Beijing"),
    "csv": ("json", lambda text: b"O-1,1762790400123,U1,110000,110100,12.34"),
    "white_space": ("json", lambda text: b" \n"),
    "cut": ("json", lambda text: text[: len(text) // 2].encode()),
    "last_brace_missing": ("json", lambda text: text[:-1].encode()),
    "garbage_behind": ("json", lambda text: text.encode() + b"x"),
    "brace_behind": ("json", lambda text: text.encode() + b"}"),
    "comma_behind": ("json", lambda text: text.encode() + b","),
    "nul_behind": ("json", lambda text: text.encode() + b"\x00"),
    "twice": ("json", lambda text: (text + text).encode()),
    "two_lines": ("json", lambda text: (text + "\n" + text).encode()),
    "no_break_space_behind": ("json", lambda text: (text + "\u00a0").encode()),
    "list": ("json", lambda text: b"[1]"),
    "order_in_a_list": ("json", lambda text: f"[{text}]".encode()),
    "null": ("json", lambda text: b"null"),
    "true": ("json", lambda text: b"true"),
    "number": ("json", lambda text: b"17"),
    "string": ("json", lambda text: b'"order"'),
    "order_in_a_string": ("json", lambda text: json.dumps(text).encode()),
    "member_twice": ("json", lambda text: (text[:-1] + ',"amount":"1.00"}').encode()),
    "same_member_twice": ("json", lambda text: (text[:-1] + "," + text[1:]).encode()),
    "member_twice_by_escape": ("json", _with('"\\u0061mount":"1.00"')),
    "nested_member_twice": ("json", _with('"gift":{"to":"a","to":"b"}')),
    "member_twice_in_a_list": ("json", _with('"gifts":[1,{"to":"a","to":"a"}]')),
    "nan": ("json", _with('"weight":NaN')),
    "infinity": ("json", _with('"weight":-Infinity')),
    "comment": ("json", lambda text: text.encode() + b" // paid"),
    "comment_within": ("json", lambda text: text.replace("{", "{/* v2 */", 1).encode()),
    "single_quotes": ("json", lambda text: text.replace('"', "'").encode()),
    "bare_names": ("json", lambda text: text.replace('"order_id"', "order_id").encode()),
    "comma_at_the_end": ("json", lambda text: (text[:-1] + ",}").encode()),
    "comma_missing": ("json", lambda text: text.replace(",", " ", 1).encode()),
    "colon_missing": ("json", lambda text: text.replace(":", " ", 1).encode()),
    "number_with_leading_zero": ("json", lambda text: text.replace('"order_time":', '"order_time":0').encode()),
    "number_with_plus": ("json", lambda text: text.replace('"order_time":', '"order_time":+').encode()),
    "number_in_hex": ("json", _with('"flags":0x1F')),
    "number_with_point_only": ("json", _with('"weight":1.')),
    "python_words": ("json", _with('"gift":True')),
    "raw_tab": ("json", _with_bytes(b"a\tb")),
    "raw_newline": ("json", _with_bytes(b"a\nb")),
    "raw_nul": ("json", _with_bytes(b"a\x00b")),
    "unknown_escape": ("json", _with('"note":"\\x41"')),
    "half_escape": ("json", _with('"note":"\\u12"')),
    "escape_at_the_end": ("json", _with('"note":"\\')),
    "too_deep": ("json", _with(_nested(MAX_DEPTH + 1))),
    "number_too_long": ("json", _with('"big":' + "7" * (MAX_NUMBER + 1))),
}


# --- other spellings of a valid order -------------------------------------------------------------------------------


def _spelled(change: Callable[[Order], bytes], kind: str, s: Scene) -> list[Draft]:
    return [s.draft(kind, s.order, s.at, change(s.order))]


def _amount_spelled(text: str, cents: int, kind: str, s: Scene) -> list[Draft]:
    order = s.order._replace(cents=cents)
    return [s.draft(kind, order, s.at, write(members(order) | {"amount": f'"{text}"'}))]


def _id_spelled(order_id: Callable[[str], str], kind: str, s: Scene) -> list[Draft]:
    return [s.draft(kind, s.order._replace(order_id=order_id(s.order.order_id)), s.at)]


def _escaped(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def _reordered(order: Order) -> bytes:
    return write(dict(reversed(members(order).items())))


def _spaced(order: Order) -> bytes:
    inner = " ,\n\t".join(f'"{name}" \r\n: {text}' for name, text in members(order).items())
    return f"\r\n {{ {inner}\t}} \n".encode()


def _values_escaped(order: Order) -> bytes:
    return write(
        {name: f'"{_escaped(text[1:-1])}"' if text[0] == '"' else text for name, text in members(order).items()}
    )


def _names_escaped(order: Order) -> bytes:
    return write({_escaped(name): text for name, text in members(order).items()})


def _more(text: str) -> Callable[[Order], bytes]:
    return lambda order: canonical(order)[:-1] + b"," + text.encode() + b"}"


def _more_in_front(text: str) -> Callable[[Order], bytes]:
    return lambda order: b"{" + text.encode() + b"," + canonical(order)[1:]


_SPELLED: dict[str, Callable[[Order], bytes]] = {
    "reordered": _reordered,
    "spaced": _spaced,
    "values_escaped": _values_escaped,
    "names_escaped": _names_escaped,
    "newline_behind": lambda order: canonical(order) + b"\n",
    "nested_members": _more('"channel":{"name":"app","tags":["a",{"b":null},[]],"new":true}'),
    "own_names_within": _more_in_front('"gift":{"order_id":17,"order_time":"x","amount":{"amount":1},"city":null}'),
    "own_names_in_a_list": _more_in_front('"lines":[{"amount":"1.00"},{"amount":"2.00"}]'),
    "heartbeat_member": _more('"heartbeat":true'),
    "names_in_capitals": _more('"ORDER_ID":17,"Amount":"1e3"'),
    "odd_names": _more('"":1,"order.id":2,"$":3,"a b":4,"\\"":5'),
    "chinese_note": _more('"note":"加急 🚚 é"'),
    "escaped_note": _more('"note":"\\ud83d\\ude9a\\/\\b\\f\\n\\r\\t\\\\ \\" \\u0000"'),
    "lone_surrogate": _more('"note":"\\ud83d"'),  # RFC 8259 section 8.2: the grammar allows it
    "delete_character": _more('"note":"a\x7fb\u2028"'),
    "long_note": _more('"note":"' + "好" * 3000 + '"'),
    "odd_numbers": _more('"a":1e400,"b":-0,"c":-0.0e-7,"d":123456789012345678901234567890.5'),
    "number_of_most_characters": _more('"big":' + "7" * MAX_NUMBER),
    "deepest": _more(_nested(MAX_DEPTH)),
}
_AMOUNTS = {"12": 1200, "12.5": 1250, "0": 0, "-0.00": 0, "-0.01": -1, "0.01": 1, "1000000.00": 100_000_000}
_IDS: dict[str, Callable[[str], str]] = {
    "64_characters": lambda text: text.ljust(64, "x"),
    "all_characters": lambda text: f"{text}.Az_09:-",
}


# --- the catalogue --------------------------------------------------------------------------------------------------


def _catalogue() -> tuple[Kind, ...]:
    kinds = [
        Kind("exact_copy", "duplicate", _exact_copy),
        Kind("copy_of_same_instant", "duplicate", _copy_of_same_instant),
        Kind("copy_with_other_amount", "copy_amount", _copy_with_other_amount),
        Kind("copy_with_other_amount_same_instant", "copy_amount", _copy_with_other_amount_same_instant),
        Kind("copy_with_other_region", "copy_region", _copy_with_other_region),
        Kind("copy_in_other_minute", "copy_minute", _copy_in_other_minute),
        Kind("late", "late", _late),
        Kind("late_twice", "late", _late_twice),
        Kind("late_copy", "late_copy", _late_copy),
        Kind("late_copy_with_other_amount", "late_copy", _late_copy_with_other_amount),
        Kind("clock_ahead", "clock", _clock_ahead),
        Kind("clock_years_back", "clock", _clock_years_back),
        Kind("oldest_time", "clock", partial(_order_time, OLDEST_MS)),
        Kind("newest_time", "clock", partial(_order_time, NEWEST_MS - 1)),
    ]
    kinds += [
        Kind(f"order_time_in_{unit}", "stamp", partial(_invalid, partial(_one, "order_time", text), "order_time"))
        for unit, text in _STAMPS.items()
    ]
    kinds += [
        Kind(f"{name}_{fault}", "invalid", partial(_invalid, partial(_one, name, text), name))
        for name, faults in _WRONG_FIELDS.items()
        for fault, text in faults.items()
    ]
    kinds += [
        Kind(f"wrong_{name}", "invalid", partial(_invalid, partial(_given, changes), reason))
        for name, (reason, changes) in _SEVERAL_WRONG.items()
    ]
    kinds += [Kind(f"no_order_{name}", "invalid", partial(_no_order, value)) for name, value in _NO_ORDER.items()]
    kinds += [
        Kind(f"malformed_{name}", "malformed", partial(_malformed, change, reason))
        for name, (reason, change) in _MALFORMED.items()
    ]
    kinds += [Kind(f"spelled_{name}", "spelled", partial(_spelled, change)) for name, change in _SPELLED.items()]
    kinds += [
        Kind(f"amount_spelled_{text}", "spelled", partial(_amount_spelled, text, cents))
        for text, cents in _AMOUNTS.items()
    ]
    kinds += [Kind(f"order_id_of_{name}", "spelled", partial(_id_spelled, change)) for name, change in _IDS.items()]
    return tuple(kinds)


def _one(name: str, text: _Text, s: Scene) -> dict[str, str | None]:
    return {name: text(s)}


def _given(changes: dict[str, str | None], s: Scene) -> dict[str, str | None]:
    return changes


def _no_order(value: bytes, kind: str, s: Scene) -> list[Draft]:
    return [s.wrong(kind, "invalid", "order_id", value)]


KINDS = _catalogue()
"""Every kind of dirt, and of harmless oddity. Names are unique; a name is what the ledger calls it."""
