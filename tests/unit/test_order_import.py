"""Does an import keep every row, every cent and every line number, and does it say plainly what is wrong?"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tomllib
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flink_jobs import order_import, order_log, regions
from flink_jobs.errors import UserError
from flink_jobs.order_import import Orders, read_orders
from flink_jobs.order_log import HEARTBEAT
from flink_jobs.order_mapping import load_mapping
from flink_jobs.settings import ROOT, Settings, Time

RETAIL = ROOT / "conf" / "import" / "online_retail.toml"
RETAIL_HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
RULES = Time.model_validate({})
REGIONS = """province,province_name,province_name_en,city,city_name,city_name_en
110000,北京市,Beijing,110100,北京市,Beijing
610000,陕西省,Shaanxi,610100,西安市,Xi'an
610000,陕西省,Shaanxi,610800,榆林市,Yulin
450000,广西,Guangxi,450900,玉林市,Yulin
450000,广西,Guangxi,450100,东城,East
450000,广西,Guangxi,450200,西城,East
"""
MAPPING = """
regions = "regions.csv"
[order_id]
template = "{id}"
[order_time]
column = "time"
format = "%Y-%m-%d %H:%M:%S"
zone = "Asia/Shanghai"
[user_id]
template = "{user}"
default = "guest-{id}"
[amount]
column = "amount"
[province]
column = "province"
aliases = { Peking = "Beijing", GX = "450000" }
[city]
column = "city"
"""
HEADER = "id,time,user,amount,province,city"
ROW = "A1,2025-11-11 00:00:00,U1,12.34,610000,610100"


class Folder:
    """A mapping, a regions file and a CSV in one folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.rejects = path, path / "rejects.csv"
        self.mapping, self.csv = path / "mapping.toml", path / "orders.csv"
        (path / "regions.csv").write_text(REGIONS, encoding="utf-8")
        self.mapping.write_text(MAPPING, encoding="utf-8")

    def read(self, *lines: str, content: bytes | None = None, changes: dict[str, str] | None = None) -> Orders:
        """Import these lines behind the header, or this content, with texts of the mapping replaced."""
        text = self.mapping.read_text(encoding="utf-8")
        for old, new in (changes or {}).items():
            assert old in text
            text = text.replace(old, new)
        self.mapping.write_text(text, encoding="utf-8")
        self.csv.write_bytes("\n".join([HEADER, *lines, ""]).encode() if content is None else content)
        mapping = load_mapping(self.mapping)
        assert mapping.regions is not None
        return read_orders(self.csv, mapping, regions.load(mapping.regions), self.rejects)

    def rejected(self) -> list[tuple[int, str]]:
        """(line, reason) of each rejected row."""
        with open(self.rejects, encoding="utf-8", errors="surrogateescape", newline="") as text:
            return [(int(row["line"]), row["reason"]) for row in csv.DictReader(text)]

    def reason(self, row: str, **changes: str) -> str:
        """Why this row is rejected, beside a good one."""
        orders = self.read(ROW, row)
        assert (orders.report.read, orders.report.mapped, orders.report.rejected) == (2, 1, 1)
        ((line, reason),) = self.rejected()
        assert line == 3
        return reason


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def values(orders: Orders) -> list[dict[str, Any]]:
    """The orders as a reader of the log would see them, in its order."""
    return [json.loads(r.value or b"") for r in orders.records(1, RULES) if r.value != HEARTBEAT]


# --- the retail data ------------------------------------------------------------------------------------------------


def retail(tmp_path: Path, *rows: str) -> Orders:
    file = tmp_path / "retail.csv.gz"
    file.write_bytes(gzip.compress("\r\n".join([RETAIL_HEADER, *rows, ""]).encode()))
    mapping = load_mapping(RETAIL)
    assert mapping.regions is not None
    return read_orders(file, mapping, regions.load(mapping.regions), tmp_path / "rejects.csv")


