"""Are keys, tables and files of the stores what the design says, and does nothing doubled or half-written pass?"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import uuid
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from fake_hbase import FakeHBase
from pyarrow import parquet

from flink_jobs import regions, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.stores import Doubled

DAY = "2025-11-11"
END = 1_762_876_800_000
NOON = END - 43_200_000
CANONICAL = (
    f'{{"order_id":"O-1","order_time":{NOON},"user_id":"U1","province":"440000","city":"440300","amount":"-0.5"}}'
).encode()


@pytest.fixture
def settings() -> Settings:
    loaded = Settings.load(DEFAULT_FILE)
    # The file system in memory is one for the whole process: a folder of its own for each test.
    return loaded.model_copy(update={"hdfs": loaded.hdfs.model_copy(update={"root": f"/{uuid.uuid4()}"})})


# ---------------------------------------------------------------- keys


def test_keys_are_those_of_the_design() -> None:
    # By gzip: the CRC-32 of "110000|110100" is 3854621936, divisible by 4; of "ALL|ALL" 3919457165, which leaves 1.
    assert stores.sales_key(DAY, "run-1", "110000", "110100", 4) == "0|2025-11-11|run-1|110000|110100"
    assert stores.sales_key(DAY, "run-1", "ALL", "ALL", 4) == "1|2025-11-11|run-1|ALL|ALL"
    assert stores.marker_key(DAY, "run-1") == "2025-11-11|run-1"


def test_the_rows_of_a_day_are_spread_over_all_buckets() -> None:
    provinces = regions.load(Settings.load(DEFAULT_FILE).regions_file()).provinces
    found = Counter(stores.bucket(province, city, 4) for province in provinces for city in provinces[province])
    assert min(found[number] for number in range(4)) > 0.1 * found.total()


# ---------------------------------------------------------------- tables


class Schema:
    """A connection that only makes tables; `rival` makes the same one a moment earlier."""

    def __init__(self, rival: bool = False, **spoilt: Any) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self.rival = rival
        self.spoilt = spoilt

    def tables(self) -> list[bytes]:
        return [name.encode() for name in self.made]

    def create_table(self, name: str, families: dict[str, Any]) -> None:
        assert name not in self.made
        self.made[name] = {
            family.encode(): {"max_versions": options["max_versions"], "time_to_live": 2**31 - 1, **self.spoilt}
            for family, options in families.items()
        }
        if self.rival:
            raise stores.AlreadyExists(message=name)

    def is_table_enabled(self, name: str) -> bool:
        return name in self.made

    def table(self, name: str) -> Any:
        return type("Table", (), {"families": lambda _: self.made[name]})()


@pytest.mark.parametrize("rival", [False, True])
def test_tables_are_made_once_also_if_another_job_is_faster(rival: bool) -> None:
    connection: Any = Schema(rival)
    stores.ensure_tables(connection)
    stores.ensure_tables(connection)
    assert set(connection.made) == set(stores.TABLES)
    assert connection.made["daily_sales"][b"s"]["max_versions"] == 200


@pytest.mark.parametrize("spoilt", [{"time_to_live": 86_400}, {"max_versions": 0}])
def test_a_table_whose_cells_expire_or_are_too_few_is_refused(spoilt: dict[str, int]) -> None:
    connection: Any = Schema(**spoilt)
    with pytest.raises(UserError, match="VERSIONS 200 and no TTL"):
        stores.ensure_tables(connection)


def test_only_cells_of_exactly_the_version_are_read() -> None:
    hbase: Any = FakeHBase()
    table, key = hbase.table("daily_sales"), stores.sales_key(DAY, "run-1", "ALL", "ALL", 4).encode()
    table.put(key, {b"s:orders": b"1", b"s:users": b"1"}, END - 3_600_000)
    table.put(key, {b"s:orders": b"2", b"b:orders": b"7"}, END)
    table.put(key, {b"s:orders": b"3"}, END + 3_600_000)
    table.put(stores.sales_key(DAY, "run-10", "ALL", "ALL", 4).encode(), {b"s:orders": b"8"}, END)
    assert stores.read_sales(hbase, 4, DAY, "run-1", "s", END) == {"ALL|ALL": {"orders": "2"}}
    assert stores.read_sales(hbase, 4, DAY, "run-1", "s", END - 1) == {}


# ---------------------------------------------------------------- files


def put(settings: Settings, dataset: str, name: str, columns: dict[str, list[Any]]) -> Any:
    files = fsspec.filesystem("memory")
    content = io.BytesIO()
    parquet.write_table(pa.table(columns), content)
    files.pipe_file(f"{stores.run_folder(settings, dataset, DAY, 'run-1')}/{name}", content.getvalue())
    return files


SALES: dict[str, list[Any]] = {
    "version": [END, END],
    "province": ["ALL", "110000"],
    "city": ["ALL", "ALL"],
    "orders": [2, 2],
    "amount": [Decimal("0.00"), Decimal("-12.30")],
    "users": [1, 1],
}
REJECTED: dict[str, list[Any]] = {
    "kafka_partition": [0, 12],
    "kafka_offset": [7, 7],
    "verdict": ["late", "invalid"],
    "reason": [None, "city"],
    "ingest_time": [END, END + 1],
    "order_id": ["O-1", "O-2"],
    "order_time": [NOON, None],
    "user_id": ["U1", None],
    "province": ["440000", "440000"],
    "city": ["440300", None],
    "amount": ["-0.5", None],
    "payload": [None, b"y"],
}


def test_report_files_are_read_by_version_in_the_form_of_hbase(settings: Settings) -> None:
    files = put(settings, "daily_sales", "part-0.parquet", SALES)
    assert stores.read_sales_files(files, settings, DAY, "run-1") == (
        {
            END: {
                "ALL|ALL": {"orders": "2", "amount": "0.00", "users": "1"},
                "110000|ALL": {"orders": "2", "amount": "-12.30", "users": "1"},
            }
        },
        [],
    )


def test_a_row_in_two_files_is_doubled(settings: Settings) -> None:
    put(settings, "daily_sales", "part-0.parquet", SALES)
    files = put(settings, "daily_sales", "part-1.parquet", {name: column[:1] for name, column in SALES.items()})
    assert stores.read_sales_files(files, settings, DAY, "run-1")[1] == [Doubled(f"{END}|ALL|ALL", 2)]
    put(settings, "rejected", "part-0.parquet", REJECTED)
    put(settings, "rejected", "part-1.parquet", REJECTED)
    doubled = stores.read_rejected(files, settings, DAY, "run-1")[1]
    assert doubled == [Doubled("00000|7", 2), Doubled("00012|7", 2)]


def test_rejected_rows_are_read_by_their_place_in_the_log(settings: Settings) -> None:
    files = put(settings, "rejected", "part-0.parquet", REJECTED)
    assert stores.read_rejected(files, settings, DAY, "run-1") == (
        {
            "00000|7": {
                "verdict": "late",
                "reason": "",
                "ingest_time": str(END),
                "order_id": "O-1",
                "order_time": str(NOON),
                "user_id": "U1",
                "province": "440000",
                "city": "440300",
                "amount": "-0.50",
                "md5": hashlib.md5(CANONICAL).hexdigest(),
            },
            "00012|7": {
                "verdict": "invalid",
                "reason": "city",
                "ingest_time": str(END + 1),
                "order_id": "O-2",
                "province": "440000",
                "md5": hashlib.md5(b"y").hexdigest(),
            },
        },
        [],
    )


@pytest.mark.parametrize(("amount", "two_places"), [("1", "1.00"), ("-0", "0.00"), ("-0.5", "-0.50"), ("1 ", "1 ")])
def test_the_amount_of_a_rejected_row_has_two_places_if_it_is_one(amount: str, two_places: str) -> None:
    cells = stores.record_cells("late", None, END, "O-1", NOON, "U1", "440000", "440300", amount, b"x")
    assert cells["amount"] == two_places


def test_a_tombstone_has_no_digest_of_its_value_and_an_empty_value_has_one() -> None:
    nothing = (None,) * 6
    assert "md5" not in stores.record_cells("malformed", "empty", END, *nothing, None)
    assert stores.record_cells("malformed", "empty", END, *nothing, b"")["md5"] == hashlib.md5(b"").hexdigest()


def test_files_in_progress_and_of_other_runs_are_not_read(settings: Settings) -> None:
    files = put(settings, "daily_sales", ".part-0.parquet.inprogress.1", SALES)
    files.pipe_file(f"{stores.run_folder(settings, 'daily_sales', DAY, 'run-1')}/_SUCCESS", b"")
    files.pipe_file(f"{stores.run_folder(settings, 'daily_sales', DAY, 'run-10')}/part-0.parquet", b"no Parquet")
    assert stores.read_sales_files(files, settings, DAY, "run-1") == ({}, [])


def test_a_run_without_files_holds_nothing(settings: Settings) -> None:
    files = fsspec.filesystem("memory")
    assert stores.read_sales_files(files, settings, DAY, "nobody") == ({}, [])


# ---------------------------------------------------------------- Redis


class Hashes:
    """Redis with nothing but hashes."""

    def __init__(self, hashes: dict[str, dict[str, str]]) -> None:
        self.hashes = hashes

    def hgetall(self, key: str) -> dict[str, str]:
        return self.hashes.get(key, {})


def test_minutes_are_split_and_spoilt_ones_kept_for_all_to_see(settings: Settings) -> None:
    fields = {"00:01|ALL": "1:2:-3", "00:02|ALL": "1:0:0", "00:03|ALL": "x", "00:04|ALL": "1:2:3:4"}
    client: Any = Hashes({f"samewater:r:minutes:{DAY}": fields})
    assert stores.read_minutes(client, settings, "r", DAY) == {
        "00:01|ALL": {"final": "1", "orders": "2", "cents": "-3"},
        "00:03|ALL": {"final": "x"},
        "00:04|ALL": {"final": "1", "orders": "2", "cents": "3:4"},
    }


def test_day_totals_are_those_of_the_day_and_not_zero(settings: Settings) -> None:
    days = {f"{DAY}|ALL": "2:-3", f"{DAY}|110000": "0:0", "2025-11-12|ALL": "9:9"}
    client: Any = Hashes({"samewater:r:days": days})
    assert stores.read_day_totals(client, settings, "r", DAY) == {"ALL": {"orders": "2", "cents": "-3"}}


def test_the_end_of_the_final_minutes_is_known_or_not(settings: Settings) -> None:
    client: Any = Hashes({"samewater:r:progress": {"final_until": "17"}})
    assert stores.read_final_until(client, settings, "r") == 17
    assert stores.read_final_until(client, settings, "other") is None


READS_AND_ENDS = """
import sys
import fsspec
from flink_jobs import stores
files = fsspec.filesystem("file")
for _ in range(3):
    assert [part.num_rows for part in stores.parquet_of(files, sys.argv[1], ["a"])] == [300]
"""


def test_a_program_that_has_read_parquet_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    """Arrow's threads go on after the read; what they still hold must not need an interpreter that ends."""
    parquet.write_table(pa.table({"a": range(300)}), tmp_path / "part")
    reading = [
        subprocess.Popen([sys.executable, "-c", READS_AND_ENDS, str(tmp_path)], stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in reading]
    assert ended == [("", 0)] * 8
