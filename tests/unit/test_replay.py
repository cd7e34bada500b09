"""Does a replay run beside the live jobs, unseen, until it is given their place?"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from flink_jobs import job, runs, submit
from flink_jobs.errors import UserError
from flink_jobs.runs import Run
from flink_jobs.settings import DEFAULT_FILE, Settings

LIVE, REPLAY = "daily_report-streaming-1", "daily_report-streaming-2"


@pytest.fixture
def settings() -> Settings:
    return Settings.load(DEFAULT_FILE)


def a_replay(**changes: Any) -> Run:
    fields = {"job": runs.REPORT, "mode": "streaming", "logic": "new", "topic": "orders", "cluster": "batch"}
    return Run.model_validate({"run_id": REPLAY, **fields, "replays": LIVE, "provisional": True, **changes})


def test_what_is_resumed_publishes_by_itself_once_it_is_no_longer_provisional(settings: Settings) -> None:
    submitted = job.flink_options(settings, a_replay(), provisional=True)
    assert job.kept_options(submitted, a_replay()) == submitted
    resumed = job.kept_options(submitted, a_replay(provisional=False))
    differing = {name for name in submitted if submitted[name] != resumed[name]}
    assert differing == {"pipeline.global-job-parameters"}
    assert "samewater.provisional:no" in resumed["pipeline.global-job-parameters"]
    assert job.kept_options(resumed, a_replay()) == submitted


def test_a_replay_is_no_batch_run() -> None:
    day = dt.date(2025, 11, 11)
    with pytest.raises(UserError, match="--mode batch"):
        job.Request(runs.REPORT, "batch", "orders", day, day, replays=LIVE)


@pytest.mark.parametrize(
    ("arguments", "cluster"),
    [((), "realtime"), (("--replays", LIVE), "batch"), ((f"--replays={LIVE}", "--topic", "t"), "batch")],
)
def test_a_replay_goes_to_the_batch_cluster(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], cluster: str
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(submit.flink_rest, "overview", lambda _, name: asked.append(name) or {"slots-available": 2})
    monkeypatch.setattr(submit, "package", lambda: None)
    monkeypatch.setattr(submit, "_flink_run", lambda _, name, *rest: asked.append(name) or REPLAY)
    assert submit.submit(settings, None, runs.REPORT, "streaming", arguments) == REPLAY
    assert asked == [cluster, cluster]
