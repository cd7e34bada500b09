"""The past changes, the present does not: orders taken in, published, taken back; deaths, races, and an empty day."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from flink_jobs import datagen, flink_rest, order_log, regions, runs, stores
from flink_jobs.order_log import HEARTBEAT, Record
from tests.e2e.conftest import Local, wait_until
from tests.e2e.test_one_day import is_filed, is_marked

FIRST = dt.date(2025, 10, 6)
SECOND, THIRD, OPEN = (FIRST + dt.timedelta(n) for n in (1, 2, 3))
TOPIC = "past"
SUPPLY = "shop-42.jsonl"
PROVINCE = "820000"  # of which the generator makes no order
CITY, OTHER_CITY = "820100", "820200"


@dataclass(frozen=True)
class Story:
    """One log of three closed days and an open one. `at`: order time of the extra orders, in an hour's last minute."""

    local: Local
    dashboard: str
    streaming: str
    ledger: Path
    at: int

    def days(self, first: dt.date, last: dt.date | None = None) -> tuple[str, ...]:
        return ("--from", str(first), "--to", str(last or first), "--topic", TOPIC)

    def backfill(self, *arguments: str, code: int = 0, root: Path | None = None, conf: Path | None = None) -> str:
        more: dict[str, Any] = {} if root is None else {"root": root}
        return self.local.samewater("backfill", *arguments, code=code, conf=conf, **more)

    def run_of(self, said: str) -> str:
        return next(line for line in said.splitlines() if line.startswith("run ")).split()[1]

    def newest(self) -> str:
        (newest, *_) = json.loads(self.local.run("backfill", "list", "--json").stdout)["rows"]
        return str(newest["run_id"])

    def shown(self, day: dt.date) -> str:
        with stores.hbase(self.local.settings) as connection:
            return runs.shown(connection, runs.REPORT, [str(day)])[str(day)]

    def country(self, day: dt.date) -> dict[str, Any]:
        (row,) = json.loads(self.local.run("report", "--day", str(day), "--level", "country", "--json").stdout)["rows"]
        return dict(row)

    def seen(self, day: dt.date) -> tuple[str, str, str]:
        """All that readers see of a day: the report of every city, out of HBase and out of HDFS, and its minutes."""
        report = ("report", "--day", str(day), "--level", "city", "--format", "csv")
        files = (*report, "--from-hdfs")
        minutes = self.local.run("minutes", "--day", str(day), "--format", "csv", code=None)
        return self.local.run(*report).stdout, self.local.run(*files).stdout, minutes.stdout

    def equal(self, *arguments: str) -> dict[str, Any]:
        return self.local.reconcile("--topic", TOPIC, *arguments, code=0)


def order(story_at: int, order_id: str, amount: str, city: str = CITY, user: str = "U-extra") -> dict[str, Any]:
    return {
        "order_id": order_id,
        "order_time": story_at,
        "user_id": user,
        "province": PROVINCE,
        "city": city,
        "amount": amount,
    }


