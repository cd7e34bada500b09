"""Does the reader give exactly the records of a range, whatever their order in the log, and refuse a log with a gap?"""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from flink_jobs import log_reader
from flink_jobs.errors import UserError
from flink_jobs.log_reader import PROBED, SLACK_MS, Begin, LogReader, Span, begin_of, reached
from flink_jobs.order_log import HEARTBEAT
from flink_jobs.settings import HOUR_MS, MINUTE_MS

NOON = 1_762_833_600_000


class Message:
    """A message, or the end of its partition."""

    def __init__(self, partition: int, offset: int, at: int | None, beats: bool = False) -> None:
        self._place = (partition, offset)
        self._at = at
        self._beats = beats

    def error(self) -> KafkaError | None:
        return KafkaError(KafkaError._PARTITION_EOF) if self._at is None else None

    def partition(self) -> int:
        return self._place[0]

    def offset(self) -> int:
        return self._place[1]

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at or 0

    def value(self) -> bytes:
        return HEARTBEAT if self._beats else b"%d/%d" % self._place


class Broker:
    """A consumer over one topic: partition -> offset -> ingest time. `first`: offsets deleted by retention.

    `beats`: its records are heartbeats. `waits`: how often it was asked for more than it holds, on which a real one
    waits for its time to run out.
    """

    def __init__(
        self, log: dict[int, dict[int, int]], first: int = 0, silent: bool = False, beats: bool = False
    ) -> None:
        self.log = log
        self.first = first
        self.silent = silent
        self.beats = beats
        self.waits = 0
        self.queue: list[Message] = []
        self.assigned: set[int] = set()

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return self.first, max(self.log[place.partition], default=self.first - 1) + 1

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        def first_at(place: TopicPartition) -> int:
            return min((o for o, at in self.log[place.partition].items() if at >= place.offset), default=-1)

        return [TopicPartition(place.topic, place.partition, first_at(place)) for place in places]

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.assigned, self.queue = {place.partition for place in places}, []
        for place in places:
            records = [(o, at) for o, at in sorted(self.log[place.partition].items()) if o >= place.offset]
            self.queue += [Message(place.partition, *record, self.beats) for record in records]
            self.queue.append(Message(place.partition, 10**6, None))

    def incremental_unassign(self, places: list[TopicPartition]) -> None:
        self.assigned -= {place.partition for place in places}

    def unassign(self) -> None:
        self.assigned = set()

    def consume(self, number: int, timeout: float) -> list[Message]:
        self.waits += number > len(self.queue)
        most = 0 if self.silent else min(number, 3)
        found, self.queue = self.queue[:most], self.queue[most:]
        return found


def reader(broker: Broker) -> LogReader:
    consumer: Any = broker
    return LogReader(consumer, "kafka:9092", "orders", sorted(broker.log))


def offsets(broker: Broker, start: int, end: int) -> list[tuple[int, int]]:
    found = [(record.partition, record.offset) for record in reader(broker).read(start, end)]
    assert broker.assigned == set()
    return sorted(found)


def test_the_start_belongs_to_the_range_and_the_end_does_not() -> None:
    broker = Broker({0: {0: NOON - 1, 1: NOON, 2: NOON + 9, 3: NOON + 10}})
    assert offsets(broker, NOON, NOON + 10) == [(0, 1), (0, 2)]


def test_records_out_of_order_are_found_up_to_the_slack() -> None:
    behind = [NOON + SLACK_MS + 10] * PROBED
    times = [NOON + 5, NOON + SLACK_MS, NOON + 4, NOON - 1, *behind, NOON + 3, *behind]
    broker = Broker({0: dict(enumerate(times))})
    assert offsets(broker, NOON, NOON + 10) == [(0, 0), (0, 2)]


def days_of(minutes: int, apart: int = 1) -> dict[int, int]:
    """A log that has a record every so many minutes from NOON on."""
    return {n: NOON + n * apart * MINUTE_MS for n in range(minutes)}


