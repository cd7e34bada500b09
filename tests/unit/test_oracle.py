"""Does the oracle follow the order contract, rule by rule and at each boundary?

Expected values are worked out by hand; the property tests compare with a quadratic reading of the definition.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flink_jobs import oracle
from flink_jobs.oracle import HEARTBEAT, Judged, Order, Record, Rules, Verdict, classify, parse, totals

REGIONS = {"110000": ("110100",), "440000": ("440100", "440300")}
RULES = Rules(
    lateness_ms=300_000, future_ms=60_000, late_copy_horizon_ms=86_400_000, zone_offset_ms=28_800_000, regions=REGIONS
)
DAY = "2025-11-11"
MIDNIGHT = 1_762_790_400_000  # 2025-11-11T00:00:00+08:00
NOON = MIDNIGHT + 43_200_000
NEXT_MIDNIGHT = MIDNIGHT + 86_400_000
GOOD: dict[str, Any] = {
    "order_id": "O-1",
    "order_time": NOON,
    "user_id": "U1",
    "province": "440000",
    "city": "440300",
    "amount": "12.34",
}


def value(**changes: Any) -> bytes:
    """A good order with some members changed; None removes one."""
    members = {name: member for name, member in {**GOOD, **changes}.items() if member is not None}
    return json.dumps(members, separators=(",", ":")).encode()


def raw(member: str, text: str) -> bytes:
    """A good order with one member's value written as given."""
    return value(**{member: "@"}).replace(b'"@"', text.encode())


def short(parameter: Any) -> str:
    """Name of a case: some values are 100 kB long."""
    return repr(parameter)[-40:]


def read(payload: bytes | None) -> Order | Verdict:
    return parse(payload, REGIONS)


def verdicts(*records: Record) -> list[tuple[str, str]]:
    """(verdict, reason) of each record, in the order given."""
    found = {(judged.partition, judged.offset): (judged.verdict, judged.reason) for judged in classify(records, RULES)}
    assert len(found) == len(records)
    return [found[record[0], record[1]] for record in records]


# ---------------------------------------------------------------- parsing


def test_it_imports_the_standard_library_alone() -> None:
    source = Path(oracle.__file__).read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    modules = {
        name.split(".")[0]
        for node in imports
        for name in ([node.module or "?"] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert modules
    assert modules <= sys.stdlib_module_names


def test_an_order_in_the_canonical_form_is_read_with_integer_cents() -> None:
    assert read(value()) == Order("O-1", NOON, "U1", "440000", "440300", 1234)


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(GOOD, indent=4).encode(),
        b" \t\r\n" + value() + b"\n ",
        json.dumps(dict(reversed(GOOD.items()))).encode(),
        value(order_id="@").replace(b"@", b"O\\u002d1"),
        value().replace(b'"order_id"', b'"order\\u005fid"'),
        value(note=None, more={"order_id": 1, "deep": [[], {}, None, True, 1.5e300, -0, "\u00e9\u20ac"]}),
        value(note="@").replace(b"@", b"\\ud800"),  # half a surrogate pair is legal JSON text
        value(note="@").replace(b"@", b"\\ufffd"),
        value(note="@").replace(b"@", b"\\u0000\x7f"),
        raw("x", "[" * 998 + "]" * 998),
        raw("x", "9" * 1000),
        raw("x", "1e999999999"),
        raw("x", "-0.1E-999999999"),
        raw("x", "0." + "1" * 998),
        raw("x", '"' + "{[" * 3000 + '"'),
    ],
    ids=short,
)
def test_any_json_spelling_of_the_same_order_is_the_same_order(payload: bytes) -> None:
    assert read(payload) == Order("O-1", NOON, "U1", "440000", "440300", 1234)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"\xff\xfe", "encoding"),
        (value(note="@").replace(b"@", b"\xc3"), "encoding"),
        (value(note="@").replace(b"@", b"\xed\xa0\x80"), "encoding"),  # a surrogate, encoded
        (value(note="@").replace(b"@", b"\xc0\xaf"), "encoding"),  # overlong
        ("\ufffd".encode(), "encoding"),
        (b" ", "json"),
        (b"null", "json"),
        (b"[1]", "json"),
        (b'"text"', "json"),
        (b"12", "json"),
        (b"[" + value() + b"]", "json"),
        (value() + b"x", "json"),
        (value() + value(), "json"),
        (value() + b"]", "json"),
        (value() + b"\x00", "json"),
        (b"\xef\xbb\xbf" + value(), "json"),
        ("\u00a0".encode() + value(), "json"),  # a space for people, not for JSON
        (value()[:-1], "json"),
        (value().replace(b'"', b"'"), "json"),
        (value() + b"//", "json"),
        (b'{"a":1,}', "json"),
        (b"{a:1}", "json"),
        (raw("x", "NaN"), "json"),
        (raw("x", "-Infinity"), "json"),
        (raw("x", "01"), "json"),
        (raw("x", "+1"), "json"),
        (raw("x", "1."), "json"),
        (raw("x", ".5"), "json"),
        (raw("x", "0x1"), "json"),
        (raw("x", "\u0661"), "json"),  # an Arabic digit one
        (raw("x", "True"), "json"),
        (raw("x", '"a\tb"'), "json"),
        (raw("x", '"a\nb"'), "json"),
        (raw("x", '"\\x41"'), "json"),
        (raw("x", '"\\u12"'), "json"),
        (raw("x", '{"b":1,"b":1}'), "json"),
        (raw("x", '[{"b":{"c":1,"c":2}}]'), "json"),
        (b'{"order_id":"O-1",' + value()[1:], "json"),
        (b'{"order\\u005fid":"O-1",' + value()[1:], "json"),
        (raw("x", "[" * 999 + "]" * 999), "json"),
        (raw("x", "[" * 100_000), "json"),
        (raw("x", '{"a":' * 100_000), "json"),
        (raw("x", "9" * 1001), "json"),
        (raw("x", "1e1000000000"), "json"),
        (raw("x", "1E-0000000001"), "json"),
        (raw("x", "0." + "1" * 999), "json"),
    ],
    ids=short,
)
def test_what_is_not_one_json_object_in_utf8_is_malformed(payload: bytes | None, reason: str) -> None:
    assert read(payload) == Verdict("malformed", reason)