def test_the_retail_mapping_makes_an_order_of_each_invoice_line(tmp_path: Path) -> None:
    orders = retail(
        tmp_path,
        "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
        '536365,71053,"LANTERN, ""BIG""\nON TWO LINES",6,2010-12-01 08:26:00,3.39,17850.0,EIRE',
        "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,,USA",
        "A563185,B,Adjust bad debt,1,2011-08-12 14:50:00,11062.06,,RSA",
        "550193,PADS,PADS TO MATCH ALL CUSHIONS,1,2011-04-15 09:27:00,0.001,13952.0,Unspecified",
    )
    assert values(orders) == [
        {"order_id": "536365-1", "order_time": 1291163160000, "user_id": "17850", "province": "GB", "city": "GB-0",
         "amount": "15.30"},
        {"order_id": "536365-2", "order_time": 1291163160000, "user_id": "17850", "province": "IE", "city": "IE-0",
         "amount": "20.34"},
        {"order_id": "C536379-1", "order_time": 1291167660000, "user_id": "guest-C536379", "province": "US",
         "city": "US-0", "amount": "-27.50"},
        {"order_id": "550193-1", "order_time": 1302830820000, "user_id": "13952", "province": "X-NONE",
         "city": "X-NONE-0", "amount": "0.00"},
        {"order_id": "A563185-1", "order_time": 1313131800000, "user_id": "guest-A563185", "province": "ZA",
         "city": "ZA-0", "amount": "11062.06"},
    ]  # fmt: skip
    report = orders.report
    assert (report.read, report.mapped, report.rejected, report.rounded) == (5, 5, 0, 1)
    assert (report.cents, report.shift) == (1_107_020, Decimal("-0.001"))
    assert (RULES.day_of(report.first).isoformat(), RULES.day_of(report.last).isoformat()) == (
        "2010-12-01",
        "2011-08-12",
    )


def test_the_retail_regions_are_its_38_countries_with_one_city_each() -> None:
    known = regions.load(ROOT / "conf" / "import" / "online_retail.regions.csv")
    assert len(known.provinces) == len(known.cities) == 38


# --- money ----------------------------------------------------------------------------------------------------------

decimals = st.decimals(min_value=-99_999, max_value=99_999, allow_nan=False, allow_infinity=False, places=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(decimals, st.integers(-999, 999)), min_size=1, max_size=30), st.booleans())
def test_the_sum_is_an_independent_sum_of_rounded_products(
    folder: Folder, rows: list[tuple[Decimal, int]], half_up: bool
) -> None:
    folder.mapping.write_text(MAPPING, encoding="utf-8")
    content = "\n".join(
        ["id,time,user,price,pieces,province,city"]
        + [f"A{n},2025-11-11 00:00:00,U,{price},{pieces},110000,110100" for n, (price, pieces) in enumerate(rows)]
    )
    change = 'product = ["price", "pieces"]\nrounding = "half_up"' if half_up else 'product = ["price", "pieces"]'
    orders = folder.read(content=content.encode(), changes={'column = "amount"': change})
    exact = [Fraction(price) * pieces for price, pieces in rows]
    rule = ROUND_HALF_UP if half_up else ROUND_HALF_EVEN
    rounded = [(price * pieces).quantize(Decimal("0.01"), rule) for price, pieces in rows]
    assert orders.report.cents == sum(rounded) * 100
    assert sum(Decimal(value["amount"]) for value in values(orders)) == sum(rounded)
    assert orders.report.rounded == sum(Fraction(a) != b for a, b in zip(rounded, exact, strict=True))
    assert Fraction(orders.report.shift) == sum(map(Fraction, rounded)) - sum(exact)


def test_half_a_cent_goes_to_the_even_one_or_up(folder: Folder) -> None:
    rows = [ROW.replace("12.34", cell) for cell in ("0.125", "0.135", "-0.125")]
    assert [value["amount"] for value in values(folder.read(*rows))] == ["0.12", "0.14", "-0.12"]
    up = folder.read(*rows, changes={'column = "amount"': 'column = "amount"\nrounding = "half_up"'})
    assert [value["amount"] for value in values(up)] == ["0.13", "0.14", "-0.13"]


def test_many_digits_are_not_lost_before_rounding(folder: Folder) -> None:
    orders = folder.read(ROW.replace("12.34", "1234567890.005000000000000000000000000001"))
    assert values(orders)[0]["amount"] == "1234567890.01"


