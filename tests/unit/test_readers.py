"""Do readers show exactly one marked version, say of which run it is, and refuse anything else in one sentence?"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fake_hbase import marker_column, put_in_place

from flink_jobs import console, publication, readers, regions, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.stores import Table

DAY = "2025-11-11"
MIDNIGHT = 1_762_790_400_000  # 2025-11-11T00:00:00+08:00
HOUR = 3_600_000
END = MIDNIGHT + 24 * HOUR
RUN = "daily_report-streaming-1"
MORNING: Table = {
    "110000|110100": {"orders": "1", "amount": "1.50", "users": "1"},
    "110000|ALL": {"orders": "1", "amount": "1.50", "users": "1"},
    "ALL|ALL": {"orders": "1", "amount": "1.50", "users": "1"},
}
WHOLE: Table = {
    "110000|110100": {"orders": "3", "amount": "4.00", "users": "2"},
    "110000|ALL": {"orders": "3", "amount": "4.00", "users": "2"},
    "440000|440300": {"orders": "1", "amount": "-0.05", "users": "1"},
    "440000|ALL": {"orders": "1", "amount": "-0.05", "users": "1"},
    "ALL|ALL": {"orders": "4", "amount": "3.95", "users": "3"},
}


@pytest.fixture
def settings() -> Settings:
    return Settings.load(DEFAULT_FILE)


@pytest.fixture
def hbase(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A streaming run with versions at noon and at the day's end, not published."""
    fake = put_in_place(monkeypatch)
    runs.register(fake, runs.Run(run_id=RUN, job="daily_report", mode="streaming", logic="l", topic="orders"))
    write(fake, settings, MIDNIGHT + 12 * HOUR, MORNING)
    write(fake, settings, END, WHOLE)
    return fake


def write(hbase: Any, settings: Settings, version: int, table: Table) -> None:
    """Rows of a version, and its marker as the sink would write it."""
    for row, fields in table.items():
        key = stores.sales_key(DAY, RUN, *row.split("|"), buckets=settings.report.buckets).encode()
        hbase.table("daily_sales").put(key, {f"s:{n}".encode(): v.encode() for n, v in fields.items()}, version)
    cities = [fields for row, fields in table.items() if "ALL" not in row]
    marker = {
        "rows": len(table),
        "orders": sum(int(city["orders"]) for city in cities),
        "amount": stores.yuan(sum(stores.cents(city["amount"]) for city in cities)),
    }
    cell = {marker_column("s", version): json.dumps(marker).encode()}
    hbase.table("versions").put(stores.marker_key(DAY, RUN).encode(), cell)


def publish(hbase: Any) -> None:
    runs.publish(hbase, "daily_report", DAY, runs.Publication(run_id=RUN, mode="streaming"))


def run(settings: Settings, command: Any, *arguments: str) -> Result:
    """A command as the command line calls it; a mistake of the user comes out as its exception."""
    return CliRunner().invoke(command, arguments, obj=settings, standalone_mode=False)


def sentence(result: Result) -> str:
    assert isinstance(result.exception, UserError), result
    return str(result.exception)


# ---------------------------------------------------------------- the report


def test_the_report_of_a_day_is_the_newest_marked_version_of_the_published_run(settings: Settings, hbase: Any) -> None:
    publish(hbase)
    found = readers.read_report(settings, DAY)
    assert (found.run.run_id, found.version, found.published, found.table) == (RUN, END, True, WHOLE)


def test_a_version_without_its_marker_is_not_shown(settings: Settings, hbase: Any) -> None:
    publish(hbase)
    hbase.table("versions").rows[stores.marker_key(DAY, RUN).encode()].pop(marker_column("s", END))
    assert readers.read_report(settings, DAY).table == MORNING


@pytest.mark.parametrize(("hour", "table"), [(12, MORNING), (23, MORNING), (24, WHOLE), (48, WHOLE)])
def test_as_of_takes_the_newest_version_not_after_that_time(
    settings: Settings, hbase: Any, hour: int, table: Table
) -> None:
    publish(hbase)
    assert readers.read_report(settings, DAY, as_of=MIDNIGHT + hour * HOUR).table == table


def test_as_of_before_the_first_version_is_refused(settings: Settings, hbase: Any) -> None:
    publish(hbase)
    with pytest.raises(UserError, match="begin at 2025-11-11 12:00:00"):
        readers.read_report(settings, DAY, as_of=MIDNIGHT + 12 * HOUR - 1)


def test_a_version_is_never_filled_up_from_an_older_one(settings: Settings, hbase: Any) -> None:
    publish(hbase)
    key = stores.sales_key(DAY, RUN, "110000", "110100", settings.report.buckets).encode()
    hbase.table("daily_sales").rows[key][b"s:amount"].pop(END)
    with pytest.raises(UserError, match=f"reconcile --from {DAY}"):
        readers.read_report(settings, DAY)