def test_a_deep_value_leaves_the_limit_of_recursion_as_it_was() -> None:
    limit = sys.getrecursionlimit()
    read(raw("x", "[" * 998 + "]" * 998))
    assert sys.getrecursionlimit() == limit


def test_a_heartbeat_is_recognised_byte_for_byte() -> None:
    assert read(HEARTBEAT) == Verdict("heartbeat", "")
    for other in (b'{"heartbeat": true}', b'{"heartbeat":true} '):
        assert read(other) == Verdict("invalid", "order_id")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (value(order_id=None), "order_id"),
        (raw("order_id", "null"), "order_id"),
        (value(order_id=""), "order_id"),
        (value(order_id=17), "order_id"),
        (value(order_id=["O-1"]), "order_id"),
        (value(order_id="O 1"), "order_id"),
        (value(order_id="O-1\n"), "order_id"),
        (value(order_id="\u00d6-1"), "order_id"),
        (value(order_id="x" * 65), "order_id"),
        (value(order_time=None), "order_time"),
        (value(order_time=str(NOON)), "order_time"),
        (raw("order_time", f"{NOON}.5"), "order_time"),
        (raw("order_time", f"{NOON}.{'0' * 40}1"), "order_time"),
        (raw("order_time", "1.7000000000005e12"), "order_time"),
        (raw("order_time", "17e110"), "order_time"),
        (raw("order_time", "1e999999999"), "order_time"),
        (value(order_time=True), "order_time"),
        (raw("order_time", "-0"), "order_time"),
        (value(order_time=-NOON), "order_time"),
        (value(order_time=NOON * 1000), "order_time"),
        (value(order_time=NOON * 1_000_000), "order_time"),
        (raw("order_time", "9" * 1000), "order_time"),
        (value(order_time=946_684_799_999), "order_time"),
        (value(order_time=4_102_444_800_000), "order_time"),
        (value(user_id=None), "user_id"),
        (value(user_id="U/1"), "user_id"),
        (value(user_id=1), "user_id"),
        (value(province=None), "province"),
        (value(province="990000"), "province"),
        (value(province=440000), "province"),
        (value(province="440000 "), "province"),
        (value(province={"code": "440000"}), "province"),
        (value(city=None), "city"),
        (value(city="110100"), "city"),
        (value(city=440300), "city"),
        (value(amount=None), "amount"),
        (value(amount=12.34), "amount"),
        (value(amount=12), "amount"),
        (value(amount="12.345"), "amount"),
        (value(amount="12."), "amount"),
        (value(amount=".5"), "amount"),
        (value(amount="012"), "amount"),
        (value(amount="+1"), "amount"),
        (value(amount="--1"), "amount"),
        (value(amount="1e3"), "amount"),
        (value(amount="1,000"), "amount"),
        (value(amount=" 1"), "amount"),
        (value(amount="1\n"), "amount"),
        (value(amount="\u0661"), "amount"),
        (value(amount="12345678901"), "amount"),
        (value(amount=""), "amount"),
    ],
    ids=short,
)
def test_a_field_that_is_not_as_the_contract_has_it_is_invalid_by_its_name(payload: bytes, field: str) -> None:
    assert read(payload)[:2] == ("invalid", field)


