"""Servers are killed, jobs stopped, resumed, taken back and submitted twice while orders flow: no figure minds."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import redis as redis_client

from flink_jobs import datagen, flink_rest, oracle, order_log, reconcile, runs, stores
from flink_jobs.checks import HOUR_MS, WRONG
from flink_jobs.console import readable
from flink_jobs.errors import UserError
from flink_jobs.log_reader import open_log
from flink_jobs.settings import Settings
from flink_jobs.stack import control, open_instance, processes, to_toml
from flink_jobs.truth import rules_of
from tests.local import MEASURED, Local, is_filed, is_final, is_marked, wait_until
from tests.soak.expected import check_every_version, expect, told

DAY = dt.date(2025, 11, 11)
TOPIC = "recovery"
ORDERS = 12_000
A_SECOND = 30  # records; at this pace an hour of the day goes by in some 23 s
MOST, MORE = 20, 22  # hours of the day that flow before they are told to go on, and before the end
SERVERS = ("realtime-taskmanager", "realtime-jobmanager", "kafka", "redis", "hbase-thrift", "datanode")


class Flow:
    """Sends records at a steady pace, and waits where it is told to, so that the day is open until it is to end."""

    def __init__(self, local: Local, records: Iterator[order_log.Record]) -> None:
        self._hurry = threading.Event()
        self._start = local.settings.time.day_start(DAY)
        self.hours = MOST
        self._pool = ThreadPoolExecutor(1)
        self._sent = self._pool.submit(order_log.produce, local.settings, TOPIC, self._paced(records))

    def _paced(self, records: Iterator[order_log.Record]) -> Iterator[order_log.Record]:
        for record in records:
            self._hurry.wait(1 / A_SECOND)
            while record.ingest_time >= self._start + self.hours * HOUR_MS and not self._hurry.wait(0.5):
                pass
            yield record

    def finish(self) -> int:
        self._hurry.set()
        return self._sent.result(timeout=120)


class Watcher:
    """Looks at the screen's totals of the day, as a page would, and keeps each one that fell."""

    def __init__(self, local: Local, run: str) -> None:
        self.looks = 0
        self.fell: list[tuple[str, int, int]] = []
        self._local, self._run = local, run
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        client = redis_client.Redis(port=self._local.settings.redis.port, decode_responses=True)
        last: dict[str, int] = {}
        while not self._end.wait(0.1):
            try:
                totals = stores.read_day_totals(client, self._local.settings, self._run, str(DAY))
            except (redis_client.ConnectionError, redis_client.BusyLoadingError):
                continue  # Redis is being killed
            now = {province: int(total["orders"]) for province, total in totals.items()}
            self.fell += [(p, last[p], now.get(p, 0)) for p in last if now.get(p, 0) < last[p]]
            last = now
            self.looks += bool(now)

    def stop(self) -> None:
        self._end.set()
        self._thread.join(10)


@dataclass
class Story:
    local: Local
    dashboard: str
    report: str
    short_tempered: str  # a dashboard that fails for good at its second failure
    short_conf: Path
    ledger: Path
    flow: Flow
    watcher: Watcher
    savepoints: dict[str, str] = field(default_factory=dict)
    batch: str = ""

    def flink_job(self, run: str) -> str:
        with stores.hbase(self.local.settings) as connection:
            return runs.get(connection, run).flink_job_id

    def subtasks(self, run: str) -> int:
        """Into how many the widest task of the run's job is divided."""
        found = flink_rest.ask(self.local.settings, "realtime", f"jobs/{self.flink_job(run)}")
        return max(int(task["parallelism"]) for task in found["vertices"])

    def works_since(self, run: str, instant: float) -> bool:
        """Whether all tasks of the run's job run, and a checkpoint that began after this instant is complete."""
        try:
            job = self.flink_job(run)
            found = [j for j in flink_rest.jobs(self.local.settings, "realtime") if j["jid"] == job]
            if not found or found[0]["tasks"]["running"] < found[0]["tasks"]["total"]:
                return False
            last = flink_rest.checkpoints(self.local.settings, "realtime", job)["latest"]["completed"]
        except UserError:
            return False  # the JobManager or HBase is what was killed
        return last is not None and last["trigger_timestamp"] > instant * 1000


