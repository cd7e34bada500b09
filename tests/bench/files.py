"""The report in batch from Parquet: this suite, DuckDB and Spark on the same files, with the same result or no figure.

The files hold the records as they came: payload, partition, offset, ingest time; one file per partition.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from flink_jobs import regions
from flink_jobs.settings import ROOT
from flink_jobs.stack.instance import home
from tests.bench import alone, throughput
from tests.bench.figures import Figures
from tests.bench.hand_loop import Sales, records_of
from tests.bench.place import DAY, Place, Say

PYTHON = home() / "rivals" / "bin" / "python"
SCHEMA = pa.schema(
    [
        ("payload", pa.binary()),
        ("kafka_partition", pa.int32()),
        ("kafka_offset", pa.int64()),
        ("ingest_ltz", pa.timestamp("ms", tz="UTC")),
    ]
)
AT_ONCE = 100_000


def measure(place: Place, figures: Figures, records: dict[int, int], rounds: int, say: Say) -> None:
    """The contestants in turn, round by round; each runs once before, unmeasured."""
    figures.section("The day's sales by city from Parquet, batch")
    for size, count in records.items():
        topic = f"orders-{size}"
        folder = place.instance.folder / "data" / topic
        say(f"writing {topic} as Parquet")
        write(place, topic, folder)
        _, expected = throughput.by_hand(place, topic)
        for number in range(rounds + 1):
            for name in ("samewater", "duckdb", "spark"):
                say(f"round {number or 'to warm up'}: {name} on {size:,} orders in Parquet")
                seconds, found = _once(place, name, topic, folder)
                if not expected or found != expected:
                    raise SystemExit(f"{name} and the hand-written loop disagree on {topic}")
                if number:
                    figures.add(f"{name}, {size:,} orders", count / seconds / 1000, "thousand records/s")
        for rival in ("duckdb", "spark"):
            figures.compare(f"samewater, {size:,} orders", f"{rival}, {size:,} orders")


def write(place: Place, topic: str, folder: Path) -> None:
    """Copy a topic into Parquet files."""
    folder.mkdir(parents=True)
    columns: dict[int, list[tuple[bytes | None, int, int, int]]] = {}
    writers: dict[int, pq.ParquetWriter] = {}
    for partition, offset, ingest, value in records_of(place.settings, topic):
        rows = columns.setdefault(partition, [])
        rows.append((value, partition, offset, ingest))
        if len(rows) >= AT_ONCE:
            _append(writers, folder, partition, rows)
    for partition, rows in columns.items():
        if rows:
            _append(writers, folder, partition, rows)
    for writer in writers.values():
        writer.close()


def _append(
    writers: dict[int, pq.ParquetWriter], folder: Path, partition: int, rows: list[tuple[bytes | None, int, int, int]]
) -> None:
    if partition not in writers:
        writers[partition] = pq.ParquetWriter(folder / f"{partition}.parquet", SCHEMA)
    arrays = [pa.array(column, type_) for column, type_ in zip(zip(*rows, strict=True), SCHEMA.types, strict=True)]
    writers[partition].write_batch(pa.record_batch(arrays, schema=SCHEMA))
    rows.clear()


def _once(place: Place, name: str, topic: str, folder: Path) -> tuple[float, Sales]:
    if name == "samewater":
        run = alone.run(place, "daily_report", "batch", "--topic", topic, "--files", str(folder))
        return run.seconds, run.sales or {}
    time = place.settings.time
    rules = {
        "folder": str(folder),
        "provinces": {k: list(v) for k, v in regions.load(place.settings.regions_file()).provinces.items()},
        "start": time.day_start(DAY),
        "end": time.day_end(DAY),
        "lateness": time.lateness_ms,
        "future": time.future_ms,
    }
    file = folder.with_suffix(".json")
    file.write_text(json.dumps(rules), encoding="utf-8")
    done = subprocess.run(
        [str(PYTHON), "-m", "tests.bench.rivals", name, str(file)], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise SystemExit(f"{name} failed: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout)
    return answer["seconds"], {city: (o, c, u) for city, (o, c, u) in answer["sales"].items()}
