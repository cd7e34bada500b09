"""How many records a second, from Kafka into the real stores? The jobs of this suite beside a loop written by hand.

The clock of a streaming run starts when its tasks are deployed on a warm cluster and stops when the last figure of the
day can be read in its store; that of a batch run is its Flink job's. The first seconds go into starting Python workers
and compiling, so with two sizes there is a marginal rate too: what the further records took. The report of every run
must be the hand-written loop's, to the cent and the user, or the benchmark fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from tests.bench import cost
from tests.bench.cost import BY_HAND, Cost
from tests.bench.figures import Figures
from tests.bench.hand_loop import Sales
from tests.bench.place import DAY, Pauses, Place, Say

TITLE, RESOURCES = "Throughput, Kafka to the stores", "State, pauses and memory of these streaming runs"
REPORT, BATCH, DASHBOARD = "daily_report streaming", "daily_report batch", "realtime_dashboard streaming"


def measure(place: Place, figures: Figures, records: dict[int, int], rounds: int, say: Say) -> None:
    """All contestants in turn on each size, round by round."""
    figures.section(TITLE)
    pauses = Pauses(place)
    sizes = sorted(records)
    for number in range(rounds):
        taken: dict[str, dict[int, Cost]] = {}
        for size in sizes:
            spent, expected = by_hand(place, f"orders-{size}")
            taken.setdefault(BY_HAND, {})[size] = spent
            for name, run in _contestants(place, figures, pauses, f"orders-{size}", size, expected).items():
                say(f"round {number + 1}, {size:,} orders: {name}")
                taken.setdefault(name, {})[size] = run()
        _note(figures, taken, records)
    cost.compare(figures, [DASHBOARD, REPORT, BATCH], sizes)


def _note(figures: Figures, taken: dict[str, dict[int, Cost]], records: dict[int, int]) -> None:
    for name, costs in taken.items():
        cost.note(figures, name if name == BY_HAND else f"{name}, {cost.STORES}", costs, records)
    figures.section(TITLE)
    for name, costs in taken.items():
        seconds = {size: spent.seconds for size, spent in costs.items()}
        for size, took in seconds.items():
            figures.add(f"{name}, {size:,} orders", records[size] / took / 1000, "thousand records/s")
            if name != BY_HAND:
                figures.compare(f"{name}, {size:,} orders", f"{BY_HAND}, {size:,} orders")
        small, large = min(seconds), max(seconds)
        if seconds[large] > seconds[small]:
            further = (records[large] - records[small]) / (seconds[large] - seconds[small]) / 1000
            figures.add(f"{name}, marginal", further, "thousand records/s")


def by_hand(place: Place, topic: str) -> tuple[Cost, Sales]:
    """Cost and result of the hand-written loop."""
    command = [sys.executable, "-m", "tests.bench.hand_loop", place.conf, topic, str(DAY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    spent = Cost(python=result["cpu"], seconds=result["seconds"])
    return spent, {place: (o, c, u) for place, (o, c, u) in result["sales"].items()}


def _contestants(
    place: Place, figures: Figures, pauses: Pauses, topic: str, size: int, expected: Sales
) -> dict[str, Callable[[], Cost]]:
    def check(found: Sales, name: str) -> None:
        if not expected or found != expected:
            wrong = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
            raise SystemExit(f"{name} and the hand-written loop disagree in {len(wrong)} cities, first {wrong[:1]}")

    def streaming(job: str, name: str) -> Cost:
        pauses.skip()
        with cost.measured(place, "realtime") as spent:
            run = place.start(job, "--topic", topic)
            spent.seconds = place.seconds_to_the_days_end(run)
        label = f"{name}, {size:,} orders"
        figures.section(RESOURCES)
        figures.resources(label, pauses.read(), place.checkpoints(run.flink_job_id))
        for server, mib in place.memory().items():
            if server in ("realtime-taskmanager", "realtime-jobmanager", "python workers", "redis"):
                figures.add(f"memory of {server}, {label}", mib, "MiB")
        place.cancel(run)
        if job == "daily_report":
            check(place.sales(run), name)
        return spent

    def batch() -> Cost:
        with cost.measured(place, "batch") as spent:
            run = place.batch("daily_report", "--topic", topic)
        check(place.sales(run), BATCH)
        spent.seconds = float(place.rest("batch", f"jobs/{run.flink_job_id}")["duration"]) / 1000
        return spent

    return {
        DASHBOARD: lambda: streaming("realtime_dashboard", DASHBOARD),
        REPORT: lambda: streaming("daily_report", REPORT),
        BATCH: batch,
    }
