"""The benchmark's own servers, topics and runs; nothing of them is left afterwards."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs import datagen, flink_rest, order_log, runs, stores, submit
from flink_jobs.settings import Settings
from flink_jobs.stack import create_instance, settings_file
from flink_jobs.stack.control import down, status, up
from flink_jobs.stack.instance import Instance
from tests.bench.hand_loop import Sales
from udfs.judge import CANONICAL

DAY = dt.date(2025, 11, 11)
_is_canonical = re.compile(CANONICAL.encode()).match
PATIENCE_S = 3600.0  # a run that has not ended by then is reported as stuck
# A third of the machine's memory, for what is compared: the report's state on the heap stands beside it in RocksDB.
TASKMANAGER_MB = max(2_400, psutil.virtual_memory().total // 3 // 2**20)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """The servers of one benchmark."""

    instance: Instance
    settings: Settings
    conf: str

    def load(self, topic: str, orders: int) -> int:
        """A topic with one generated day, dirt included, closed by heartbeats; returns its records."""
        spec = datagen.Spec.by(self.settings, seed=7, first=DAY, last=DAY, orders=orders)
        self.create_topic(topic)
        return order_log.produce(self.settings, topic, datagen.day_records(spec))

    def load_spelt(self, orders: int) -> str:
        """The topic of the same day, with the same verdicts, as an ordinary JSON writer spells it (`spelt`)."""
        topic = f"spelt-{orders}"
        spec = datagen.Spec.by(self.settings, seed=7, first=DAY, last=DAY, orders=orders)
        self.create_topic(topic)
        order_log.produce(self.settings, topic, map(spelt, datagen.day_records(spec)))
        return topic

    def create_topic(self, topic: str) -> None:
        """A topic of the usual number of partitions."""
        order_log.create_topic(self.settings, topic, self.settings.kafka.partitions)

    def load_all(self, sizes: Iterable[int], say: Say) -> dict[int, int]:
        """A topic `orders-SIZE` for each size; size -> records, the smallest first."""
        records = {}
        for size in sorted(sizes):
            say(f"loading {size:,} orders")
            records[size] = self.load(f"orders-{size}", size)
        return records

    def start(self, job: str, *arguments: str) -> runs.Run:
        """Submit a streaming job; every task of it runs by then."""
        return self.run(submit.submit(self.settings, self.conf, job, "streaming", arguments))

    def batch(self, job: str, *arguments: str) -> runs.Run:
        """Run a job in batch to its end."""
        days = ("--from", str(DAY), "--to", str(DAY))
        return self.run(submit.submit(self.settings, self.conf, job, "batch", ("--mode", "batch", *days, *arguments)))

    def run(self, run_id: str) -> runs.Run:
        """What is noted of a run."""
        with stores.hbase(self.settings) as connection:
            return runs.get(connection, run_id)

    def seconds_to_the_days_end(self, run: runs.Run) -> float:
        """Wait until the whole day of a streaming run is in its store; seconds since all its tasks were deployed."""
        end = self.settings.time.day_end(DAY)
        if run.job == runs.DASHBOARD:
            client = stores.redis(self.settings)
            await_(lambda: (stores.read_final_until(client, self.settings, run.run_id) or 0) >= end)
        else:
            with stores.hbase(self.settings) as connection:
                await_(lambda: (runs.last_version(connection, run) or 0) >= end)
        ended = dt.datetime.now(dt.UTC).timestamp()
        return ended - float(self.rest("realtime", f"jobs/{run.flink_job_id}")["timestamps"]["RUNNING"]) / 1000

    def sales(self, run: runs.Run) -> Sales:
        """`province|city` -> orders, cents, users of the day, as HBase holds them."""
        with stores.hbase(self.settings) as connection:
            found = stores.read_sales(
                connection,
                self.settings.report.buckets,
                str(DAY),
                run.run_id,
                run.family,
                self.settings.time.day_end(DAY),
            )
        return {
            place: (int(row["orders"]), stores.cents(row["amount"]), int(row["users"]))
            for place, row in found.items()
            if not place.endswith(f"|{stores.ALL}")
        }

    def cancel(self, run: runs.Run) -> None:
        """End a streaming run."""
        flink_rest.cancel(self.settings, "realtime", run.flink_job_id)

    def rest(self, cluster: str, path: str) -> Any:
        """An answer of Flink's REST API."""
        return flink_rest.ask(self.settings, cluster, path)

    def pid(self, server: str) -> int:
        """Process id of a server; raises `SystemExit` if it does not run."""
        found = next((row.pid for row in status(self.instance) if row.server == server and row.pid), None)
        if found is None:
            raise SystemExit(f"{server} does not run; see its log")
        return found

    def taskmanager_metrics(self, cluster: str, names: Iterable[str]) -> dict[str, float]:
        """Metrics of a cluster's TaskManagers by name, the greatest of them; one not gathered yet is left out."""
        found: dict[str, float] = {}
        for manager in self.rest(cluster, "taskmanagers")["taskmanagers"]:
            for metric in self.rest(cluster, f"taskmanagers/{manager['id']}/metrics?get={','.join(names)}"):
                found[metric["id"]] = max(found.get(metric["id"], 0.0), float(metric["value"]))
        return found

    def memory(self) -> dict[str, float]:
        """Server -> resident MiB; `python workers` and `redis` count too."""
        rows = {row.server: row for row in status(self.instance)}
        found = {server: float(row.rss_mb) for server, row in rows.items()}
        return found | {"python workers": workers_mib(rows["realtime-taskmanager"].pid)}

    def checkpoints(self, flink_job: str) -> list[tuple[float, float]]:
        """Size (MiB) and duration (s) of each completed checkpoint of a streaming job that Flink remembers."""
        history = flink_rest.checkpoints(self.settings, "realtime", flink_job)["history"]
        done = (taken for taken in history if taken["status"] == "COMPLETED")
        return [(taken["state_size"] / 2**20, taken["end_to_end_duration"] / 1000) for taken in done]


