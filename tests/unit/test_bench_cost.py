"""Does the benchmark count the processor time of all that works for a server, and of nothing else?"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from flink_jobs.settings import DEFAULT_FILE, Settings
from tests.bench import alone, cost, latency, throughput
from tests.bench.cost import Cost, Family
from tests.bench.figures import Figures

BURN = "import time\nwhile time.process_time() < 0.5: pass\nprint('burnt', flush=True)\ninput()"


def wait_for(child: subprocess.Popen[str]) -> None:
    assert child.stdout is not None and child.stdout.readline() == "burnt\n"


def test_a_worker_counts_while_it_lives_and_after_it_has_ended() -> None:
    family = Family(psutil.Process().pid)
    before = family.spent.python
    child = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(child)
    family.look()
    seen = family.spent
    child.communicate("\n")
    family.look()
    assert seen.jvm == 0
    assert seen.python - before >= 0.4  # the kernel counts in ticks of 10 ms
    assert family.spent.python >= seen.python


def test_what_was_spent_before_does_not_count() -> None:
    child = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(child)
    family = Family(child.pid)
    family.look()
    assert family.spent.python < 0.2
    child.communicate("\n")


def test_a_root_that_ended_is_said() -> None:
    child = subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(child)
    family = Family(child.pid)
    child.communicate("\n")
    with pytest.raises(psutil.NoSuchProcess):
        family.look()


BARE = cost.BARE["daily_report"]


def rows(figures: Figures) -> dict[str, float]:
    return {row["name"]: row["median"] for row in figures.rows()}


def test_a_record_costs_what_the_larger_size_took_more() -> None:
    figures, records = Figures(), {10: 1_000, 20: 3_000}
    runs = {10: Cost(0.02, 0.01, 1.0), 20: Cost(0.03, 0.02, 2.0, heap=100.0, direct=7.0)}
    cost.note(figures, "daily_report, blackhole", runs, records)
    cost.note(figures, "daily_report, stores", {10: Cost(0.03, 0.03, 1.0), 20: Cost(0.06, 0.04, 2.0)}, records)
    cost.note(figures, BARE, {10: Cost(0.01), 20: Cost(0.012)}, records)
    cost.compare(figures, ["daily_report"], [10, 20])
    found = rows(figures)
    assert found["daily_report, blackhole, 20 orders"] == pytest.approx(0.05 / 3_000 * 1e6)
    assert found["daily_report, blackhole, marginal"] == pytest.approx(10.0)
    assert (
        found["daily_report, blackhole, marginal: JVM"]
        == found["daily_report, blackhole, marginal: Python"]
        == pytest.approx(5.0)
    )
    assert found["daily_report, blackhole, marginal: speed"] == pytest.approx(2.0)
    assert found[f"daily_report, blackhole, marginal / {BARE}, marginal"] == pytest.approx(10.0)
    assert found["daily_report, stores, marginal / daily_report, blackhole, marginal"] == pytest.approx(2.0)
    assert not any(cost.BY_HAND in name for name in found)
    assert (found["peak of the heap, daily_report, blackhole, 20 orders"], len(found)) == (100.0, len(set(found)))


def test_both_parts_together_hold_each_job_against_bare_sql_the_hand_loop_and_the_stores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures, records = Figures(), {10: 1_000, 20: 3_000}
    seconds = {"metadata_alone": 1.0, "bare_dashboard": 4.0, "bare_report": 2.0}

    def run(_place: Any, name: str, mode: str, _topic: str, topic: str, *_: str) -> alone.Run:
        kind, _, size = topic.partition("-")
        spent = seconds.get(name, 12.0) * int(size) * {"orders": 1.0, "spelt": 1.5}[kind]
        compiled = 3.0 if mode == "streaming" else None
        return alone.Run(spent, [], None, compiled, Cost(spent, 0.0, spent, heap=1.0))

    monkeypatch.setattr(alone, "run", run)
    place = SimpleNamespace(settings=Settings.load(DEFAULT_FILE), load_spelt=lambda orders: f"spelt-{orders}")
    for _ in range(2):
        taken = {
            name: {size: Cost(cpu * size, 0.0, size) for size in records}
            for name, cpu in ((throughput.DASHBOARD, 15.0), (throughput.REPORT, 18.0), (throughput.BATCH, 24.0))
        }
        taken[cost.BY_HAND] = {size: Cost(python=3.0 * size, seconds=size) for size in records}
        throughput._note(figures, taken, records)
    cost.compare(figures, [throughput.DASHBOARD, throughput.REPORT, throughput.BATCH], [10, 20])
    alone.measure(place, figures, records, 2, lambda _: None)  # type: ignore[arg-type]
    assert sum(row["name"].startswith("compiling ") for row in figures.rows()) == 2
    found = {row["name"]: row for row in figures.rows() if row["section"] == cost.TITLE}
    for job in (throughput.DASHBOARD, throughput.REPORT, throughput.BATCH):
        bare, ratio = (cost.BARE[job.split()[0]], 3.0 if job == throughput.DASHBOARD else 6.0)
        assert found[f"{job}, blackhole, marginal / {bare}, marginal"]["values"] == pytest.approx([ratio] * 2)
        assert found[f"{job}, blackhole, marginal / {cost.BY_HAND}, marginal"]["median"] == pytest.approx(4.0)
        assert found[f"{job}, {cost.SPELT}, 10 orders / {job}, blackhole, 10 orders"]["median"] == pytest.approx(1.5)
    report = throughput.REPORT
    assert found[f"{report}, stores, 20 orders / {report}, blackhole, 20 orders"]["median"] == pytest.approx(1.5)
    assert found[f"{report}, stores, marginal / {cost.BY_HAND}, marginal"]["median"] == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("spent", "warm_at"),
    [
        ({0: 0.0, 10: 4.0, 20: 8.0, 30: 12.0, 40: 12.5, 50: 13.0}, 40),  # calm once they take less
        ({0: 0.0}, 30),  # never before the least time
        ({at: at * 0.5 for at in range(0, 400, 10)}, 300),  # at the latest
    ],
)
def test_a_jvm_is_warm_once_its_compilers_are_calm(spent: dict[int, float], warm_at: int):
    now = 0
    compilers = latency.Compilers(lambda: spent[max(at for at in spent if at <= now)])
    while not compilers.are_calm(now):
        now += 1
    assert now == warm_at


def test_the_compilers_of_what_is_no_jvm_take_nothing():
    assert latency.compiling(os.getpid()) == 0.0