# --- rows that cannot be mapped -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "new", "reason"),
    [
        ("A1", "", "order_id is empty"),
        ("A1", "A 1", "order_id 'A 1' is not 1 to 64 of"),
        ("A1", "A" * 65, "is not 1 to 64 of"),
        ("U1", "ü", "user_id 'ü' is not"),
        ("2025-11-11 00:00:00", "", "time is empty"),
        ("2025-11-11 00:00:00", "11/11/2025", "time '11/11/2025' is not a time of the form %Y-%m-%d %H:%M:%S"),
        ("2025-11-11 00:00:00", "2025-02-30 00:00:00", "is not a time"),
        ("2025-11-11 00:00:00", "1999-11-11 00:00:00", "is not between the years 2000 and 2099"),
        ("12.34", "", "amount is empty"),
        ("12.34", "12,34", "has 7 columns, not 6"),
        ("12.34", '"1,234.00"', "amount '1,234.00' is not a decimal number"),
        ("12.34", "NaN", "is not a decimal number"),
        ("12.34", "1_000", "is not a decimal number"),
        ("12.34", "１２", "is not a decimal number"),
        ("12.34", "10000000000", "more than ten digits"),
        ("12.34", "9999999999.995", "more than ten digits"),
        ("12.34", "1e99", "more than ten digits"),
        ("610000", "", "province is empty"),
        ("610000", "Atlantis", "province 'Atlantis' is not in the regions file"),
        ("610100", "", "city is empty"),
        ("610100", "110100", "city '110100' is not in the regions file"),
        ("610000,610100", "450000,East", "city 'East' names several; use the code"),
    ],
)
def test_a_row_that_cannot_be_mapped_is_kept_with_line_and_reason(
    folder: Folder, cell: str, new: str, reason: str
) -> None:
    assert cell in ROW
    assert reason in folder.reason(ROW.replace(cell, new, 1))


def test_line_numbers_are_physical_across_quoted_newlines_blank_and_broken_rows(folder: Folder) -> None:
    content = "\r\n".join(
        [
            HEADER,
            ROW,
            ROW.replace("U1", '"U\r\n1"'),  # lines 3 and 4: a newline is nothing a user id may have
            "",  # 5
            "A2,2025-11-11",  # 6
            ROW.replace("U1", '"U"1'),  # 7: not CSV
            ROW.replace("A1", "A9"),  # 8
            ROW.replace("12.34", "x"),  # 9
            'A3,"never closed',  # 10
            "",
        ]
    )
    orders = folder.read(content=content.encode())
    assert [value["order_id"] for value in values(orders)] == ["A1", "A9"]
    rejected = folder.rejected()
    assert [line for line, _ in rejected] == [3, 5, 6, 7, 9, 10]
    assert "is an empty line" in rejected[1][1] and "has 2 columns, not 6" in rejected[2][1]
    assert "is not CSV" in rejected[3][1] and "is not CSV" in rejected[5][1]
    assert orders.report.read == orders.report.mapped + orders.report.rejected == 8


def test_the_rejects_file_repeats_the_cells(folder: Folder) -> None:
    folder.read(ROW, ROW.replace("12.34", '"a,""b"""'))
    with open(folder.rejects, encoding="utf-8", newline="") as text:
        assert list(csv.reader(text)) == [
            ["line", "reason", *HEADER.split(",")],
            ["3", "amount 'a,\"b\"' is not a decimal number", "A1", "2025-11-11 00:00:00", "U1", 'a,"b"', "610000",
             "610100"],
        ]  # fmt: skip


def test_bytes_that_are_not_text_reject_the_row_only_if_they_matter(folder: Folder) -> None:
    content = f"{HEADER},note\n{ROW},caf\n{ROW},caf".encode() + b"\xe9\n" + ROW.replace("U1", "U").encode()[:24]
    content += b"U\xe9,1,110000,110100,x\n"
    orders = folder.read(content=content)
    assert orders.report.mapped == 2 and [line for line, _ in folder.rejected()] == [4]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from('A1,"\n\r x.é'), max_size=30), max_size=12))
def test_no_row_is_ever_lost(folder: Folder, rows: list[str]) -> None:
    orders = folder.read(ROW, *rows)
    report = orders.report
    assert report.read == report.mapped + report.rejected >= 1
    assert report.mapped == len(values(orders))
    assert report.rejected == len(folder.rejected())


# --- times, ids and regions -----------------------------------------------------------------------------------------


def test_without_an_ingest_column_rows_are_sorted_and_ingest_is_order_time(folder: Folder) -> None:
    times = ["2025-11-12 10:00:00", "2025-11-11 10:00:00", "2025-11-12 09:00:00", "2025-11-11 10:00:00"]
    orders = folder.read(*(f"A{n},{time},U1,1,110000,110100" for n, time in enumerate(times)))
    records = [record for record in orders.records(2, RULES) if record.value != HEARTBEAT]
    assert [json.loads(r.value or b"")["order_id"] for r in records] == ["A1", "A3", "A2", "A0"]
    assert all(json.loads(r.value or b"")["order_time"] == r.ingest_time for r in records)


