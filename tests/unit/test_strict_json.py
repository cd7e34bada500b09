"""Does the jobs' strict parser say of every document what the oracle says, in both of its tiers? And the judge?

The oracle is the specification. Documents: every odd one of the generator's catalogue and of the oracle's own tests,
and random ones made of orders by mutation or from scratch; SAMEWATER_FUZZ=200000 makes that many of them. The judge
reads the random ones, at ingest times about each bound, as many records at once and as few.
"""

from __future__ import annotations

import ast
import os
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs import dirty_orders, oracle, order_format
from flink_jobs.dirty_orders import Scene
from flink_jobs.oracle import HEARTBEAT, Order, Record, Regions, Verdict, classify, parse
from flink_jobs.regions import load
from flink_jobs.settings import Settings
from tests.unit import odd_json, test_oracle
from tests.unit.test_core import BY_RULES, FUTURE, LATENESS
from tests.unit.test_oracle import NOON, REGIONS, RULES, raw, value
from udfs import judge as judge_module
from udfs import packs, strict_json
from udfs.judge import Judge
from udfs.rules import MINUTE_MS
from udfs.settle import orders_as_records, records_of, values_of
from udfs.strict_json import Fields, read_fields, read_orders

DOCUMENTS = int(os.environ.get("SAMEWATER_FUZZ", "15000"))
SEED = int(os.environ.get("SAMEWATER_FUZZ_SEED", "20251111"))
NOTHING = Fields(None, None, None, None, None, None)
read_by_events = strict_json._read_by_events


def judged(read: Fields | str, regions: Regions) -> Order | Verdict:
    """What the oracle says of the same value, but for a heartbeat, which is an object without fields here."""
    if isinstance(read, str):
        return Verdict("malformed", read)
    if read.order_id is None:
        return Verdict("invalid", "order_id", read.order_time)
    if read.order_time is None:
        return Verdict("invalid", "order_time")
    if read.user_id is None:
        return Verdict("invalid", "user_id", read.order_time)
    if read.province is None or read.province not in regions:
        return Verdict("invalid", "province", read.order_time)
    if read.city is None or read.city not in regions[read.province]:
        return Verdict("invalid", "city", read.order_time)
    if read.amount is None:
        return Verdict("invalid", "amount", read.order_time)
    return Order(*read[:5], int(Decimal(read.amount) * 100))


def differences(
    documents: list[bytes], regions: Regions = REGIONS, said: list[Order | Verdict] | None = None
) -> dict[bytes, tuple[object, ...]]:
    """Document -> what the oracle, the parser and its second tier alone say, where they are not of one mind."""
    found: dict[bytes, tuple[object, ...]] = {}
    numbers, columns = read_orders(documents)
    at_once = dict(zip(numbers, zip(*(column.tolist() for column in columns), strict=True), strict=True))
    said = said or [parse(document, regions) for document in documents]
    for number, (document, expected) in enumerate(zip(documents, said, strict=True)):
        read = read_fields(document)
        assert at_once.get(number, read) == read
        slow = read_by_events(document)
        same = read == NOTHING if expected == ("heartbeat", "", None) else judged(read, regions) == expected
        # The same types, too: 1 is True and 1.0 to Python.
        if not same or slow != read or any(type(a) is not type(b) for a, b in zip(slow, read, strict=True)):
            found[document[:2_000]] = (expected, read, slow)
    return found


# ---------------------------------------------------------------- catalogues


def of_the_generator() -> Iterator[bytes]:
    """All values that the generator's catalogue has for one order, under a few draws."""
    settings = Settings.load()
    regions = load(settings.regions_file())
    (province, city), elsewhere = [(province, cities[0]) for province, cities in regions.provinces.items()][:2]
    order = order_format.Order("O-1-000000000017", NOON, "U000123", province, city, 1234)
    for draw in (0.01, 0.5, 0.99):
        scene = Scene(order, NOON + 900, 0, 4, [draw] * 16, NOON - 43_200_000, elsewhere, settings.time, regions)
        for kind in dirty_orders.KINDS:
            yield from (draft.value for draft in kind.make(kind.name, scene) if draft.value is not None)


def of_the_tests(module: ModuleType) -> Iterator[bytes]:
    """The payloads that the tests of a module are given as parameters."""
    for test in vars(module).values():
        for mark in getattr(test, "pytestmark", ()):
            if mark.name == "parametrize" and mark.args[0][0] == "payload":
                yield from (payload for payload, _ in mark.args[1] if payload is not None)
            elif mark.name == "parametrize" and mark.args[0] == "payload":
                yield from (payload for payload in mark.args[1] if payload is not None)


