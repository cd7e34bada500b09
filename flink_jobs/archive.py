"""How does the order log outlive Kafka's retention?

Reads the order log (Kafka) from the edge of its archive to its present end. Writes HDFS
`order_archive/{topic}/run={run}/ingest_day={YYYY-MM-DD}/ingest_hour={HH}/` (Parquet): every record, byte by byte, with
its partition, offset and ingest time. Then an independent reader counts the files, and the edge moves behind them
by one check-and-put (flink_jobs/archive_edge.py): from then on they are read, and nothing of them is written again.

Batch only, one segment a run, on the batch cluster. A run that dies leaves files that the edge does not name, so nobody
reads them; the next one removes them and begins at the same edge. Of two at once one is refused by a lease.

    flink run -pym flink_jobs.archive -pyfs dist/udfs.zip -- --topic orders
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping

import click
from pyflink.table import StatementSet

from flink_jobs import archive_edge, flink_rest, job, lease, order_log, runs, stores
from flink_jobs.archive_edge import Archive, Segment
from flink_jobs.archive_reader import Counted, count_files
from flink_jobs.errors import UserError
from flink_jobs.log_reader import LogReader, Span, open_log
from flink_jobs.session import Session
from flink_jobs.settings import Settings
from flink_jobs.sql_files import SqlFiles, rule_values


def build(session: Session) -> StatementSet:
    """From the log to the files, as one job."""
    session.run("schema/orders", "bind/orders_kafka", "bind/hdfs/archive_sink")
    return session.inserts(("bind/hdfs/write_archive",))


def values(settings: Settings, topic: str, spans: Mapping[int, Span], run_id: str) -> dict[str, str]:
    """What `${name}` stands for in the archive's SQL."""
    return {
        "bootstrap": settings.kafka.bootstrap,
        "topic": topic,
        "run_id": run_id,
        "start_offsets": job.offsets_text({partition: span.start for partition, span in spans.items()}),
        "scan_end": job.scan_end({partition: span.end for partition, span in spans.items()}),
        "archive_folder": settings.hdfs.uri + stores.archive_folder(settings, topic),
    }


def remove_left(settings: Settings, archive: Archive) -> None:
    """End and remove what archivers of the topic that died have left. Whoever calls it has claimed the edge.

    Raises `UserError`, and removes nothing, if another one has claimed it since: what is there may be that one's. What
    comes after this last look is not touched, for it is not among what was listed before it.
    """
    kept = {f"run={segment.run_id}" for segment in archive.segments}
    folder = stores.archive_folder(settings, archive.topic)
    with stores.hbase(settings) as connection, stores.hdfs(settings) as files:
        living = []
        for flink_job in flink_rest.living_jobs(settings, "batch"):
            run = runs.find(connection, flink_job["name"])
            if run is not None and (run.job, run.topic) == (runs.ARCHIVE, archive.topic):
                living.append(flink_job["jid"])
        # Beside the segments there are Flink's `.staging_…` folders of jobs that did not end well.
        there = files.ls(folder, detail=False) if files.exists(folder) else []
        if archive_edge.read_archive(connection, archive.topic).value != archive.value:
            raise UserError(f"another archiver of topic {archive.topic} is at work; wait until that has ended")
        for flink_id in living:
            flink_rest.cancel(settings, "batch", flink_id)
        for name in there:
            if posixpath.basename(name) not in kept:
                files.rm(name, recursive=True)


def refuse_unless_whole(log: LogReader, run_id: str, counted: Counted) -> None:
    """Raise `UserError` if the log has a record that the run's files have not.

    Offsets at which the log itself has none (compacted away, marks of transactions) are no loss; offsets that retention
    took while the run was at work are.
    """
    held = log.reach()
    for partition, missing in counted.missing.items():
        if missing[0] < held[partition].start:
            raise UserError(
                f"topic {log.topic} partition {partition}: retention removed offset {missing[0]} while run {run_id} "
                "was at work; run `samewater archive` again, it will say what is lost"
            )
        there = {record.offset for record in log.records({partition: Span(missing[0], missing[-1] + 1)})}
        lost = sorted(there.intersection(missing))
        if lost:
            raise UserError(
                f"run {run_id} has not written {len(lost):,} records of topic {log.topic} partition {partition} (the "
                f"first at offset {lost[0]}), so the edge stays; run `samewater archive` again"
            )


