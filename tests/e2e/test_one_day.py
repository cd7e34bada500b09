"""One dirty day and an empty one, through the real servers: everything agrees, and what is spoilt is named."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import requests

from flink_jobs import compiled, datagen, flink_rest, order_log, runs, stores
from flink_jobs.stack.instance import port_of
from tests.local import Local, assert_paced, cancel, is_filed, is_final, is_marked, tasks_of, wait_until

FIRST, EMPTY = dt.date(2025, 11, 11), dt.date(2025, 11, 12)
DAYS = ("--from", str(FIRST), "--to", str(EMPTY))
TOPIC = "orders"
ORDERS = 6_000
BATCH = ("submit", "daily_report", "--mode", "batch", "--topic", TOPIC)


@dataclass(frozen=True)
class Story:
    """The runs over one log: streamed live at parallelism 2, in batch at 1 and at 2."""

    local: Local
    dashboard: str
    streaming: str
    batch_1: str
    batch_2: str
    ledger: Path

    def reconcile(
        self, code: int, streaming: str | None = None, batch: str | None = None, days: tuple[str, ...] = DAYS
    ):
        return self.local.reconcile(
            *days,
            "--topic",
            TOPIC,
            "--stream",
            streaming or self.streaming,
            "--batch",
            batch or self.batch_2,
            "--dashboard",
            self.dashboard,
            code=code,
        )


def differing(result: dict) -> set[str]:
    return {check["name"] for check in result["all"]["checks"] if check["verdict"] in ("DIFFERENT", "MISSING", "OPEN")}


@pytest.fixture(scope="module")
def story(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Story:
    settings = local.settings
    spec = datagen.Spec.by(
        settings,
        seed=20251111,
        first=FIRST,
        last=EMPTY,
        orders=ORDERS,
        empty=frozenset({EMPTY}),
    )
    plan = datagen.Plan(spec)
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.parquet"
    datagen.write_ledger(plan, ledger)
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    # By the real `flink run`, as a user does; all others go through tests/warm.
    dashboard = local.submit("realtime_dashboard", "--topic", TOPIC, "--parallelism", "2", flink_run=True)
    streaming = local.submit("daily_report", "--topic", TOPIC, "--parallelism", "2", flink_run=True)
    records = plan.records()
    # The log stops in mid-day and goes on once the jobs have shown what they made of its first half.
    order_log.produce(settings, TOPIC, islice(records, len(plan) // 3))
    client = stores.redis(settings)
    wait_until(lambda: stores.read_final_until(client, settings, dashboard) is not None, "a final minute in Redis")
    assert not is_marked(local, streaming, FIRST), "the day was closed before its orders had come"
    order_log.produce(settings, TOPIC, records)
    with ThreadPoolExecutor() as beside:
        batch = beside.submit(local.submit, *BATCH[1:], *DAYS, "--parallelism", "2")
        batch_1 = local.submit(*BATCH[1:], *DAYS, "--parallelism", "1", flink_run=True)
    wait_until(lambda: is_marked(local, streaming, EMPTY), "the marker of the empty day")
    wait_until(lambda: is_final(local, dashboard, EMPTY), "the last final minute")
    return Story(local, dashboard, streaming, batch_1, batch.result(), ledger)


def test_stream_batch_dashboard_and_files_equal_the_log(story: Story):
    result = story.local.reconcile(
        *DAYS,
        "--topic",
        TOPIC,
        "--stream",
        story.streaming,
        "--batch",
        story.batch_2,
        "--dashboard",
        story.dashboard,
        "--ledger",
        str(story.ledger),
        code=0,
    )
    counts = result["all"]["verdicts"][str(FIRST)]
    seen = {verdict for side in counts.values() for verdict, records in side.items() if int(records) > 0}
    assert seen >= {
        "accepted",
        "duplicate",
        "late",
        "late_copy",
        "future",
        "invalid",
        "malformed",
        "heartbeat",
        "conflicting",
    }
    with stores.hbase(story.local.settings) as connection:
        marker = runs.markers(connection, str(FIRST), story.streaming, "s")
    assert len(marker) == 24 and max(marker.values(), key=lambda m: m.orders).orders > ORDERS // 2


def test_batch_at_parallelism_1_equals_the_log_too(story: Story):
    story.reconcile(code=0, batch=story.batch_1)
    assert reconciled(story, FIRST) == "equal"


def reconciled(story: Story, day: dt.date) -> str:
    """What stands beside the published report of the day."""
    rows = json.loads(story.local.run("published", "--format", "json").stdout)["rows"]
    (said,) = (row["reconciled"] for row in rows if (row["report"], row["day"]) == ("daily_report", str(day)))
    return str(said)


def submitted(local: Local, run: str) -> tuple[dict, str]:
    """The options and the plan that the batch cluster was given with the run's last job.

    The planner numbers its nodes through all that its JVM ever planned; the numbers are left out.
    """
    with stores.hbase(local.settings) as connection:
        job = f"jobs/{runs.get(connection, run).flink_job_id}"
    options = flink_rest.ask(local.settings, "batch", f"{job}/config")["execution-config"]
    nodes = flink_rest.ask(local.settings, "batch", f"{job}/plan")["plan"]["nodes"]
    return options, re.sub(r"\[\d+\]", "[]", json.dumps(nodes))


def test_the_same_batch_run_again_doubles_nothing(story: Story):
    settings = story.local.settings
    by_flink_run = submitted(story.local, story.batch_1)
    assert "settle" in by_flink_run[1], "there is no plan to compare"
    killed = f"{settings.hdfs.root}/daily_sales/.staging_1/task-0-attempt-0/dt={FIRST}/run={story.batch_1}"
    with stores.hdfs(settings) as files:
        files.makedirs(killed)
    again = story.local.submit(
        "daily_report", "--mode", "batch", "--topic", TOPIC, *DAYS, "--run-id", story.batch_1, "--parallelism", "1"
    )
    assert again == story.batch_1
    with stores.hdfs(settings) as files:
        assert not files.exists(killed), "what a killed attempt left is still there"
    assert submitted(story.local, again) == by_flink_run, "tests/warm does not submit what `flink run` does"
    story.reconcile(code=0, batch=story.batch_1)


def test_a_cell_changed_by_hand_in_hbase_is_named(story: Story):
    settings = story.local.settings
    version = settings.time.day_end(FIRST)
    with stores.hbase(settings) as connection:
        key = stores.sales_key(str(FIRST), story.batch_2, "110000", "110100", settings.report.buckets).encode()
        table = connection.table("daily_sales")
        old = table.row(key)[b"b:amount"]
        table.put(key, {b"b:amount": b"1.23"}, timestamp=version)
    try:
        result = story.reconcile(code=1, days=DAYS[:2])
        rows = result["batch: report"]["differences"]
        assert [(row["row"], row["field"]) for row in rows] == [("110000|110100", "amount")]
        assert {rows[0]["left"], rows[0]["right"]} == {old.decode(), "1.23"}
        assert reconciled(story, FIRST) == "NOT EQUAL"
    finally:
        with stores.hbase(settings) as connection:
            connection.table("daily_sales").put(key, {b"b:amount": old}, timestamp=version)


def test_a_field_changed_by_hand_in_redis_is_named(story: Story):
    settings = story.local.settings
    client = stores.redis(settings)
    key = f"{settings.redis.prefix}:{story.dashboard}:minutes:{FIRST}"
    field = next(name for name in sorted(client.hkeys(key)) if not name.endswith("ALL"))
    old = client.hget(key, field)
    client.hset(key, field, "1:999:1")
    try:
        result = story.reconcile(code=1, days=DAYS[:2])
        assert {row["row"] for row in result["dashboard: minutes"]["differences"]} == {field}
    finally:
        client.hset(key, field, old)


def test_the_screen_shows_what_the_generator_intended(story: Story):
    settings = story.local.settings
    client, pointer = stores.redis(settings), f"{settings.redis.prefix}:current"
    shown_before = client.get(pointer)
    client.set(pointer, story.dashboard)
    told: dict[str, Any] = {}
    try:
        address = f"http://{settings.serving.listen}:{settings.serving.port}/stream"
        with requests.get(address, stream=True, timeout=60) as events:
            lines = events.iter_lines(decode_unicode=True)
            while "snapshot" not in told or told.get("report", {}).get("today") is None:
                name, _, value = next(lines).partition(": ")
                if name == "event":
                    told[value] = json.loads(next(lines).partition(": ")[2])
    finally:
        client.set(pointer, shown_before)
    intended = json.loads(Path(f"{story.ledger}.summary.json").read_text())["days"][str(FIRST)]
    figures, today = told["snapshot"], told["report"]["today"]
    assert (figures["run"], figures["day"]) == (story.dashboard, str(FIRST))
    minutes = figures["minutes"][str(FIRST)]
    assert sum(orders for _, _, orders, _ in minutes) == intended["orders"] > ORDERS // 2
    assert str(sum(Decimal(amount) for *_, amount in minutes)) == intended["amount"]
    assert str(sum(Decimal(amount) for _, amount, *_ in figures["provinces"].values())) == intended["amount"]
    assert all(final for _, final, *_ in minutes)
    assert today["screen"] == {"orders": intended["orders"], "amount": intended["amount"]}
    for verdict in ("late", "late_copy", "duplicate", "malformed", "invalid", "future", "accepted"):
        assert today["verdicts"][verdict] == intended["verdicts"][verdict] > 0
    assert today["verdicts"]["conflicting"] == intended["conflicting"] > 0


def test_readers_give_what_the_run_holds(story: Story):
    text = story.local.samewater(
        "report", "--day", str(FIRST), "--run", story.streaming, "--level", "country", "--format", "csv"
    )
    row = next(csv.DictReader(io.StringIO("\n".join(line for line in text.splitlines() if not line.startswith("#")))))
    with stores.hbase(story.local.settings) as connection:
        marker = runs.markers(connection, str(FIRST), story.streaming, "s")[story.local.settings.time.day_end(FIRST)]
    assert (row["orders"], row["amount"]) == (str(marker.orders), marker.amount)


def test_the_dashboard_forgets_provisional_sums_late_and_nothing_else_by_the_clock(story: Story):
    """A hint in SQL that does not fit is left out without a word: what counts is the plan that runs."""
    plan = json.loads(compiled.read(story.local.settings, story.dashboard).plan)
    kept = [(node["type"], state["ttl"]) for node in plan["nodes"] for state in node.get("state", ())]
    assert len(kept) > 1, "there is no other state"
    assert [of for of in kept if of[1] != "0 ms"] == [("stream-exec-group-aggregate_1", "6 h")]


def test_each_function_of_a_plan_is_called_once_for_a_row(story: Story):
    """A view that several branches stand on is one node of the plan, or every order would be judged several times."""
    for run in (story.dashboard, story.streaming):
        plan = compiled.read(story.local.settings, run).plan
        calls = Counter(re.findall(r"`(\w+)`\", \"operands\"", json.dumps(json.loads(plan)["nodes"])))
        assert calls["judge"] == 1 and calls["settle"] == (run == story.streaming), calls


def test_no_window_stands_where_flink_loses_rows_without_a_counter(story: Story):
    """A day over TIMESTAMP_LTZ counted in two phases (FLINK-38075), and any window with an offset (FLINK-36664)."""
    sizes = set()
    for run in (story.dashboard, story.streaming):
        for node in json.loads(compiled.read(story.local.settings, run).plan)["nodes"]:
            assert "local-window" not in node["type"], "a first phase"
            if "windowing" in node:
                window = node["windowing"]["window"]
                assert node["windowing"]["timeAttributeType"]["type"] == "TIMESTAMP_WITHOUT_TIME_ZONE"
                assert "offset" not in window
                sizes.add(window.get("maxSize") or window["size"])
    assert sizes == {"PT1M", "PT7M", "PT1H", "PT24H"}


def test_no_function_that_takes_packs_shares_a_task_with_the_sort_before_it(story: Story):
    functions = {"settle", "tell_copies", "hour_parts", "place_sales", "conflicting_ids"}
    assert_paced(tasks_of(story.local, story.batch_2), functions)


def test_what_keeps_rows_takes_them_from_another_task(story: Story):
    """Within a task rows are handed on without a copy (job.JUDGED), and whoever made one may fill it anew.

    A sort writes the bytes of its rows down and gives rows of its own; what aggregates those copies what it keeps.
    """
    found = 0
    for run in (story.dashboard, story.streaming, story.batch_1, story.batch_2):
        for task in tasks_of(story.local, run):
            operators = [name for name in re.findall(r"(\w+)\[\d+\]", task.name) if name != "Sort"]
            keep = [at for at, name in enumerate(operators) if re.search("Aggregate|Join|Rank|Deduplicate", name)]
            assert keep in ([], [0]), task
            found += len(keep)
    assert found > 20


def test_a_broken_rule_turns_reconcile_red(story: Story, changed: Callable):
    """Other broken rules: tests/unit/test_core.py, tests/sql/test_broken_rules.py, tests/faults/test_pauses.py."""
    root = changed({"udfs/judge.py": [("at < came - rules.lateness_ms", "at <= came - rules.lateness_ms")]})
    run = story.local.submit(
        "daily_report", "--mode", "batch", "--topic", TOPIC, "--from", str(FIRST), "--to", str(FIRST), root=root
    )
    red = differing(story.reconcile(code=1, batch=run, days=DAYS[:2]))
    assert red & {"batch: report", "batch: verdicts"}, red
    assert not {name for name in red if name.startswith(("streaming: ", "dashboard: "))}, red


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("submit", "daily_report", "--mode", "batch", "--topic", "no-such-topic", *DAYS),
            "no-such-topic",
        ),
        (("submit", "daily_report", "--topic", TOPIC), "0 free slots"),
        ((*BATCH, "--from", "2025-13-01"), "2025-13-01"),
        (
            (*BATCH, "--from", "2025-11-12", "--to", "2025-11-11"),
            "before",
        ),
        (
            (*BATCH, "--from", "2031-01-01", "--to", "2031-01-01"),
            "2031-01-01",
        ),
        (("report", "--day", "2024-02-29"), "2024-02-29"),
        (("reconcile", "--from", "2024-02-30"), "2024-02-30"),
        (("restart", "kafak"), "kafka"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(story: Story, arguments: tuple[str, ...], says: str):
    output = story.local.samewater(*arguments, code=2)
    assert says in output and len(output.strip().splitlines()) <= 3, output


def test_a_server_that_is_down_is_named(story: Story, tmp_path: Path):
    settings = story.local.settings
    kafka, hbase = port_of(settings.kafka.bootstrap), settings.hbase.port
    reconcile = ("reconcile", "--from", str(FIRST), "--topic", TOPIC)
    cases: list[tuple[str, int, tuple[str, ...]]] = [
        ("Redis", settings.redis.port, ("minutes", "--day", str(FIRST))),
        ("HBase", hbase, ("runs",)),
        ("HDFS", port_of(settings.hdfs.webhdfs), reconcile),
        ("Kafka", kafka, reconcile),
        ("Kafka", kafka, (*BATCH, *DAYS)),
        ("HBase", hbase, (*BATCH, *DAYS)),
        ("Flink cluster `batch`", port_of(settings.flink.batch.rest), (*BATCH, *DAYS)),
        ("Flink cluster `realtime`", port_of(settings.flink.realtime.rest), ("submit", "realtime_dashboard")),
    ]

    text = story.local.conf.read_text(encoding="utf-8")
    for _, port, _ in cases:
        (tmp_path / f"{port}.toml").write_text(text.replace(str(port), "1"), encoding="utf-8")

    def told(port: int, command: tuple[str, ...]) -> str:
        return story.local.samewater(*command, code=2, conf=tmp_path / f"{port}.toml")

    with ThreadPoolExecutor() as users:  # at once: what asks Kafka waits for 10 s
        said = list(users.map(lambda case: told(*case[1:]), cases))
    for (server, _, command), output in zip(cases, said, strict=True):
        assert server in output and len(output.strip().splitlines()) == 1, (command, output)


# From here on the live jobs are stopped: the cluster has places for two jobs.


@pytest.fixture(scope="module")
def places(story: Story) -> Story:
    for run in (story.dashboard, story.streaming):
        cancel(story.local, run)
    return story


def test_a_replay_of_one_day_at_parallelism_1_equals_the_log_too(places: Story):
    # Equal days: the planner once folded them into a constant and threw.
    only = ("--from", str(FIRST), "--to", str(FIRST))
    run = places.local.submit("daily_report", "--topic", TOPIC, "--parallelism", "1", *only)
    wait_until(lambda: is_marked(places.local, run, FIRST), "the marker of the day")
    wait_until(lambda: is_filed(places.local, run, FIRST), "the files of the day")
    places.reconcile(code=0, streaming=run, days=DAYS[:2])
    assert not is_marked(places.local, run, EMPTY)
    cancel(places.local, run)