def test_an_ingest_column_becomes_the_records_time(folder: Folder) -> None:
    content = f"{HEADER},seen\n{ROW},1762790700000\n{ROW.replace('A1', 'A2')},1762790401000\n".encode()
    orders = folder.read(content=content, changes={"[user_id]": '[ingest_time]\ncolumn = "seen"\n[user_id]'})
    records = [record for record in orders.records(2, RULES) if record.value != HEARTBEAT]
    assert [record.ingest_time for record in records] == [1762790401000, 1762790700000]
    assert {json.loads(record.value or b"")["order_time"] for record in records} == {1762790400000}


@pytest.mark.parametrize(
    ("line", "cell", "millis"),
    [
        ('format = "epoch_ms"', "1762790400123", 1762790400123),
        ('format = "epoch_s"', "1762790400", 1762790400000),
        ('format = "%Y-%m-%dT%H:%M:%S%z"', "2025-11-10T16:00:00+0000", 1762790400000),
        ('format = "%Y-%m-%d %H:%M:%S.%f"\nzone = "Asia/Shanghai"', "2025-11-11 00:00:00.123999", 1762790400123),
        (
            'format = "%d.%m.%Y %H:%M"\nzone = "Europe/London"',
            "26.10.2025 01:30",
            1761438600000,
        ),  # comes twice: the first
    ],
)
def test_times_are_read_in_each_form(folder: Folder, line: str, cell: str, millis: int) -> None:
    changes = {'format = "%Y-%m-%d %H:%M:%S"\nzone = "Asia/Shanghai"': line}
    orders = folder.read(ROW.replace("2025-11-11 00:00:00", cell), changes=changes)
    assert values(orders)[0]["order_time"] == millis


def test_a_time_that_the_clocks_skip_is_rejected(folder: Folder) -> None:
    folder.read(
        ROW,
        ROW.replace("2025-11-11 00:00:00", "2025-03-30 01:30:00"),
        changes={'zone = "Asia/Shanghai"': 'zone = "Europe/London"'},
    )
    ((line, reason),) = folder.rejected()
    assert line == 3 and "does not exist in Europe/London" in reason


def test_regions_are_found_by_code_name_or_alias_whatever_the_case(folder: Folder) -> None:
    places = ["110000,110100", "beijing,北京市", "Peking,BEIJING", "陕西省,Yulin", "GX,yulin", "Shaanxi,Xi'an"]
    orders = folder.read(*(ROW.replace("610000,610100", place) for place in places))
    assert [(value["province"], value["city"]) for value in values(orders)] == [
        ("110000", "110100"), ("110000", "110100"), ("110000", "110100"), ("610000", "610800"), ("450000", "450900"),
        ("610000", "610100"),
    ]  # fmt: skip


def test_defaults_stand_in_for_empty_cells(folder: Folder) -> None:
    changes = {
        'column = "amount"': 'column = "amount"\ndefault = "0"',
        'column = "province"': 'column = "province"\ndefault = "Beijing"',
        'column = "city"': 'column = "city"\ndefault = "110100"',
        'column = "time"': 'column = "time"\ndefault = "2025-11-11 00:00:01"',
    }
    (value,) = values(folder.read("A1, ,,,,", changes=changes))
    assert value == {
        "order_id": "A1", "order_time": 1762790401000, "user_id": "guest-A1", "province": "110000", "city": "110100",
        "amount": "0.00",
    }  # fmt: skip


def test_a_row_counts_in_its_group_even_if_it_is_rejected(folder: Folder) -> None:
    rows = [ROW, ROW.replace("12.34", "x"), ROW.replace("A1", "B1"), ROW]
    orders = folder.read(*rows, changes={'template = "{id}"': 'template = "{id}:{line}"\ngroup = "id"'})
    assert [value["order_id"] for value in values(orders)] == ["A1:1", "B1:1", "A1:3"]


# --- records --------------------------------------------------------------------------------------------------------