def write_segment(
    settings: Settings, held: lease.Held, archive: Archive, spans: Mapping[int, Span], parallelism: int | None
) -> Segment:
    """Write the records between these offsets to HDFS under a run of its own, count them there, and move the edge.

    Raises `UserError`, and leaves the edge, if not each of them is there once, or if somebody else has moved it.
    """
    topic = archive.topic
    run = runs.Run(
        run_id=runs.new_run_id(settings, runs.ARCHIVE, "batch"),
        job=runs.ARCHIVE,
        mode="batch",
        logic="",
        settings=json.loads(settings.time.model_dump_json()),
        topic=topic,
        topic_id=archive.topic_id,
        start_offsets={str(partition): span.start for partition, span in spans.items()},
        end_offsets={str(partition): span.end for partition, span in spans.items()},
        submitted_at=runs.now_iso(settings),
        submitted_by=runs.submitter(),
    )
    rules = rule_values(settings, job.rules_of(settings))
    files = SqlFiles(settings, "batch", rules, values(settings, topic, spans, run.run_id))
    options = job.flink_options(settings, run, parallelism) | job.BATCH
    session = Session(files, options)
    statements = build(session)
    run = job.register(settings, job.Prepared(files, options, run))
    with job.attempt(settings, run.run_id) as started:
        if any(span.start < span.end for span in spans.values()):  # else there is a gap to be noted, and no record
            result = statements.execute()
            started(str(result.get_job_client().get_job_id()))
            result.wait()
        with stores.hdfs(settings) as written:
            counted = count_files(written, settings, topic, run.run_id, spans)
        with open_log(settings, topic) as log:
            refuse_unless_whole(log, run.run_id, counted)
        if held.lost:
            raise UserError(f"another archiver of topic {topic} is at work, for run {run.run_id} was not seen alive")
        archive.of_log(order_log.topic_id(settings, topic))
        at, who = runs.now_iso(settings), runs.submitter()
        segment = Segment(run_id=run.run_id, spans=spans, newest=counted.newest, hours=counted.hours, at=at, who=who)
        with stores.hbase(settings) as connection:
            archive_edge.move_edge(connection, archive, segment)
        job.note(settings, run.run_id, "finished")
    return segment


@click.command()
@click.option("--conf", type=click.Path(dir_okay=False), help="Settings file; default conf/samewater.toml.")
@click.option("--topic", help="Topic of the orders; default from the settings.")
@click.option("--accept-gap", is_flag=True, help="Go on behind records that retention has removed.")
@click.option("--parallelism", type=click.IntRange(min=1), help="Default: that of the cluster's settings.")
def main(conf: str | None, topic: str | None, accept_gap: bool, parallelism: int | None) -> None:
    """Archive the order log up to its present end."""
    settings = Settings.load(conf)
    topic = topic or settings.kafka.topic
    with lease.held(settings, archive_edge.thing(topic)) as held:
        with stores.hbase(settings) as connection:
            archive = archive_edge.read_archive(connection, topic).of_log(order_log.topic_id(settings, topic))
        with open_log(settings, topic) as log:
            spans = archive_edge.next_spans(archive, log.reach(), accept_gap)
        if not archive_edge.is_news(archive, spans):
            raise UserError(f"topic {topic} is archived up to its end; there is nothing to do")
        with stores.hbase(settings) as connection:
            archive = archive_edge.claim(connection, archive)
        remove_left(settings, archive)
        segment = write_segment(settings, held, archive, spans, parallelism)
    click.echo(f"run {segment.run_id}")


if __name__ == "__main__":
    job.main(main)
