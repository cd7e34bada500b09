"""What is said of a job that neither starts nor ends, and of a cluster that is not there; which slots come back."""

from __future__ import annotations

import zipfile
from itertools import chain, repeat

import pytest

from flink_jobs import flink_rest, submit
from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Settings

DEMO = Settings.load(ROOT / "conf" / "samewater.toml")


@pytest.mark.parametrize("cluster", flink_rest.CLUSTERS.values())
def test_a_job_that_does_not_end_is_told_in_one_sentence(cluster, monkeypatch):
    monkeypatch.setattr(flink_rest, "job_state", lambda *_: "CANCELLING")
    monkeypatch.setattr(flink_rest.requests, "patch", lambda *_, **__: None)
    monkeypatch.setitem(flink_rest.STOP_S, cluster, 0.2)
    with pytest.raises(UserError, match=f"job-7 was told to end and has not after .* logs {cluster}-taskmanager"):
        flink_rest.cancel(DEMO, cluster, "job-7")


@pytest.mark.parametrize("cluster", flink_rest.CLUSTERS.values())
def test_a_job_that_does_not_run_is_told_in_one_sentence(cluster, monkeypatch):
    waits = {"jid": "job-7", "state": "RUNNING", "tasks": {"running": 1, "total": 2}}
    runs = {"jid": "job-8", "state": "RUNNING", "tasks": {"running": 2, "total": 2}}
    monkeypatch.setattr(flink_rest, "jobs", lambda *_: [runs, waits])
    flink_rest.await_running(DEMO, cluster, "job-8")
    monkeypatch.setitem(flink_rest.START_S, cluster, 0.2)
    with pytest.raises(UserError, match=f"job-7 does not run after .* logs {cluster}-taskmanager"):
        flink_rest.await_running(DEMO, cluster, "job-7")


def test_a_cluster_that_goes_while_a_job_is_cancelled_is_named(monkeypatch):
    monkeypatch.setattr(flink_rest, "job_state", lambda *_: "RUNNING")
    batch = DEMO.flink.batch.model_copy(update={"rest": "127.0.0.1:1"})
    gone = DEMO.model_copy(update={"flink": DEMO.flink.model_copy(update={"batch": batch})})
    with pytest.raises(UserError, match=r"`batch` at 127\.0\.0\.1:1 does not answer"):
        flink_rest.cancel(gone, "batch", "job-7")


@pytest.mark.parametrize(
    ("free", "jobs", "needed", "found"),
    [
        ([2], {"old": 2}, 2, 2),
        ([1, 1, 2], {"old": 2}, 2, 2),
        ([0, 1], {"old": 2}, 1, 1),
        ([1], {"old": 2, "other": 1}, 2, 1),
        ([0], {"old": 2}, 2, 0),
    ],
    ids=["free", "one more is given back", "enough are given back", "taken by living jobs", "never given back"],
)
def test_slots_of_a_job_that_has_just_ended_are_waited_for(free, jobs, needed, found, monkeypatch):
    answers = chain(free, repeat(free[-1]))
    monkeypatch.setattr(flink_rest, "overview", lambda *_: {"slots-total": 4, "slots-available": next(answers)})
    monkeypatch.setattr(flink_rest, "living_jobs", lambda *_: [{"jid": name} for name in jobs])
    monkeypatch.setattr(
        flink_rest, "ask", lambda _, __, path: {"vertices": [{"parallelism": n} for n in (1, jobs[path.split("/")[1]])]}
    )
    monkeypatch.setattr(flink_rest, "SLOTS_S", 1.0)
    assert flink_rest.free_slots(DEMO, "realtime", needed) == found


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_a_job_needs_a_slot_for_each_of_its_subtasks_in_both_modes(mode, monkeypatch):
    asked = []
    monkeypatch.setattr(flink_rest, "free_slots", lambda _, __, needed: asked.append(needed) or needed)
    submit.refuse_without_slots(DEMO, mode, None)
    submit.refuse_without_slots(DEMO, mode, 3)
    assert asked == [DEMO.flink.batch.parallelism if mode == "batch" else DEMO.flink.realtime.parallelism, 3]


def test_a_job_without_slots_is_refused_with_the_jobs_that_have_them(monkeypatch):
    monkeypatch.setattr(flink_rest, "free_slots", lambda *_: 1)
    monkeypatch.setattr(flink_rest, "living_jobs", lambda *_: [{"name": "a-replay"}])
    with pytest.raises(UserError, match=r"`batch` has 1 free slots and the job needs 2; stop one .*\(a-replay\)"):
        submit.refuse_without_slots(DEMO, "batch", 2)


def test_functions_that_a_submission_sends_do_not_change_under_it(monkeypatch, tmp_path):
    monkeypatch.setattr(submit, "ROOT", tmp_path)
    with submit.package().open("rb") as sending:
        monkeypatch.setattr(submit.compiled, "zip_of_functions", lambda: b"of another release")
        assert submit.package().read_bytes() == b"of another release"
        assert {"udfs/judge.py", "udfs/settle.py"} <= set(zipfile.ZipFile(sending).namelist())
    assert [file.name for file in (tmp_path / "dist").iterdir()] == ["udfs.zip"]
