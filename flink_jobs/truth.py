"""What must the stores hold, by the order log and the supply?

Reads Kafka with a consumer of its own, and the archive of the log (HDFS) for what retention has taken; judges by
flink_jobs/oracle.py; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from flink_jobs import oracle, regions, runs
from flink_jobs.archive_reader import open_history
from flink_jobs.checks import admission_table
from flink_jobs.log_reader import LogRecord, Span, is_wrong, read_supply
from flink_jobs.order_log import believed_until
from flink_jobs.settings import Settings
from flink_jobs.stores import Table


def rules_of(settings: Settings) -> oracle.Rules:
    """The oracle's rules from the settings."""
    known = regions.load(settings.regions_file())
    return oracle.Rules(
        lateness_ms=settings.time.lateness_ms,
        future_ms=settings.time.future_ms,
        late_copy_horizon_ms=settings.time.late_copy_horizon_ms,
        zone_offset_ms=int(settings.time.offset.total_seconds()) * 1000,
        regions={province: frozenset(cities) for province, cities in known.provinces.items()},
    )


class Truth(NamedTuple):
    """What the log says about each day; how far ingest time ran back in each partition (ms); whether it was read
    from the `log` alone, or from the `archive` up to its edge; the records with an ingest time that may be wrong;
    and partition -> the first offset that was read.
    """

    days: dict[str, oracle.Day]
    disorder_ms: dict[int, int]
    source: str
    clock: list[oracle.Judged]
    began: dict[int, int]


def read_truth(
    settings: Settings,
    rules: oracle.Rules,
    topic: str,
    first_day: str,
    last_day: str,
    wrong_from: int | None = None,
) -> Truth:
    """Read the log, with its archive where the log alone does not reach back so far.

    `wrong_from`: the ingest time (epoch ms) from which on a record's clock is taken for wrong; None: as now.
    """
    clock: list[oracle.Judged] = []
    start, end = rules.ingest_range(first_day, last_day)
    wrong_from = max(end, believed_until() if wrong_from is None else wrong_from)
    with open_history(settings, topic) as log:

        def in_time() -> Iterator[LogRecord]:
            for record in log.read_on(start, end, wrong_from):
                if is_wrong(record.ingest_time, wrong_from):
                    clock.append(oracle.wrong_clock(record))
                else:
                    yield record

        days = oracle.totals(oracle.classify(in_time(), rules), rules, first_day, last_day)
        return Truth(days, dict(log.disorder), log.source, clock, dict(log.began))


class Backfilled(NamedTuple):
    """What must stand in the stores of a backfill: its days, and what it took in (as `checks.admission_table`)."""

    days: dict[str, oracle.Day]
    admissions: Table


def read_backfilled(settings: Settings, rules: oracle.Rules, run: runs.Run) -> Backfilled:
    """The log as far as the backfill read it, with what it was to take in."""
    ends = {int(partition): offset for partition, offset in run.end_offsets.items()}
    spans = {int(partition): Span(*span) for partition, span in run.supply_offsets.items()}
    with open_history(settings, run.topic) as log:
        start, _ = rules.ingest_range(run.from_day, run.to_day)
        wrong_from = run.ingest_until or believed_until()
        records = (r for r in log.read_until(start, ends) if not is_wrong(r.ingest_time, wrong_from))
        judged = list(oracle.classify(records, rules))
    supply: list[oracle.Supplied] = []
    wrong: list[oracle.Admission] = []
    for sent in read_supply(settings, spans):
        if not is_wrong(sent.record.ingest_time, wrong_from):
            supply.append((sent.record, sent.supply))
        elif sent.supply not in run.taken.left_out:
            wrong.append(oracle.wrong_clock_of_supply(sent.record))
    days = (run.from_day, run.to_day)
    admissions = oracle.admit(judged, supply, rules, days, run.taken.late, set(run.taken.left_out)) + wrong
    found = oracle.totals(chain(judged, oracle.as_judged(admissions)), rules, *days)
    return Backfilled(found, admission_table(admissions))
