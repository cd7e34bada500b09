"""The log is counted again by other rules beside the live jobs: unseen, published over deaths, and taken back."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flink_jobs import datagen, flink_rest, oracle, order_log, readers, runs, stores
from flink_jobs.checks import sales_table
from flink_jobs.order_log import HEARTBEAT, Record
from flink_jobs.settings import Settings
from flink_jobs.stack import to_toml
from flink_jobs.truth import read_truth, rules_of
from tests.backfill_story import CITY, PROVINCE, order, written
from tests.local import MEASURED, Local, is_filed, is_final, is_marked, wait_until

FIRST = dt.date(2025, 9, 1)
SECOND, THIRD = (FIRST + dt.timedelta(n) for n in (1, 2))
ZERO = FIRST - dt.timedelta(1)
"""Its last two minutes, without an order, are where the log begins."""
TOPIC = "replayed"
LATENESS_MS = 600_000
MINUTE = 60_000


@dataclass
class Story:
    """A log of two closed days, both jobs live, and rules by which an order may be 10 min late.

    `at`: order time of the extra orders. `report`, `screen`: the replays.
    """

    local: Local
    conf: Path
    ruled: Settings
    dashboard: str
    streaming: str
    at: int
    before: tuple[str, ...] = ()
    report: str = ""
    screen: str = ""

    def replay(self, *arguments: str, code: int = 0, root: Path | None = None, conf: Path | None = None) -> str:
        more: dict[str, Any] = {} if root is None else {"root": root}
        return self.local.samewater("replay", *arguments, code=code, conf=conf, **more)

    def shown(self) -> dict[str, str]:
        with stores.hbase(self.local.settings) as connection:
            return runs.shown(connection, runs.REPORT, [str(day) for day in (ZERO, FIRST, SECOND, THIRD)])

    def on_screen(self) -> str | None:
        return stores.current_generation(stores.redis(self.local.settings), self.local.settings)

    def seen(self) -> tuple[str, ...]:
        """All that readers see of FIRST: the report out of HBase and out of HDFS, and the minutes."""
        report = ("report", "--day", str(FIRST), "--level", "city", "--format", "csv")
        minutes = json.loads(self.local.run("minutes", "--day", str(FIRST), "--json").stdout)
        reports = (self.local.run(*one).stdout for one in (report, (*report, "--from-hdfs")))
        return (*reports, json.dumps([minutes["run"], minutes["rows"]]))

    def run(self, run_id: str) -> runs.Run:
        with stores.hbase(self.local.settings) as connection:
            return runs.get(connection, run_id)

    def truth(self, settings: Settings, *days: dt.date) -> dict[str, oracle.Day]:
        return read_truth(settings, rules_of(settings), TOPIC, str(days[0]), str(days[-1])).days

    def holds(self, run_id: str, settings: Settings, *days: dt.date) -> None:
        """The run's report is what the oracle makes of the log by these rules."""
        for day, truth in self.truth(settings, *days).items():
            assert readers.read_report(settings, day, run_id).table == sales_table(truth)

    def is_unmoved(self, run_id: str, flink_job: str) -> None:
        """The live job is the same one, and was never restarted."""
        settings = self.local.settings
        assert self.run(run_id).flink_job_id == flink_job
        assert flink_rest.job_state(settings, "realtime", flink_job) == "RUNNING"
        asked = (settings, "realtime", flink_job, ["numRestarts"])
        wait_until(lambda: bool(flink_rest.job_metrics(*asked)), "Flink has gathered how often the job was restarted")
        assert flink_rest.job_metrics(*asked) == {"numRestarts": 0}

    def reconcile(self, conf: Path | None, *arguments: str) -> None:
        days = ("--from", str(FIRST), "--to", str(SECOND), "--topic", TOPIC)
        done = self.local.run("reconcile", "--json", *days, *arguments, code=None, conf=conf)
        red = [check for check in json.loads(done.stdout)["checks"] if check["verdict"] != "ok"]
        assert done.returncode == 0, red


def heartbeats(settings: Settings, first: int, last: int) -> Iterator[Record]:
    for at in range(first, last + 1, MINUTE):
        for partition in range(settings.kafka.partitions):
            yield Record(partition, at, HEARTBEAT)


