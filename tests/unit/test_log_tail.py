"""Does a new worker read the end of the log, all of it and without waiting for what is not there?"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from tests.unit.test_log_reader import NOON, Broker, Message
from udfs import log_tail

UNTIL = NOON + 1_000_000


class Client(Broker):
    """`Broker` as log_tail asks it."""

    def list_topics(self, topic: str, timeout: float) -> SimpleNamespace:
        return SimpleNamespace(topics={topic: SimpleNamespace(partitions=dict.fromkeys(self.log))})

    def assign(self, places: list[TopicPartition]) -> None:
        self.incremental_assign(places)

    def poll(self, timeout: float) -> Message | None:
        return None if self.silent or not self.queue else self.queue.pop(0)

    def close(self) -> None:
        self.closed = True


def places(monkeypatch: pytest.MonkeyPatch, client: Client, span_ms: int, at_ms: int = UNTIL) -> list[tuple[int, int]]:
    monkeypatch.setattr(log_tail, "Consumer", lambda options: client)
    read = log_tail.read_tail("kafka:9092", "orders", span_ms, UNTIL, at_ms)
    found = [(partition, offset) for partition, offset, _, _ in read]
    assert client.closed
    return found


def test_every_partition_is_read_from_the_span_before_the_end_of_the_one_furthest_behind_without_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A partition that is stalled holds minutes open of which the others have long brought all orders."""
    behind = {4: NOON - 9, 5: NOON + 4}
    client = Client({0: {offset: NOON + offset for offset in range(9)}, 1: {}, 2: behind})
    assert places(monkeypatch, client, 1) == [*((0, offset) for offset in range(3, 9)), (2, 5)]
    assert client.waits == 0


def test_of_a_worker_that_goes_on_far_behind_the_log_is_read_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each partition, and past records whose clocks are ahead; an hour later nobody looks further."""
    monkeypatch.setattr(log_tail, "AT_LEAST", 5)
    log = {offset: NOON + offset for offset in range(100)}
    client = Client({0: log | {31: UNTIL, 33: NOON + 90}, 1: {7: NOON + 28, 8: NOON + 99}})
    read = places(monkeypatch, client, 10, NOON + 30)
    assert read == [*((0, offset) for offset in range(20, 40) if offset not in (31, 33)), (1, 7)]
    assert client.waits == 0


def test_of_a_worker_that_goes_on_far_behind_no_more_is_read_than_near_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came before its place first. A clock that was ahead may be taken for that place; no more is read then."""
    monkeypatch.setattr(log_tail, "AT_LEAST", 5)
    monkeypatch.setattr(log_tail, "MOST", 20)
    log = {offset: NOON + offset for offset in range(1_000)}
    for clock, first in (({}, 490), ({400: NOON + 560}, 401)):
        read = places(monkeypatch, Client({0: log | clock}), 50, NOON + 500)
        assert read == [(0, offset) for offset in range(first, first + 20)]


@pytest.mark.parametrize("at", [85, 89, 95])
def test_a_worker_that_goes_on_near_the_end_reads_to_the_end(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    client = Client({0: {offset: NOON + offset for offset in range(100)}})
    first = min(at, 99) - 15
    assert places(monkeypatch, client, 15, NOON + at) == [(0, offset) for offset in range(first, 100)]


def test_no_more_than_the_newest_records_of_a_partition_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "MOST", 3)
    client = Client({0: {offset: NOON + offset for offset in range(9)}, 1: {7: NOON}})
    assert places(monkeypatch, client, 60_000) == [(0, 6), (0, 7), (0, 8), (1, 7)]


def test_offsets_that_are_no_records_at_the_end_do_not_hide_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client({0: {3: NOON, 4: NOON + 1}})
    client.get_watermark_offsets = lambda place, timeout: (3, 17)  # type: ignore[method-assign]
    assert places(monkeypatch, client, 5) == [(0, 3), (0, 4)]


def test_a_broker_that_falls_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tail, "SECONDS", 2)
    with pytest.raises(KafkaException, match="no record of orders since 2 s") as raised:
        places(monkeypatch, Client({0: {0: NOON}}, silent=True), 5)
    assert raised.value.args[0].code() == KafkaError._TIMED_OUT


def test_a_wrong_clock_at_the_end_is_no_end_and_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {offset: NOON + offset for offset in range(40)}
    client = Client({0: {**records, **dict.fromkeys(range(40, 60), UNTIL)}, 1: {3: UNTIL}})
    assert places(monkeypatch, client, 2) == [(0, 37), (0, 38), (0, 39)]
    found = log_tail.newest("kafka:9092", "orders", [0, 1], UNTIL)
    assert found == {0: NOON + 39, 1: None}


def test_a_burst_of_clocks_in_seconds_at_the_end_is_no_end_either(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {offset: NOON + offset for offset in range(40)} | dict.fromkeys(range(40, 1_500), NOON // 1000)
    client = Client({0: records})
    assert places(monkeypatch, client, 2) == [(0, 37), (0, 38), (0, 39)]
    assert log_tail.newest("kafka:9092", "orders", [0], UNTIL) == {0: NOON + 39}