def test_the_first_bad_field_in_the_order_of_the_contract_is_the_reason() -> None:
    fields = ["order_id", "order_time", "user_id", "province", "city", "amount"]
    for place, field in enumerate(fields):
        broken = dict.fromkeys(fields[place:], "")
        assert read(value(**broken))[:2] == ("invalid", field)


def test_an_invalid_order_keeps_its_order_time_only_where_that_is_valid() -> None:
    assert read(value(order_id="", city="x")) == Verdict("invalid", "order_id", NOON)
    assert read(value(amount="x")) == Verdict("invalid", "amount", NOON)
    assert read(value(order_id="", order_time=NOON * 1000)) == Verdict("invalid", "order_id", None)


@pytest.mark.parametrize("written", [f"{NOON}.0", f"{NOON}0e-1", f"{NOON // 1000}e3", f"0.{NOON}e13"])
def test_a_time_is_what_it_is_worth_however_the_number_is_written(written):
    order = read(raw("order_time", written))
    assert isinstance(order, Order) and order.order_time == NOON


@pytest.mark.parametrize("time", [946_684_800_000, 4_102_444_799_999])
def test_the_years_2000_to_2099_are_valid_order_times(time: int) -> None:
    assert isinstance(read(value(order_time=time)), Order)


def test_ids_of_1_and_of_64_characters_of_the_alphabet_are_valid() -> None:
    for order_id in ("x", "A.b_c:d-9" + "z" * 55):
        assert isinstance(read(value(order_id=order_id, user_id=order_id)), Order)


@pytest.mark.parametrize(
    ("amount", "cents"),
    [
        ("0", 0),
        ("-0", 0),
        ("-0.00", 0),
        ("7", 700),
        ("0.5", 50),
        ("-0.05", -5),
        ("12.3", 1230),
        ("-12.34", -1234),
        ("9999999999.99", 999_999_999_999),
    ],
)
def test_an_amount_of_yuan_is_cents_to_the_last_place(amount: str, cents: int) -> None:
    order = read(value(amount=amount))
    assert isinstance(order, Order)
    assert order.cents == cents


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_the_parser_raise(payload: bytes) -> None:
    assert isinstance(read(payload), Order | Verdict)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        st.lists,
        max_leaves=20,
    )
)
def test_no_member_of_any_kind_changes_the_order(member: Any) -> None:
    assert isinstance(read(value(x=member)), Order)


# ---------------------------------------------------------------- verdicts


def test_exactly_five_minutes_is_timely_and_a_millisecond_more_is_late() -> None:
    on_time = (0, 0, NOON + 300_000, value(order_id="a"))
    late = (0, 1, NOON + 300_001, value(order_id="b"))
    assert verdicts(on_time, late) == [("accepted", ""), ("late", "")]


def test_exactly_a_minute_ahead_is_timely_and_a_millisecond_more_is_future() -> None:
    on_time = (0, 0, NOON - 60_000, value(order_id="a"))
    ahead = (0, 1, NOON - 60_001, value(order_id="b"))
    assert verdicts(on_time, ahead) == [("accepted", ""), ("future", "")]


