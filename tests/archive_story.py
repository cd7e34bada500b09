"""What tests ask of an archive, and how a log loses its beginning."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

from flink_jobs import archive_edge, stores
from flink_jobs.archive_edge import Archive
from flink_jobs.archive_reader import read_archived
from flink_jobs.log_reader import LogRecord, Span
from flink_jobs.order_log import HEARTBEAT, Record
from tests.local import Local

HOUR = 3_600_000
ARCHIVE_METRICS = ("behind_seconds", "lost_records")


def archive_of(local: Local, topic: str) -> Archive:
    with stores.hbase(local.settings) as connection:
        stores.ensure_tables(connection)
        return archive_edge.read_archive(connection, topic)


def sent_to(records: Sequence[Record], partition: int) -> list[LogRecord]:
    """What stands in a partition, by the order of sending."""
    of_partition = [record for record in records if record.partition == partition]
    return [LogRecord(partition, n, record.ingest_time, record.value) for n, record in enumerate(of_partition)]


def check_held(local: Local, archive: Archive, records: Sequence[Record]) -> list[LogRecord]:
    """That it holds, byte by byte, what was sent below its edge, each in the folder of its hour; what it holds."""
    below = {partition: Span(0, edge) for partition, edge in archive.edge.items()}
    with stores.hdfs(local.settings) as files:
        held = list(read_archived(files, local.settings, archive, below))
    values = {record.value for record in held}
    assert None in values and HEARTBEAT in values, "the generator's dirt has a record without a value"
    for partition, edge in archive.edge.items():
        assert [record for record in held if record.partition == partition] == sent_to(records, partition)[:edge]
    for hour in (hour for segment in archive.segments for hour in segment.hours):
        day = dt.date.fromisoformat(hour.ingest_day)
        start = local.settings.time.day_start(day) + int(hour.ingest_hour) * HOUR
        assert start <= hour.first_ingest <= hour.last_ingest < start + HOUR
    return held


def folders_of(local: Local, topic: str) -> list[str]:
    """What lies in the archive's folder of a topic, by name."""
    with stores.hdfs(local.settings) as files:
        found = files.ls(stores.archive_folder(local.settings, topic), detail=False)
    return sorted(name.rpartition("/")[2] for name in found)


def health_of(local: Local, topic: str) -> dict[str, Any]:
    """What `health` tells of the archive of a topic: seconds behind, partition -> lost records, alerts by name."""
    found = json.loads(local.run("health", "--json", "--topic", topic, code=None).stdout)
    of = {name: [m for m in found["metrics"] if m["metric"] == f"samewater_archive_{name}"] for name in ARCHIVE_METRICS}
    return {
        "behind": [m["value"] for m in of["behind_seconds"]],
        "lost": {int(m["partition"]): m["value"] for m in of["lost_records"]},
        "alerts": sorted(alert["name"] for alert in found["alerts"] if alert["name"].startswith("Archive")),
    }