WRONG_CLOCKS = {
    "one, 9 h ahead": {360: NOON + 15 * HOUR_MS},
    "one, 27 years ahead": {360: NOON + 27 * 365 * 24 * HOUR_MS},
    "fifty side by side": dict.fromkeys(range(300, 300 + PROBED // 2), NOON + 40 * HOUR_MS),
    "one at the very beginning": {0: NOON + 30 * HOUR_MS},
    "one right before the range ends": {719: NOON + 30 * HOUR_MS},
    "one at the log's end": {2999: NOON + 90 * 24 * HOUR_MS},
    "two, one behind the other": {200: NOON + 20 * HOUR_MS, 500: NOON + 33 * HOUR_MS},
}


@pytest.mark.parametrize("wrong", WRONG_CLOCKS.values(), ids=WRONG_CLOCKS)
def test_a_range_does_not_end_at_a_record_whose_clock_is_ahead(wrong: dict[int, int]) -> None:
    broker = Broker({0: days_of(3000) | wrong, 1: days_of(3000)})
    want = [n for n in range(720) if n not in wrong]
    assert [o for p, o in offsets(broker, NOON, NOON + 12 * HOUR_MS) if p == 0 and o not in wrong] == want
    assert reader(broker).spans(NOON, NOON + 12 * HOUR_MS)[0].end <= 720 + 60 + PROBED


@pytest.mark.parametrize("at", range(80, 140, 7))
def test_a_wrong_clock_near_the_end_of_a_range_costs_no_record_of_a_log_that_has_few(at: int) -> None:
    hour = Broker({0: days_of(400, apart=60) | {at: NOON + 1000 * HOUR_MS}})
    found = [o for _, o in offsets(hour, NOON, NOON + 130 * HOUR_MS)]
    assert found == [n for n in range(130) if n != at]


def test_a_record_with_its_clock_ahead_is_found_where_its_time_belongs() -> None:
    broker = Broker({0: days_of(3000) | {360: NOON + 30 * HOUR_MS + 7}})
    found = [o for _, o in offsets(broker, NOON + 30 * HOUR_MS, NOON + 31 * HOUR_MS)]
    assert found == [360, *range(1800, 1860)]


@pytest.mark.parametrize("holes", [range(761, 2000), range(820, 3000)], ids=["in the middle", "to the end"])
def test_what_has_no_record_says_nothing_of_time(holes: range) -> None:
    log = {n: at for n, at in (days_of(3000) | {360: NOON + 15 * HOUR_MS}).items() if n not in holes}
    found = [o for _, o in offsets(Broker({0: log}), NOON, NOON + 12 * HOUR_MS)]
    assert found == [n for n in range(720) if n != 360]


def test_a_place_is_not_judged_by_the_one_record_that_a_hole_leaves() -> None:
    """A wrong clock, and behind it an aborted transaction."""
    log = {n: at for n, at in (days_of(3000) | {360: NOON + 15 * HOUR_MS}).items() if not 361 <= n < 462}
    found = [o for _, o in offsets(Broker({0: log}), NOON, NOON + 12 * HOUR_MS)]
    assert found == [n for n in range(720) if n in log and n != 360]


def test_a_clock_that_is_wrong_for_ever_is_not_where_each_later_range_begins() -> None:
    broker = Broker({0: days_of(3000) | {5: NOON + 27 * 365 * 24 * HOUR_MS}})
    (span,) = reader(broker).spans(NOON + 40 * HOUR_MS, NOON + 41 * HOUR_MS).values()
    assert 2400 - 60 - PROBED <= span.start <= 2400
    assert [o for _, o in offsets(broker, NOON + 40 * HOUR_MS, NOON + 41 * HOUR_MS)] == list(range(2400, 2460))


def test_a_cut_partition_that_begins_with_a_wrong_clock_is_cut_all_the_same() -> None:
    log = {n: NOON + n * MINUTE_MS for n in range(1000, 1200)} | {1000: NOON // 1000}
    with pytest.raises(UserError, match="begins at offset 1000"):
        offsets(Broker({0: log}, first=1000), NOON + 900 * MINUTE_MS, NOON + 1100 * MINUTE_MS)
    found = offsets(Broker({0: log}, first=1000), NOON + 1010 * MINUTE_MS, NOON + 1012 * MINUTE_MS)
    assert found == [(0, 1010), (0, 1011)]


def test_a_log_is_whole_from_where_the_partition_begins_that_has_lost_most() -> None:
    whole = Broker({0: {0: NOON + 7}, 1: {0: NOON + 9}, 2: {}})
    assert reader(whole).begins() == Begin(NOON + 7, NOON + 7)
    cut = begin_of({0: NOON, 1: NOON + 50, 2: NOON + 20}, {0: 5, 1: 9, 2: 3})
    assert cut == Begin(NOON, NOON + 50)
    assert begin_of({0: NOON, 1: NOON + 50}, {0: 5, 1: 0}) == Begin(NOON, NOON)  # one that was added later
    assert begin_of({}, {}) is None


def test_the_oracle_reads_on_until_a_day_of_heartbeats_has_shown_that_nothing_more_comes() -> None:
    late = {n + 3000: at for n, at in days_of(3).items()}
    log = {0: days_of(3000) | {360: NOON + 15 * HOUR_MS, 2100: NOON + 1} | late}
    broker = Broker(log, beats=True)
    log_reader_ = reader(broker)
    found = [(r.partition, r.offset) for r in log_reader_.read_on(NOON, NOON + 12 * HOUR_MS)]
    # That at 2100 stands a day behind; those at the end stand behind a day of heartbeats.
    assert found == [(0, n) for n in range(720) if n != 360] + [(0, 2100)]
    assert len(broker.queue) > 500 and broker.assigned == set()


def test_all_partitions_are_read_to_their_ends() -> None:
    broker = Broker({0: {}, 1: dict.fromkeys(range(5), NOON), 2: dict.fromkeys(range(2), NOON)})
    assert offsets(broker, NOON, NOON + 1) == [(1, n) for n in range(5)] + [(2, 0), (2, 1)]


def test_no_more_is_asked_for_than_there_is_for_that_would_be_waited_for() -> None:
    broker = Broker({0: dict.fromkeys(range(7), NOON), 1: dict.fromkeys(range(2), NOON)})
    assert len(offsets(broker, NOON, NOON + 1)) == 9
    assert broker.waits == 0


def test_gaps_in_the_offsets_do_not_hold_the_reader_up() -> None:
    behind = dict.fromkeys(range(9, 50), NOON + SLACK_MS + 1)
    broker = Broker({0: {0: NOON, 4: NOON, **behind}})
    assert offsets(broker, NOON, NOON + 1) == [(0, 0), (0, 4)]
    assert len(broker.queue) > 30  # it did not read on to the end of the log


def test_a_reader_that_is_left_early_gives_its_partitions_back() -> None:
    broker = Broker({0: dict.fromkeys(range(50), NOON)})
    records = reader(broker).read(NOON, NOON + 1)
    next(records)
    records.close()  # type: ignore[attr-defined]
    assert broker.assigned == set()


def test_how_far_ingest_time_runs_back_is_noted_by_partition() -> None:
    broker = Broker({0: {0: NOON + 100, 1: NOON + 30, 2: NOON + 200, 3: NOON + 150}, 1: {0: NOON, 1: NOON + 1}})
    log = reader(broker)
    assert len(list(log.read(NOON, NOON + 1000))) == 6
    assert log.disorder == {0: 70, 1: 0}


def test_a_log_that_begins_at_offset_0_misses_nothing_before_it() -> None:
    assert offsets(Broker({0: {0: NOON}}), NOON - 10**9, NOON + 1) == [(0, 0)]


def test_a_range_that_retention_may_have_cut_is_refused() -> None:
    broker = Broker({0: {17: NOON, 18: NOON + 5}}, first=17)
    with pytest.raises(UserError, match="partition 0 begins at offset 17"):
        offsets(broker, NOON - 1, NOON + 10)
    assert offsets(broker, NOON + 1, NOON + 10) == [(0, 18)]


def test_a_partition_that_retention_has_emptied_is_refused() -> None:
    with pytest.raises(UserError, match="deleted by retention"):
        offsets(Broker({0: {}}, first=17), NOON, NOON + 10)


def test_a_broker_that_falls_silent_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "STALL_S", 2)
    with pytest.raises(UserError, match="sends no further records of topic orders since 2 s"):
        offsets(Broker({0: {0: NOON}}, silent=True), NOON, NOON + 1)


def test_all_of_a_topic_is_within_its_reach() -> None:
    assert reader(Broker({0: {3: NOON, 4: NOON}, 1: {}}, first=3)).reach() == {0: Span(3, 5), 1: Span(3, 3)}


def test_the_log_is_complete_up_to_its_slowest_partition_less_lateness_and_skew() -> None:
    assert reached({0: NOON, 1: NOON + 10**6}, 300_000, 30_000) == NOON - 330_000


def test_a_log_with_an_empty_partition_or_none_at_all_is_complete_up_to_nothing() -> None:
    assert reached({0: NOON, 1: None}, 300_000, 30_000) is None
    assert reached({}, 300_000, 30_000) is None
