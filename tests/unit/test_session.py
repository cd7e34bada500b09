"""The SQL files: each is filled, and the rules that fill them are exact."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext

import pytest

from flink_jobs import job, order_log
from flink_jobs.archive_reader import Found
from flink_jobs.errors import UserError
from flink_jobs.log_reader import Span
from flink_jobs.settings import Settings
from flink_jobs.sql_files import SQL, interval, rule_values
from udfs.rules import Rules


@pytest.mark.parametrize(
    ("ms", "literal"),
    [
        (0, "INTERVAL '0 00:00:00.000' DAY TO SECOND(3)"),
        (300_001, "INTERVAL '0 00:05:00.001' DAY TO SECOND(3)"),
        (86_399_999, "INTERVAL '0 23:59:59.999' DAY TO SECOND(3)"),
        (90_061_001, "INTERVAL '1 01:01:01.001' DAY TO SECOND(3)"),
    ],
)
def test_an_interval_is_exact_to_the_millisecond(ms, literal):
    assert interval(ms) == literal


def test_what_only_the_functions_look_at_is_logic_too():
    settings = Settings.load()
    values = rule_values(settings, job.rules_of(settings, shares=7))
    assert Rules.from_parameters((values | {"shares": "7"}).__getitem__) == job.rules_of(settings, shares=7)
    assert "shares" not in values, "no figure depends on the shares"


@pytest.mark.parametrize(
    ("mode", "subtasks", "refused"), [("streaming", 3, False), ("streaming", 4, True), ("batch", 4, False)]
)
def test_a_streaming_run_of_subtasks_without_a_partition_is_refused_for_no_window_would_close(
    mode, subtasks, refused, monkeypatch
):
    day = dt.date(2025, 11, 11)
    monkeypatch.setattr(job, "find_range", lambda *_: Found(dict.fromkeys(range(3), Span(0, 9)), None))
    monkeypatch.setattr(order_log, "topic_id", lambda *_: "an-id")
    monkeypatch.setattr(order_log, "open_door", lambda *_: None)
    request = job.Request("daily_report", mode, "orders", day, day, parallelism=subtasks)
    with pytest.raises(UserError, match="give --parallelism 3 or less") if refused else nullcontext():
        assert job.prepare(Settings.load(), request, {}).options["parallelism.default"] == str(subtasks)


def test_each_query_says_what_question_it_answers_and_is_one_select():
    files = sorted((SQL / "queries").glob("*.sql"))
    assert len(files) >= 6
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith("-- ") and "?" in text.split("\n\n")[0].split("SELECT")[0], file.name
        code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
        assert code.startswith("SELECT") and "INSERT" not in code and ";" not in code, file.name