def test_every_kind_of_the_generator_is_read_as_the_oracle_reads_it():
    documents = list(of_the_generator())
    assert len(set(documents)) > 150
    assert differences(documents, load(Settings.load().regions_file()).provinces) == {}


def test_every_document_of_the_oracles_tests_is_read_as_the_oracle_reads_it():
    documents = list(of_the_tests(test_oracle))
    assert len(documents) > 100
    assert differences(documents) == {}


def test_odd_documents_are_read_as_the_oracle_reads_them():
    draw = odd_json.Draw(SEED)
    assert differences([draw.document().encode() for _ in range(2_000)]) == {}


# ---------------------------------------------------------------- what is easily got wrong


@pytest.mark.parametrize(
    ("document", "read"),
    [
        (b"", "empty"),
        (b"\xff", "encoding"),
        (value() + "\ufffd".encode(), "encoding"),
        (value(note="@").replace(b"@", "\ufffd".encode()), "encoding"),
        (value(note="@").replace(b"@", b"\xed\xa0\x80"), "encoding"),
        (b"\xef\xbb\xbf" + value(), "json"),
        (b"[]", "json"),
        (value() + b'"', "json"),
        (value() + b'"x\\', "json"),
        (value() + b'"}', "json"),
        (b'"{}"', "json"),
        (b"\x0b" + value(), "json"),
        (value() + b"\x0c", "json"),
        (value()[:-1] + b',"amount":"12.34"}', "json"),
        (value()[:-1] + b',"x:y":1,"x:y":1}', "json"),
        (value()[:-1] + b',"x":[],"x":1}', "json"),
        (value()[:-1] + b',"x":{"a":1.5},"x":1}', "json"),
        (value()[:-1] + b',"x":"\\"","x":1}', "json"),
        (value()[:-1] + b',"\\ud800":1,"\\uD800":1}', "json"),
        (value()[:-1] + b',"\\ufffd":1,"\\uFFFD":1}', "json"),
        (value()[:-1] + b',"\\ud83d\\ude9a":1,"\xf0\x9f\x9a\x9a":1}', "json"),
        (raw("x", "1e0000000000"), "json"),
        (raw("x", "1." + "5" * 999), "json"),
        (raw("x", "9" * 5_000), "json"),
        (value()[:-1] + b"," + b"9" * 5_000, "json"),
        (b"{}", NOTHING),
        (HEARTBEAT, NOTHING),
        (value()[:-1] + b',"\\ud800":1,"\\ud801":1,"\\ufffdd800":1,"\\udc00\\ud800":1}', "order"),
        (value()[:-1] + b',"\\\\ud800":1,"\\\\uD800":1}', "order"),
        (value()[:-1] + b',"x":"e0000000000"}', "order"),
        (value()[:-1] + b',"x":{"order_id":1},"y":[{"order_id":2}]}', "order"),
    ],
    ids=test_oracle.short,
)
def test_a_document_is_malformed_for_this_reason_or_an_object_with_these_fields(document: bytes, read: Fields | str):
    if read == "order":
        read = Fields("O-1", NOON, "U1", "440000", "440300", "12.34")
    assert read_fields(document) == read
    assert differences([document]) == {}


def test_a_code_of_any_region_is_kept_and_other_text_is_not():
    codes = ("990000", "a.b_c-d", "x" * 32, "x" * 33, "", "a b", "a:b", "é", "440000\n")
    read = [read_fields(value(province=code, city=code)) for code in codes]
    assert [one[3:5] for one in read] == [(code, code) for code in codes[:3]] + [(None, None)] * 6


