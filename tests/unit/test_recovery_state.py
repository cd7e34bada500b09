"""From which state does a run go on that ended without a word?"""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest

from flink_jobs import compiled, job, runs, stores, submit
from flink_jobs.recovery import newest_state
from flink_jobs.settings import DEFAULT_FILE, Settings

RUN = "daily_report-streaming-1"


class Files(dict[str, int]):
    """As much of HDFS as is asked: name -> when it was closed (epoch ms)."""

    def glob(self, pattern: str) -> list[str]:
        return [name for name in self if fnmatch.fnmatchcase(name, pattern)]

    def info(self, name: str) -> dict[str, int]:
        return {"modificationTime": self[name]}


def a_run(**changes: str) -> runs.Run:
    return runs.Run.model_validate({"run_id": RUN, "job": "daily_report", "mode": "streaming", "logic": "l", **changes})


def test_a_savepoint_from_before_its_last_start_is_none_of_its_state_but_for_the_one_it_was_resumed_from() -> None:
    settings = Settings.load(DEFAULT_FILE)
    savepoints = stores.savepoints_folder(settings, RUN)
    files: Any = Files({f"{savepoints}/old/_metadata": 1_000, f"{savepoints}/left/_metadata": 2_000})
    resumed = a_run(started_at="1970-01-01T00:00:03+00:00", savepoint=f"{settings.hdfs.uri}{savepoints}/old")
    found = newest_state(files, settings, resumed)
    assert found is not None and found.path.endswith("/old")
    files[f"{savepoints}/new/_metadata"] = 3_500
    found = newest_state(files, settings, resumed)
    assert found is not None and found.path.endswith("/new")


@pytest.mark.parametrize(("savepoint", "newest"), [(2_000, "savepoint-1"), (500, "chk-7")])
def test_it_is_the_newest_checkpoint_or_savepoint_whichever_is_newer(savepoint: int, newest: str) -> None:
    settings = Settings.load(DEFAULT_FILE)
    files: Any = Files(
        {
            f"{stores.checkpoints_folder(settings, RUN)}/f00/chk-6/_metadata": 900,
            f"{stores.checkpoints_folder(settings, RUN)}/f00/chk-7/_metadata": 1_000,
            f"{stores.checkpoints_folder(settings, RUN)}/f00/chk-8/half-written": 9_000,
            f"{stores.savepoints_folder(settings, RUN)}/savepoint-1/_metadata": savepoint,
            f"{stores.savepoints_folder(settings, 'another')}/savepoint-2/_metadata": 9_000,
        }
    )
    found = newest_state(files, settings, a_run())
    assert found is not None and found.path.startswith(settings.hdfs.uri) and found.path.endswith(newest)


def test_a_run_that_has_neither_begins_again() -> None:
    assert newest_state(Files(), Settings.load(DEFAULT_FILE), a_run()) is None  # type: ignore[arg-type]


def test_a_run_that_is_resumed_in_more_subtasks_keeps_the_shares_of_its_state() -> None:
    settings = Settings.load(DEFAULT_FILE)
    submitted = job.flink_options(settings, a_run(), parallelism=1)
    assert job.kept_options(submitted, a_run()) == submitted
    resumed = job.kept_options(submitted, a_run(parallelism="8"))
    assert resumed == {**submitted, "parallelism.default": "8"}
    assert "samewater.shares:1" in resumed["pipeline.global-job-parameters"].split(",")


def test_a_run_is_divided_as_it_was_resumed_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a replay leaves room for, before it takes the place of the run, and what a resume needs."""
    settings = Settings.load(DEFAULT_FILE)
    kept = compiled.CompiledJob(run_id=RUN, options={"parallelism.default": "2"}, tables=[], sinks=[], plan="")
    monkeypatch.setattr(compiled, "read", lambda *_: kept)
    assert submit.subtasks_of(settings, a_run()) == 2
    assert submit.subtasks_of(settings, a_run(parallelism="1")) == 1
