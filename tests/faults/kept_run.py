"""A streaming run of some release as one file: its log, and all that `samewater resume` needs of it.

`python -m tests.faults.kept_run NAME [--root CODE]` makes `kept/NAME.zip`, on servers of its own: two hours of orders,
a dashboard that is submitted and stopped by the code in CODE (a checkout of the release; without it, this one), and
its savepoint. A release that changes what stands in savepoints adds a file; none is ever made anew.

A dashboard, for its state names no server: that of a report holds the addresses of its files in HDFS.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import posixpath
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

import click
import fsspec

from flink_jobs import compiled, datagen, order_log, runs, stores
from flink_jobs.order_log import Record
from flink_jobs.settings import ROOT, Settings
from flink_jobs.stack.instance import home
from tests.bench import place
from tests.bench.place import DAY
from tests.local import COMMAND

FOLDER = Path(__file__).with_name("kept")
TOPIC = "kept"
ORDERS = 8_000  # a day, of which two hours are taken
HOUR_MS = 3_600_000
_SAVEPOINT = "savepoint/"


@dataclass(frozen=True)
class Kept:
    """`sent`: how many of the records were in the log when the run was stopped; before the minute `final_until` (HH:MM)
    all was final then.
    """

    run: runs.Run
    records: list[Record]
    sent: int
    final_until: str


def _addresses(settings: Settings) -> Mapping[str, str]:
    """What differs between two sets of servers -> what stands for it in the file."""
    host_port = settings.kafka.bootstrap
    return {
        settings.hdfs.uri: "@hdfs@",
        host_port: "@kafka@",
        host_port.replace(":", "="): "@kafka-in-a-parameter@",  # job.flink_options
        f"samewater.hbase.port:{settings.hbase.port}": "@hbase@",
        f"samewater.redis.port:{settings.redis.port}": "@redis@",
    }


def give(settings: Settings, name: str) -> Kept:
    """Put a kept run into the stores, stopped, as if it had been submitted here; its log is the caller's to produce."""
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as archive:
        row, job = json.loads(archive.read("run.json")), archive.read("job.json").decode()
        records = [
            Record(partition, at, None if value is None else base64.b64decode(value))
            for partition, at, value in json.loads(archive.read("log.json"))
        ]
        for address, sign in _addresses(settings).items():
            job = job.replace(sign, address)
        assert "@" not in json.loads(job)["tables"][0]
        savepoint = posixpath.join(stores.savepoints_folder(settings, row["run_id"]), "savepoint-kept")
        with stores.hdfs(settings) as files:
            own = compiled.folder(settings, row["run_id"])
            contents = {f"{own}/job.json": job.encode(), f"{own}/udfs.zip": archive.read("udfs.zip")}
            for member in archive.namelist():
                if member.startswith(_SAVEPOINT):
                    contents[posixpath.join(savepoint, member.removeprefix(_SAVEPOINT))] = archive.read(member)
            for path, content in contents.items():
                files.makedirs(posixpath.dirname(path), exist_ok=True)
                files.pipe_file(path, content)
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        run = runs.register(connection, runs.Run.model_validate(row))
        runs.set_state(connection, run.run_id, "stopped", savepoint=settings.hdfs.uri + savepoint)
    return Kept(run, records, row["sent"], row["final_until"])


def _write(settings: Settings, run_id: str, records: list[Record], sent: int, target: Path) -> None:
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
    until = stores.read_final_until(stores.redis(settings), settings, run_id)
    assert until is not None
    final_until = f"{dt.datetime.fromtimestamp(until / 1000, ZoneInfo(settings.time.zone)):%H:%M}"
    row = run.model_dump(mode="json", include={"run_id", "job", "mode", "logic", "settings", "topic", "start_offsets"})
    log = [
        (r.partition, r.ingest_time, None if r.value is None else base64.b64encode(r.value).decode()) for r in records
    ]
    with stores.hdfs(settings) as files, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        own = compiled.folder(settings, run_id)
        job = files.cat_file(f"{own}/job.json").decode()
        for address, sign in _addresses(settings).items():
            job = job.replace(address, sign)
        # Where it goes on, the topic is another one of the same name.
        job = job.replace(f"topic_id:{run.topic_id}", "topic_id:-")
        archive.writestr("job.json", job)
        archive.writestr("udfs.zip", files.cat_file(f"{own}/udfs.zip"))
        archive.writestr("run.json", json.dumps({**row, "sent": sent, "final_until": final_until}))
        archive.writestr("log.json", json.dumps(log))
        folder = run.savepoint.removeprefix(settings.hdfs.uri)
        for path in files.find(folder):
            archive.writestr(_SAVEPOINT + str(PurePosixPath(path).relative_to(folder)), _content(files, path))


def _content(files: fsspec.AbstractFileSystem, path: str) -> bytes:
    content: bytes = files.cat_file(path)
    return content


@click.command()
@click.argument("name")
@click.option("--root", type=click.Path(exists=True, path_type=Path), default=ROOT)
def main(name: str, root: Path) -> None:
    """Keep a dashboard of the release in --root."""
    with place.servers(click.echo, "kept") as servers:
        settings = servers.settings

        def samewater(*arguments: str) -> str:
            environment = {**os.environ, "PYTHONPATH": str(root), "SAMEWATER_HOME": str(home())}
            command = [sys.executable, "-c", COMMAND, "--conf", servers.conf, *arguments]
            done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            return done.stdout

        spec = datagen.Spec.by(settings, seed=23, first=DAY, last=DAY, orders=ORDERS)
        noon, end = settings.time.day_start(DAY) + 12 * HOUR_MS, settings.time.day_end(DAY)
        records = [
            record
            for record in sorted(datagen.Plan(spec).records(), key=lambda record: record.ingest_time)
            if abs(record.ingest_time - noon) < HOUR_MS or record.ingest_time >= end  # what closes the day
        ]
        sent = sum(record.ingest_time < noon for record in records)
        servers.create_topic(TOPIC)
        order_log.produce(settings, TOPIC, records[:sent])
        run_id = samewater("submit", "realtime_dashboard", "--topic", TOPIC, "--parallelism", "1").split()[-1]
        client = stores.redis(settings)
        lag = settings.time.lateness_ms + settings.time.clock_skew_ms + 60_000
        place.await_(lambda: (stores.read_final_until(client, settings, run_id) or 0) >= noon - 2 * lag)
        samewater("stop", run_id)
        FOLDER.mkdir(exist_ok=True)
        _write(settings, run_id, records, sent, FOLDER / f"{name}.zip")


if __name__ == "__main__":
    main()
