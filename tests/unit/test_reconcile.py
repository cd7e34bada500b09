"""Does reconcile turn red, and name the row, for each way in which a store can differ from the log?

The green case is made from the log itself; each test spoils one thing and looks at which checks differ, and where.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pyarrow as pa
import pytest
import requests
from fake_hbase import FakeHBase, marker_column
from tenacity import wait_none

from flink_jobs import checks, flink_rest, oracle, reconcile, runs, stores
from flink_jobs import truth as truth_of_log
from flink_jobs.checks import ABSENT, DIFFERENT, MISSING, OK, OPEN, UNKNOWN, Check, Difference, StoredDay, failed
from flink_jobs.errors import UserError
from flink_jobs.log_reader import reached
from flink_jobs.reconcile import Result
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.stores import Doubled, Table

DAY = "2025-11-11"
MIDNIGHT = 1_762_790_400_000  # 2025-11-11T00:00:00+08:00
END = MIDNIGHT + 86_400_000
HOUR = 3_600_000
NOON = MIDNIGHT + 12 * HOUR
RULES = oracle.Rules(300_000, 60_000, 86_400_000, 28_800_000, {"11": ("1101",), "44": ("4401", "4403")})


def order(order_id: str, at: int, user: str, province: str, city: str, amount: str) -> bytes:
    return (
        f'{{"order_id":"{order_id}","order_time":{at},"user_id":"{user}",'
        f'"province":"{province}","city":"{city}","amount":"{amount}"}}'
    ).encode()


RECORDS: list[oracle.Record] = [
    (0, 0, NOON, order("a", NOON, "u1", "44", "4401", "1.50")),
    (0, 1, NOON + 1, order("a", NOON, "u1", "44", "4401", "1.50")),
    (1, 0, NOON, order("b", NOON, "u1", "44", "4403", "20.00")),
    (1, 1, NOON, order("c", NOON + 60_000, "u2", "11", "1101", "-3.25")),
    (1, 2, NOON + 1, order("c", NOON + 60_001, "u2", "11", "1101", "-3.25")),
    (1, 3, NOON, b"x"),
    (0, 2, NOON + 300_001, order("d", NOON, "u3", "11", "1101", "9.00")),
    (0, 3, NOON, oracle.HEARTBEAT),
]


def truth() -> oracle.Day:
    return oracle.totals(oracle.classify(RECORDS, RULES), RULES, DAY, DAY)[DAY]


def stored(mode: str = "streaming") -> StoredDay:
    """A run that holds exactly what the log says; streaming has no order before noon."""
    day = checks.sales_table(truth())
    hours = range(1, 25) if mode == "streaming" else range(24, 25)
    sales: dict[int, Table] = {MIDNIGHT + hour * HOUR: copy.deepcopy(day) if hour > 12 else {} for hour in hours}
    return StoredDay(
        run_id=f"{mode}-run",
        name=mode,
        final=END,
        markers={version: checks.marker_sums(table) for version, table in sales.items()},
        sales=sales,
        verdicts=checks.verdict_table(truth()),
        files={version: copy.deepcopy(table) for version, table in sales.items() if table},
        doubled=[],
        rejected=checks.rejected_table(truth()),
        rejected_doubled=[],
    )


def clock(version: int) -> str:
    return str((version - MIDNIGHT) // HOUR)


def red(found: list[Check]) -> dict[str, list[Difference]]:
    """Name -> differences of the checks that are not ok."""
    assert found
    return {check.name: check.differences for check in found if check.verdict != OK}


def red_of(one: StoredDay) -> dict[str, list[Difference]]:
    return red(checks.check_run(DAY, truth(), one, clock))


# ---------------------------------------------------------------- the comparison itself


def test_equal_tables_do_not_differ() -> None:
    assert checks.differences({"a": {"x": "1"}}, {"a": {"x": "1"}}) == []


def test_a_field_a_missing_row_and_an_extra_row_are_each_named_with_both_values() -> None:
    left = {"a": {"x": "1", "y": "2"}, "b": {"x": "3"}}
    right = {"a": {"x": "1", "y": "02"}, "c": {"x": "4"}}
    assert checks.differences(left, right) == [("a", "y", "2", "02"), ("b", "x", "3", "-"), ("c", "x", "-", "4")]


def test_a_doubled_row_differs_though_its_values_are_right() -> None:
    table = {"a": {"x": "1"}}
    found = checks.compare(DAY, "n", ("log", table), ("HDFS", table), doubled=[Doubled("a", 2)])
    assert found.verdict == DIFFERENT
    assert found.differences == [("a", "times stored", "1", "2")]


def test_a_check_says_both_sides_with_rows_and_digests() -> None:
    one, other = {"a": {"x": "1"}}, {"a": {"x": "2"}, "b": {"x": "2"}}
    found = checks.compare(DAY, "n", ("log", one), ("HBase", other), ("run",))
    assert found.left == f"log: 1 rows {stores.digest(one)[:12]}"
    assert found.right == f"HBase: 2 rows {stores.digest(other)[:12]}"
    assert (found.side_names, found.runs) == (("log", "HBase"), ("run",))
    assert len({stores.digest(one), stores.digest(other), stores.digest({})}) == 3


def test_a_digest_depends_on_the_rows_and_not_on_their_order() -> None:
    table = {"b": {"y": "2", "x": "1"}, "a": {"x": "3"}}
    assert stores.digest(table) == stores.digest({"a": {"x": "3"}, "b": {"x": "1", "y": "2"}})
    # sha256sum of two lines: "a x=3" and "b x=1 y=2", without a newline at the end
    assert stores.digest(table) == "8885c92f51629f5df59858d26af1ff6287222da7cee3554763f6120dc0b28446"


@pytest.mark.parametrize(
    ("verdicts", "is_red"),
    [
        ([], True),
        ([UNKNOWN], True),
        ([OK], False),
        ([OK, UNKNOWN], False),
        ([OK, DIFFERENT], True),
        ([OK, MISSING], True),
        ([OK, OPEN], True),
    ],
)
def test_green_needs_something_compared_and_nothing_wrong(verdicts: list[str], is_red: bool) -> None:
    assert failed([Check(DAY, "n", "l", "r", verdict) for verdict in verdicts]) is is_red


# ---------------------------------------------------------------- a run against the log


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_a_run_that_holds_what_the_log_says_is_green_in_every_check(mode: str) -> None:
    found = checks.check_run(DAY, truth(), stored(mode), clock)
    assert [check.verdict for check in found] == [OK] * 9
    assert truth().sales
    assert truth().rejected


def test_an_empty_day_is_green_if_it_is_marked_as_empty() -> None:
    nothing = oracle.Day()
    for mode, hours in (("streaming", range(24)), ("batch", range(1))):
        markers = {END - hour * HOUR: {"rows": "0", "orders": "0", "amount": "0.00"} for hour in hours}
        one = StoredDay("r", mode, END, markers, {v: {} for v in markers}, {}, {}, [], {}, [])
        assert red(checks.check_run(DAY, nothing, one, clock)) == {}


def test_an_empty_day_without_its_markers_is_red() -> None:
    one = StoredDay("r", "batch", END, {}, {}, {}, {}, [], {}, [])
    assert red(checks.check_run(DAY, oracle.Day(), one, clock)) == {
        "batch: markers": [("24", "marker", "present", ABSENT)]
    }


def test_one_cell_of_the_day_in_hbase_is_named() -> None:
    one = stored()
    one.sales[END]["44|4401"]["amount"] = "1.51"
    found = red_of(one)
    assert found["streaming: report"] == [("44|4401", "amount", "1.50", "1.51")]
    assert found["streaming: marked rows"] == [("24", "amount", "15.00", "15.01")]
    assert found["streaming: every version"] == [("24 44|4401", "amount", "1.51", "1.50")]
    assert [row for row, *_ in found["streaming: levels"]] == ["44|ALL"]


def test_one_cell_of_an_earlier_version_in_hbase_is_named() -> None:
    one = stored()
    one.sales[MIDNIGHT + 15 * HOUR]["ALL|ALL"]["users"] = "7"
    assert red_of(one) == {"streaming: every version": [("15 ALL|ALL", "users", "7", "2")]}


@pytest.mark.parametrize("field", ["orders", "amount", "users"])
def test_a_total_of_a_province_is_compared_in_each_field(field: str) -> None:
    one = stored()
    one.sales[END]["44|ALL"][field] = "0"
    assert [difference.field for difference in red_of(one)["streaming: report"]] == [field]


def test_a_missing_and_an_extra_row_in_hbase_are_differences() -> None:
    one = stored()
    one.sales[END]["99|9901"] = one.sales[END].pop("44|4403")
    found = red_of(one)
    assert {row for row, *_ in found["streaming: report"]} == {"44|4403", "99|9901"}
    assert {row for row, *_ in found["streaming: levels"]} == {"44|ALL", "99|ALL"}


def test_a_cell_that_is_no_figure_is_a_difference_and_not_an_error() -> None:
    one = stored()
    one.sales[END]["44|4401"]["amount"] = "lots"
    one.sales[END]["44|4401"]["orders"] = ""
    found = red_of(one)
    assert ("44|4401", "amount", "1.50", "lots") in found["streaming: report"]
    assert ("44|ALL", "amount", "no sum: 'lots'", "21.50") in found["streaming: levels"]


def test_a_province_total_that_is_not_the_sum_of_its_cities_is_red_even_if_nothing_else_were_known() -> None:
    assert checks.totals_from_cities(stored().day_sales) == {
        "11|ALL": {"orders": "2", "amount": "-6.50"},
        "44|ALL": {"orders": "2", "amount": "21.50"},
        "ALL|ALL": {"orders": "4", "amount": "15.00"},
    }
    assert checks.stored_totals(stored().day_sales) == checks.totals_from_cities(stored().day_sales)


def test_a_missing_version_is_named() -> None:
    one = stored()
    markers = {version: marker for version, marker in one.markers.items() if version != MIDNIGHT + 4 * HOUR}
    assert red_of(replace(one, markers=markers))["streaming: markers"] == [("4", "marker", "present", ABSENT)]


def test_a_marker_that_counted_other_rows_than_are_stored_is_named() -> None:
    one = stored()
    markers = {**one.markers, MIDNIGHT + 13 * HOUR: {"rows": "7", "orders": "4", "amount": "15.00"}}
    assert red_of(replace(one, markers=markers)) == {"streaming: marked rows": [("13", "rows", "7", "6")]}


@pytest.mark.parametrize("field", ["records", "offset_min", "offset_max", "offset_sum"])
def test_verdicts_are_compared_by_partition_number_and_offsets(field: str) -> None:
    one = stored()
    verdicts = {**one.verdicts, "00000|duplicate": {**one.verdicts["00000|duplicate"], field: "9"}}
    assert red_of(replace(one, verdicts=verdicts))["streaming: verdicts"][0][:2] == ("00000|duplicate", field)


def test_records_that_met_no_verdict_are_missed_in_the_sum() -> None:
    one = stored()
    verdicts = {row: fields for row, fields in one.verdicts.items() if row != "00000|heartbeat"}
    found = red_of(replace(one, verdicts=verdicts))
    assert found["streaming: sum of verdicts"] == [("streaming: sum of verdicts", "value", "8", "7")]
    assert {row for row, *_ in found["streaming: verdicts"]} == {"00000|heartbeat"}


def test_conflicting_orders_are_compared_beside_the_verdicts() -> None:
    assert checks.verdict_table(truth())["ALL|conflicting"] == {"records": "1"}
    one = stored()
    verdicts = {**one.verdicts, "ALL|conflicting": {"records": "2"}}
    assert red_of(replace(one, verdicts=verdicts)) == {
        "streaming: verdicts": [("ALL|conflicting", "records", "1", "2")]
    }
    gone = {row: fields for row, fields in verdicts.items() if row != "ALL|conflicting"}
    assert red_of(replace(one, verdicts=gone)) == {"streaming: verdicts": [("ALL|conflicting", "records", "1", "-")]}


def test_no_conflicting_orders_may_be_written_as_zero_or_not_at_all() -> None:
    assert checks.stored_verdicts({"ALL|conflicting": {"records": "0"}}) == {} == checks.stored_verdicts({})


def test_a_file_row_that_differs_is_missing_or_doubled_is_named() -> None:
    one = stored()
    one.files[END]["ALL|ALL"]["orders"] = "5"
    del one.files[END]["44|4403"]
    found = red_of(replace(one, doubled=[Doubled("1762876800000|44|ALL", 2)]))["streaming: report files"]
    assert {(row, field) for row, field, *_ in found} == {
        ("ALL|ALL", "orders"),
        ("44|4403", "orders"),
        ("44|4403", "amount"),
        ("44|4403", "users"),
        ("1762876800000|44|ALL", "times stored"),
    }


def test_a_version_that_only_one_of_hbase_and_hdfs_has_is_red() -> None:
    one = stored()
    files = {version: table for version, table in one.files.items() if version != MIDNIGHT + 20 * HOUR}
    assert {row.split()[0] for row, *_ in red_of(replace(one, files=files))["streaming: every version"]} == {"20"}


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "late_copy"},
        {"reason": "amount"},
        {"ingest_time": "1"},
        {"order_id": "O-9"},
        {"order_time": "1"},
        {"user_id": "-"},
        {"province": "x"},
        {"city": "x"},
        {"amount": "0.00"},
        {"md5": "x"},
    ],
)
def test_every_cell_of_a_rejected_row_is_compared(change: dict[str, str]) -> None:
    one = stored()
    rejected = {**one.rejected, "00000|2": {**one.rejected["00000|2"], **change}}
    found = red_of(replace(one, rejected=rejected))
    assert [difference[:2] for difference in found["streaming: rejected"]] == [("00000|2", next(iter(change)))]


def test_of_a_run_of_the_first_core_only_what_it_kept_alike_is_compared() -> None:
    one = stored()
    rows = {row: cells | {"md5": "of other bytes"} for row, cells in one.rejected.items()}
    old = replace(one, rejected=rows, whole_rows=False)
    assert red_of(old) == {} and red(checks.check_modes(DAY, old, replace(stored("batch"), rejected=rows))) == {}
    assert red_of(replace(old, rejected={row: cells | {"verdict": "x"} for row, cells in rows.items()}))
    assert red_of(replace(old, whole_rows=True))


def test_a_rejected_row_that_is_missing_or_doubled_is_red() -> None:
    one = stored()
    fewer = {row: fields for row, fields in one.rejected.items() if row != "00001|3"}
    assert {row for row, *_ in red_of(replace(one, rejected=fewer))["streaming: rejected"]} == {"00001|3"}
    found = red_of(replace(one, rejected_doubled=[Doubled("00001|3", 2)]))
    assert found == {"streaming: rejected": [("00001|3", "times stored", "1", "2")]}


# ---------------------------------------------------------------- the modes, the dashboard, publication


def test_equal_modes_are_green() -> None:
    assert red(checks.check_modes(DAY, stored("streaming"), stored("batch"))) == {}


def test_modes_that_differ_in_report_verdicts_or_rejected_rows_are_red() -> None:
    batch = stored("batch")
    batch.sales[END]["ALL|ALL"]["users"] = "4"
    verdicts = {**batch.verdicts, "00000|late": {"records": "0"}}
    rejected = {**batch.rejected, "00009|9": {"verdict": "late"}}
    found = red(checks.check_modes(DAY, stored(), replace(batch, verdicts=verdicts, rejected=rejected)))
    assert list(found) == ["streaming = batch: report", "streaming = batch: verdicts", "streaming = batch: rejected"]
    assert found["streaming = batch: report"] == [("ALL|ALL", "users", "2", "4")]


def dashboard() -> tuple[Table, Table]:
    minutes = checks.minute_table(truth())
    return minutes, checks.days_from_minutes(minutes)


def red_dashboard(minutes: Table, days: Table) -> dict[str, list[Difference]]:
    against = checks.check_minutes_against_report(DAY, "d", minutes, stored())
    return red([*checks.check_dashboard(DAY, truth(), "d", minutes, days), against])


def test_a_dashboard_that_shows_what_the_log_says_is_green() -> None:
    minutes, days = dashboard()
    assert minutes["12:00|ALL"] == {"final": "1", "orders": "2", "cents": "2150"}
    assert days == {
        "11": {"orders": "2", "cents": "-650"},
        "44": {"orders": "2", "cents": "2150"},
        "ALL": {"orders": "4", "cents": "1500"},
    }
    assert red_dashboard(minutes, days) == {}


def test_one_field_of_a_minute_is_named_and_its_day_too() -> None:
    minutes, days = dashboard()
    minutes["12:00|44"]["cents"] = "2151"
    found = red_dashboard(minutes, days)
    assert found["dashboard: minutes"] == [("12:00|44", "cents", "2150", "2151")]
    assert found["dashboard: days"] == [("44", "cents", "2151", "2150")]
    assert found["dashboard = streaming"] == [("44", "cents", "2151", "2150")]


def test_a_minute_of_a_closed_day_that_is_still_provisional_is_red() -> None:
    minutes, days = dashboard()
    minutes["12:01|11"]["final"] = "0"
    assert red_dashboard(minutes, days) == {"dashboard: minutes": [("12:01|11", "final", "1", "0")]}


def test_a_missing_an_extra_and_a_spoilt_minute_are_named() -> None:
    minutes, days = dashboard()
    del minutes["12:01|11"]
    minutes["03:00|44"] = {"final": "1", "orders": "1", "cents": "1"}
    minutes["12:00|ALL"] = {"final": "what"}
    found = red_dashboard(minutes, days)
    assert {row for row, *_ in found["dashboard: minutes"]} == {"12:01|11", "03:00|44", "12:00|ALL"}
    assert ("ALL", "orders", "no sum: '-'", "4") in found["dashboard: days"]


def test_a_day_total_that_is_not_the_sum_of_the_minutes_is_red() -> None:
    minutes, days = dashboard()
    days["ALL"]["orders"] = "3"
    assert red_dashboard(minutes, days) == {"dashboard: days": [("ALL", "orders", "4", "3")]}


def test_a_report_that_is_not_the_sum_of_the_minutes_is_red() -> None:
    minutes, _ = dashboard()
    one = stored("batch")
    one.sales[END]["ALL|ALL"]["amount"] = "15.01"
    found = checks.check_minutes_against_report(DAY, "d", minutes, one)
    assert found.differences == [("ALL", "cents", "1500", "1501")]


def test_a_published_row_is_compared_with_the_version_that_it_names() -> None:
    said = {"run": "r", "version": "7", "rows": "2", "digest": "ab"}
    assert checks.check_published(DAY, said, {**said}).verdict == OK
    assert checks.check_published(DAY, {"run": "r", "version": "7"}, said).verdict == OK
    for name in said:
        found = checks.check_published(DAY, said, {**said, name: "other"})
        assert [difference.field for difference in found.differences] == [name]
    assert checks.check_published(DAY, said, {"run": "r", "version": ABSENT}).verdict == DIFFERENT


# ---------------------------------------------------------------- is the day closed


def test_a_day_is_closed_once_every_partition_has_passed_it_by_lateness_and_skew() -> None:
    for last, verdict in (({0: END + 330_000, 1: END + 10**9}, OK), ({0: END + 10**9, 1: END + 329_999}, OPEN)):
        found = checks.check_closed(DAY, END, reached(last, 300_000, 30_000), last, clock)
        assert found.verdict == verdict
    assert "partition 1" in found.left


def test_a_partition_that_holds_nothing_keeps_the_day_open_and_is_named() -> None:
    last = {0: END + 10**9, 1: None}
    found = checks.check_closed(DAY, END, reached(last, 300_000, 30_000), last, clock)
    assert found.verdict == OPEN
    assert "partition 1 holds nothing" in found.left


# ---------------------------------------------------------------- which run, what Flink counted, the ledger


@pytest.fixture
def settings() -> Settings:
    return Settings.load(DEFAULT_FILE)


def a_run(
    hbase: Any,
    run_id: str,
    submitted: str,
    mode: str = "batch",
    topic: str = "orders",
    *,
    final: bool,
    rows: int = 0,
    **more: Any,
) -> None:
    fields = {"job": "daily_report", "mode": mode, "logic": "l", "topic": topic, "submitted_at": submitted}
    run = runs.Run.model_validate({"run_id": run_id, **fields, **more})
    runs.register(hbase, run)
    version = END if final else END - HOUR
    marker = {marker_column(run.family, version): b'{"rows": %d, "orders": 0, "amount": "0.00"}' % rows}
    hbase.table("versions").put(stores.marker_key(DAY, run_id).encode(), marker)


def test_the_newest_run_that_has_the_whole_day_on_this_topic_is_chosen(settings: Settings) -> None:
    hbase: Any = FakeHBase()
    a_run(hbase, "older", "2025-11-12T01", final=True)
    a_run(hbase, "newer", "2025-11-12T02", final=True)
    a_run(hbase, "unfinished", "2025-11-12T03", final=False)
    a_run(hbase, "elsewhere", "2025-11-12T04", topic="x", final=True)
    a_run(hbase, "live", "2025-11-12T05", "streaming", final=True)
    a_run(hbase, "replay", "2025-11-12T06", "streaming", final=True, replays="live", provisional=True)

    def chosen(mode: str, named: str | None = None) -> str | None:
        run = reconcile.choose_run(settings, hbase, mode, "orders", DAY, named)
        return None if run is None else run.run_id

    assert (chosen("batch"), chosen("streaming"), chosen("batch", "older")) == ("newer", "live", "older")
    assert chosen("streaming", "replay") == "replay"
    for unfit in ("live", "elsewhere", "nope"):
        with pytest.raises(UserError, match=unfit):
            chosen("batch", unfit)
    assert reconcile.choose_run(settings, hbase, "batch", "nothing", DAY, None) is None


@pytest.mark.parametrize(("rows", "lives", "looks"), [(0, True, 1), (1, True, 3), (1, False, 1)])
def test_a_marked_version_that_a_job_at_work_has_yet_to_file_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, rows: int, lives: bool, looks: int
) -> None:
    hbase: Any = FakeHBase()
    a_run(hbase, "live", "2025-11-12T05", "streaming", final=True, rows=rows)
    looked: list[str] = []

    def read(_files: object, _settings: Settings, day: str, run_id: str) -> tuple[dict[int, Table], list[str]]:
        looked.append(f"{day} {run_id}")
        return ({END: {}} if len(looked) == 3 else {END - HOUR: {}}), []

    monkeypatch.setattr(stores, "read_sales_files", read)
    monkeypatch.setattr(stores, "read_rejected", lambda *_: ({}, []))
    monkeypatch.setattr(flink_rest, "living_job", lambda *_: "j" if lives else None)
    monkeypatch.setattr(reconcile, "wait_fixed", lambda _: wait_none())
    found = reconcile.read_filed(settings, hbase, MagicMock(), runs.get(hbase, "live"), DAY)
    assert looked == [f"{DAY} live"] * looks
    assert (END in found.files) == (looks == 3)


def test_a_version_that_is_never_filed_is_left_to_the_checks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hbase: Any = FakeHBase()
    a_run(hbase, "live", "2025-11-12T05", "streaming", final=True, rows=1)
    monkeypatch.setattr(stores, "read_sales_files", lambda *_: ({}, []))
    monkeypatch.setattr(stores, "read_rejected", lambda *_: ({}, []))
    monkeypatch.setattr(flink_rest, "living_job", lambda *_: "j")
    monkeypatch.setattr(reconcile, "files_due_s", lambda _: 0)
    found = reconcile.read_filed(settings, hbase, MagicMock(), runs.get(hbase, "live"), DAY)
    assert list(found.markers) == [END] and not found.files


def flink(answers: dict[str, Any]) -> Callable[..., requests.Response]:
    """A Flink cluster: address without its host -> JSON, or what gives it; 404 for anything else; `down` is silent.

    Its TaskManager has another heap whenever it is asked, unless the answers say otherwise.
    """
    heaps = count()
    answers = {
        "taskmanagers": {"taskmanagers": [{"id": "t1"}]},
        HEAP: lambda: [{"id": "Heap.Used", "value": str(next(heaps))}],
        **answers,
    }

    def get(address: str, timeout: float) -> requests.Response:
        assert timeout > 0
        host, _, path = address.removeprefix("http://").partition("/")
        if host == answers.get("down"):
            raise requests.ConnectionError(host)
        response = requests.Response()
        response.status_code = 200 if path in answers else 404
        answer = answers.get(path)
        response.json = lambda **_: answer() if callable(answer) else answer  # type: ignore[method-assign]
        return response

    return get


HEAP = "taskmanagers/t1/metrics?get=Status.JVM.Memory.Heap.Used"
JOB = {"state": "RUNNING", "vertices": [{"id": "v1", "name": "Source"}, {"id": "v2", "name": "GlobalWindow"}]}
METRICS = {
    "jobs/j": JOB,
    "jobs/j/vertices/v1/subtasks/metrics": [{"id": "numRecordsIn"}],
    "jobs/j/vertices/v2/subtasks/metrics": [{"id": "Window_7.numLateRecordsDropped"}, {"id": "numRecordsIn"}],
    "jobs/j/vertices/v2/subtasks/metrics?get=Window_7.numLateRecordsDropped&agg=sum": [
        {"id": "Window_7.numLateRecordsDropped", "sum": 0.0}
    ],
}


def dropped(monkeypatch: pytest.MonkeyPatch, answers: dict[str, Any], settings: Settings) -> Check:
    monkeypatch.setattr(requests, "get", flink(answers))
    return reconcile.check_dropped(DAY, "streaming", "r", reconcile.dropped_late(settings, "j"))


def test_a_job_that_dropped_no_late_record_is_green(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    assert dropped(monkeypatch, METRICS, settings).verdict == OK


def test_a_job_that_dropped_late_records_is_red_and_names_the_operator(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    path = "jobs/j/vertices/v2/subtasks/metrics?get=Window_7.numLateRecordsDropped&agg=sum"
    found = dropped(monkeypatch, {**METRICS, path: [{"id": "Window_7.numLateRecordsDropped", "sum": 3.0}]}, settings)
    assert found.differences == [("Window_7.numLateRecordsDropped", "dropped", "0", "3")]


def window_of_another_vertex(name: str, count: float) -> dict[str, Any]:
    """The answers of METRICS, with a third vertex whose operator has a count of this name."""
    path = "jobs/j/vertices/v3/subtasks/metrics"
    return {
        **METRICS,
        "jobs/j": {**JOB, "vertices": [{"id": "v3", "name": "WindowJoin"}, *JOB["vertices"]]},
        path: [{"id": name}],
        f"{path}?get={name}&agg=sum": [{"id": name, "sum": count}],
    }


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_window_join_counts_dropped_records_under_names_of_its_own(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, side: str
) -> None:
    name = f"WindowJoin_9.{side}NumLateRecordsDropped"
    found = dropped(monkeypatch, window_of_another_vertex(name, 2.0), settings)
    assert found.differences == [(name, "dropped", "0", "2")]


def test_operators_of_one_name_in_two_vertices_do_not_hide_each_other(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    name = "Window_7.numLateRecordsDropped"  # the last vertex has it too, and dropped nothing
    found = dropped(monkeypatch, window_of_another_vertex(name, 2.0), settings)
    assert found.differences == [(name, "dropped", "0", "2")]


@pytest.mark.parametrize("path", ["jobs/j/vertices/v2/subtasks/metrics", "get=Window_7"])
def test_a_vertex_that_tells_nothing_is_not_taken_for_one_that_dropped_nothing(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, path: str
) -> None:
    answers = window_of_another_vertex("Over_9.numLateRecordsDropped", 0.0)
    silent = {name: [] if name.endswith(path) or path in name else answer for name, answer in answers.items()}
    monkeypatch.setattr(reconcile, "_METRICS_S", 0)
    found = dropped(monkeypatch, silent, settings)
    assert (found.verdict, found.right) == (UNKNOWN, "GlobalWindow does not tell its metrics")


def copy_renewed_by_question(number: int, dropped_since: float) -> dict[str, Any]:
    """METRICS as a copy from before the records were dropped, until the heap has been asked for so many times."""
    asked = count(1)
    now = {"heap": "7", "dropped": 0.0}

    def heap() -> list[dict[str, Any]]:
        if next(asked) >= number:
            now.update(heap="8", dropped=dropped_since)
        return [{"id": "Heap.Used", "value": now["heap"]}]

    path = "jobs/j/vertices/v2/subtasks/metrics?get=Window_7.numLateRecordsDropped&agg=sum"
    counts: Callable[[], Any] = lambda: [{"id": "Window_7.numLateRecordsDropped", "sum": now["dropped"]}]  # noqa: E731
    return {**METRICS, HEAP: heap, path: counts}


def test_a_copy_from_before_the_question_is_not_believed(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(reconcile, "wait_fixed", lambda _: wait_none())
    found = dropped(monkeypatch, copy_renewed_by_question(4, 3.0), settings)
    assert found.differences == [("Window_7.numLateRecordsDropped", "dropped", "0", "3")]


def test_a_copy_that_is_never_renewed_proves_only_what_it_says(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setattr(reconcile, "_METRICS_S", 0)
    found = dropped(monkeypatch, copy_renewed_by_question(99, 0.0), settings)
    assert (found.verdict, found.right) == (UNKNOWN, "the cluster gives figures from before the question")
    path = "jobs/j/vertices/v2/subtasks/metrics?get=Window_7.numLateRecordsDropped&agg=sum"
    old = {**copy_renewed_by_question(99, 0.0), path: [{"id": "Window_7.numLateRecordsDropped", "sum": 2.0}]}
    assert dropped(monkeypatch, old, settings).verdict == DIFFERENT


def test_a_job_that_no_cluster_knows_is_not_available_and_not_red(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    for answers in ({}, {**METRICS, "jobs/j": {**JOB, "state": "FINISHED"}}, {"down": settings.flink.realtime.rest}):
        found = dropped(monkeypatch, answers, settings)
        assert found.verdict == UNKNOWN
        assert found.right != ""


def ledger(**changes: list[Any]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "verdict": [], "reason": [], "ingest_time": [], "order_time": [], "order_id": [], "user_id": [], "cents": []
    }  # fmt: skip
    for one in oracle.classify(RECORDS, RULES):
        fields = one.order._asdict() if one.order else dict.fromkeys(oracle.Order._fields)
        row = {"verdict": one.verdict, "reason": one.reason or None, "ingest_time": one.ingest_time, **fields}
        for name, values in columns.items():
            values.append(row[name])
    return pa.table({**columns, **changes})


def test_a_ledger_that_intended_what_the_log_says_is_green() -> None:
    found = reconcile.ledger_tables(ledger(), RULES)
    assert found == {DAY: reconcile.truth_as_ledger(truth())}
    assert found[DAY]["country"] == {"amount": "15.00", "users": "2", "conflicting": "1"}
    assert found[DAY]["malformed|json"] == {"records": "1"}


def test_a_ledger_that_intended_another_verdict_or_amount_is_red() -> None:
    verdicts = ledger()["verdict"].to_pylist()
    verdicts[verdicts.index("late")] = "late_copy"
    found = reconcile.ledger_tables(ledger(verdict=verdicts), RULES)[DAY]
    rows = [row for row, *_ in checks.differences(found, reconcile.truth_as_ledger(truth()))]
    assert rows == ["late_copy|", "late|"]
    cents = [None if amount is None else amount + 1 for amount in ledger()["cents"].to_pylist()]
    richer = reconcile.ledger_tables(ledger(cents=cents), RULES)[DAY]
    assert checks.differences(richer, reconcile.truth_as_ledger(truth())) == [("country", "amount", "15.04", "15.00")]


def test_a_file_that_is_no_ledger_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("not Parquet", encoding="utf-8")
    for name in ("x", "missing"):
        with pytest.raises(UserError, match=name):
            reconcile.read_ledger(tmp_path / name)


# ---------------------------------------------------------------- the outcome


def result(*verdicts: str, name: str = "n") -> Result:
    return Result(DAY, DAY, "orders", [Check(DAY, name, "l", "r", verdict) for verdict in verdicts], {}, {})


def test_the_sentence_says_whether_all_is_equal() -> None:
    assert result(OK, OK).sentence == "2025-11-11: all 2 checks are equal"
    assert result(OK, UNKNOWN).sentence == "2025-11-11: all 1 checks are equal; 1 could not be looked at"
    assert "NOT EQUAL: 1 checks differ" in result(OK, DIFFERENT).sentence
    assert "1 sides are missing" in result(OK, MISSING).sentence
    assert "provisional: the log has not passed 2025-11-11 yet" in result(OPEN).sentence
    assert "nothing to compare" in result(MISSING, name=reconcile.NOTHING).sentence


def test_the_json_holds_every_difference() -> None:
    many = [Difference(str(n), "f", "1", "2") for n in range(500)]
    check = Check(DAY, "n", "l", "r", DIFFERENT, ("run",), many)
    found = reconcile.as_dict(Result(DAY, DAY, "orders", [check], {}, {}))
    assert found["equal"] is False
    assert len(found["checks"][0]["differences"]) == 500
    assert found["checks"][0]["differences"][7] == {"row": "7", "field": "f", "left": "1", "right": "2"}


def test_people_see_the_first_rows_and_the_number_of_all(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    many = [Difference(f"row{n:03}", "f", "1", "2") for n in range(500)]
    check = Check(DAY, "n", "log: 1", "HBase: 2", DIFFERENT, ("run-7",), many)
    reconcile.print_result(settings, Result(DAY, DAY, "orders", [check], {}, {0: 31_000}))
    printed = capsys.readouterr().out
    assert printed.count("row0") == reconcile.ROWS_PRINTED
    assert "500 differences" in printed
    assert "run-7" in printed
    assert "31000 ms" in printed


def test_of_a_long_range_equal_days_take_a_line_each_and_others_are_shown_in_full(
    capsys: pytest.CaptureFixture[str], settings: Settings
) -> None:
    days = [f"2025-11-{number:02}" for number in range(1, 10)]
    bad = Check(days[4], "report", "log: 1", "HBase: 2", DIFFERENT, (), [Difference("ALL|ALL", "orders", "1", "2")])
    checks = [bad if day == days[4] else Check(day, "report", "log: 1", "HBase: 1", OK) for day in days]
    counts = {day: {"log": {"accepted": "7", "late": "2", "conflicting": "1"}} for day in days}
    reconcile.print_result(settings, Result(days[0], days[-1], "orders", checks, counts, {}))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if line.endswith("1 ok   ")] == [
        [day, "9", "7", "1", "ok"] for day in days if day != days[4]
    ]
    assert any("ALL|ALL" in line for line in lines) and any("DIFFERENT" in line for line in lines)


def test_the_oracle_is_given_the_rules_of_the_settings(settings: Settings) -> None:
    rules = truth_of_log.rules_of(settings)
    assert (rules.lateness_ms, rules.future_ms, rules.late_copy_horizon_ms) == (300_000, 60_000, 86_400_000)
    assert rules.day_start(DAY) == settings.time.day_start(dt.date.fromisoformat(DAY)) == MIDNIGHT
    assert "110100" in rules.regions["110000"]
