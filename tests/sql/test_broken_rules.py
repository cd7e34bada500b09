"""What is broken in SQL, or in how the jobs are told about time, is seen: the rows are no longer the oracle's.

The rules that stand in functions have their broken twins in tests/unit/test_core.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flink_jobs import daily_report
from flink_jobs.settings import Settings
from tests.local import Changes
from tests.soak.expected import Truth
from tests.sql.conftest import FIRST, TOPIC
from tests.sql.queries import run_queries
from tests.sql.test_daily_report import expected, tables

BROKEN_IN_BATCH: dict[str, tuple[Changes, dict[str, str]]] = {
    "the wrong zone": ({}, {"table.local-time-zone": "UTC"}),
    "a window with an offset": (
        {"sql/views/hours.sql": [("INTERVAL '1' HOUR", "INTERVAL '1' HOUR, INTERVAL '5' MINUTE")]},
        {},
    ),
    "duplicates by subtraction": (
        {
            "sql/queries/verdict_counts.sql": [
                ("SELECT window_start AS day_start", "SELECT * FROM (SELECT window_start AS day_start"),
                (
                    "kafka_partition, verdict\n",
                    """kafka_partition, verdict) WHERE verdict <> 'duplicate'
                    UNION ALL
                    SELECT window_start, window_end, window_time, kafka_partition, 'duplicate',
                           SUM(records) FILTER (WHERE verdict IN ('accepted', 'duplicate'))
                           - SUM(records) FILTER (WHERE verdict = 'accepted'),
                           MIN(offset_min), MAX(offset_max), SUM(offset_sum)
                    FROM day_windows_of_verdicts
                    GROUP BY window_start, window_end, window_time, kafka_partition
                    """,
                ),
            ]
        },
        {},
    ),
}


@pytest.mark.parametrize("what", BROKEN_IN_BATCH)
def test_what_is_broken_in_sql_turns_red(kafka: Settings, truth: Truth, changed: Callable[[Changes], Path], what: str):
    changes, options = BROKEN_IN_BATCH[what]
    found = tables(run_queries(kafka, daily_report, "batch", TOPIC, (FIRST, FIRST), changed(changes), options=options))
    wanted = expected(truth.day)
    assert found != wanted and found.keys() == wanted.keys()
