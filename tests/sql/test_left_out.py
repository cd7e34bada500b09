"""What a run does not read is in none of its packs, though it stands between records that it does read.

One batch and one minute hold both: a pack stands in the row of one of its records, and all records of a batch are
judged in one call.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from flink_jobs import archive_edge, backfill, daily_report, job, order_log, runs
from flink_jobs.log_reader import Span
from flink_jobs.order_format import Order, canonical
from flink_jobs.session import Session
from flink_jobs.settings import Settings
from tests.sql.conftest import FIRST
from tests.sql.queries import run_queries
from udfs.functions import SETTLED_COLUMNS

RECORDS = 24
READ = f"""SELECT found.kafka_partition, found.kafka_offset, found.order_id
           FROM {{packs}} AS p, LATERAL TABLE(rows_of(ARRAY[p.pack])) AS found ({", ".join(SETTLED_COLUMNS)})"""


def asked(query: Any) -> Any:
    """A job of one query, `records`, that a session is given."""
    return SimpleNamespace(
        __name__="daily_report",
        options=daily_report.options,
        FUNCTIONS=("judge", "rows_of"),
        QUERIES=("records",),
        query=query,
    )


def order(settings: Settings, number: int, *headers: tuple[str, bytes]) -> order_log.Record:
    """One of the same minute, ingested when it was ordered, in two partitions by turns."""
    at = settings.time.day_start(FIRST) + 12 * 3_600_000 + number
    value = canonical(Order(f"O-{number}", at, "U-1", "440000", "440300", 100))
    return order_log.Record(number % 2, at, value, headers)


def read(settings: Settings, topic: str, query: Any) -> list[str]:
    """Ids of the orders that were read, in the order in which they were sent."""
    rows = run_queries(settings, asked(query), "batch", topic, (FIRST, FIRST))["records"]
    found = {(int(row["kafka_offset"] or -1), int(row["kafka_partition"] or -1)): str(row["order_id"]) for row in rows}
    assert len(found) == len(rows), "a record stands twice"
    return [found[place] for place in sorted(found)]


def test_of_the_supply_the_records_of_a_file_that_is_left_out_are_read_by_nobody(kafka: Settings):
    topic = "supply-of-two"
    order_log.create_topic(kafka, topic, 2)
    sent = [order(kafka, number, ("supply", b"a" if number % 3 else b"b")) for number in range(RECORDS)]
    order_log.produce(kafka, topic, sent)

    def query(session: Session) -> None:
        session.files.also(
            **backfill.values(topic, dict.fromkeys((0, 1), Span(0, RECORDS // 2)), runs.Taken(left_out=["a"]))
        )
        session.run("bind/supply_kafka", "views/supply_orders")
        session.run("views/judged", "views/packs", log=backfill.SUPPLY)
        session.tables.create_temporary_view("records", session.tables.sql_query(READ.format(packs="supply_packs")))

    assert read(kafka, topic, query) == [f"O-{number}" for number in range(0, RECORDS, 3)]


def test_of_an_archived_hour_only_what_lies_in_the_range_is_read(kafka: Settings, tmp_path: Path):
    """The hour's files begin before the range and go on behind the edge."""
    topic, start, edge = "half-archived", 3, 8
    order_log.create_topic(kafka, topic, 2)
    records = [order(kafka, number) for number in range(RECORDS)]
    order_log.produce(kafka, topic, records)
    columns = {
        "payload": pa.array([record.value for record in records], pa.binary()),
        "kafka_partition": pa.array([number % 2 for number in range(RECORDS)], pa.int32()),
        "kafka_offset": pa.array([number // 2 for number in range(RECORDS)], pa.int64()),
        "ingest_time": pa.array([record.ingest_time for record in records], pa.int64()),
    }
    parquet.write_table(pa.table(columns).slice(0, 2 * edge + 4), tmp_path / "hour.parquet")

    def query(session: Session) -> None:
        for name in ("complete_minutes", "packs", "judged"):
            session.tables.drop_temporary_view(name)
        session.tables.drop_temporary_table("orders")
        behind = {"log_table": "orders_behind_the_edge", "start_offsets": job.offsets_text({0: edge, 1: edge})}
        session.run("bind/orders_kafka", **behind)
        session.run("bind/archive/archive_files", archive_folder=f"file://{tmp_path}", archive_pattern=".*parquet")
        within = archive_edge.condition({0: Span(start, edge), 1: Span(start, edge)})
        session.run("bind/archive/archived_orders", archived_offsets=within)
        session.run("views/judged", "views/packs")
        session.tables.create_temporary_view("records", session.tables.sql_query(READ.format(packs="packs")))

    assert read(kafka, topic, query) == [f"O-{number}" for number in range(2 * start, RECORDS)]
