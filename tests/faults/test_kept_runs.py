"""Runs of earlier releases, kept as files, go on by this one: from their own savepoint, with their own functions."""

from __future__ import annotations

import pytest

from flink_jobs import order_log, stores
from flink_jobs.checks import minute_table
from flink_jobs.truth import read_truth, rules_of
from tests.bench.place import DAY
from tests.faults import kept_run
from tests.local import Local, is_final, wait_until

RELEASES = {
    "one-entry-for-each-order": "the first core, with one state entry and one timer for each order",
    "packs-1": "packs in state, docs/core.md",
    "packs-2": "the same packs, compressed",
    "reading-and-clocks": "what was read of the log side by side in the state, and records with wrong clocks counted",
    "packs-by-planes": "many records of a pack by columns and bytes",
}


def test_each_kept_run_is_tested():
    assert {file.stem for file in kept_run.FOLDER.iterdir()} == RELEASES.keys()


def truth_of(local: Local) -> stores.Table:
    """The minutes of the log as it stands, by the oracle."""
    rules = rules_of(local.settings)
    return minute_table(read_truth(local.settings, rules, kept_run.TOPIC, str(DAY), str(DAY)).days[str(DAY)])


@pytest.mark.parametrize("name", RELEASES)
def test_a_run_of_an_earlier_release_goes_on_from_its_savepoint(local: Local, name: str):
    settings, topic = local.settings, kept_run.TOPIC
    kept = kept_run.give(settings, name)
    order_log.create_topic(settings, topic, settings.kafka.partitions)
    try:
        order_log.produce(settings, topic, kept.records[: kept.sent])
        early = truth_of(local)
        said = local.samewater("resume", kept.run.run_id)
        assert "goes on from" in said and "savepoint-kept" in said
        order_log.produce(settings, topic, kept.records[kept.sent :])
        wait_until(lambda: is_final(local, kept.run.run_id, DAY), "the last final minute")
        truth = truth_of(local)
        found = stores.read_minutes(stores.redis(settings), settings, kept.run.run_id, str(DAY))
        # What was final when the run was stopped, it had written where it was kept.
        open_then = {minute for minute in truth if minute >= kept.final_until}
        assert len(open_then) > 200
        assert sum(int(early[minute]["orders"]) for minute in open_then & early.keys()) > 20, "nothing is in its state"
        assert {minute: found.get(minute) for minute in open_then} == {minute: truth[minute] for minute in open_then}
        assert found.keys() - truth.keys() == set()
    finally:
        local.samewater("stop", kept.run.run_id, code=None)
        order_log.delete_topic(settings, topic)