def written(members: dict[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


@pytest.fixture(scope="module")
def story(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Story:
    settings = local.settings
    spec = datagen.Spec.by(settings, seed=6, first=FIRST, last=THIRD, orders=400)
    assert spec.empty_province == PROVINCE
    plan = datagen.Plan(spec)
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.parquet"
    datagen.write_ledger(plan, ledger)
    at = settings.time.day_start(FIRST) + (10 * 60 + 59) * 60_000 + 30_000
    open_at = settings.time.day_start(OPEN) + 60_000
    extra = [
        Record(0, at + 299_000, written(order(at, "E-in-time", "4.59"))),
        Record(1, at + 300_001, written(order(at, "E-late", "5.01"))),
        Record(2, at + 400_000, written(order(at, "E-in-time", "4.59"))),
        Record(0, open_at + 1_000, written(order(open_at, "E-open", "1.00"))),
    ]
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    # By ingest time: no partition is stalled in this story.
    order_log.produce(settings, TOPIC, sorted([*plan.records(), *extra], key=lambda record: record.ingest_time))
    dashboard = local.submit("realtime_dashboard", "--topic", TOPIC)
    streaming = local.submit("daily_report", "--topic", TOPIC)
    local.submit("daily_report", "--mode", "batch", "--from", str(FIRST), "--to", str(THIRD), "--topic", TOPIC)
    client, end = stores.redis(settings), settings.time.day_end(THIRD)
    wait_until(lambda: is_marked(local, streaming, THIRD) and is_filed(local, streaming, THIRD), "the streaming report")
    wait_until(lambda: (stores.read_final_until(client, settings, dashboard) or 0) >= end, "the last final minute")
    local.samewater("publish", dashboard)
    with stores.hbase(settings) as connection:  # whichever mode was first
        run = runs.get(connection, streaming)
        for day in (FIRST, SECOND, THIRD):
            runs.publish(connection, runs.REPORT, str(day), runs.publication_of(connection, settings, run, str(day)))
    return Story(local, dashboard, streaming, ledger, at)


def late_money(story: Story, day: dt.date) -> tuple[int, int]:
    """Orders and cents of the generator's late orders of a day that were not counted: the first copy of each key."""
    offset = int(story.local.settings.time.offset.total_seconds()) * 1000
    rows = [r for r in parquet.read_table(story.ledger).to_pylist() if r["order_id"] and r["order_time"] is not None]
    accepted = {(r["order_id"], r["order_time"]) for r in rows if r["verdict"] == "accepted"}
    first: dict[tuple[str, int], dict[str, Any]] = {}
    for r in sorted(rows, key=lambda r: int(r["ingest_time"])):
        key = (r["order_id"], r["order_time"])
        of_day = dt.date(1970, 1, 1) + dt.timedelta(milliseconds=r["order_time"] + offset) == day
        if r["verdict"] == "late" and of_day and key not in accepted:
            first.setdefault(key, r)
    return len(first), sum(r["cents"] for r in first.values())


def test_an_order_4_min_59_s_late_counts_everywhere_and_a_later_one_nowhere_but_in_the_late_ledger(story: Story):
    local, settings = story.local, story.local.settings
    found = story.equal("--from", str(FIRST), "--to", str(THIRD))
    assert found["streaming = batch: report"]["verdict"] == "ok"
    minutes = stores.read_minutes(stores.redis(settings), settings, story.dashboard, str(FIRST))
    assert minutes[f"10:59|{PROVINCE}"] == {"final": "1", "orders": "1", "cents": "459"}
    for as_of in ("11:00", "23:59"):
        report = ("report", "--day", str(FIRST), "--level", "city", "--as-of", as_of, "--json")
        rows = {row["city"]: row for row in json.loads(local.run(*report).stdout)["rows"]}
        assert (rows[CITY]["orders"], rows[CITY]["amount"]) == (1, "4.59")
    late = json.loads(local.run("late", "--from", str(FIRST), "--topic", TOPIC, "--rows", "--json").stdout)["rows"]
    mine = {(row["order_id"], row["verdict"], row["amount"]) for row in late if row["order_id"].startswith("E-")}
    assert mine == {("E-late", "late", "5.01"), ("E-in-time", "late_copy", "4.59")}
    assert "no late order" in local.samewater("late", "--from", "2031-01-01", code=2)


def test_days_that_cannot_be_counted_are_refused_in_one_sentence(story: Story):
    for days, says in (
        (("2031-01-01", "2031-01-02"), "future"),
        (("1999-01-01", "1999-01-02"), "never seen"),
        ((str(SECOND), str(FIRST)), "before it begins"),
    ):
        for step in ((), ("plan",)):
            said = story.backfill(*step, "--from", days[0], "--to", days[1], "--topic", TOPIC, code=2)
            assert says in said and len(said.strip().splitlines()) == 1
    assert "no supply nobody" in story.backfill("plan", *story.days(FIRST), "--without", "nobody", code=2)
    assert "not of a backfill" in story.backfill("publish", story.streaming, code=2)


def test_a_day_that_comes_to_nothing_is_empty_everywhere_and_undo_brings_it_back(story: Story, tmp_path: Path):
    """Under rules that know none of the provinces, every order is invalid. Nobody has sent a supply yet."""
    settings, before = story.local.settings, story.seen(THIRD)
    nowhere = tmp_path / "nowhere.csv"
    nowhere.write_text(f"{','.join(regions.HEADER)}\n990000,无,Nowhere,990100,无,Nowhere\n", encoding="utf-8")
    conf = tmp_path / "nowhere.toml"
    text = story.local.conf.read_text(encoding="utf-8")
    conf.write_text(text.replace('"conf/regions.csv"', f'"{nowhere}"'), encoding="utf-8")
    run = story.run_of(story.backfill(*story.days(THIRD), conf=conf))
    (told,) = json.loads(story.local.run("backfill", "diff", run, "--json").stdout)["days"]
    levels = ("country", "province", "city")
    reports = (story.local.run("report", "--day", str(THIRD), "--level", level, "--json").stdout for level in levels)
    rows = [row for report in reports for row in json.loads(report)["rows"]]
    assert told["removed"] == len(rows) > 100 and told["added"] == told["changed"] == 0
    assert told["totals"][1]["amount"] == "0.00"
    story.backfill("publish", run)
    with stores.hbase(settings) as connection, stores.hdfs(settings) as files:
        version = settings.time.day_end(THIRD)
        assert stores.read_sales(connection, settings.report.buckets, str(THIRD), run, "b", version) == {}
        assert stores.read_sales_files(files, settings, str(THIRD), run) == ({}, [])
    report = json.loads(story.local.run("report", "--day", str(THIRD), "--json").stdout)
    assert report["rows"] == [] and report["run"] == run
    assert "no minutes" in story.local.samewater("minutes", "--day", str(THIRD), code=2)
    assert (
        story.local.reconcile("--topic", TOPIC, "--from", str(THIRD), code=1)["published: report"]["verdict"]
        == "DIFFERENT"
    )
    story.backfill("undo", run)
    assert story.seen(THIRD) == before
    story.equal("--from", str(THIRD))


def tied(story: Story) -> list[bytes]:
    """Two copies of one order with the same ingest time; the one whose digest is less comes first."""
    at = {"ingest_time": story.at + 600_000}
    copies = [written(order(story.at, "S-tie", amount, OTHER_CITY) | at) for amount in ("0.01", "0.02")]
    return sorted(copies, key=lambda value: hashlib.md5(value).digest(), reverse=True)


@pytest.fixture(scope="module")
def supplied(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A shop's file: new orders of FIRST (one of them twice, one with two amounts at the same moment, one under another
    time than it counts already) and one of SECOND; copies; and what is no order.
    """
    second = story.local.settings.time.day_start(SECOND) + 3_600_000
    new = order(story.at, "S-new", "100.00", user="U-shop")
    lines = [
        written(new),
        written(order(story.at + 60_000, "S-old", "20.00", OTHER_CITY) | {"ingest_time": story.at + 500_000}),
        written(order(story.at, "E-in-time", "4.59")),
        written(order(story.at + 120_000, "E-in-time", "0.40")),
        *tied(story),
        written(new),
        written(order(story.at, "E-late", "5.01")),
        written(new | {"order_id": "S-bad", "city": "nowhere"}),
        b"not json",
        written(order(second, "S-second", "7.00")),
    ]
    file = tmp_path_factory.mktemp("supply") / SUPPLY
    file.write_bytes(b"\n".join(lines) + b"\n")
    said = story.local.samewater("supply", str(file))
    assert "11 records" in said and f"8 orders of {FIRST}" in said and f"1 orders of {SECOND}" in said
    assert "invalid city" in said and "malformed json" in said
    return story


def test_a_backfill_is_planned_run_looked_at_published_and_taken_back(supplied: Story):
    story, local = supplied, supplied.local
    settings = local.settings
    plan = json.loads(local.run("backfill", "plan", *story.days(FIRST), "--json").stdout)
    late_orders, late_cents = late_money(story, FIRST)
    assert late_orders > 2 and plan["late"] >= late_orders + 1
    assert (plan["supply"], plan["rejected"]) == ({SUPPLY: 8}, {SUPPLY: 2})
    assert plan["records"] > 1_200 and plan["seconds"] > 1 and plan["shown"] == {str(FIRST): story.streaming}

    before, second = story.seen(FIRST), story.seen(SECOND)
    said = story.backfill(*story.days(FIRST))
    run = story.run_of(said)
    assert story.seen(FIRST) == before and story.shown(FIRST) == story.streaming

    old = story.country(FIRST)
    tie = stores.cents(json.loads(tied(story)[-1])["amount"])
    sent = [501, 10_000, 2_000, 40, tie]  # the first came late in the log
    orders, cents = old["orders"] + late_orders + len(sent), stores.cents(old["amount"]) + late_cents + sum(sent)
    (told,) = json.loads(local.run("backfill", "diff", run, "--json").stdout)["days"]
    assert [(total["orders"], total["amount"]) for total in told["totals"]] == [
        (str(old["orders"]), old["amount"]),
        (str(orders), stores.yuan(cents)),
    ]
    rows = list(csv.DictReader(io.StringIO(local.run("backfill", "diff", run, "--format", "csv").stdout)))
    mine = {
        row["city"]: (row["change"], row["orders_before"], row["orders_after"], row["amount_change"]) for row in rows
    }
    assert mine[CITY] == ("changed", "1", "4", "105.41")
    assert mine[OTHER_CITY] == ("added", "0", "2", stores.yuan(2_000 + tie))
    assert "added" in said and story.local.samewater("diff", run, "--day", str(FIRST), code=1)
    # Before anybody is shown it, it can be held against the log and the supply.
    story.equal("--from", str(FIRST), "--backfill", run)

    assert f"{FIRST} shows {run}" in story.backfill("publish", run)
    new = story.country(FIRST)
    assert (new["orders"], new["amount"]) == (orders, stores.yuan(cents))
    after = story.seen(FIRST)
    assert all(one != other for one, other in zip(after, before, strict=True))
    minutes = {row["minute"]: row for row in csv.DictReader(io.StringIO(after[2]))}
    assert sum(int(row["orders"]) for row in minutes.values()) == orders
    found = story.equal("--from", str(FIRST), "--to", str(THIRD))
    of_day = {c["name"]: c["verdict"] for c in found["all"]["checks"] if c["day"] == str(FIRST)}
    for name in ("published: report", "backfill: report", "backfill: report files", "backfill: minutes"):
        assert of_day[name] == "ok"
    assert of_day["backfill: admissions"] == of_day["backfill: verdicts"] == of_day["minutes: shown"] == "ok"
    with stores.hdfs(settings) as files:
        admissions, doubled = stores.read_admissions(files, settings, run)
    verdicts = [fields["verdict"] for row, fields in admissions.items() if " supply " in row]
    assert not doubled
    assert Counter(verdicts) == {"admitted": 4, "duplicate": 3, "invalid": 1, "late_copy": 1, "malformed": 1}
    with stores.hbase(settings) as connection:
        version = settings.time.day_end(FIRST)
        was, now = (
            int(stores.read_verdicts(connection, str(FIRST), *of_run, version)["ALL|conflicting"]["records"])
            for of_run in ((story.streaming, "s"), (run, "b"))
        )
    assert now == was + 1 > 1
    # The live screen reads another run, which has not noticed; nor have the other days.
    live = stores.read_minutes(stores.redis(settings), settings, story.dashboard, str(FIRST))
    assert live[f"10:59|{PROVINCE}"]["orders"] == "1"
    assert story.seen(SECOND) == second
    assert "already" in story.backfill("publish", run) and story.seen(FIRST) == after
    assert "is published" in story.backfill("run", run, code=2)

    client, prefix = stores.redis(settings), f"{settings.redis.prefix}:{run}"
    client.delete(f"{prefix}:minutes:{FIRST}", f"{prefix}:days")
    story.backfill("run", run, "--only-minutes")
    assert story.seen(FIRST) == after
    story.equal("--from", str(FIRST))

    story.backfill("undo", run)
    assert story.seen(FIRST) == before and story.shown(FIRST) == story.streaming
    story.equal("--from", str(FIRST))
    assert "as it did" in story.backfill("undo", run)
    story.backfill("publish", run)
    assert story.seen(FIRST) == after
    story.backfill("undo", run)


def test_a_supply_that_is_left_out_and_late_orders_that_are_not_taken_change_nothing(supplied: Story):
    said = supplied.backfill(*supplied.days(FIRST), "--without", SUPPLY, "--no-late")
    assert "no row differs" in said
    supplied.equal("--from", str(FIRST), "--backfill", supplied.run_of(said))


def test_a_backfill_that_dies_on_its_way_comes_to_the_same_when_it_is_run_again(supplied: Story, changed: Callable):
    story, settings = supplied, supplied.local.settings
    die = "import os; os._exit(9)"
    midway = changed({"flink_jobs/backfill.py": [("            result.wait()\n", f"            {die}\n")]})
    story.backfill(*story.days(FIRST, SECOND), code=2, root=midway)
    run = story.newest()
    assert "not finished" in story.backfill("publish", run, code=2)
    wait_until(lambda: flink_rest.living_job(settings, "batch", run) is None, "the end of the dead client's Flink job")
    story.backfill("run", run)
    # The same once more, of a run that was whole: it is not, from the moment on that its files are removed.
    job = midway / "flink_jobs" / "backfill.py"
    text = job.read_text(encoding="utf-8").replace(f"            {die}\n", "            result.wait()\n")
    cleared = "            clear(settings, run.run_id, only_minutes)\n"
    assert cleared in text
    job.write_text(text.replace(cleared, f"{cleared}            {die}\n"), encoding="utf-8")
    story.backfill("run", run, code=2, root=midway)
    assert "is running, not finished" in story.backfill("publish", run, code=2)
    story.backfill("run", run)
    story.equal("--from", str(FIRST), "--to", str(SECOND), "--backfill", run)

    bases = {day: story.shown(day) for day in (FIRST, SECOND)}
    flipped = "                runs.sync_day(connection, client, settings, day)\n"
    (tmp := midway / "flink_jobs" / "backfill_commands.py").write_text(
        (text := tmp.read_text(encoding="utf-8")).replace(flipped, f"                {die}\n"), encoding="utf-8"
    )
    assert flipped in text
    story.backfill("publish", run, code=9, root=midway)
    assert story.shown(FIRST) == run and story.shown(SECOND) == bases[SECOND]
    said = story.backfill("publish", run)
    assert f"{FIRST} shows {run} already" in said and story.shown(SECOND) == run
    story.equal("--from", str(FIRST), "--to", str(THIRD))
    with stores.hbase(settings) as connection:
        history = runs.history(connection, runs.REPORT, str(FIRST))
    assert [one.run_id for one in history[:2]] == [run, bases[FIRST]] and history[0].why == "backfill"
    story.backfill("undo", run)
    assert {day: story.shown(day) for day in (FIRST, SECOND)} == bases


def test_of_two_backfills_of_a_day_at_once_one_is_refused_and_the_slower_one_is_not_published(supplied: Story):
    story = supplied
    with ThreadPoolExecutor() as both:
        ends = [both.submit(story.backfill, *story.days(SECOND), code=None) for _ in range(2)]  # type: ignore[arg-type]
        said = [end.result() for end in ends]
    (refused,) = [text for text in said if "error:" in text]
    (done,) = [text for text in said if "error:" not in text]
    assert "is being made by" in refused
    assert len([line for line in refused.splitlines() if "error:" in line]) == 1
    first = story.run_of(done)
    second = story.run_of(story.backfill(*story.days(SECOND), "--without", SUPPLY))
    story.backfill("publish", second)
    assert second in story.backfill("publish", first, code=2)
    assert story.shown(SECOND) == second
    story.equal("--from", str(SECOND))
    story.backfill("undo", second)


def test_an_open_day_is_not_published_and_once_it_is_closed_all_of_it_counts(story: Story):
    local, settings = story.local, story.local.settings
    said = story.backfill(*story.days(OPEN))
    provisional = story.run_of(said)
    assert "not closed" in said and "provisional" in story.backfill("publish", provisional, code=2)
    day = settings.time.day_start(OPEN)
    rest = [
        Record(
            n % settings.kafka.partitions, day + n * 3_600_000, written(order(day + n * 3_600_000, f"R-{n}", "2.00"))
        )
        for n in range(2, 24)
    ]
    end = order_log.closing_time(settings.time, OPEN)
    late = Record(0, end, written(order(day + 7_200_000, "R-late", "3.00")))
    # Each minute, as the gateway does: one without any record is not told to be final.
    closing = [
        Record(n, at, HEARTBEAT)
        for at in range(settings.time.day_end(OPEN), end + 180_000, 60_000)
        for n in range(settings.kafka.partitions)
    ]
    order_log.produce(settings, TOPIC, sorted([*rest, late, *closing], key=lambda record: record.ingest_time))
    wait_until(
        lambda: is_marked(local, story.streaming, OPEN) and is_filed(local, story.streaming, OPEN), "the closed day"
    )
    client = stores.redis(settings)
    wait_until(
        lambda: (stores.read_final_until(client, settings, story.dashboard) or 0) >= settings.time.day_end(OPEN),
        "minutes",
    )
    local.submit("daily_report", "--mode", "batch", "--from", str(OPEN), "--to", str(OPEN), "--topic", TOPIC)
    assert "begin a new backfill" in story.backfill("publish", provisional, code=2)
    assert story.country(OPEN)["amount"] == "45.00"
    run = story.run_of(story.backfill(*story.days(OPEN)))
    story.backfill("publish", run)
    assert (story.country(OPEN)["orders"], story.country(OPEN)["amount"]) == (24, "48.00")
    story.equal("--from", str(OPEN))


def test_a_day_of_which_nothing_was_published_before_shows_nothing_again(story: Story):
    """HBase takes the empty cell that is left for one that is not there."""
    day, settings = "1999-12-31", story.local.settings
    with stores.hbase(settings) as connection:
        said = runs.said_by(settings, runs.get(connection, story.streaming))
        for _ in range(2):
            runs.publish(connection, runs.REPORT, day, said, instead_of="")
            runs.withdraw(connection, runs.REPORT, day, said.run_id)
            assert runs.published(connection, runs.REPORT, day) is None
            assert day not in [shown for _, shown, *_ in runs.list_published(connection)]