@pytest.mark.parametrize("levels", [998, 999, 1000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded_and_needs_no_recursion(levels: int, opening: str, closing: str):
    limit = sys.getrecursionlimit()
    document = raw("x", opening * (levels - 1) + "1" + closing * (levels - 1))
    assert isinstance(read_fields(document), str) == (levels > 999)
    assert isinstance(read_fields(document[: len(document) // 2]), str)
    assert sys.getrecursionlimit() == limit


def test_no_long_text_takes_longer_than_its_length():
    # A pattern that goes back over them would take hours; the tests have a time limit.
    size = 1_000_000
    texts = (b'"' + b'\\"' * size, b'"' * size, b"9" * size, b"9e" * size, b'{"a":' + b"\\" * size, b"\\u" * size)
    assert [read_fields(text) for text in texts] == ["json"] * len(texts)
    assert read_fields(value(note="@").replace(b"@", b'\\"' * size)) == read_fields(value())


def test_the_second_tier_imports_nothing_of_ours_and_no_other_parser():
    source = Path(strict_json.__file__).read_text(encoding="utf-8")
    imports = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.split(".")[0]
        for node in imports
        for name in ([node.module or "?"] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert names - sys.stdlib_module_names == {"ijson", "orjson", "numpy", "pyarrow"}
    assert "json" not in names


# ---------------------------------------------------------------- random documents

ODD_FIELDS = (
    *('""', "null", "true", "17", "-0", "12.5", "[]", "{}", '["440000"]', '{"order_id":"O-1"}', '"110100"', '"990000"'),
    *('"O 1"', '"O-1\\n"', '"\\u004f-1"', '"é"', '"１"', '"a:b"', '"12.345"', '"1e3"', '"-0.05"', '"01"', '"12."'),
    *(f'"{"x" * 64}"', f'"{"x" * 65}"', '"\\ud800"', '"\\ufffd"', '"\\u0000"', '"1234567890.5"', '"12345678901"'),
)
# Few, so that two of them are often the same name, or nearly.
NAMES = (
    *("order_id", "order\\u005fid", "\\u006frder_id", "amount", "Amount", "x", "\\u0078", "x:y", "", "é", "\\u00e9"),
    *("\\ud800", "\\uD800", "\\ud801", "\\udc00", "\\ufffd", "\\ufffdd800", "\\ufffdfffd", "\\uFFFD", "\\\\ud800"),
    *("\\ud800\\udc00", "\U00010000", "\\uD800\\uDC00", "\\udc00\\ud800", "\\u0000", "\\b", "\\/", "/", '\\"'),
)
PLAIN = ('"app"', '"加急 🚚"', "17", "true", "null", '"2025-11-11T00:00:00Z"', "-1", '"\\u52a0"', '"a\\"b"', "1.5")
SPACES = ("", "", " ", "  ", "\n", "\t", "\r\n")
FAULTS = (
    b"\x00",
    b"\x01",
    b"\x0b",
    b"\x0c",
    b"\x1f",
    b"\x7f",
    b"\xc2\x80",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xff",
    b"\xc3",
)
MARKS = (
    b"\xef\xbb\xbf",
    "\ufffd".encode(),
    "\u00a0".encode(),
    "\u2028".encode(),
    b'"',
    b"\\",
    b"\\u",
    b"\\ud800",
    b"{}",
)
TIMES = (NOON, 946_684_799_999, 946_684_800_000, 4_102_444_799_999, 4_102_444_800_000, NOON * 1000, 0)


class Fuzz(odd_json.Draw):
    """Odd orders, the same for the same seed."""

    def number(self) -> str:
        """An order time at or near a bound, in one of its many spellings, or nearly so."""
        chance, digits = self.random, str(self.random.choice(TIMES))
        zeros = chance.choice((0, 1, 40, *range(980, 990)))
        moved = chance.randint(1, len(digits))
        zero = chance.choice(("", "0", "00000000", "000000000"))
        tail = chance.choice(("", "1", "5"))
        return chance.choice(
            (
                digits,
                digits,
                f"-{digits}",
                f"{digits}.{'0' * zeros}{tail or '0'}",
                f"{digits}{'0' * zeros}e-{zero}{zeros}",
                f"{digits[:moved]}.{digits[moved:] or '0'}{'0' * zeros}{tail}E+{zero}{len(digits) - moved}",
                f"0.{digits}{tail}e{zero}{len(digits)}",
                f"0.{'0' * zeros}{digits}e{zero}{len(digits) + zeros}",
                f"{digits}e{zero or '0'}",
                chance.choice(odd_json.NUMBERS),
            )
        )

    def deep(self) -> str:
        """A member's value that is about as deep as may be."""
        levels = self.random.choice((3, 200, 997, 998, 999))
        opening, closing = self.random.choice((("[", "]"), ('{"a":', "}"), ('[{"[":"{",\n"a":', "}]")))
        levels //= len(closing)
        return opening * levels + self.random.choice(("1", '"[{"', "[]")) + closing * levels

    def members(self) -> list[list[str]]:
        """Names and values of an order, some of them odd, as JSON texts."""
        chance = self.random
        order = order_format.Order(
            f"O-{chance.randint(1, 99)}", NOON, "U:1", "440000", "440300", chance.randint(-99, 99)
        )
        found = [[f'"{name}"', text] for name, text in order_format.members(order).items()]
        if chance.random() < 0.5:
            chance.shuffle(found)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
            at = chance.randrange(len(found)) if found else 0
            match chance.randint(0, 13):
                case 0 | 1 | 2 if found:
                    found[at][1] = chance.choice(ODD_FIELDS)
                case 3 | 4:
                    found = [[name, self.number() if name == '"order_time"' else text] for name, text in found]
                case 5 | 6:
                    found.append([f'"extra{len(found)}"', chance.choice(PLAIN)])
                case 7:
                    found.insert(at, [f'"{chance.choice(NAMES)}"', self.value(2)])
                case 8:
                    names = chance.choices(NAMES, k=chance.randint(1, 3))
                    inner = ",".join(f'"{name}":{chance.choice(PLAIN)}' for name in names)
                    found.append(['"inner"', chance.choice(("{%s}", "[{%s}]")) % inner])
                case 9 if found:
                    found.insert(chance.randrange(len(found)), [found[at][0], chance.choice((found[at][1], "1", "[]"))])
                case 10 if found:
                    del found[at]
                case 11 if found:
                    found[at][0] = f'"{chance.choice(NAMES)}"'
                case 12 if chance.random() < 0.2:
                    found.append(['"deep"', self.deep()])
                case 13:
                    found.append([f'"{chance.choice(NAMES)}"', self.number()])
                case _:
                    pass
        return found

    def spelt(self) -> bytes:
        """An order with odd members and any spacing."""
        chance = self.random
        if chance.random() < 0.5:
            comma, colon, edge = chance.choice(((",", ":", ""), (", ", ": ", ""), (",\n ", ": ", " ")))
            inner = comma.join(f"{name}{colon}{text}" for name, text in self.members())
            return f"{edge}{{{inner}}}{edge}".encode()

        def around(text: str) -> str:
            return chance.choice(SPACES) + text + chance.choice(SPACES)

        return around("{" + ",".join(around(name) + ":" + around(text) for name, text in self.members()) + "}").encode()

    def canonical(self) -> bytes:
        """In the canonical spelling, but for fields that may be odd and a line feed that may end it."""
        chance = self.random
        order = order_format.Order("O-1", chance.choice(TIMES), "U:1", "440000", "440300", chance.randint(-99, 99))
        found = order_format.members(order)
        for name in chance.choices(tuple(found), k=chance.choice((0, 0, 1, 1, 2))):
            times = (self.number(), f"0{found[name][1:]}", f"0{found[name]}")
            found[name] = chance.choice(times if name == "order_time" else ODD_FIELDS)
        return order_format.write(found) + chance.choice((b"", b"", b"", b"\n"))

    def spoilt(self, document: bytes) -> bytes:
        """With a byte or a few changed, removed or put in."""
        chance = self.random
        at = chance.randrange(len(document) + 1)
        match chance.randint(0, 6):
            case 0:
                return document[:at]
            case 1:
                return document[:at] + bytes((chance.randrange(256),)) + document[at + 1 :]
            case 2:
                return document[:at] + document[at + chance.randint(1, 3) :]
            case 3:
                return document[:at] + chance.choice(FAULTS + MARKS) + document[at:]
            case 4:
                ends = (chance.choice((b"", *MARKS)), chance.choice((*MARKS, b"x", b"}", b",", b"\x00", document)))
                return ends[0] + document + ends[1]
            case 5:
                at = document.rfind(b'"')
                return document[:at] + chance.choice(FAULTS + MARKS) + document[at:]
            case _:
                return chance.choice((b"[%s]", b'{"order":%s}', b"%s,", b"'%s'")) % document

    def bytes(self) -> bytes:
        """Any document."""
        chance = self.random.random()
        if chance < 0.01:
            return self.random.choice((b"", b" ", HEARTBEAT, b"{}", b"null"))
        if chance < 0.1:
            return self.document().encode()
        document = self.spelt() if self.random.random() < 0.9 else self.canonical()
        return self.spoilt(document) if chance < 0.3 else document


class Told(NamedTuple):
    """What somebody says of a record. `verdict`: `accepted` for any that is timely; `minute`: epoch ms."""

    verdict: str
    reason: str
    minute: int
    fields: Fields
    cents: int | None
    value: bytes | None


def by_oracle(record: Record) -> Told:
    (said,) = classify([record], RULES)
    payload, fields = record[3], NOTHING
    read = said.order or said.fields
    if said.verdict not in ("heartbeat", "malformed"):
        amount = None if read.cents is None else oracle._decode(payload.decode())["amount"]
        fields = Fields(*read[:5], amount)
    cents = read.cents if said.verdict == "accepted" else None
    kept = None if said.verdict == "heartbeat" else payload
    return Told(said.verdict, said.reason, said.event_time // MINUTE_MS * MINUTE_MS, fields, cents, kept)


def by_judge(records: list[Record], few: bool) -> list[Told]:
    """What the packs of a batch hold of each record. `few`: read one by one; else all at once."""
    *places, values = zip(*records, strict=True)
    with mock.patch.object(judge_module, "FEW", len(records) if few else 0):
        carried = Judge(BY_RULES)(pa.array(values, pa.binary()), *(np.array(column, np.int64) for column in places))
    told: dict[int, Told] = {}
    for _, minute, _, pack in carried:
        orders, others = packs.read(packs.RECORDS, [pack])
        timely = zip(
            orders_as_records(orders, BY_RULES.places),
            orders.column("cents").to_pylist(),
            values_of(orders, BY_RULES.places),
            strict=True,
        )
        listed = [(record._replace(verdict="accepted", payload=payload), cents) for record, cents, payload in timely]
        listed += [(record, None) for record in records_of(others)]
        for (verdict, reason, partition, offset, came, *fields, payload), cents in listed:
            assert records[offset][:3] == (partition, offset, came) and offset not in told
            told[offset] = Told(verdict, reason or "", minute, Fields(*fields), cents, payload)
    return [told[n] for n in range(len(records))]


DELAYS = (0, 0, 1, -FUTURE, -FUTURE - 1, LATENESS, LATENESS + 1, 3 * 3_600_000)


def test_random_documents_are_read_and_judged_as_by_the_oracle(monkeypatch: pytest.MonkeyPatch):
    fuzz = Fuzz(SEED)
    counts: Counter[tuple[str, ...]] = Counter()
    verdicts: Counter[str] = Counter()
    at_once = canonical = 0
    different: dict[bytes, tuple[object, ...]] = {}
    by_events: set[bytes] = set()

    def noted(document: bytes) -> Fields | str:
        by_events.add(document)
        return read_by_events(document)

    monkeypatch.setattr(strict_json, "_read_by_events", noted)
    for _ in range(0, DOCUMENTS, 1_000):
        documents = [fuzz.bytes() for _ in range(1_000)]
        said = [parse(document, REGIONS) for document in documents]
        by_events.clear()
        different |= differences(documents, said=said)
        at_once += len(read_orders(documents)[0])
        for document, what in zip(documents, said, strict=True):
            known = what[:2] if isinstance(what, Verdict) else ("order",)
            counts["events" if document in by_events else "orjson", *known] += 1
        records: list[Record] = [
            (0, n, (what.order_time or NOON) + fuzz.random.choice(DELAYS), document)
            for n, (document, what) in enumerate(zip(documents, said, strict=True))
        ]
        records.append((0, len(records), NOON, None))
        wanted = [by_oracle(record) for record in records]
        for record, *all_told in zip(records, wanted, by_judge(records, True), by_judge(records, False), strict=True):
            if all_told != all_told[:1] * 3:
                different[(record[3] or b"")[:2_000]] = (record[2], *all_told)
        verdicts.update(told.verdict for told in wanted)
        canonical += int(Judge(BY_RULES)._few(pa.array(documents, pa.binary()))[0].sum())
    print(*sorted(counts.items()), *sorted(verdicts.items()), f"{canonical} canonical", sep="\n")
    assert different == {}
    invalid = [("invalid", name) for name in Fields._fields]
    expected = {
        *((tier, *what) for tier in ("orjson", "events") for what in [("order",), *invalid]),
        *(("events", "malformed", reason) for reason in ("empty", "encoding", "json")),
        ("orjson", "heartbeat", ""),
    }
    assert set(counts) == expected
    assert min(counts.values()) > DOCUMENTS // 1_000
    assert at_once > 0.9 * counts["orjson", "order"], "the short way is not taken"
    assert set(verdicts) == {"malformed", "heartbeat", "invalid", "future", "late", "accepted"}
    assert min(verdicts.values()) > DOCUMENTS // 1_000 and canonical > DOCUMENTS // 100


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0d8fe-+.1 ntrlsa\n\x0b', max_size=60).map(str.encode))
def test_no_bytes_at_all_make_it_raise(document: bytes):
    assert differences([document, b'{"a":' + document + b"}"]) == {}
