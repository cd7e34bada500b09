"""How is the order log archived on demand or by a scheduler, and how far is it?

Submits flink_jobs/archive.py to the batch cluster for one segment. `--status` reads the edge (HBase) and the reach of
the log (Kafka), and writes nothing.
"""

from __future__ import annotations

import json
from typing import Any

import click

from flink_jobs import archive_edge, order_log, runs, stores
from flink_jobs.archive_edge import Archive, Hour, Segment
from flink_jobs.console import format_option, show
from flink_jobs.log_reader import Span, open_log
from flink_jobs.progress import working
from flink_jobs.settings import Settings
from flink_jobs.submit import submit

SEGMENTS_PRINTED = 10


def look(settings: Settings, topic: str) -> tuple[Archive, dict[int, Span]]:
    """What is archived of a topic, and what the log holds now. Raises `UserError` if the topic is not there."""
    with open_log(settings, topic) as log:
        held = log.reach()
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        return archive_edge.read_archive(connection, topic).of_log(order_log.topic_id(settings, topic)), held


def archive_segment(settings: Settings, conf: str | None, topic: str, accept_gap: bool) -> Segment | None:
    """Archive the log up to its present end; returns the new segment, None if there is nothing new.

    Raises `UserError` as the job does.
    """
    before, held = look(settings, topic)
    if not archive_edge.is_news(before, archive_edge.next_spans(before, held, accept_gap)):
        return None
    arguments = ("--topic", topic, *(["--accept-gap"] if accept_gap else []))
    with working(f"archiving topic {topic}"):
        run_id = submit(settings, conf, runs.ARCHIVE, "batch", arguments)
    after, _ = look(settings, topic)
    return next(segment for segment in after.segments if segment.run_id == run_id)


def as_dict(archive: Archive, log: dict[int, Span]) -> dict[str, Any]:
    """The whole state for machines. `lag`: records of the log that are not archived; `lost`: offsets that retention
    took before they were.
    """
    partitions = [
        {
            "partition": partition,
            "archived_from": archive.begin(partition),
            "edge": archive.edge.get(partition),
            "log_start": held.start,
            "log_end": held.end,
            "lag": held.end - max(archive.edge.get(partition, 0), held.start),
            "lost": max(0, held.start - archive.edge.get(partition, held.start)),
        }
        for partition, held in sorted(log.items())
    ]
    return {
        "topic": archive.topic,
        "records": sum(segment.records for segment in archive.segments),
        **_reach([hour for segment in archive.segments for hour in segment.hours]),
        "partitions": partitions,
        "gaps": [
            {"partition": partition, "from": gap.start, "to": gap.end - 1}
            for partition, gaps in archive.gaps().items()
            for gap in gaps
        ],
        "segments": [_as_row(segment) | {"spans": segment.spans} for segment in archive.segments],
    }


def _as_row(segment: Segment) -> dict[str, Any]:
    return {"run_id": segment.run_id, "records": segment.records, **_reach(segment.hours), "at": segment.at}


def _reach(hours: list[Hour]) -> dict[str, str]:
    named = [f"{hour.ingest_day} {hour.ingest_hour}" for hour in hours]
    return {"first_hour": min(named, default=""), "last_hour": max(named, default="")}


@click.command()
@click.option("--topic", help="Order log.  [default: that of the settings]")
@click.option(
    "--accept-gap", is_flag=True, help="Go on behind records that retention removed before they were archived."
)
@click.option("--status", is_flag=True, help="Only say how far it is.")
@format_option("table", "json")
@click.pass_context
def archive(context: click.Context, topic: str | None, accept_gap: bool, status: bool, form: str) -> None:
    """Copy the order log to HDFS before retention removes it.

    One segment, from where the last one ended to the log's end; for a scheduler, each hour or day. Batch jobs and
    reconcile read it by themselves where the log holds a day no more.

    Example: samewater archive && samewater archive --status
    """
    settings: Settings = context.obj
    topic = topic or settings.kafka.topic
    if not status:
        segment = archive_segment(settings, context.meta["samewater.conf"], topic, accept_gap)
        if form == "table":
            _tell(settings, topic, segment)
            return
    found = as_dict(*look(settings, topic))
    if form == "json":
        click.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        _show_status(found)


def _tell(settings: Settings, topic: str, segment: Segment | None) -> None:
    if segment is None:
        click.echo(f"topic {topic} is archived up to its end; there is nothing to do")
        return
    click.echo(f"run {segment.run_id}")
    if not segment.hours:
        click.echo(f"no record of topic {topic} is new; what retention removed is noted as a gap")
        return
    reach = _reach(segment.hours)
    click.echo(
        f"{segment.records:,} records of topic {topic} are archived, {len(segment.hours)} ingest hours: "
        f"{reach['first_hour']} h to {reach['last_hour']} h"
    )
    edge = ", ".join(f"{partition} at {span.end}" for partition, span in sorted(segment.spans.items()))
    click.echo(f"edge: partition {edge}")


def _show_status(found: dict[str, Any]) -> None:
    about = {name: found[name] for name in ("topic", "records", "first_hour", "last_hour")}
    show("table", list(found["partitions"][0]), found["partitions"], about)
    for gap in found["gaps"]:
        click.echo(
            f"gap: partition {gap['partition']} offsets {gap['from']} to {gap['to']}; days that need them are refused"
        )
    for row in found["partitions"]:
        if row["lost"]:
            click.echo(
                f"beware: partition {row['partition']}: retention removed {row['lost']:,} offsets behind the edge; "
                "`samewater archive --accept-gap` goes on behind them"
            )
    newest = found["segments"][-SEGMENTS_PRINTED:]
    click.echo(f"segments: {len(found['segments'])}{'; the newest:' if newest else ''}")
    if newest:
        show("table", ["run_id", "records", "first_hour", "last_hour", "at"], newest, {})