def test_malformed_heartbeat_and_invalid_come_before_any_look_at_time() -> None:
    found = verdicts((0, 0, 0, b"x"), (0, 1, 0, HEARTBEAT), (0, 2, 0, value(amount="x")), (0, 3, 0, None))
    assert found == [("malformed", "json"), ("heartbeat", ""), ("invalid", "amount"), ("malformed", "empty")]


def test_the_first_of_a_key_by_ingest_time_is_accepted_whatever_its_place_in_the_log() -> None:
    second, first = (0, 0, NOON + 2, value()), (1, 9, NOON + 1, value(amount="99"))
    assert verdicts(second, first) == [("duplicate", ""), ("accepted", "")]
    assert verdicts(first, second) == [("accepted", ""), ("duplicate", "")]


def test_at_the_same_ingest_time_the_lesser_md5_of_the_bytes_is_accepted() -> None:
    # md5sum of the two values begins with ded5 and 27db.
    greater_digest, lesser_digest = (0, 0, NOON, value(amount="12.34")), (0, 1, NOON, value(amount="12.35"))
    assert verdicts(greater_digest, lesser_digest) == [("duplicate", ""), ("accepted", "")]
    assert verdicts(lesser_digest, greater_digest) == [("accepted", ""), ("duplicate", "")]


def test_of_equal_bytes_at_the_same_time_the_lesser_place_in_the_log_is_accepted() -> None:
    places = [(1, 0), (0, 9), (0, 2)]
    found = verdicts(*((partition, offset, NOON, value()) for partition, offset in places))
    assert found == [("duplicate", ""), ("duplicate", ""), ("accepted", "")]


def test_three_copies_are_one_accepted_and_two_duplicates() -> None:
    found = verdicts(*((0, n, NOON + 5 - n, value(amount=str(n))) for n in range(3)))
    assert found == [("duplicate", ""), ("duplicate", ""), ("accepted", "")]


def test_one_order_id_under_two_times_is_two_orders_and_one_conflict() -> None:
    records = [(0, 0, NOON, value()), (0, 1, NOON + 1, value(order_time=NOON + 1)), (0, 2, NOON, value(order_id="b"))]
    assert verdicts(*records) == [("accepted", "")] * 3
    assert day(*records).conflicting == 1


def test_one_order_id_on_two_days_is_no_conflict() -> None:
    records = [
        (0, 0, MIDNIGHT, value(order_time=MIDNIGHT)),
        (0, 1, MIDNIGHT, value(order_time=MIDNIGHT - 1)),
    ]
    assert [found.conflicting for found in days(*records, first="2025-11-10").values()] == [0, 0]


def test_a_late_record_whose_key_was_timely_is_a_late_copy() -> None:
    late, timely = (0, 0, NOON + 300_001, value(amount="1")), (1, 0, NOON, value())
    assert verdicts(late, timely) == [("late_copy", ""), ("accepted", "")]


def test_a_late_record_with_another_time_under_the_same_id_is_late() -> None:
    late, timely = (0, 0, NOON + 400_000, value(order_time=NOON + 1)), (1, 0, NOON, value())
    assert verdicts(late, timely) == [("late", ""), ("accepted", "")]


def test_a_key_is_remembered_for_exactly_the_horizon() -> None:
    timely = (0, 0, NOON, value())
    within, beyond = (0, 1, NOON + 86_400_000, value()), (0, 2, NOON + 86_400_001, value())
    assert verdicts(timely, within, beyond) == [("accepted", ""), ("late_copy", ""), ("late", "")]


def test_neither_a_late_nor_a_future_nor_an_invalid_record_makes_a_late_copy() -> None:
    late = [(0, 0, NOON + 300_001, value()), (0, 1, NOON + 300_002, value())]
    future = (0, 2, NOON - 60_001, value())
    invalid = (0, 3, NOON, value(amount="x"))
    assert verdicts(*late, future, invalid) == [("late", ""), ("late", ""), ("future", ""), ("invalid", "amount")]


def test_lateness_and_the_other_bounds_are_taken_from_the_rules() -> None:
    strict = Rules(lateness_ms=0, future_ms=0, late_copy_horizon_ms=1, zone_offset_ms=0, regions=REGIONS)
    records = [(0, n, NOON + delay, value()) for n, delay in enumerate((0, 1, 2, -1))]
    found = sorted((judged.offset, judged.verdict) for judged in classify(records, strict))
    assert found == [(0, "accepted"), (1, "late_copy"), (2, "late"), (3, "future")]


