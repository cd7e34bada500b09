"""The daily report's queries, in both modes, say of a dirty day what the oracle says, row by row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flink_jobs import checks, daily_report, job, oracle
from flink_jobs.settings import Settings
from tests.local import Changes
from tests.sql.conftest import FIRST, SECOND, TOPIC
from tests.sql.queries import Row, Rows, last_versions, run_queries


class PassedTheFirstDay:
    """Whether each query, and each level of the report, has said something of the second day: the first is complete."""

    def __init__(self) -> None:
        self.missing = {"verdict_counts", "conflicting", "rejected", "country", "province", "city"}

    def __call__(self, query: str, row: Row) -> bool:
        if str(SECOND) in (row.get("dt"), (row.get("day_start") or "")[:10]):
            level = "city" if row.get("city") != "ALL" else "province" if row["province"] != "ALL" else "country"
            self.missing.discard(level if query == "daily_sales" else query)
        return not self.missing


def tables(rows: Rows) -> dict[str, dict[str, dict[str, str]]]:
    """The rows of the first day as `checks` has the oracle's: no row may stand twice."""
    end = f"{SECOND} 00:00:00.000"
    sales, verdicts, conflicting = (
        last_versions(rows[query], end) for query in ("daily_sales", "verdict_counts", "conflicting")
    )
    rejected = [row for row in rows["rejected"] if row["dt"] == str(FIRST)]
    offsets = ("records", "offset_min", "offset_max", "offset_sum")
    found = {
        "sales": {
            f"{row['province']}|{row['city']}": {name: str(row[name]) for name in ("orders", "amount", "users")}
            for row in sales
        },
        "verdicts": {
            f"{int(row['kafka_partition'] or -1):05}|{row['verdict']}": {name: str(row[name]) for name in offsets}
            for row in verdicts
        },
        "conflicting": {str(n): {"records": str(row["order_ids"])} for n, row in enumerate(conflicting)},
        "rejected": {
            f"{int(row['kafka_partition'] or -1):05}|{row['kafka_offset']}": {
                "verdict": str(row["verdict"]),
                "reason": row["reason"] or "",
                "ingest_time": str(row["ingest_time"]),
            }
            for row in rejected
        },
    }
    assert len(found["sales"]) == len(sales), "a place stands twice"
    assert len(found["verdicts"]) == len(verdicts), "a verdict stands twice"
    assert len(found["rejected"]) == len(rejected), "a record stands twice"
    return found


def expected(truth: oracle.Day) -> dict[str, dict[str, dict[str, str]]]:
    assert truth.conflicting > 0, "the day has no conflicting order"
    verdicts = checks.verdict_table(truth)
    return {
        "sales": checks.sales_table(truth),
        "conflicting": {"0": verdicts.pop(checks.CONFLICTING)},
        "verdicts": verdicts,
        "rejected": checks.rejected_table(truth),
    }


def test_batch_says_what_the_oracle_says_of_minutes_in_shares_and_pieces(
    kafka: Settings, truth: oracle.Day, changed: Callable[[Changes], Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(job, "shares_of_a_minute", lambda subtasks: 3)
    small = changed({"udfs/settle.py": [("PIECE = 250", "PIECE = 1")]})
    assert tables(run_queries(kafka, daily_report, "batch", TOPIC, (FIRST, FIRST), small)) == expected(truth)


def test_streaming_says_what_the_oracle_says_once_the_log_has_passed_the_day(kafka: Settings, truth: oracle.Day):
    rows = run_queries(kafka, daily_report, "streaming", TOPIC, (FIRST, SECOND), until=PassedTheFirstDay())
    assert tables(rows) == expected(truth)
    versions = {row["version_end"] for row in rows["daily_sales"] if (row["day_start"] or "").startswith(str(FIRST))}
    assert len(versions) == 24, "an hour of the day has no version"