@pytest.mark.parametrize(("column", "value"), [(b"s:orders", b"9"), (b"s:amount", b"4.01"), (b"s:amount", b"x")])
def test_rows_that_are_not_what_the_marker_counted_are_refused(
    settings: Settings, hbase: Any, column: bytes, value: bytes
) -> None:
    publish(hbase)
    key = stores.sales_key(DAY, RUN, "110000", "110100", settings.report.buckets).encode()
    hbase.table("daily_sales").put(key, {column: value}, END)
    with pytest.raises(UserError, match="does not hold version 2025-11-12 00:00:00"):
        readers.read_report(settings, DAY)


@pytest.mark.parametrize("level", ["ALL|ALL", "110000|ALL"])
def test_levels_of_two_attempts_are_not_shown_together(settings: Settings, hbase: Any, level: str) -> None:
    publish(hbase)
    key = stores.sales_key(DAY, RUN, *level.split("|"), buckets=settings.report.buckets).encode()
    hbase.table("daily_sales").put(key, {b"s:orders": b"5"}, END)
    with pytest.raises(UserError, match="cities do not add up"):
        readers.read_report(settings, DAY)


def test_rows_of_a_version_that_is_being_written_are_not_shown(settings: Settings, hbase: Any) -> None:
    publish(hbase)
    key = stores.sales_key(DAY, RUN, "110000", "110100", settings.report.buckets).encode()
    hbase.table("daily_sales").put(key, {b"s:orders": b"9", b"s:amount": b"9.00", b"s:users": b"9"}, END + HOUR)
    assert readers.read_report(settings, DAY).table == WHOLE


def test_without_a_published_run_the_report_names_the_runs_to_choose_from(settings: Settings, hbase: Any) -> None:
    with pytest.raises(UserError, match=f"nothing is published for {DAY}.*{RUN}"):
        readers.read_report(settings, DAY)
    found = readers.read_report(settings, DAY, RUN)
    assert (found.published, found.table) == (False, WHOLE)


def test_a_day_that_no_run_has_is_one_sentence(settings: Settings, hbase: Any) -> None:
    with pytest.raises(UserError, match="there is no report of 2025-11-12"):
        readers.read_report(settings, "2025-11-12")


def test_a_run_that_is_not_registered_is_refused(settings: Settings, hbase: Any) -> None:
    with pytest.raises(UserError, match="nope is not registered"):
        readers.read_report(settings, DAY, "nope")


def test_rows_of_a_level_come_with_names_in_the_order_of_codes(settings: Settings) -> None:
    names = regions.load(settings.regions_file())
    figures = {"orders": 4, "amount": "3.95", "users": 3}
    assert readers.report_rows(WHOLE, "country", names) == [figures]
    provinces = [(row["province"], row["province_name"]) for row in readers.report_rows(WHOLE, "province", names)]
    assert provinces == [("110000", "Beijing"), ("440000", "Guangdong")]
    cities = readers.report_rows(WHOLE, "city", names)
    assert [(row["city"], row["city_name"]) for row in cities] == [("110100", "Beijing"), ("440300", "Shenzhen")]


def test_the_json_of_a_report_says_run_version_and_whether_the_day_is_whole(settings: Settings, hbase: Any) -> None:
    publish(hbase)
    whole = json.loads(run(settings, readers.report, "--day", DAY, "--level", "country", "--format", "json").output)
    assert (whole["run"], whole["version"], whole["covers"]) == (RUN, "2025-11-12 00:00:00", "the whole day")
    assert whole["rows"] == [{"orders": 4, "amount": "3.95", "users": 3}]
    arguments = ("--day", DAY, "--level", "country", "--as-of", "13:00", "--format", "json")
    part = json.loads(run(settings, readers.report, *arguments).output)
    assert (part["version"], part["covers"]) == ("2025-11-11 12:00:00", "the day so far")
    assert part["rows"][0]["orders"] == 1


def test_the_csv_of_a_report_carries_run_and_version_in_each_row(settings: Settings, hbase: Any) -> None:
    printed = run(settings, readers.report, "--day", DAY, "--run", RUN, "--format", "csv").output
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [row["province"] for row in rows] == ["110000", "440000"]
    assert {(row["run"], row["version"], row["published"]) for row in rows} == {(RUN, "2025-11-12 00:00:00", "no")}
    assert rows[1]["amount"] == "-0.05"