@pytest.fixture(scope="module")
def story(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Story:
    settings = local.settings
    ruled = settings.model_copy(update={"time": settings.time.model_copy(update={"lateness_ms": LATENESS_MS})})
    conf = tmp_path_factory.mktemp("rules") / "rules.toml"
    conf.write_text(to_toml(ruled.model_dump(mode="json")), encoding="utf-8")
    plan = datagen.Plan(datagen.Spec.by(settings, seed=9, first=FIRST, last=SECOND, orders=400))
    at = settings.time.day_start(FIRST) + (10 * 60 + 59) * MINUTE + 30_000
    extra = [
        Record(0, at + 299_000, written(order(at, "E-in-time", "4.59"))),
        Record(1, at + 300_001, written(order(at, "E-late", "5.01"))),
        Record(1, at + 600_001, written(order(at, "E-too-late", "9.99"))),
    ]
    # Closed by either rules.
    closing = heartbeats(settings, settings.time.day_end(SECOND), order_log.closing_time(ruled.time, SECOND))
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    records = sorted([*plan.records(), *extra, *closing], key=lambda record: record.ingest_time)
    order_log.produce(settings, TOPIC, records)
    dashboard = local.submit("realtime_dashboard", "--topic", TOPIC)
    streaming = local.submit("daily_report", "--topic", TOPIC)
    found = Story(local, conf, ruled, dashboard, streaming, at)
    wait_until(lambda: is_marked(local, streaming, SECOND) and is_filed(local, streaming, SECOND), "the live report")
    wait_until(lambda: is_final(local, dashboard, SECOND), "the last final minute")
    local.samewater("publish", dashboard)
    local.submit("daily_report", "--mode", "batch", "--from", str(FIRST), "--to", str(SECOND), "--topic", TOPIC)
    found.before = found.seen()
    return found


def test_a_replayed_report_catches_up_unseen_and_says_what_it_would_change(story: Story):
    local, settings = story.local, story.local.settings
    live = {run_id: story.run(run_id).flink_job_id for run_id in (story.dashboard, story.streaming)}
    assert "does not exist" in story.replay("daily_report", "--topic", "orders-of-nobody", code=2, conf=story.conf)
    said = story.replay("daily_report", "--topic", TOPIC, conf=story.conf)
    story.report = next(line for line in said.splitlines() if line.startswith("run ")).split()[1]
    assert " times real time" in said
    MEASURED["times real time: a replay of two small days, its submission included"] = float(
        said.split(" times real time")[0].split()[-1].replace(",", "")
    )
    run = story.run(story.report)
    assert (run.cluster, run.provisional, run.replays) == ("batch", True, story.streaming)
    assert run.logic != story.run(story.streaming).logic
    assert "has caught up" in story.replay("wait", story.report)

    wait_until(lambda: is_filed(local, story.report, SECOND), "its files")
    assert story.seen() == story.before
    assert story.shown() == {**dict.fromkeys((str(ZERO), str(FIRST), str(SECOND)), story.streaming), str(THIRD): ""}
    for run_id, flink_job in live.items():
        story.is_unmoved(run_id, flink_job)
    story.reconcile(None)

    story.holds(story.report, story.ruled, FIRST, SECOND)
    told = json.loads(local.run("replay", "diff", story.report, "--json").stdout)
    assert told["rules"] == {"lateness_ms": [settings.time.lateness_ms, LATENESS_MS]}
    assert told["logic_before"] == story.run(story.streaming).logic and told["logic_after"] == run.logic
    ways = [story.truth(one, FIRST, SECOND) for one in (settings, story.ruled)]
    assert [day["day"] for day in told["days"]] == [str(ZERO), str(FIRST), str(SECOND)]
    for day in told["days"][1:]:
        country = [sales_table(truth[day["day"]])["ALL|ALL"] for truth in ways]
        assert day["totals"] == country
        assert int(country[1]["orders"]) > int(country[0]["orders"])
    (mine,) = (row for row in told["rows"] if (row["day"], row["city"]) == (str(FIRST), CITY))
    assert (mine["orders_before"], mine["orders_after"], mine["amount_change"]) == ("1", "2", "5.01")
    (listed,) = json.loads(local.run("replay", "list", "--json").stdout)["rows"]
    assert (listed["run_id"], listed["cluster"], listed["shown"]) == (story.report, "batch", "")


def test_a_replayed_dashboard_has_minutes_of_its_own_and_leaves_the_screen_alone(story: Story):
    local = story.local
    said = story.replay("realtime_dashboard", "--topic", TOPIC, "--parallelism", "1", conf=story.conf)
    story.screen = next(line for line in said.splitlines() if line.startswith("run ")).split()[1]
    assert story.on_screen() == story.dashboard and story.seen() == story.before
    assert "1 free slots" in story.replay("daily_report", "--topic", TOPIC, code=2, conf=story.conf)
    rows = list(csv.DictReader(io.StringIO(local.run("replay", "diff", story.screen, "--format", "csv").stdout)))
    (mine,) = (row for row in rows if (row["day"], row["province"]) == (str(FIRST), PROVINCE))
    assert mine["minute"] == "10:59"
    assert (mine["orders_before"], mine["orders_after"], mine["amount_change"]) == ("1", "2", "5.01")
    days = {day["day"]: day for day in json.loads(local.run("replay", "diff", story.screen, "--json").stdout)["days"]}
    for day, truth in story.truth(story.ruled, FIRST, SECOND).items():
        country, told = sales_table(truth)["ALL|ALL"], days[day]
        assert (str(told["orders_after"]), told["amount_after"]) == (country["orders"], country["amount"])


def test_a_publication_that_dies_three_times_comes_to_its_end(story: Story, changed: Callable):
    """After its first flip; when the live run has stopped; and when its own stop is not noted yet."""
    settings = story.local.settings
    screen = story.run(story.dashboard).flink_job_id
    die = "import os; os._exit(9)"
    root = changed({"flink_jobs/replay.py": [], "flink_jobs/recovery.py": []})

    def dies(file: str, old: str, new: str) -> None:
        """Publish by code in which one text is another; the code is put back."""
        text = (root / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} no longer holds {old!r}: the test breaks nothing"
        (root / file).write_text(text.replace(old, new), encoding="utf-8")
        story.replay("publish", story.report, code=9, root=root, conf=story.conf)
        (root / file).write_text(text, encoding="utf-8")

    flipped = '            say(f"{run.job} of {day} shows run {run_id}, before it'
    dies("flink_jobs/replay.py", flipped, f"            {die}\n{flipped}")
    shown = {str(ZERO): story.report, str(FIRST): story.streaming, str(SECOND): story.streaming, str(THIRD): ""}
    assert story.shown() == shown
    assert flink_rest.living_job(settings, "realtime", story.streaming) is not None

    move = "        _move(settings, conf, run_id, say)\n"
    dies("flink_jobs/replay.py", move, f"        {die}\n")
    assert set(story.shown().values()) == {story.report, ""}
    assert story.run(story.streaming).state == "stopped"
    assert flink_rest.living_job(settings, "batch", story.report) is not None

    noted = '    with stores.hbase(settings) as connection:\n        runs.set_state(connection, run_id, "stopped"'
    dies("flink_jobs/recovery.py", noted, f"    {die}\n{noted}")
    assert flink_rest.living_job(settings, "batch", story.report) is None
    assert story.run(story.report).cluster == "batch"

    said = story.replay("publish", story.report, conf=story.conf)
    assert f"shows run {story.report} already" in said
    run = story.run(story.report)
    assert (run.cluster, run.provisional, run.state) == ("realtime", False, "running")
    assert flink_rest.living_job(settings, "realtime", story.report) == run.flink_job_id
    assert "already" in story.replay("publish", story.report)
    assert story.run(story.report).flink_job_id == run.flink_job_id
    story.is_unmoved(story.dashboard, screen)
    assert story.on_screen() == story.dashboard
    report, files, minutes = story.seen()
    assert report != story.before[0] and files != story.before[1] and minutes == story.before[2]


def test_once_both_replays_are_published_everything_equals_the_log_by_the_new_rules(story: Story):
    local = story.local
    batch = ("submit", "daily_report", "--mode", "batch", "--from", str(FIRST), "--to", str(SECOND), "--topic", TOPIC)
    local.samewater(*batch, "--parallelism", "1", conf=story.conf)
    said = story.replay("publish", story.screen, conf=story.conf)
    assert f"run {story.dashboard} is stopped" in said
    assert story.on_screen() == story.screen and story.run(story.screen).cluster == "realtime"
    assert all(one != other for one, other in zip(story.seen(), story.before, strict=True))
    story.reconcile(story.conf)


def test_a_day_that_closes_then_is_published_by_the_replay(story: Story):
    settings = story.local.settings
    day = settings.time.day_start(THIRD)
    hour = 60 * MINUTE
    hours = [
        Record(n % settings.kafka.partitions, day + n * hour, written(order(day + n * hour, f"T-{n}", "2.00")))
        for n in range(1, 24)
    ]
    late = Record(0, day + 7 * hour + 1, written(order(day + 7 * hour - 400_000, "T-late", "3.00")))
    end = order_log.closing_time(story.ruled.time, THIRD)
    closing = heartbeats(settings, settings.time.day_end(THIRD), end)
    records = sorted([*hours, late, *closing], key=lambda record: record.ingest_time)
    order_log.produce(settings, TOPIC, records)
    wait_until(lambda: story.shown()[str(THIRD)] == story.report, "the day is published by itself")
    wait_until(lambda: is_filed(story.local, story.report, THIRD), "its files")
    wait_until(lambda: is_final(story.local, story.screen, THIRD), "its minutes")
    story.holds(story.report, story.ruled, THIRD)


def test_an_undo_returns_everything(story: Story):
    settings = story.local.settings
    said = story.replay("undo", story.report)
    assert f"of {FIRST} shows run {story.streaming} again" in said
    assert f"of {THIRD} shows run {story.streaming}" in said, "it did not wait until the old run had that day"
    assert set(story.shown().values()) == {story.streaming}
    story.holds(story.streaming, settings, FIRST, SECOND, THIRD)
    run = story.run(story.report)
    assert (run.state, run.cluster, run.provisional) == ("stopped", "batch", True)
    said = story.replay("undo", story.screen)
    assert story.on_screen() == story.dashboard
    assert story.seen() == story.before
    story.reconcile(None, "--batch", batch_of(story, settings))
    for run_id in (story.report, story.screen):
        assert "is at work" in story.replay("undo", run_id)
        assert flink_rest.living_job(settings, "batch", run_id) is None


def test_a_new_version_of_a_query_is_replayed_as_another_logic(story: Story, changed: Callable):
    """Every amount twice; what must come of it is the oracle's, twice."""
    settings = story.local.settings
    root = changed({"sql/queries/daily_sales.sql": [("SUM(CAST(cents", "SUM(2 * CAST(cents")]})
    said = story.replay("daily_report", "--topic", TOPIC, root=root)
    run = story.run(next(line for line in said.splitlines() if line.startswith("run ")).split()[1])
    live = story.run(story.streaming)
    assert run.settings == live.settings and run.logic not in (live.logic, story.run(story.report).logic)
    told = json.loads(story.local.run("replay", "diff", run.run_id, "--json").stdout)
    assert (told["rules"], told["logic_before"], told["logic_after"]) == ({}, live.logic, run.logic)
    for day, truth in story.truth(settings, FIRST, SECOND, THIRD).items():
        expected = {
            place: {**figures, "amount": stores.yuan(2 * stores.cents(figures["amount"]))}
            for place, figures in sales_table(truth).items()
        }
        assert readers.read_report(settings, day, run.run_id).table == expected
    assert set(story.shown().values()) == {story.streaming}


def batch_of(story: Story, settings: Settings) -> str:
    """The batch run that counted by the live rules."""
    with stores.hbase(settings) as connection:
        found = runs.list_runs(connection, job=runs.REPORT, mode="batch", topic=TOPIC)
    return next(run.run_id for run in found if run.settings["lateness_ms"] == settings.time.lateness_ms)
