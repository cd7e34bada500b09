"""Backfills that die on their way, two of one day at once; of days that come to nothing, and of open ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flink_jobs import flink_rest, order_log, regions, runs, stores
from flink_jobs.order_log import HEARTBEAT, Record
from tests.backfill_story import FIRST, OPEN, SECOND, SUPPLY, THIRD, TOPIC, Story, order, written
from tests.local import is_filed, is_final, is_marked, wait_until


def test_a_day_that_comes_to_nothing_is_empty_everywhere_and_undo_brings_it_back(past: Story, tmp_path: Path):
    """Under rules that know none of the provinces, every order is invalid. Nobody has sent a supply yet."""
    settings, before = past.local.settings, past.seen(THIRD)
    nowhere = tmp_path / "nowhere.csv"
    nowhere.write_text(f"{','.join(regions.HEADER)}\n990000,无,Nowhere,990100,无,Nowhere\n", encoding="utf-8")
    conf = tmp_path / "nowhere.toml"
    text = past.local.conf.read_text(encoding="utf-8")
    conf.write_text(text.replace('"conf/regions.csv"', f'"{nowhere}"'), encoding="utf-8")
    run = past.run_of(past.backfill(*past.days(THIRD), conf=conf))
    (told,) = json.loads(past.local.run("backfill", "diff", run, "--json").stdout)["days"]
    levels = ("country", "province", "city")
    reports = (past.local.run("report", "--day", str(THIRD), "--level", level, "--json").stdout for level in levels)
    rows = [row for report in reports for row in json.loads(report)["rows"]]
    assert told["removed"] == len(rows) > 100 and told["added"] == told["changed"] == 0
    assert told["totals"][1]["amount"] == "0.00"
    past.backfill("publish", run)
    with stores.hbase(settings) as connection, stores.hdfs(settings) as files:
        version = settings.time.day_end(THIRD)
        assert stores.read_sales(connection, settings.report.buckets, str(THIRD), run, "b", version) == {}
        assert stores.read_sales_files(files, settings, str(THIRD), run) == ({}, [])
    report = json.loads(past.local.run("report", "--day", str(THIRD), "--json").stdout)
    assert report["rows"] == [] and report["run"] == run
    assert "no minutes" in past.local.samewater("minutes", "--day", str(THIRD), code=2)
    assert (
        past.local.reconcile("--topic", TOPIC, "--from", str(THIRD), code=1)["published: report"]["verdict"]
        == "DIFFERENT"
    )
    past.backfill("undo", run)
    assert past.seen(THIRD) == before
    past.equal("--from", str(THIRD))


def test_a_backfill_that_dies_on_its_way_comes_to_the_same_when_it_is_run_again(supplied: Story, changed: Callable):
    past, settings = supplied, supplied.local.settings
    die = "import os; os._exit(9)"
    midway = changed({"flink_jobs/backfill.py": [("            result.wait()\n", f"            {die}\n")]})
    past.backfill(*past.days(FIRST, SECOND), code=2, root=midway)
    run = past.newest()
    assert "not finished" in past.backfill("publish", run, code=2)
    wait_until(lambda: flink_rest.living_job(settings, "batch", run) is None, "the end of the dead client's Flink job")
    past.backfill("run", run)
    # The same once more, of a run that was whole: it is not, from the moment on that its files are removed.
    job = midway / "flink_jobs" / "backfill.py"
    text = job.read_text(encoding="utf-8").replace(f"            {die}\n", "            result.wait()\n")
    cleared = "            clear(settings, run.run_id, only_minutes)\n"
    assert cleared in text
    job.write_text(text.replace(cleared, f"{cleared}            {die}\n"), encoding="utf-8")
    past.backfill("run", run, code=2, root=midway)
    assert "is running, not finished" in past.backfill("publish", run, code=2)
    past.backfill("run", run)
    past.equal("--from", str(FIRST), "--to", str(SECOND), "--backfill", run)

    bases = {day: past.shown(day) for day in (FIRST, SECOND)}
    flipped = "                runs.sync_day(connection, client, settings, day)\n"
    (tmp := midway / "flink_jobs" / "backfill_commands.py").write_text(
        (text := tmp.read_text(encoding="utf-8")).replace(flipped, f"                {die}\n"), encoding="utf-8"
    )
    assert flipped in text
    past.backfill("publish", run, code=9, root=midway)
    assert past.shown(FIRST) == run and past.shown(SECOND) == bases[SECOND]
    said = past.backfill("publish", run)
    assert f"{FIRST} shows {run} already" in said and past.shown(SECOND) == run
    past.equal("--from", str(FIRST), "--to", str(THIRD))
    with stores.hbase(settings) as connection:
        history = runs.history(connection, runs.REPORT, str(FIRST))
    assert [one.run_id for one in history[:2]] == [run, bases[FIRST]] and history[0].why == "backfill"
    past.backfill("undo", run)
    assert {day: past.shown(day) for day in (FIRST, SECOND)} == bases


def test_of_two_backfills_of_a_day_at_once_one_is_refused_and_the_slower_one_is_not_published(supplied: Story):
    past = supplied
    with ThreadPoolExecutor() as both:
        ends = [both.submit(past.backfill, *past.days(SECOND), code=None) for _ in range(2)]  # type: ignore[arg-type]
        said = [end.result() for end in ends]
    (refused,) = [text for text in said if "error:" in text]
    (done,) = [text for text in said if "error:" not in text]
    assert "is being made by" in refused
    assert len([line for line in refused.splitlines() if "error:" in line]) == 1
    first = past.run_of(done)
    second = past.run_of(past.backfill(*past.days(SECOND), "--without", SUPPLY))
    past.backfill("publish", second)
    assert second in past.backfill("publish", first, code=2)
    assert past.shown(SECOND) == second
    past.equal("--from", str(SECOND))
    past.backfill("undo", second)


def test_a_supply_that_is_left_out_and_late_orders_that_are_not_taken_change_nothing(supplied: Story):
    said = supplied.backfill(*supplied.days(FIRST), "--without", SUPPLY, "--no-late")
    assert "no row differs" in said
    supplied.equal("--from", str(FIRST), "--backfill", supplied.run_of(said))


def test_an_open_day_is_not_published_and_once_it_is_closed_all_of_it_counts(past: Story):
    local, settings = past.local, past.local.settings
    said = past.backfill(*past.days(OPEN))
    provisional = past.run_of(said)
    assert "not closed" in said and "provisional" in past.backfill("publish", provisional, code=2)
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
        lambda: is_marked(local, past.streaming, OPEN) and is_filed(local, past.streaming, OPEN), "the closed day"
    )
    wait_until(lambda: is_final(local, past.dashboard, OPEN), "the last final minute")
    local.submit("daily_report", "--mode", "batch", "--from", str(OPEN), "--to", str(OPEN), "--topic", TOPIC)
    assert "begin a new backfill" in past.backfill("publish", provisional, code=2)
    assert past.country(OPEN)["amount"] == "45.00"
    run = past.run_of(past.backfill(*past.days(OPEN)))
    past.backfill("publish", run)
    assert (past.country(OPEN)["orders"], past.country(OPEN)["amount"]) == (24, "48.00")
    past.equal("--from", str(OPEN))