def test_the_table_of_a_report_is_plain_when_piped(settings: Settings, hbase: Any) -> None:
    publish(hbase)
    printed = run(settings, readers.report, "--day", DAY, "--level", "city").output
    assert f"run: {RUN}" in printed
    assert "Shenzhen" in printed
    assert printed.isascii()


def test_the_versions_of_a_day_are_listed_by_run(settings: Settings, hbase: Any) -> None:
    found = json.loads(run(settings, readers.versions, "--day", DAY, "--format", "json").output)
    assert [(row["run"], row["epoch_ms"], row["orders"]) for row in found["rows"]] == [
        (RUN, MIDNIGHT + 12 * HOUR, 1),
        (RUN, END, 4),
    ]
    assert {(row["job"], row["mode"], row["published"]) for row in found["rows"]} == {
        ("daily_report", "streaming", "no")
    }
    publish(hbase)
    printed = run(settings, readers.versions, "--day", DAY, "--run", RUN, "--format", "csv").output
    assert [row["published"] for row in csv.DictReader(io.StringIO(printed))] == ["yes", "yes"]
    assert "no version of 2025-11-11 in run x" in sentence(run(settings, readers.versions, "--day", DAY, "--run", "x"))
    assert "no version of 2025-11-12" in sentence(run(settings, readers.versions, "--day", "2025-11-12"))


def test_publishing_a_run_makes_it_the_one_that_is_read(settings: Settings, hbase: Any, redis: FakeRedis) -> None:
    assert run(settings, publication.publish, RUN, "--day", DAY).exception is None
    assert readers.read_report(settings, DAY).run.run_id == RUN
    found = json.loads(run(settings, publication.published, "--format", "json").output)
    of_day = next(row for row in found["rows"] if row["report"] == "daily_report")
    assert (of_day["day"], of_day["run_id"], of_day["rows"]) == (DAY, RUN, 5)
    assert of_day["digest"] == stores.digest(WHOLE)


def test_the_runs_are_listed(settings: Settings, hbase: Any) -> None:
    found = json.loads(run(settings, readers.runs, "--format", "json").output)
    assert [row["run_id"] for row in found["rows"]] == [RUN]
    assert json.loads(run(settings, readers.runs, "--mode", "batch", "--format", "json").output)["rows"] == []


# ---------------------------------------------------------------- the minutes


