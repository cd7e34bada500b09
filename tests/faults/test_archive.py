"""Archivers that die, that race, and that come too late: what the archive holds is whole, and what it lacks is said."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from flink_jobs import datagen, job, order_log
from flink_jobs.errors import UserError
from flink_jobs.log_reader import Span
from flink_jobs.order_log import HEARTBEAT, Record
from tests.archive_story import archive_of, check_held, folders_of, health_of
from tests.local import Local, changed_code, forget

FIRST = dt.date(2025, 9, 15)
TOPIC, GAPPY = "dying", "gappy"
DIE = "import os; os._exit(9)"
AT_WORK = ("            result.wait()\n", f"            {DIE}\n")
COUNTED = ("            archive_edge.move_edge(connection, archive, segment)\n", f"            {DIE}\n")


def test_archivers_that_die_leave_the_edge_and_the_next_one_removes_what_they_left(
    local: Local, tmp_path_factory: pytest.TempPathFactory
):
    settings = local.settings
    spec = datagen.Spec.by(settings, seed=15, first=FIRST, last=FIRST, orders=300)
    records = sorted(datagen.Plan(spec).records(), key=lambda record: record.ingest_time)
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    order_log.produce(settings, TOPIC, records[: len(records) // 2])
    local.samewater("archive", "--topic", TOPIC)
    first = archive_of(local, TOPIC).edge
    order_log.produce(settings, TOPIC, records[len(records) // 2 :])
    for death in (AT_WORK, COUNTED):
        dying = changed_code(tmp_path_factory.mktemp("dying"), {"flink_jobs/archive.py": [death]})
        local.samewater("archive", "--topic", TOPIC, code=2, root=dying)
        assert archive_of(local, TOPIC).edge == first
    left = folders_of(local, TOPIC)
    local.samewater("archive", "--topic", TOPIC)
    archive = archive_of(local, TOPIC)
    assert all(archive.edge[partition] > edge for partition, edge in first.items())
    kept = sorted(f"run={segment.run_id}" for segment in archive.segments)
    assert len(kept) == 2 and folders_of(local, TOPIC) == kept
    assert set(left) - set(kept), "the dead left nothing that the next one had to remove"
    assert len(check_held(local, archive, records)) > len(records) // 2


def test_of_two_archivers_at_once_one_does_the_work_and_a_gap_is_accepted_by_word_only(local: Local):
    settings = local.settings
    order_log.create_topic(settings, GAPPY, 2)
    start = settings.time.day_start(FIRST)

    def send(first: int, last: int) -> None:
        order_log.produce(
            settings, GAPPY, (Record(n % 2, start + n * 60_000, HEARTBEAT) for n in range(2 * first, 2 * last))
        )

    send(0, 60)
    with ThreadPoolExecutor() as both:
        ends = [both.submit(local.samewater, "archive", "--topic", GAPPY, code=None) for _ in range(2)]
        said = [end.result() for end in ends]
    # The second one comes while the first is at work, or when it has done all.
    assert any(f"order_archive|{GAPPY} is being made by" in text or "nothing to do" in text for text in said), said
    assert archive_of(local, GAPPY).edge == {0: 60, 1: 60}
    assert "nothing to do" in local.samewater("archive", "--topic", GAPPY)

    send(60, 2_000)
    forget(local.settings, GAPPY, {0: 100, 1: 60})
    refused = local.samewater("archive", "--topic", GAPPY, code=2)
    assert "partition 0: retention removed offsets 60 to 99" in refused and len(refused.strip().splitlines()) == 1
    assert "removed 40 offsets" in local.samewater("archive", "--topic", GAPPY, "--status")
    found = health_of(local, GAPPY)
    assert found["lost"] == {0: 40, 1: 0} and found["alerts"] == ["ArchiveBehind", "ArchiveLostRecords"]
    local.samewater("archive", "--topic", GAPPY, "--accept-gap")
    assert health_of(local, GAPPY) == {"behind": [0], "lost": {0: 0, 1: 0}, "alerts": []}
    assert archive_of(local, GAPPY).gaps() == {0: [Span(60, 100)]}
    assert "gap: partition 0 offsets 60 to 99" in local.samewater("archive", "--topic", GAPPY, "--status")
    forget(local.settings, GAPPY, {0: 1_500, 1: 1_500})
    touched = job.Request("daily_report", "batch", GAPPY, FIRST, FIRST)
    with pytest.raises(UserError, match="offsets 60 to 99, of which the range may need some"):
        job.find_range(settings, touched)
    assert "offsets 60 to 99" in local.samewater("reconcile", "--from", str(FIRST), "--topic", GAPPY, code=2)

    # Made again, and longer than what is archived of the other log: it is no continuation.
    order_log.delete_topic(settings, GAPPY)
    order_log.create_topic(settings, GAPPY, 2)
    send(0, 3_000)
    for command in ((), ("--accept-gap",), ("--status",)):
        refused = local.samewater("archive", "--topic", GAPPY, *command, code=2)
        assert "was deleted and made again since it was archived" in refused
