"""The past changes, the present does not: orders taken in, published, taken back."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections import Counter
from typing import Any

from pyarrow import parquet

from flink_jobs import runs, stores
from tests.backfill_story import (
    CITY,
    FIRST,
    OTHER_CITY,
    PROVINCE,
    SECOND,
    SUPPLY,
    THIRD,
    TOPIC,
    Story,
    tied,
)
from tests.local import assert_paced, tasks_of


def late_money(past: Story, day: dt.date) -> tuple[int, int]:
    """Orders and cents of the generator's late orders of a day that were not counted: the first copy of each key."""
    offset = int(past.local.settings.time.offset.total_seconds()) * 1000
    rows = [r for r in parquet.read_table(past.ledger).to_pylist() if r["order_id"] and r["order_time"] is not None]
    accepted = {(r["order_id"], r["order_time"]) for r in rows if r["verdict"] == "accepted"}
    first: dict[tuple[str, int], dict[str, Any]] = {}
    for r in sorted(rows, key=lambda r: int(r["ingest_time"])):
        key = (r["order_id"], r["order_time"])
        of_day = dt.date(1970, 1, 1) + dt.timedelta(milliseconds=r["order_time"] + offset) == day
        if r["verdict"] == "late" and of_day and key not in accepted:
            first.setdefault(key, r)
    return len(first), sum(r["cents"] for r in first.values())


def test_an_order_4_min_59_s_late_counts_everywhere_and_a_later_one_nowhere_but_in_the_late_ledger(past: Story):
    local, settings = past.local, past.local.settings
    found = past.equal("--from", str(FIRST), "--to", str(THIRD))
    assert found["streaming = batch: report"]["verdict"] == "ok"
    minutes = stores.read_minutes(stores.redis(settings), settings, past.dashboard, str(FIRST))
    assert minutes[f"10:59|{PROVINCE}"] == {"final": "1", "orders": "1", "cents": "459"}
    for as_of in ("11:00", "23:59"):
        report = ("report", "--day", str(FIRST), "--level", "city", "--as-of", as_of, "--json")
        rows = {row["city"]: row for row in json.loads(local.run(*report).stdout)["rows"]}
        assert (rows[CITY]["orders"], rows[CITY]["amount"]) == (1, "4.59")
    late = json.loads(local.run("late", "--from", str(FIRST), "--topic", TOPIC, "--rows", "--json").stdout)["rows"]
    mine = {(row["order_id"], row["verdict"], row["amount"]) for row in late if row["order_id"].startswith("E-")}
    assert mine == {("E-late", "late", "5.01"), ("E-in-time", "late_copy", "4.59")}
    assert "no late order" in local.samewater("late", "--from", "2031-01-01", code=2)


def test_days_that_cannot_be_counted_are_refused_in_one_sentence(past: Story):
    for days, says in (
        (("2031-01-01", "2031-01-02"), "future"),
        (("1999-01-01", "1999-01-02"), "never seen"),
        ((str(SECOND), str(FIRST)), "before it begins"),
    ):
        for step in ((), ("plan",)):
            said = past.backfill(*step, "--from", days[0], "--to", days[1], "--topic", TOPIC, code=2)
            assert says in said and len(said.strip().splitlines()) == 1
    assert "no supply nobody" in past.backfill("plan", *past.days(FIRST), "--without", "nobody", code=2)
    assert "not of a backfill" in past.backfill("publish", past.streaming, code=2)


def test_a_backfill_is_planned_run_looked_at_published_and_taken_back(supplied: Story):
    past, local = supplied, supplied.local
    settings = local.settings
    plan = json.loads(local.run("backfill", "plan", *past.days(FIRST), "--json").stdout)
    late_orders, late_cents = late_money(past, FIRST)
    assert late_orders > 2 and plan["late"] >= late_orders + 1
    assert (plan["supply"], plan["rejected"]) == ({SUPPLY: 8}, {SUPPLY: 2})
    assert plan["records"] > 1_200 and plan["seconds"] > 1 and plan["shown"] == {str(FIRST): past.streaming}

    before, second = past.seen(FIRST), past.seen(SECOND)
    said = past.backfill(*past.days(FIRST))
    run = past.run_of(said)
    functions = {"settle", "tell_copies", "hour_parts", "place_sales", "conflicting_ids", "admit", "counted_sales"}
    assert_paced(tasks_of(local, run), functions)
    assert past.seen(FIRST) == before and past.shown(FIRST) == past.streaming

    old = past.country(FIRST)
    tie = stores.cents(json.loads(tied(past)[-1])["amount"])
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
    assert "added" in said and past.local.samewater("diff", run, "--day", str(FIRST), code=1)
    # Before anybody is shown it, it can be held against the log and the supply.
    past.equal("--from", str(FIRST), "--backfill", run)

    assert f"{FIRST} shows {run}" in past.backfill("publish", run)
    new = past.country(FIRST)
    assert (new["orders"], new["amount"]) == (orders, stores.yuan(cents))
    after = past.seen(FIRST)
    assert all(one != other for one, other in zip(after, before, strict=True))
    minutes = {row["minute"]: row for row in csv.DictReader(io.StringIO(after[2]))}
    assert sum(int(row["orders"]) for row in minutes.values()) == orders
    found = past.equal("--from", str(FIRST), "--to", str(THIRD))
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
            for of_run in ((past.streaming, "s"), (run, "b"))
        )
    assert now == was + 1 > 1
    # The live screen reads another run, which has not noticed; nor have the other days.
    live = stores.read_minutes(stores.redis(settings), settings, past.dashboard, str(FIRST))
    assert live[f"10:59|{PROVINCE}"]["orders"] == "1"
    assert past.seen(SECOND) == second
    assert "already" in past.backfill("publish", run) and past.seen(FIRST) == after
    assert "is published" in past.backfill("run", run, code=2)

    client, prefix = stores.redis(settings), f"{settings.redis.prefix}:{run}"
    client.delete(f"{prefix}:minutes:{FIRST}", f"{prefix}:days")
    past.backfill("run", run, "--only-minutes")
    assert past.seen(FIRST) == after
    past.equal("--from", str(FIRST))

    past.backfill("undo", run)
    assert past.seen(FIRST) == before and past.shown(FIRST) == past.streaming
    past.equal("--from", str(FIRST))
    assert "as it did" in past.backfill("undo", run)
    past.backfill("publish", run)
    assert past.seen(FIRST) == after
    past.backfill("undo", run)


def test_a_day_of_which_nothing_was_published_before_shows_nothing_again(past: Story):
    """HBase takes the empty cell that is left for one that is not there."""
    day, settings = "1999-12-31", past.local.settings
    with stores.hbase(settings) as connection:
        said = runs.said_by(settings, runs.get(connection, past.streaming))
        for _ in range(2):
            runs.publish(connection, runs.REPORT, day, said, instead_of="")
            runs.withdraw(connection, runs.REPORT, day, said.run_id)
            assert runs.published(connection, runs.REPORT, day) is None
            assert day not in [shown for _, shown, *_ in runs.list_published(connection)]
