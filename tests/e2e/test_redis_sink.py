"""The guard of the minutes in Redis: a replay cannot take counts back, and lost data heals."""

from __future__ import annotations

import pytest

from flink_jobs import stores
from tests.local import Local
from udfs.redis_sink import RedisSink, RedisTarget

DAY, MINUTE = "2025-11-11", 1762790400000


@pytest.fixture
def sink(local: Local, request: pytest.FixtureRequest) -> RedisSink:
    redis = local.settings.redis
    target = RedisTarget(redis.host, redis.port, redis.db, redis.prefix, request.node.name, 8 * 3_600_000)
    return RedisSink(target, redis.changes_kept)


def shown(local: Local, run: str) -> tuple[dict, dict]:
    client = stores.redis(local.settings)
    return stores.read_minutes(client, local.settings, run, DAY), stores.read_day_totals(
        client, local.settings, run, DAY
    )


def test_a_replay_from_a_checkpoint_never_takes_counts_back(local: Local, sink: RedisSink):
    for orders, cents in ((1, 100), (2, 350), (3, 340), (1, 100), (2, 350)):
        sink.put_minutes(False, [MINUTE], ["110000"], [orders], [cents])
    minutes, days = shown(local, sink.target.run_id)
    assert minutes == {"00:00|110000": {"final": "0", "orders": "3", "cents": "340"}}
    assert days == {"110000": {"orders": "3", "cents": "340"}}


def test_the_final_figure_beats_the_provisional_one_and_is_not_beaten(local: Local, sink: RedisSink):
    sink.put_minutes(False, [MINUTE], ["110000"], [3], [340])
    sink.put_minutes(True, [MINUTE], ["110000"], [2], [-25])
    sink.put_minutes(False, [MINUTE], ["110000"], [9], [900])
    minutes, days = shown(local, sink.target.run_id)
    assert minutes == {"00:00|110000": {"final": "1", "orders": "2", "cents": "-25"}}
    assert days == {"110000": {"orders": "2", "cents": "-25"}}


def test_an_equal_figure_is_written_again_so_that_lost_data_heals(local: Local, sink: RedisSink):
    sink.put_minutes(True, [MINUTE, MINUTE + 60_000], ["ALL", "ALL"], [2, 5], [200, 500])
    client = stores.redis(local.settings)
    client.delete(f"{local.settings.redis.prefix}:{sink.target.run_id}:minutes:{DAY}")
    client.delete(f"{local.settings.redis.prefix}:{sink.target.run_id}:days")
    sink.put_minutes(True, [MINUTE, MINUTE + 60_000], ["ALL", "ALL"], [2, 5], [200, 500])
    minutes, days = shown(local, sink.target.run_id)
    assert len(minutes) == 2 and days == {"ALL": {"orders": "7", "cents": "700"}}


def test_amounts_beyond_32_bits_stay_exact(local: Local, sink: RedisSink):
    sink.put_minutes(True, [MINUTE], ["ALL"], [3], [9_007_199_254_740_991])
    minutes, days = shown(local, sink.target.run_id)
    assert minutes["00:00|ALL"]["cents"] == days["ALL"]["cents"] == "9007199254740991"


def test_progress_never_goes_back(local: Local, sink: RedisSink):
    for until in (MINUTE, MINUTE + 120_000, MINUTE + 60_000):
        sink.put_progress(until)
    assert stores.read_final_until(stores.redis(local.settings), local.settings, sink.target.run_id) == MINUTE + 120_000
