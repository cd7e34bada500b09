"""What does the log say of offsets that a job did not see, and where does a savepoint go on in it?

Asked of a real Kafka, and of savepoints of real runs.
"""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer

from flink_jobs import losses, order_log, runs, state_offsets
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from tests.faults.kept_run import FOLDER
from tests.local import forget
from udfs.log_check import LogCheck

RECORDS = 30


def filled(settings: Settings, topic: str, records: int = RECORDS) -> LogCheck:
    order_log.create_topic(settings, topic, 2)
    sent = [order_log.Record(number % 2, 1_000 + number, b"{}") for number in range(2 * records)]
    order_log.produce(settings, topic, sent)
    return LogCheck(settings.kafka.bootstrap, topic)


def test_the_log_explains_no_hole_where_it_has_records_or_has_lost_them(kafka: Settings):
    check = filled(kafka, "holes")
    whole = [(3, 5), (7, 20)]
    assert check.unexplained(0, whole) == {(3, 5): [(3, 5)], (7, 20): [(7, 20)]}
    forget(kafka, "holes", {0: 10, 1: 0})
    assert check.unexplained(0, [(3, 5), (7, 20), (10, 12)]) == {
        (3, 5): [(3, 5)],
        (7, 20): [(7, 10), (10, 20)],
        (10, 12): [(10, 12)],
    }
    assert check.unexplained(1, whole) == {(3, 5): [(3, 5)], (7, 20): [(7, 20)]}
    assert check.unexplained(0, []) == {}


def test_the_log_explains_the_marks_of_transactions(kafka: Settings):
    topic = "transactions"
    check = filled(kafka, topic, 5)
    producer = Producer({"bootstrap.servers": kafka.kafka.bootstrap, "transactional.id": "shop"})
    producer.init_transactions()
    for _ in range(3):
        producer.begin_transaction()
        producer.produce(topic, b"{}", partition=0)
        producer.commit_transaction()
    # 5 records, then record and mark by turns: 5 6m 7 8m 9 10m
    holes = [(6, 7), (8, 9), (4, 5), (5, 7), (10, 11)]
    assert check.unexplained(0, holes) == {(4, 5): [(4, 5)], (5, 7): [(5, 7)], (6, 7): [], (8, 9): [], (10, 11): []}


def test_a_topic_that_is_made_again_has_another_id(kafka: Settings):
    check = filled(kafka, "again", 1)
    first = check.topic_id()
    assert first == order_log.topic_id(kafka, "again")
    order_log.delete_topic(kafka, "again")
    assert check.topic_id() is None
    filled(kafka, "again", 1)
    second = check.topic_id()
    assert second == order_log.topic_id(kafka, "again") != first


@pytest.mark.parametrize("name", ["one-entry-for-each-order", "packs-2"])
def test_a_savepoint_goes_on_behind_what_the_run_had_read(kafka: Settings, tmp_path: Path, name: str):
    with zipfile.ZipFile(FOLDER / f"{name}.zip") as kept:
        kept.extractall(tmp_path)
    row, log = (json.loads((tmp_path / file).read_text()) for file in ("run.json", "log.json"))
    read = Counter(partition for partition, *_ in log[: row["sent"]])
    assert len(read) > 1
    assert state_offsets.offsets_in(f"file://{tmp_path}/savepoint", row["topic"]) == read
    assert state_offsets.offsets_in(f"file://{tmp_path}/savepoint", "another") == {}


def run_of(settings: Settings, topic: str) -> runs.Run:
    return runs.Run(
        run_id="r", job="daily_report", mode="streaming", logic="l", topic=topic,
        topic_id=order_log.topic_id(settings, topic),
    )  # fmt: skip


def test_what_a_state_goes_on_with_is_held_against_the_log(kafka: Settings):
    topic = "begun"
    filled(kafka, topic)
    run = run_of(kafka, topic)
    assert state_offsets.lost(kafka, run, {0: 12, 1: RECORDS}) == []
    forget(kafka, topic, {0: 15, 1: RECORDS})
    found = state_offsets.lost(kafka, run, {0: 12, 1: RECORDS})
    assert [gap[:3] for gap in found] == [(0, 12, 15)]
    assert losses.told(found) == "partition 0: offsets 12 to 14 (3)"
    with pytest.raises(UserError, match=f"ends at offset {RECORDS}, and run r has read up to {RECORDS + 1}"):
        state_offsets.lost(kafka, run, {1: RECORDS + 1})
    order_log.delete_topic(kafka, topic)
    filled(kafka, topic)
    with pytest.raises(UserError, match="was deleted and made again"):
        state_offsets.lost(kafka, run, {0: 12})
