"""What must a run hold, version by version, by the oracle alone, and in what does it differ?

Reads judged records and what the stores hold; writes nothing. A version (end of an hour, epoch ms) is the day so far:
the records whose event time lies before it, which is the order time of an accepted order, as the oracle says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import happybase

from flink_jobs import oracle, runs, stores
from flink_jobs.checks import (
    ABSENT,
    HOUR_MS,
    MISSING,
    OK,
    Check,
    StoredDay,
    compare,
    marker_sums,
    sales_table,
    stored_verdicts,
    verdict_table,
)
from flink_jobs.stores import ALL, Table

Versions = Mapping[int, Table]
"""Version (epoch ms) -> its rows."""


@dataclass
class Truth:
    """What the log says of one day: all of it, and the 24 versions of sales and of verdicts."""

    day: oracle.Day
    sales: dict[int, Table] = field(default_factory=dict)
    verdicts: dict[int, Table] = field(default_factory=dict)

    @property
    def markers(self) -> Table:
        """Version -> what its marker must say."""
        return {str(version): marker_sums(table) for version, table in self.sales.items()}


def expect(judged: Iterable[oracle.Judged], rules: oracle.Rules, first_day: str, last_day: str) -> dict[str, Truth]:
    """Day -> truth, of the days first_day to last_day (both included)."""
    records = list(judged)
    days = oracle.totals(records, rules, first_day, last_day)
    by_hour: dict[int, list[oracle.Judged]] = defaultdict(list)
    for record in records:
        by_hour[record.event_time // HOUR_MS].append(record)
    return {name: _versions(day, rules.day_start(name), by_hour) for name, day in days.items()}


def _versions(day: oracle.Day, start: int, by_hour: Mapping[int, list[oracle.Judged]]) -> Truth:
    truth, so_far = Truth(day), oracle.Day()
    for begin in range(start, start + oracle.DAY_MS, HOUR_MS):
        for record in by_hour.get(begin // HOUR_MS, ()):
            so_far.verdicts[record.partition, record.verdict].add(record.offset)
            order = record.order
            if record.verdict == "accepted" and order is not None:
                for place in ((order.province, order.city), (order.province, ALL), (ALL, ALL)):
                    so_far.sales[place].add(1, order.cents, (order.user_id,))
        truth.sales[begin + HOUR_MS] = sales_table(so_far)
        truth.verdicts[begin + HOUR_MS] = verdict_table(so_far)
    # It is told with the day's last version only.
    so_far.conflicting = day.conflicting
    truth.verdicts[start + oracle.DAY_MS] = verdict_table(so_far)
    return truth


def check_versions(
    day: str, name: str, truth: Versions, held: Versions, run_id: str, time_name: Callable[[int], str]
) -> Check:
    """Every row of every version: a wrong cell, a missing row or version and one too many are each told."""

    def rows(versions: Versions) -> Table:
        found: Table = {}
        for version, table in versions.items():
            found[time_name(version)] = {"version": "there"}
            found |= {f"{time_name(version)} {row}": fields for row, fields in table.items()}
        return found

    return compare(day, name, ("log", rows(truth)), ("HBase", rows(held)), (run_id,))


def check_every_version(
    connection: happybase.Connection,
    run: runs.Run,
    day: str,
    truth: Truth,
    stored: StoredDay,
    time_name: Callable[[int], str],
) -> list[Check]:
    """All versions of a streaming report against the log: sales, verdicts and markers. `stored`: what it holds."""
    verdicts = {
        version: stored_verdicts(stores.read_verdicts(connection, day, run.run_id, run.family, version))
        for version in truth.verdicts
    }
    markers = {str(version): dict(marker) for version, marker in stored.markers.items()}
    return [
        check_versions(day, "every version of the report", truth.sales, stored.sales, run.run_id, time_name),
        check_versions(day, "every version of the verdicts", truth.verdicts, verdicts, run.run_id, time_name),
        compare(day, "every marker", ("log", truth.markers), ("HBase", markers), (run.run_id,)),
    ]


def check_substance(day: str, truth: Truth) -> Check:
    """A day without an accepted order would make all else equal and prove nothing."""
    orders = truth.day.sales[ALL, ALL].orders if (ALL, ALL) in truth.day.sales else 0
    said = f"{truth.day.records} records, {orders} orders"
    return Check(day, "something to compare", f"log: {said}", ABSENT, OK if orders else MISSING)


def told(checks: Iterable[Check], wrong: Iterable[str]) -> list[str]:
    """A line for each difference of the checks whose verdict is one of `wrong`."""
    lines: list[str] = []
    for check in checks:
        if check.verdict in wrong:
            left, right = check.side_names
            lines += [
                f"{check.day} {check.name}: {d.row} {d.field}: {left} {d.left}, {right} {d.right}"
                for d in check.differences
            ] or [f"{check.day} {check.name}: {check.verdict}: {check.left} / {check.right}"]
    return lines