@pytest.fixture(scope="module")
def story(local: Local, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    settings = local.settings
    spec = datagen.Spec.by(
        settings,
        seed=4,
        first=DAY,
        last=DAY,
        orders=ORDERS,
    )
    plan = datagen.Plan(spec)
    folder = tmp_path_factory.mktemp("recovery")
    datagen.write_ledger(plan, folder / "ledger.parquet")
    short = settings.model_copy(update={"flink": settings.flink.model_copy(update={"restart_attempts": 1})})
    (folder / "short.toml").write_text(to_toml(short.model_dump(mode="json")))
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    dashboard = local.submit("realtime_dashboard", "--topic", TOPIC)
    report = local.submit("daily_report", "--topic", TOPIC, "--parallelism", "1")
    flow = Flow(local, plan.records())
    story = Story(
        local,
        dashboard,
        report,
        "",
        folder / "short.toml",
        folder / "ledger.parquet",
        flow,
        Watcher(local, dashboard),
    )
    yield story
    story.watcher.stop()
    flow.finish()


def pid_of(local: Local, server: str) -> int:
    return next(row.pid for row in control.status(open_instance(local.settings)) if row.server == server)


def a_worker(local: Local) -> int:
    children = psutil.Process(pid_of(local, "realtime-taskmanager")).children(recursive=True)
    workers = [child for child in children if "beam_boot" in " ".join(child.cmdline())]
    assert workers, "the TaskManager has no Python workers"
    return workers[-1].pid


def final_until(story: Story, run: str) -> int:
    try:
        return stores.read_final_until(stores.redis(story.local.settings), story.local.settings, run) or 0
    except (UserError, redis_client.ConnectionError, redis_client.BusyLoadingError):
        return 0


def kill(story: Story, pid: int, what: str) -> None:
    """Kill a process, and wait until both jobs work again and the screen goes on; the seconds are kept."""
    before, instant = final_until(story, story.dashboard), time.time()
    os.kill(pid, signal.SIGKILL)
    wait_until(
        lambda: (
            not psutil.pid_exists(pid)
            and story.works_since(story.dashboard, instant)
            and story.works_since(story.report, instant)
            and final_until(story, story.dashboard) > before
        ),
        f"all works again after {what} was killed",
    )
    # Printed at the end of the test run (conftest.py).
    MEASURED[f"seconds to recovery after kill -9 of {what}"] = time.time() - instant


def test_the_first_minutes_are_on_the_screen(story: Story):
    wait_until(lambda: final_until(story, story.dashboard) > 0, "a final minute")
    wait_until(lambda: story.works_since(story.report, 0), "a checkpoint of the report")


@pytest.mark.parametrize("server", SERVERS)
def test_a_killed_server_is_back_with_all_its_jobs(story: Story, server: str):
    pid = pid_of(story.local, server)
    kill(story, pid, server)
    assert pid_of(story.local, server) != pid


def test_a_killed_python_worker_is_replaced(story: Story):
    kill(story, a_worker(story.local), "python worker")


def test_no_worker_of_a_killed_taskmanager_lives_on(story: Story):
    no_worker_lives_on(story)


def test_a_run_at_work_is_not_started_a_second_time(story: Story):
    says = story.local.samewater(
        "submit", "daily_report", "--topic", TOPIC, "--parallelism", "1", "--run-id", story.report, code=2
    )
    assert "resume" in says
    assert "at work" in story.local.samewater("resume", story.report, code=2)


def test_a_second_dashboard_does_not_empty_the_screen(story: Story):
    local = story.local
    arguments = ("submit", "realtime_dashboard", "--topic", TOPIC, "--parallelism", "1")
    done = local.run(*arguments, code=0, conf=story.short_conf)
    story.short_tempered = done.stdout.split()[-1]
    assert story.dashboard in done.stderr, "nobody said which run stays on the screen"
    assert stores.current_generation(stores.redis(local.settings), local.settings) == story.dashboard


def test_a_sink_that_stays_down_fails_the_job_visibly(story: Story):
    local = story.local
    wait_until(lambda: story.works_since(story.short_tempered, 0), "a checkpoint of the second dashboard")
    instant = time.time()
    local.samewater("down", "redis")
    try:
        wait_until(lambda: flink_state(local, story.short_tempered) == "FAILED", "the run with one retry has failed")
        assert flink_state(local, story.dashboard) in ("RUNNING", "RESTARTING"), "the patient run gave up"
    finally:
        local.samewater("restart", "redis")
    wait_until(lambda: story.works_since(story.dashboard, instant), "the patient dashboard works again")
    says = local.samewater("resume", story.short_tempered, conf=story.short_conf)
    assert "/checkpoints/" in says, "it did not go on from the checkpoint that its failure left"


def test_a_stopped_run_goes_on_by_the_logic_it_was_submitted_with(story: Story, changed: Callable):
    """Also where the code has changed since: another INSERT first, and functions that write nonsense."""
    local = story.local
    root = changed(
        {
            "flink_jobs/daily_report.py": [
                ('    "bind/hbase/mark_versions",\n', ""),
                ('"bind/hdfs/write_rejected",\n)', '"bind/hdfs/write_rejected",\n    "bind/hbase/mark_versions",\n)'),
            ],
            "udfs/hbase_sink.py": [('"orders": str(int(count))', '"orders": "0"')],
            "udfs/minutes.lua": [("final == 1 or", "false and")],
        }
    )
    for run in (story.dashboard, story.report):
        said = local.samewater("stop", run)
        story.savepoints[run] = said.split(" is in ")[1].split()[0]
        assert "is not at work" in local.samewater("stop", run, code=2)
    before = final_until(story, story.dashboard)
    with ThreadPoolExecutor(2) as pool:  # two people at once: one of them is refused
        codes = [
            done.returncode
            for done in pool.map(lambda _: local.run("resume", story.dashboard, code=None, root=root), range(2))
        ]
    assert sorted(codes) == [0, 2]
    assert story.savepoints[story.report] in local.samewater("resume", story.report, root=root)
    wait_until(lambda: final_until(story, story.dashboard) > before, "the screen goes on")


def test_an_older_savepoint_takes_nothing_back(story: Story):
    """What was written since it was taken is written again, and stands once."""
    local = story.local
    with stores.hbase(local.settings) as connection:
        before = runs.last_version(connection, runs.get(connection, story.report)) or 0

    def has_a_newer_version() -> bool:
        with stores.hbase(local.settings) as connection:
            return (runs.last_version(connection, runs.get(connection, story.report)) or 0) > before

    story.flow.hours = MORE
    wait_until(has_a_newer_version, "an hour that the older savepoint does not know")
    for run in (story.dashboard, story.report):
        local.samewater("stop", run)
        # The dashboard from two subtasks to one, which leaves a slot for the report.
        going_on = ("--savepoint", story.savepoints[run], "--parallelism", "1")
        assert story.savepoints[run] in local.samewater("resume", run, *going_on)
        assert story.subtasks(run) == 1
    assert "no savepoint" in local.samewater("stop", story.report) + local.samewater(
        "resume", story.report, "--savepoint", story.savepoints[story.report] + "x", code=2
    )
    assert "began with 3 partitions" in local.samewater("resume", story.report, "--parallelism", "4", code=2)
    local.samewater("resume", story.report, "--parallelism", "2")
    assert story.subtasks(story.report) == 2
    assert not is_marked(local, story.report, DAY), "the day was over before the report had two subtasks"


def test_afterwards_all_figures_agree_and_none_ever_fell(story: Story):
    local, settings = story.local, story.local.settings
    sent = story.flow.finish()
    wait_until(lambda: is_marked(local, story.report, DAY), "the day's last marker")
    wait_until(lambda: is_filed(local, story.report, DAY), "the day's last version in HDFS")
    for run in (story.dashboard, story.short_tempered):
        wait_until(lambda run=run: is_final(local, run, DAY), f"the last final minute of {run}")
    story.watcher.stop()
    fell = Counter[str]()
    for province, before, after in story.watcher.fell:
        fell[province] += before - after
    assert fell <= elsewhere(settings) and story.watcher.looks > 500, story.watcher.fell
    days = ("--from", str(DAY), "--topic", TOPIC)
    story.batch = local.submit(
        "daily_report", "--mode", "batch", "--topic", TOPIC, "--from", str(DAY), "--to", str(DAY)
    )
    # Kills and older savepoints spoil no version: each is the day so far, as the oracle has it.
    with stores.hbase(settings) as connection, stores.hdfs(settings) as files, open_log(settings, TOPIC) as log:
        rules = rules_of(settings)
        truth = expect(oracle.classify(log.records(log.reach()), rules), rules, str(DAY), str(DAY))[str(DAY)]
        run = runs.get(connection, story.report)
        stored = reconcile.read_run(settings, connection, files, run, str(DAY))
        checks = check_every_version(connection, run, str(DAY), truth, stored, lambda v: readable(v, settings.time))
    assert not told(checks, WRONG) and len(truth.sales) == 24
    for dashboard in (story.dashboard, story.short_tempered):
        runs_ = ("--stream", story.report, "--batch", story.batch, "--dashboard", dashboard)
        local.reconcile(*days, *runs_, code=0)
    # A broker that is killed may have a batch twice (order_log.Producer): no money, but records that the ledger lacks.
    with open_log(local.settings, TOPIC) as log:
        twice = sum(1 for _ in log.records(log.reach())) - sent
    said = local.run("reconcile", "--json", *days, *runs_, "--ledger", str(story.ledger), code=None)
    (ledger,) = (check for check in json.loads(said.stdout)["checks"] if check["name"] == "ledger")
    more = {d["row"]: int(d["right"]) - int(d["left"]) for d in ledger["differences"] if d["field"] == "records"}
    assert (ledger["verdict"] == "ok") == (not more), ledger
    assert len(more) == len(ledger["differences"]) and not any(row.startswith("accepted") for row in more), ledger
    assert all(count > 0 for count in more.values()) and sum(more.values()) <= twice, (more, twice)


def elsewhere(settings: Settings) -> Counter[str]:
    """Province -> timely copies that name it, of orders whose first copy names another.

    A dashboard that catches up reads partitions out of step: such a copy may arrive first and count until its minute is
    final (docs/core.md). The country's total has no such excuse.
    """
    rules, copies = rules_of(settings), defaultdict[tuple[str, int], list[oracle.Judged]](list)
    with open_log(settings, TOPIC) as log:
        for one in oracle.classify(log.records(log.reach()), rules):
            if one.verdict in ("accepted", "duplicate") and one.order is not None:
                copies[one.order.order_id, one.order.order_time].append(one)
    found = Counter[str]()
    for several in copies.values():
        (first,) = (one.order.province for one in several if one.order and one.verdict == "accepted")
        found.update({one.order.province for one in several if one.order} - {first})
    return found


def test_an_emptied_redis_is_rebuilt(story: Story):
    local, settings = story.local, story.local.settings
    client = stores.redis(settings)
    client.flushdb()
    days = ("--from", str(DAY), "--topic", TOPIC, "--stream", story.report, "--batch", story.batch)
    local.reconcile(*days, "--dashboard", story.dashboard, code=1)
    said = local.samewater("rebuild")
    assert story.dashboard in said and "Not brought back" in said
    # A figure that was never counted, and one that is too high, are put right too.
    key = f"{settings.redis.prefix}:{story.dashboard}:minutes:{DAY}"
    client.hset(key, mapping={"00:00|999999": "1:7:7", next(iter(client.hkeys(key))): "1:9999:1"})
    assert "1 that were never counted are removed" in local.samewater("rebuild", "--run", story.dashboard)
    local.reconcile(*days, "--dashboard", story.dashboard, code=0)
    assert stores.current_generation(client, settings) == story.dashboard
    left = {str(key).split(":")[1] for key in client.scan_iter(f"{settings.redis.prefix}:*")}
    assert left == {"current", story.dashboard}, "the rebuild left keys of its own"


def test_a_rebuild_by_another_logic_is_refused(story: Story, changed: Callable):
    root = changed({"udfs/judge.py": [("at < came - rules.lateness_ms", "at <= came - rules.lateness_ms")]})
    assert "logic" in story.local.samewater("rebuild", "--run", story.dashboard, code=2, root=root)


def test_nothing_is_left_of_a_run_that_is_stopped(story: Story):
    local, settings = story.local, story.local.settings
    for run in (story.dashboard, story.report, story.short_tempered):
        local.samewater("stop", run)
    with stores.hdfs(settings) as files:
        for run in (story.dashboard, story.report, story.short_tempered):
            assert not files.exists(stores.checkpoints_folder(settings, run))
        for dataset in stores.DATASETS:
            assert files.glob(stores.run_folder(settings, dataset, str(DAY), story.report) + "/*"), "it wrote no file"
            assert files.glob(stores.run_folder(settings, dataset, "*", story.report) + "/.*") == []
    no_worker_lives_on(story)


def no_worker_lives_on(story: Story) -> None:
    """No process of the instance is without a parent, once those that are ending have ended.

    Flink ends the shell that started a Python worker first; the worker itself leaves its work, a moment later.
    """
    instance = open_instance(story.local.settings)
    wait_until(
        lambda: processes.find_orphans(instance.folder, control.supervisord_pid(instance)) == [],
        "the end of every process that nobody looks after",
        seconds=20,
    )


def flink_state(local: Local, run: str) -> str:
    rows = json.loads(local.run("runs", "--format", "json").stdout)["rows"]
    return next(row["flink"] for row in rows if row["run_id"] == run)