def workers_mib(taskmanager: int | None) -> float:
    """Resident memory (MiB) of the Python workers of a TaskManager, by its process id, now."""
    total = 0
    for process in psutil.Process(taskmanager).children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
            total += process.memory_info().rss * ("python" in process.name())
    return total / 2**20


def spelt(record: order_log.Record) -> order_log.Record:
    """A canonical record as `json.dumps` writes it, with spaces, its members in another order; any other as it is."""
    if not _is_canonical(record.value or b""):
        return record
    return record._replace(value=json.dumps(dict(reversed(json.loads(record.value or b"").items()))).encode())


class Pauses:
    """Stops of the live TaskManager's JVM for its garbage collector, from its own log (switched on while it runs)."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._file = place.instance.folder / "tmp" / "garbage.log"

    def skip(self) -> None:
        """Begin anew. A TaskManager that was restarted is followed too."""
        self._file.unlink(missing_ok=True)
        (pid,) = (row.pid for row in status(self._place.instance) if row.server == "realtime-taskmanager")
        for arguments in ("disable", f"output={self._file} what=gc decorators=uptime"):
            subprocess.run(["jcmd", str(pid), "VM.log", *arguments.split()], check=True, capture_output=True)

    def read(self) -> list[float]:
        """Each pause since `skip`, in ms."""
        text = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
        return [float(ms) for ms in re.findall(r"Pause .* ([0-9.]+)ms$", text, re.MULTILINE)]


@contextmanager
def servers(say: Say, what: str = "bench") -> Iterator[Place]:
    """Servers of the benchmark's own (or of `what` else), removed with their data in the end."""
    name = f"{what}-{os.getpid()}"
    instance = create_instance(name, {"realtime": {"taskmanager_mb": TASKMANAGER_MB}})
    try:
        up(instance, say)
        file = Path(settings_file(name)).resolve()
        yield Place(instance, Settings.load(str(file)), str(file))
    finally:
        down(instance, say, purge=True)


def await_(condition: Callable[[], bool]) -> None:
    """Ask twenty times a second until it holds; raises `tenacity.RetryError` when it is stuck."""
    Retrying(retry=retry_if_result(lambda ok: not ok), stop=stop_after_delay(PATIENCE_S), wait=wait_fixed(0.05))(
        condition
    )