# ---------------------------------------------------------------- days


def days(*records: Record, first: str = DAY, last: str = DAY) -> dict[str, oracle.Day]:
    return totals(classify(records, RULES), RULES, first, last)


def day(*records: Record) -> oracle.Day:
    return days(*records)[DAY]


def test_a_timely_order_belongs_to_the_day_of_its_order_time_in_shanghai() -> None:
    last = (0, 0, NEXT_MIDNIGHT + 100, value(order_id="a", order_time=NEXT_MIDNIGHT - 1))
    next_first = (0, 1, NEXT_MIDNIGHT + 100, value(order_id="b", order_time=NEXT_MIDNIGHT))
    first = (0, 2, MIDNIGHT - 50, value(order_id="c", order_time=MIDNIGHT))
    before = (0, 3, MIDNIGHT + 50, value(order_id="d", order_time=MIDNIGHT - 1))
    found = day(last, next_first, first, before)
    assert found.minutes["00:00", "ALL"] == [1, 1234]
    assert found.minutes["23:59", "ALL"] == [1, 1234]
    assert found.sales["ALL", "ALL"].orders == 2
    assert found.records == 2


def test_a_record_that_is_not_timely_belongs_to_the_day_of_its_ingest_time() -> None:
    late = (0, 0, MIDNIGHT + 300_000, value(order_id="a", order_time=MIDNIGHT - 1))
    future = (0, 1, NEXT_MIDNIGHT - 1, value(order_id="b", order_time=NEXT_MIDNIGHT + 60_000))
    garbage = (0, 2, NEXT_MIDNIGHT, b"x")
    found = day(late, future, garbage)
    assert {verdict: count.records for (_, verdict), count in found.verdicts.items()} == {"late": 1, "future": 1}
    assert not found.sales


@pytest.mark.parametrize(
    ("order_time", "ingest", "belongs"),
    [
        (MIDNIGHT - 1, MIDNIGHT + 299_999, False),
        (MIDNIGHT - 1, MIDNIGHT + 300_000, True),
        (MIDNIGHT, MIDNIGHT - 60_000, True),
        (MIDNIGHT, MIDNIGHT - 60_001, False),
    ],
)
def test_an_invalid_order_belongs_to_the_day_of_its_order_time_only_if_that_is_timely(
    order_time: int, ingest: int, belongs: bool
) -> None:
    found = day((0, 0, ingest, value(order_time=order_time, amount="x")))
    assert found.records == (1 if belongs else 0)


def test_a_duplicate_belongs_to_the_day_of_its_order() -> None:
    first = (0, 0, NEXT_MIDNIGHT - 1, value(order_time=NEXT_MIDNIGHT - 1))
    copy = (0, 1, NEXT_MIDNIGHT + 100, value(order_time=NEXT_MIDNIGHT - 1))
    assert sorted(verdict for _, verdict in day(first, copy).verdicts) == ["accepted", "duplicate"]


def test_orders_amounts_and_distinct_users_are_counted_at_each_level() -> None:
    found = day(
        (0, 0, NOON, value(order_id="a", user_id="U1", province="440000", city="440100", amount="1.01")),
        (0, 1, NOON, value(order_id="b", user_id="U1", province="440000", city="440300", amount="2.02")),
        (0, 2, NOON, value(order_id="c", user_id="U1", province="110000", city="110100", amount="-4.04")),
        (0, 3, NOON, value(order_id="d", user_id="U2", province="440000", city="440100", amount="8.08")),
        (0, 4, NOON + 1, value(order_id="d", user_id="U3", province="440000", city="440100", amount="8.08")),
    )
    figures = {place: (sales.orders, sales.cents, sorted(sales.users)) for place, sales in found.sales.items()}
    assert figures == {
        ("440000", "440100"): (2, 909, ["U1", "U2"]),
        ("440000", "440300"): (1, 202, ["U1"]),
        ("440000", "ALL"): (3, 1111, ["U1", "U2"]),
        ("110000", "110100"): (1, -404, ["U1"]),
        ("110000", "ALL"): (1, -404, ["U1"]),
        ("ALL", "ALL"): (4, 707, ["U1", "U2"]),
    }