class FakeRedis:
    """Redis as the minutes' reader sees it."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[str, str]] = {}
        self.values: dict[str, str] = {}

    def hgetall(self, key: str) -> dict[str, str]:
        return self.hashes.get(key, {})

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def set(self, key: str, value: str) -> None:
        self.values[key] = value

    def hget(self, key: str, name: str) -> str | None:
        return self.hashes.get(key, {}).get(name)

    def hset(self, key: str, name: str, value: str) -> None:
        self.hashes.setdefault(key, {})[name] = value

    def hkeys(self, key: str) -> list[str]:
        return list(self.hashes.get(key, {}))


@pytest.fixture
def redis(hbase: Any, monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    fake = FakeRedis()
    monkeypatch.setattr(stores, "redis", lambda _: fake)
    fake.hashes[f"samewater:live:minutes:{DAY}"] = {
        "10:01|ALL": "0:2:-350",
        "10:00|ALL": "1:3:1234",
        "10:00|110000": "1:1:1000",
        "09:00|ALL": "1:0:0",
    }
    fake.hashes["samewater:live:progress"] = {"final_until": str(MIDNIGHT + 10 * HOUR + 60_000)}
    runs.publish(hbase, runs.DASHBOARD, runs.LIVE, runs.Publication(run_id="live", mode="streaming"))
    return fake


def test_minutes_are_shown_in_order_with_their_state_and_the_run(settings: Settings, redis: FakeRedis) -> None:
    found = json.loads(run(settings, readers.minutes, "--day", DAY, "--format", "json").output)
    assert (found["run"], found["final_until"]) == ("live", "2025-11-11 10:01:00")
    assert found["rows"] == [
        {"minute": "10:00", "state": "final", "orders": 3, "amount": "12.34"},
        {"minute": "10:01", "state": "provisional", "orders": 2, "amount": "-3.50"},
    ]


@pytest.mark.parametrize("province", ["110000", "Beijing", "beijing", "北京市"])
def test_a_province_is_named_by_code_or_name(settings: Settings, redis: FakeRedis, province: str) -> None:
    printed = run(settings, readers.minutes, "--day", DAY, "--province", province, "--format", "json").output
    assert [row["orders"] for row in json.loads(printed)["rows"]] == [1]


def test_reading_minutes_brings_the_pointer_up_to_date(settings: Settings, redis: FakeRedis) -> None:
    redis.values["samewater:current"] = "before"
    run(settings, readers.minutes, "--day", DAY)
    assert redis.values["samewater:current"] == "live"


def test_the_minutes_of_a_day_are_those_of_the_backfill_that_is_published_of_it(
    settings: Settings, hbase: Any, redis: FakeRedis
) -> None:
    fill = runs.Publication(run_id="fill", job=runs.BACKFILL, mode="batch")
    runs.register(hbase, runs.Run(run_id="fill", job=runs.BACKFILL, mode="batch", logic="l"))
    runs.publish(hbase, runs.REPORT, DAY, fill)
    assert "no order of it counts" in sentence(run(settings, readers.minutes, "--day", DAY))
    marker = {"rows": 3, "orders": 9, "amount": "99.00"}
    cell = {marker_column("b", END): json.dumps(marker).encode()}
    hbase.table("versions").put(stores.marker_key(DAY, "fill").encode(), cell)
    told = sentence(run(settings, readers.minutes, "--day", DAY))
    assert told.endswith("samewater backfill run fill --only-minutes")
    redis.hashes[f"samewater:fill:minutes:{DAY}"] = {"10:00|ALL": "1:9:9900"}
    found = json.loads(run(settings, readers.minutes, "--day", DAY, "--format", "json").output)
    assert (found["run"], found["final_until"]) == ("fill", "2025-11-12 00:00:00")
    assert [row["orders"] for row in found["rows"]] == [9]
    there_none = run(settings, readers.minutes, "--day", DAY, "--province", "110000")
    assert "no order counts there" in sentence(there_none)


def test_a_day_or_province_without_minutes_is_one_sentence(settings: Settings, redis: FakeRedis) -> None:
    assert "no minutes of 2025-11-12" in sentence(run(settings, readers.minutes, "--day", "2025-11-12"))
    assert "no minutes" in sentence(run(settings, readers.minutes, "--day", DAY, "--province", "440000"))
    assert "'Atlantis' is not known" in sentence(run(settings, readers.minutes, "--day", DAY, "--province", "Atlantis"))
    assert "not a day" in sentence(run(settings, readers.minutes, "--day", "2025-02-30"))


def test_a_spoilt_minute_is_one_sentence(settings: Settings, redis: FakeRedis) -> None:
    redis.hashes[f"samewater:live:minutes:{DAY}"]["10:02|ALL"] = "1:x:3"
    assert "10:02|ALL" in sentence(run(settings, readers.minutes, "--day", DAY))


# ---------------------------------------------------------------- days, times, money


@pytest.mark.parametrize("text", ["", "today", "2025-11-31", "2025-1-1", "20251111", "2025-11-11 ", "2025-W46-2"])
def test_what_is_not_a_day_is_refused_by_its_own_words(text: str) -> None:
    with pytest.raises(UserError, match="YYYY-MM-DD"):
        console.parse_day(text)


def test_a_range_of_days_includes_both_and_does_not_run_backwards() -> None:
    assert console.parse_days(DAY, None) == (DAY, DAY)
    assert console.parse_days(DAY, "2025-11-12") == (DAY, "2025-11-12")
    with pytest.raises(UserError, match="swap"):
        console.parse_days(DAY, "2025-11-10")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("15:30", MIDNIGHT + 15 * HOUR + HOUR // 2),
        ("2025-11-12T00:00", END),
        ("2025-11-11T16:00:00Z", END),
        ("2025-11-11", MIDNIGHT),
    ],
)
def test_a_time_is_read_in_the_business_zone(settings: Settings, text: str, instant: int) -> None:
    assert console.parse_time(text, DAY, settings.time) == instant


@pytest.mark.parametrize("text", ["25:00", "noon", "", "2025-11-11T99"])
def test_what_is_not_a_time_is_refused(settings: Settings, text: str) -> None:
    with pytest.raises(UserError, match="is not a time"):
        console.parse_time(text, DAY, settings.time)


def test_an_instant_is_printed_in_the_business_zone(settings: Settings) -> None:
    assert console.readable(MIDNIGHT - 1, settings.time) == "2025-11-10 23:59:59"
    assert console.readable(END, settings.time) == "2025-11-12 00:00:00"


@pytest.mark.parametrize("cents", [0, 1, -1, 99, -99, 100, -100, 123_456_789_012])
def test_cents_and_yuan_are_the_same_money(cents: int) -> None:
    assert stores.cents(stores.yuan(cents)) == cents


@pytest.mark.parametrize("text", ["", "1", "1.5", "01.00", "1.000", "+1.00", "1,00", "-", "1.00\n"])
def test_an_amount_in_another_form_is_not_taken(text: str) -> None:
    with pytest.raises(ValueError, match="two places"):
        stores.cents(text)
