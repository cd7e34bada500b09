"""Is a full report refused where it must be, are its days the right ones, and does its page say what is missing?"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import re
import socket
from typing import Any

import psutil
import pytest
from fake_hbase import FakeHBase, marker_column, put_in_place

from flink_jobs import full_charts, full_inputs, full_pages, lease, regions, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.full_commands import place_code
from flink_jobs.full_inputs import Input, Inputs
from flink_jobs.full_report import values
from flink_jobs.settings import DEFAULT_FILE, Settings

DAY = dt.date(2026, 1, 4)
WEEK_AGO = dt.date(2025, 12, 28)


@pytest.fixture
def settings() -> Settings:
    return Settings.load(DEFAULT_FILE)


@pytest.fixture
def names(settings: Settings) -> regions.Regions:
    return regions.load(settings.regions_file())


def publish(hbase: Any, settings: Settings, day: dt.date, verdict: bool | None = True, early: bool = False) -> None:
    """A published day of 3 orders; `early`: it was published before its end."""
    run = f"daily_report-batch-{day:%Y%m%d}"
    version = settings.time.day_end(day) - (3_600_000 if early else 0)
    marker = {"rows": 3, "orders": 3, "amount": "30.00"}
    hbase.table("versions").put(
        stores.marker_key(str(day), run).encode(),
        {marker_column("b", version): json.dumps(marker).encode()},
    )
    said = {"run_id": run, "mode": "batch", "watermark": version, "digest": "d"}
    runs.publish(hbase, runs.REPORT, str(day), runs.Publication.model_validate(said))
    if verdict is not None:
        failed = [] if verdict else ["batch: report"]
        found = {"run_id": run, "watermark": version, "digest": "d", "topic": "orders", "says": "?"}
        runs.note_reconciled(
            hbase, str(day), runs.Reconciled.model_validate({**found, "equal": verdict, "failed": failed})
        )


# ---------------------------------------------------------------- what it is made from


def test_every_closed_day_of_the_year_and_of_four_weeks_is_taken_and_the_rest_is_named(settings: Settings) -> None:
    hbase = FakeHBase()
    for back in (0, 1, 7, 20, 27, 28):
        publish(hbase, settings, DAY - dt.timedelta(back), verdict=True if back in (0, 7) else None)
    publish(hbase, settings, DAY - dt.timedelta(2), early=True)
    found = full_inputs.choose(settings, hbase, DAY, anyway=False)
    assert [(DAY - one.day).days for one in found.history] == [27, 20, 7, 1]
    assert [one.verdict for one in found.history] == ["", "", "equal", ""]
    assert {(DAY - day).days for day in found.missing} == set(range(1, 28)) - {1, 7, 20, 27}
    assert found.day.run_id == "daily_report-batch-20260104" and found.day.amount == "30.00"
    spans = full_inputs.spans(DAY)
    assert [found.count(spans[name]) for name in ("seven_from", "month_from", "year_from")] == [2, 2, 2]
    assert found.has(WEEK_AGO) and not found.has(DAY - dt.timedelta(2))


def test_late_in_the_year_history_reaches_back_to_the_first_of_january() -> None:
    assert full_inputs.first_wanted(dt.date(2025, 11, 11)) == dt.date(2025, 1, 1)
    assert full_inputs.first_wanted(DAY) == dt.date(2025, 12, 8)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (None, "nothing is published"),
        ({"early": True}, "not closed"),
        ({"verdict": None}, "not reconciled"),
        ({"verdict": False}, "not found equal (batch: report)"),
    ],
)
def test_a_day_that_is_no_ground_for_a_report_is_refused_with_the_reason(
    settings: Settings, how: dict[str, bool | None] | None, says: str
) -> None:
    hbase = FakeHBase()
    if how is not None:
        publish(hbase, settings, DAY, **how)
    with pytest.raises(UserError, match=re.escape(says)):
        full_inputs.choose(settings, hbase, DAY, anyway=False)
    if how is not None:
        beware = full_inputs.choose(settings, hbase, DAY, anyway=True).beware
        assert beware is not None and says in beware


def test_a_provisional_batch_run_is_not_closed(settings: Settings) -> None:
    hbase = FakeHBase()
    publish(hbase, settings, DAY)
    runs.set_state(hbase, f"daily_report-batch-{DAY:%Y%m%d}", "provisional")
    with pytest.raises(UserError, match="not closed"):
        full_inputs.choose(settings, hbase, DAY, anyway=False)


def test_as_of_a_time_the_newest_version_until_then_is_told_and_the_days_before(settings: Settings) -> None:
    hbase, run_id, hour = FakeHBase(), "daily_report-streaming-20260104T000000-000001", 3_600_000
    publish(hbase, settings, DAY - dt.timedelta(1))
    runs.register(hbase, runs.Run(run_id=run_id, job=runs.REPORT, mode="streaming", logic=""))
    start = settings.time.day_start(DAY)
    for hours in (13, 15, 17):
        marker = {"rows": hours, "orders": hours, "amount": f"{hours}.00"}
        column = marker_column("s", start + hours * hour)
        hbase.table("versions").put(stores.marker_key(str(DAY), run_id).encode(), {column: json.dumps(marker).encode()})
    for late, version in ((0, 15), (hour - 1, 15), (2 * hour, 17), (30 * hour, 17)):
        found = full_inputs.choose_as_of(settings, hbase, DAY, start + 15 * hour + late, run_id)
        told = (found.day.run_id, found.day.mode, found.day.version, found.day.amount)
        assert told == (run_id, "streaming", start + version * hour, f"{version}.00")
        assert found.beware is not None and f"as of {DAY} {version}:00:00" in found.beware
        assert [one.day for one in found.history] == [DAY - dt.timedelta(1)]
    with pytest.raises(UserError, match=f"no version of {DAY} that early: its versions begin at {DAY} 13:00:00"):
        full_inputs.choose_as_of(settings, hbase, DAY, start + 13 * hour - 1, run_id)
    with pytest.raises(UserError, match="nothing is published"):
        full_inputs.choose_as_of(settings, hbase, DAY, start + 15 * hour)


def an_input(day: dt.date, amount: str = "30.00", digest: str = "") -> Input:
    return Input(day, "run-1", "batch", 1, digest, 3, 3, amount, "equal")


def test_the_values_of_the_sql_are_the_days_that_people_mean(settings: Settings) -> None:
    inputs = Inputs(an_input(DAY), (an_input(WEEK_AGO),), ())
    found = values(settings, inputs, "run-2")
    assert {
        name: found[name] for name in ("day", "day_before", "week_ago", "seven_from", "month_from", "year_from")
    } == {
        "day": "2026-01-04",
        "day_before": "2026-01-03",
        "week_ago": "2025-12-28",
        "seven_from": "2025-12-29",
        "month_from": "2026-01-01",
        "year_from": "2026-01-01",
    }
    assert (found["week_ago_known"], found["days_of_seven"]) == ("TRUE", "1")
    assert found["buckets"] == "(0), (1), (2), (3)"
    assert found["inputs"] == "('2025-12-28', 'run-1', 1)"
    alone = values(settings, Inputs(an_input(DAY), (), ()), "run-2")
    assert alone["week_ago_known"] == "FALSE" and "none" in alone["input_runs"]


# ---------------------------------------------------------------- is it whole


def a_row(orders: int, amount: str, **more: str) -> dict[str, str]:
    figures = {"orders": str(orders), "amount": amount, "users": str(orders)}
    sums = {"month_orders": str(orders), "month_amount": amount, "year_orders": str(orders), "year_amount": amount}
    return {**figures, **sums, **more}


def a_report() -> stores.Table:
    return {
        "ALL|ALL": a_row(3, "30.00", rank="1", share="1.0000"),
        "110000|ALL": a_row(3, "30.00", rank="1", share="1.0000", week_change="-0.5000", week_ago_amount="60.00"),
        "110000|110100": a_row(3, "30.00", rank="1", share="1.0000", rank_change="2"),
    }


def whole() -> tuple[Inputs, stores.Table]:
    of_day = {row: {n: f[n] for n in ("orders", "amount", "users")} for row, f in a_report().items()}
    inputs = Inputs(an_input(DAY, digest=stores.digest(of_day)), (an_input(WEEK_AGO),), ())
    return inputs, full_inputs.as_read(inputs)


def test_a_whole_report_passes() -> None:
    inputs, read = whole()
    assert set(read) == {str(DAY), str(WEEK_AGO)}
    full_inputs.refuse_unless_whole(inputs, read, a_report(), a_report())


@pytest.mark.parametrize("spoil", ["day not read", "a row too many", "files differ", "figure of the day", "levels"])
def test_a_report_that_is_not_what_its_inputs_hold_is_refused(spoil: str) -> None:
    inputs, read = whole()
    report, files = a_report(), a_report()
    match spoil:
        case "day not read":
            del read[str(WEEK_AGO)]
        case "a row too many":
            read[str(WEEK_AGO)]["rows"] = "4"
        case "files differ":
            del files["110000|110100"]
        case "figure of the day":
            for table in (report, files):
                table["110000|110100"]["users"] = "4"
        case "levels":
            for table in (report, files):
                table["110000|110100"]["year_amount"] = "30.01"
    with pytest.raises(UserError):
        full_inputs.refuse_unless_whole(inputs, read, report, files)


# ---------------------------------------------------------------- the pages


def test_the_csv_has_a_line_for_each_place_with_its_names(names: regions.Regions) -> None:
    lines = list(csv.DictReader(io.StringIO(full_pages.as_csv(DAY, a_report(), names))))
    assert [line["level"] for line in lines] == ["country", "province", "city"]
    assert (lines[2]["city_name"], lines[2]["city_name_en"], lines[2]["amount"]) == ("北京市", "Beijing", "30.00")
    assert (lines[1]["week_change"], lines[2]["week_change"]) == ("-0.5000", "")


def test_the_page_says_what_is_missing_and_is_the_same_twice(settings: Settings, names: regions.Regions) -> None:
    inputs = Inputs(
        an_input(DAY), (an_input(WEEK_AGO),), (dt.date(2026, 1, 1), dt.date(2026, 1, 2)), "is not reconciled"
    )
    page = full_pages.as_html(settings, inputs, a_report(), names)
    assert "2026-01-01 to 2026-01-02" in page and "is not reconciled" in page
    assert "−50.00 %" in page and "▲2" in page and "run-1" in page and page.count("<svg") == 2
    assert page == full_pages.as_html(settings, inputs, a_report(), names)
    assert not re.search(r"(?:src|href)=", page.replace('xlink:href="#', "")), "the page asks for something outside"


def test_the_page_of_an_empty_day_says_so(settings: Settings, names: regions.Regions) -> None:
    page = full_pages.as_html(settings, Inputs(an_input(DAY), (), ()), {}, names)
    assert "Nothing was ordered" in page and "0.00" in page


def test_days_are_told_in_ranges() -> None:
    days = [dt.date(2026, 1, n) for n in (1, 2, 3, 5, 8, 9)]
    assert full_pages.day_list(days) == "2026-01-01 to 2026-01-03, 2026-01-05, 2026-01-08 to 2026-01-09"


def test_what_it_was_made_from_is_told_by_run_and_verdict() -> None:
    other = an_input(DAY - dt.timedelta(3))._replace(run_id="run-2")
    inputs = Inputs(an_input(DAY), (other, an_input(DAY - dt.timedelta(2)), an_input(DAY - dt.timedelta(1))), ())
    assert [(one.days, one.number, one.run_id, one.orders, one.amount) for one in full_pages.sources(inputs)] == [
        ("2026-01-02 to 2026-01-04", 3, "run-1", 9, "90.00"),
        ("2026-01-01", 1, "run-2", 3, "30.00"),
    ]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (full_pages.money("-1234567.80"), "-1,234,567.80"),
        (full_pages.money(None), "–"),
        (full_pages.count("1234"), "1,234"),
        (full_pages.percent("0.1234"), "12.34 %"),
        (full_pages.change("0.0000"), "+0.00 %"),
        (full_pages.moved("0"), "="),
        (full_pages.average({"orders": "3", "amount": "0.10"}), "0.03"),
        (full_pages.average({"orders": "2", "amount": "0.01"}), "0.01"),
        (full_pages.average({"orders": "0", "amount": "0.00"}), None),
    ],
)
def test_how_figures_are_written(written: str | None, read: str | None) -> None:
    assert written == read


def test_a_chart_is_drawn_without_any_day() -> None:
    assert full_charts.days({DAY: None}, DAY).startswith("<svg")


def test_a_city_is_found_by_code_or_name_and_a_name_of_two_is_told(names: regions.Regions) -> None:
    assert place_code(names, None, None) == ("ALL", "ALL")
    assert place_code(names, "guangdong", None) == ("440000", "ALL")
    for city in ("440300", "shenzhen", "深圳市"):
        assert place_code(names, None, city) == ("440000", "440300")
    with pytest.raises(UserError, match="not known"):
        place_code(names, None, "Atlantis")
    several = next(
        name
        for name in names.names_en.values()
        if sum(n == name for k, n in names.names_en.items() if k not in names.provinces) > 1
    )
    with pytest.raises(UserError, match="--province"):
        place_code(names, None, several)


# ---------------------------------------------------------------- the lease


@pytest.fixture
def hbase(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(stores, "ensure_tables", lambda _: None)
    return put_in_place(monkeypatch)


def left_by(hbase: Any, **changes: Any) -> None:
    found = {
        "who": "x@y",
        "host": "elsewhere",
        "pid": 1,
        "started": 0.0,
        "since": "then",
        "until": "2000-01-01T00:00:00+08:00",
    }
    hbase.table("published").put(b"thing", {b"p:lease": json.dumps({**found, **changes}).encode()})


@pytest.mark.usefixtures("hbase")
def test_a_thing_is_held_by_one_and_given_back(settings: Settings) -> None:
    with lease.held(settings, "thing"):
        with pytest.raises(UserError, match=f"pid {os.getpid()}"), lease.held(settings, "thing"):
            pass
        with lease.held(settings, "another"):
            pass
    with lease.held(settings, "thing") as again:
        assert not again.lost


def test_who_is_beaten_to_a_thing_at_the_same_moment_is_told_by_whom(settings: Settings, hbase: Any) -> None:
    hbase.table("published").after_read = [lambda: left_by(hbase, until="2999-01-01T00:00:00+08:00")]
    with pytest.raises(UserError, match="is being made by x@y"), lease.held(settings, "thing"):
        pass


def test_a_thing_that_was_given_back_at_the_same_moment_is_held(settings: Settings, hbase: Any) -> None:
    left_by(hbase)
    hbase.table("published").after_read = [lambda: hbase.table("published").put(b"thing", {b"p:lease": b""})]
    with lease.held(settings, "thing") as held:
        assert not held.lost


@pytest.mark.parametrize("how", ["it ran out", "its process died", "its pid is another's"])
def test_a_lease_that_was_left_is_taken_over(settings: Settings, hbase: Any, how: str) -> None:
    later = "2999-01-01T00:00:00+08:00"
    match how:
        case "it ran out":
            left_by(hbase)
        case "its process died":
            left_by(hbase, host=socket.gethostname(), pid=2**22 + 1, until=later)
        case "its pid is another's":
            left_by(hbase, host=socket.gethostname(), pid=os.getpid(), until=later)
    with lease.held(settings, "thing"):
        pass


@pytest.mark.parametrize("host", ["elsewhere", "here"])
def test_a_lease_of_one_that_lives_is_not(settings: Settings, hbase: Any, host: str) -> None:
    name = socket.gethostname() if host == "here" else host
    left_by(
        hbase, host=name, pid=os.getpid(), started=psutil.Process().create_time(), until="2999-01-01T00:00:00+08:00"
    )
    with pytest.raises(UserError, match="x@y"), lease.held(settings, "thing"):
        pass