def test_minutes_are_counted_by_province_and_for_the_country() -> None:
    found = day(
        (0, 0, NOON, value(order_id="a", order_time=NOON + 59_999, amount="1")),
        (0, 1, NOON, value(order_id="b", order_time=NOON, province="110000", city="110100", amount="2")),
        (0, 2, NOON, value(order_id="c", order_time=NOON - 1, amount="4")),
    )
    assert found.minutes == {
        ("12:00", "440000"): [1, 100],
        ("12:00", "110000"): [1, 200],
        ("12:00", "ALL"): [2, 300],
        ("11:59", "440000"): [1, 400],
        ("11:59", "ALL"): [1, 400],
    }


def test_offsets_of_a_verdict_are_counted_by_partition() -> None:
    found = day((1, 7, NOON, b"x"), (1, 3, NOON, b"y"), (1, 11, NOON, None), (2, 5, NOON, b"z"))
    assert found.verdicts == {
        (1, "malformed"): oracle.Count(3, 3, 11, 21),
        (2, "malformed"): oracle.Count(1, 5, 5, 5),
    }
    assert found.reasons == {("malformed", "json"): 3, ("malformed", "empty"): 1}


def test_rejected_are_all_but_accepted_and_heartbeats() -> None:
    found = day(
        (0, 0, NOON, value()), (0, 1, NOON, HEARTBEAT), (0, 2, NOON + 1, value()), (0, 3, NOON, value(city="x"))
    )
    duplicate, invalid = sorted(found.rejected)
    order = oracle.parse(value(), REGIONS)
    assert duplicate == Judged(0, 2, NOON + 1, NOON, "duplicate", "", order, hashlib.md5(value()).digest())
    fields = oracle.Fields(*order)._replace(city=None)
    assert invalid == Judged(0, 3, NOON, NOON, "invalid", "city", None, hashlib.md5(value(city="x")).digest(), fields)


def test_of_what_is_no_valid_order_each_valid_field_is_read() -> None:
    def fields(payload: bytes | None) -> tuple[object, ...]:
        (said,) = classify([(0, 0, NOON, payload)], RULES)
        return tuple(said.order or said.fields)

    nothing = (None,) * 6
    assert [fields(payload) for payload in (None, b"", b"\xff", b"[1]", b"{}", HEARTBEAT)] == [nothing] * 6
    whole = ("O-1", NOON, "U1", "440000", "440300", 1234)
    assert fields(value()) == whole
    for number, (name, wrong) in enumerate({"order_id": "", "order_time": 1, "user_id": 7, "amount": "x"}.items()):
        place = 5 if name == "amount" else number
        assert fields(value(**{name: wrong})) == (*whole[:place], None, *whole[place + 1 :])
    assert fields(value(city="110100")) == (*whole[:4], None, 1234)
    assert fields(value(province="x")) == (*whole[:3], None, None, 1234)


def test_a_day_without_records_is_there_and_empty() -> None:
    found = days((0, 0, NOON, HEARTBEAT), first="2025-11-10", last="2025-11-12")
    assert [(name, one.records, len(one.sales)) for name, one in found.items()] == [
        ("2025-11-10", 0, 0),
        (DAY, 1, 0),
        ("2025-11-12", 0, 0),
    ]


def test_the_range_to_read_reaches_back_for_late_copies_and_forward_for_late_arrivals() -> None:
    start, end = RULES.ingest_range(DAY, "2025-11-12")
    assert start == MIDNIGHT - 86_400_000 - 60_000
    assert end == NEXT_MIDNIGHT + 86_400_000 + 300_000


# ---------------------------------------------------------------- properties

_keys = st.builds(
    lambda order_id, step: (order_id, MIDNIGHT + step * 200_000),
    st.sampled_from("ab"),
    st.integers(-3, 3),
)
_delays = st.sampled_from([-60_001, -60_000, 0, 1, 299_999, 300_000, 300_001, 86_400_000, 86_400_001])
_orders = st.builds(
    lambda key, delay, amount: (key[1] + delay, value(order_id=key[0], order_time=key[1], amount=amount)),
    _keys,
    _delays,
    st.sampled_from(["1", "2.50"]),
)
_others = st.tuples(
    st.integers(MIDNIGHT - 10**8, MIDNIGHT + 10**8), st.sampled_from([HEARTBEAT, b"x", value(city="1")])
)
_logs = st.lists(_orders | _others, max_size=25)