def test_heartbeats_come_hourly_to_every_partition_and_close_the_last_day(folder: Folder) -> None:
    rows = [ROW, ROW.replace("A1", "A2").replace("2025-11-11", "2025-11-13")]
    orders = folder.read(*rows)
    records = list(orders.records(3, RULES))
    assert [r.ingest_time for r in records] == sorted(r.ingest_time for r in records)
    midnight, closing = 1762790400000, 1762790400000 + 3 * 86_400_000 + 600_000
    for partition in range(3):
        beats = [r.ingest_time for r in records if r.partition == partition and r.value == HEARTBEAT]
        assert beats == [*range(midnight - 3_600_000, closing, 3_600_000), closing]
    assert len(records) == 2 + orders.heartbeat_count(3, RULES)
    assert orders.first_heartbeat(RULES) == records[0].ingest_time
    assert closing == order_log.closing_time(RULES, RULES.day_of(midnight + 2 * 86_400_000))


def test_an_orders_partition_depends_on_its_id_alone(folder: Folder) -> None:
    rows = [ROW.replace("A1", f"A{n}") for n in range(60)]
    placed = [{r.value: r.partition for r in folder.read(*some).records(4, RULES)} for some in (rows, rows[::-1][:30])]
    shared = placed[0].keys() & placed[1].keys() - {HEARTBEAT}
    assert len(shared) == 30 and all(placed[0][value] == placed[1][value] for value in shared)
    assert {placed[0][value] for value in shared} == {0, 1, 2, 3}


def test_gzip_gives_the_same_records_as_plain(folder: Folder) -> None:
    content = "\n".join([HEADER, ROW, ROW.replace("A1", "A2")]).encode()
    plain = list(folder.read(content=content).records(2, RULES))
    assert plain == list(folder.read(content=gzip.compress(content)).records(2, RULES))
    assert plain == list(folder.read(content=b"\xef\xbb\xbf" + content).records(2, RULES))


# --- what is wrong with the files -----------------------------------------------------------------------------------


def refused(call: Any, *complaints: str) -> None:
    """The call raises one sentence for the user that holds each complaint."""
    with pytest.raises(UserError) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and ". " not in text.replace("A-Z a-z 0-9 . _", "")
    for complaint in complaints:
        assert complaint in text


@pytest.mark.parametrize(
    ("old", "new", "key", "complaint"),
    [
        ('[amount]\ncolumn = "amount"', "", "amount", "Field required"),
        ('[amount]\ncolumn = "amount"', "[amount]", "amount", "either a column or a product"),
        ('column = "amount"', 'column = "amount"\nproduct = ["a"]', "amount", "either a column or a product"),
        ('column = "amount"', 'column = "amount"\nrounding = "down"', "amount.rounding", "half_even"),
        ('column = "amount"', 'column = "amount"\ndefault = "none"', "amount.default", "pattern"),
        ("[city]", "colour = 1\n[city]", "province.colour", "Extra inputs"),
        ('template = "{id}"', 'template = "{id"', "order_id.template", "brace too many"),
        ('template = "{id}"', 'template = ""', "order_id.template", "at least 1 character"),
        ('template = "{id}"', 'template = "{id}"\ngroup = "id"', "order_id", "write {line}"),
        ('template = "{user}"', 'template = "{user}"\nremove = "("', "user_id.remove", "regular expression"),
        ('zone = "Asia/Shanghai"', 'zone = "Asia/Atlantis"', "order_time.zone", "is not a time zone"),
        ('zone = "Asia/Shanghai"', "", "order_time", "needs either a zone"),
        ('format = "%Y-%m-%d %H:%M:%S"', 'format = "iso"', "order_time", "neither epoch_ms nor"),
        ('format = "%Y-%m-%d %H:%M:%S"', 'format = "epoch_ms"', "order_time", "remove the zone"),
        ('regions = "regions.csv"', 'regions = "regions.csv"\nencoding = "klingon"', "encoding", "not a text encoding"),
        ('regions = "regions.csv"', 'regions = "regions.csv"\ndelimiter = "||"', "delimiter", "at most 1 character"),
    ],
)
def test_a_bad_mapping_is_refused_by_file_and_key(folder: Folder, old: str, new: str, key: str, complaint: str) -> None:
    changes = {old: new}
    with pytest.raises(UserError) as error:
        folder.read(ROW, changes=changes)
    first, only = str(error.value).split("\n")
    assert first == f"mapping file {folder.mapping} has a mistake"
    assert re.match(rf"{re.escape(str(folder.mapping))}(:[0-9]+)?: {re.escape(key)}: ", only)
    assert complaint in only


