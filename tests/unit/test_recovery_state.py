"""From which state does a run go on that ended without a word?"""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest

from flink_jobs import stores
from flink_jobs.recovery import newest_state
from flink_jobs.settings import DEFAULT_FILE, Settings

RUN = "daily_report-streaming-1"


class Files(dict[str, int]):
    """As much of HDFS as is asked: name -> when it was closed (epoch ms)."""

    def glob(self, pattern: str) -> list[str]:
        return [name for name in self if fnmatch.fnmatchcase(name, pattern)]

    def info(self, name: str) -> dict[str, int]:
        return {"modificationTime": self[name]}


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
    found = newest_state(files, settings, RUN)
    assert found is not None and found.path.startswith(settings.hdfs.uri) and found.path.endswith(newest)


def test_a_run_that_has_neither_begins_again() -> None:
    assert newest_state(Files(), Settings.load(DEFAULT_FILE), RUN) is None  # type: ignore[arg-type]