def log(entries: list[tuple[int, bytes]]) -> list[Record]:
    return [(0, offset, ingest, payload) for offset, (ingest, payload) in enumerate(entries)]


def by_definition(records: list[Record]) -> dict[int, str]:
    """Verdict of each offset, every record held against every other."""

    def timely(record: Record, order: Order) -> bool:
        return record[2] - 300_000 <= order.order_time <= record[2] + 60_000

    def rank(record: Record) -> tuple[int, str, int]:
        return record[2], hashlib.md5(record[3] or b"").hexdigest(), record[1]

    found: dict[int, str] = {}
    for record in records:
        order = parse(record[3], REGIONS)
        if isinstance(order, Verdict):
            found[record[1]] = order.verdict
            continue
        parsed = [(other, parse(other[3], REGIONS)) for other in records]
        same = [other for other, o in parsed if isinstance(o, Order) and o[:2] == order[:2] and timely(other, o)]
        if order.order_time - record[2] > 60_000:
            found[record[1]] = "future"
        elif timely(record, order):
            found[record[1]] = "accepted" if min(map(rank, same)) == rank(record) else "duplicate"
        else:
            known = same and record[2] - order.order_time <= 86_400_000
            found[record[1]] = "late_copy" if known else "late"
    return found


@settings(max_examples=300, deadline=None)
@given(_logs)
def test_each_record_has_the_one_verdict_of_the_definition(entries: list[tuple[int, bytes]]) -> None:
    records = log(entries)
    judged = list(classify(records, RULES))
    assert len(judged) == len(records)
    assert {one.offset: one.verdict for one in judged} == by_definition(records)


@settings(deadline=None)
@given(_logs.flatmap(lambda entries: st.tuples(st.just(log(entries)), st.permutations(log(entries)))))
def test_the_order_of_reading_changes_no_verdict(logs: tuple[list[Record], list[Record]]) -> None:
    def known(records: list[Record]) -> set[tuple[Any, ...]]:
        return {tuple(judged[:6]) for judged in classify(records, RULES)}

    assert known(logs[0]) == known(logs[1])


@settings(deadline=None)
@given(_logs, st.randoms(use_true_random=False))
def test_the_partitions_change_no_figure(entries: list[tuple[int, bytes]], chance: Any) -> None:
    places = list(range(len(entries)))
    chance.shuffle(places)
    moved = [(place % 3, place, *entry) for place, entry in zip(places, entries, strict=True)]

    def figures(records: list[Record]) -> list[Any]:
        found = days(*records, first="2025-11-09", last="2025-11-13")
        return [
            (
                {place: (sales.orders, sales.cents, sales.users) for place, sales in one.sales.items()},
                one.minutes,
                one.reasons,
                one.conflicting,
            )
            for one in found.values()
        ]

    assert figures(log(entries)) == figures(moved)


@settings(deadline=None)
@given(_logs)
def test_verdicts_sum_to_the_records_and_accepted_to_the_orders(entries: list[tuple[int, bytes]]) -> None:
    judged = list(classify(log(entries), RULES))
    found = totals(judged, RULES, "2025-11-08", "2025-11-14")
    assert sum(one.records for one in found.values()) == len(entries)
    for name, one in found.items():
        counts: Counter[str] = Counter()
        for (_, verdict), count in one.verdicts.items():
            counts[verdict] += count.records
        assert counts.total() == one.records
        assert (
            sum(orders for (_, province), (orders, _) in one.minutes.items() if province == "ALL") == counts["accepted"]
        )
        country = one.sales.get(("ALL", "ALL"), oracle.Sales())
        assert country.orders == counts["accepted"] == sum(_of(judged, name, "accepted"))
        assert len(one.rejected) == one.records - counts["accepted"] - counts["heartbeat"]


def _of(judged: list[Judged], name: str, verdict: str) -> list[int]:
    return [1 for one in judged if one.verdict == verdict and RULES.day_of(one.event_time) == name]