def test_all_mistakes_of_a_mapping_are_told_by_line(folder: Folder) -> None:
    text = """[order_id]
template = "{id"
[amount]
colum = "a"
column = 3
[order_time]
column = "t"
zone = "Asia/Atlantis"
[user_id]
template = "{u}"
"""
    folder.mapping.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_mapping(folder.mapping)
    first, *told = str(error.value).split("\n")
    assert first == f"mapping file {folder.mapping} has 5 mistakes"
    assert [line.removeprefix(str(folder.mapping)).split(": ")[:2] for line in told] == [
        ["", "province"],
        [":2", "order_id.template"],
        [":4", "amount.colum"],
        [":5", "amount.column"],
        [":8", "order_time.zone"],
    ]


def test_a_mapping_that_is_no_toml_or_not_there_is_refused(folder: Folder) -> None:
    folder.mapping.write_text("[order_id", encoding="utf-8")
    refused(lambda: load_mapping(folder.mapping), "is not TOML", str(folder.mapping))
    refused(lambda: load_mapping(folder.path / "none.toml"), "cannot be read", "none.toml")


def test_a_mapping_that_does_not_fit_the_file_or_the_regions_is_refused(folder: Folder) -> None:
    refused(lambda: folder.read(content=b"id,time\n"), "names column 'amount'", "has id, time")
    refused(lambda: folder.read(content=b"id,id\n"), "two columns 'id'")
    refused(lambda: folder.read(content=b""), "is empty")
    refused(lambda: folder.read(content=b'"id\n'), "is not CSV")
    refused(lambda: folder.read(content=HEADER.encode()), "no row of", "0 rejected")
    refused(lambda: folder.read(ROW.replace("12.34", "x")), "no row of", "1 rejected", str(folder.rejects))
    refused(lambda: folder.read(content=gzip.compress(ROW.encode() * 99)[:-20]), "broken gzip")
    refused(lambda: folder.read(content=b"\x1f\x8bnone"), "broken gzip")
    refused(
        lambda: folder.read(ROW, changes={'Peking = "Beijing"': 'Peking = "Bejing"'}), "province.aliases", "'Bejing'"
    )
    folder.mapping.write_text(MAPPING.split("[city]")[0], encoding="utf-8")
    refused(lambda: folder.read(ROW), "there is no [city]", "province 610000 has several")


def test_files_that_cannot_be_opened_are_refused(folder: Folder) -> None:
    folder.read(ROW)
    mapping, known = load_mapping(folder.mapping), regions.load(folder.path / "regions.csv")
    refused(lambda: read_orders(folder.path / "none.csv", mapping, known, folder.rejects), "none.csv cannot be read")
    refused(lambda: read_orders(folder.csv, mapping, known, folder.path / "no" / "r.csv"), "r.csv cannot be written")
    refused(lambda: read_orders(folder.csv, mapping, known, folder.csv), "cannot go into")
    assert folder.csv.read_text().startswith(HEADER)


def test_the_command_reports_and_appends_what_it_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.read(ROW, ROW.replace("A1", "A2").replace("12.34", "0.005"), "x")
    appended: list[Any] = []

    def produce(_: Settings, topic: str, records: Iterable[Any], speed: float | None, progress: Any) -> int:
        appended.extend(records)
        return len(appended)

    monkeypatch.setattr(order_log, "create_topic", lambda *_: True)
    monkeypatch.setattr(order_log, "refuse_to_go_back", lambda *_: None)
    monkeypatch.setattr(order_log, "produce", produce)
    arguments = [str(folder.csv), "--mapping", str(folder.mapping), "--topic", "t", "--rejects", str(folder.rejects)]
    with open(ROOT / "conf" / "samewater.toml", "rb") as toml:
        shipped = Settings.model_validate(tomllib.load(toml))
    result = CliRunner().invoke(order_import.import_orders, arguments, obj=shipped, catch_exceptions=False)
    assert result.exit_code == 0
    assert "3 rows read: 2 orders, 1 rejected" in result.output
    assert "days 2025-11-11 to 2025-11-11, amount 12.34 yuan" in result.output
    assert (
        "1 amounts had more than two places and were rounded, which changed the sum of 12.345 by -0.005"
        in result.output
    )
    assert "set [report] regions to" in result.output
    assert f"{len(appended)} records in topic t: 2 orders and 81 heartbeats" in result.output
    assert "\x1b" not in result.output
    assert len(appended) == 83
    assert io.StringIO(folder.rejects.read_text()).readlines()[1] == '4,"has 1 columns, not 6",x\n'
