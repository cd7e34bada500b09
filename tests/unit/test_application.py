"""To which run does an application's program come each time it starts? The job itself is not started."""

from __future__ import annotations

import zipfile
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from flink_jobs import application, compiled, daily_report, flink_rest, resumed, runs, stores
from flink_jobs.errors import UserError

ARGUMENTS = ["daily_report", "--run-id", "r-1", "--from", "2025-11-11"]


@pytest.fixture
def cluster(monkeypatch):
    """What the program finds, and what it starts."""
    found = SimpleNamespace(known=None, living=[], kept=compiled.zip_of_functions(), started=[])

    def fetch(settings, run_id, folder):
        (folder / "udfs.zip").write_bytes(found.kept)
        return folder / "udfs.zip"

    monkeypatch.setattr(stores, "hbase", lambda settings: nullcontext())
    monkeypatch.setattr(stores, "ensure_tables", lambda connection: None)
    monkeypatch.setattr(runs, "find", lambda connection, run_id: found.known)
    monkeypatch.setattr(
        flink_rest, "living_jobs", lambda settings, name: [{"jid": "j", "name": job} for job in found.living]
    )
    monkeypatch.setattr(compiled, "fetch_functions", fetch)
    for module in (daily_report, resumed):
        start = SimpleNamespace(main=lambda arguments, module=module, **_: found.started.append((module, arguments)))
        monkeypatch.setattr(module, "main", start)
    return found


def run():
    application.main.main(ARGUMENTS, standalone_mode=False)


def test_a_run_that_nobody_registered_begins(cluster):
    run()
    begun = ["--mode", "streaming", "--run-id", "r-1", "--from", "2025-11-11"]
    assert cluster.started == [(daily_report, begun)]


def test_a_run_that_flink_has_recovered_is_left_alone(cluster, capsys):
    cluster.known, cluster.living = object(), ["r-1"]
    run()
    assert cluster.started == []
    assert capsys.readouterr().out == "run r-1\n"


def test_a_run_that_is_known_and_not_at_work_goes_on(cluster):
    cluster.known, cluster.living = object(), ["another"]
    run()
    assert cluster.started == [(resumed, ["--run-id", "r-1"])]


def test_a_run_does_not_go_on_with_other_functions(cluster, tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("udfs/functions.py", "")
    cluster.known, cluster.kept = object(), (tmp_path / "other.zip").read_bytes()
    with pytest.raises(UserError, match="other functions"):
        run()
    assert cluster.started == []


def test_archives_of_the_same_files_are_the_same_whenever_they_were_made(tmp_path):
    for name, year in (("a.zip", 1990), ("b.zip", 2020)):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(zipfile.ZipInfo("udfs/x.py", (year, 1, 1, 0, 0, 0)), "x = 1\n")
    assert (tmp_path / "a.zip").read_bytes() != (tmp_path / "b.zip").read_bytes()
    assert application.members(tmp_path / "a.zip") == application.members(tmp_path / "b.zip")
