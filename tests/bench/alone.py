"""What do the queries cost without the stores, how do they grow, and why does the report keep its state off the heap?

Every run reads a topic to its end into `blackhole` (queries.py); its clock is that of the Flink job. Beside the jobs:
the same question in bare SQL, and the reading alone (queries.BESIDE).
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from flink_jobs import flink_rest, job, stack, submit
from flink_jobs.order_format import Order, canonical
from flink_jobs.settings import ROOT
from tests.bench import cost
from tests.bench.figures import Figures
from tests.bench.hand_loop import Sales
from tests.bench.place import DAY, Pauses, Place, Say
from udfs.arrivals import Arrivals
from udfs.judge import Judge
from udfs.settle import settle

TITLE = "The queries alone, into blackhole"
CASES = (("realtime_dashboard", "streaming"), ("daily_report", "streaming"), ("daily_report", "batch"))
BESIDE = {
    cost.METADATA: "metadata_alone",
    cost.BARE["realtime_dashboard"]: "bare_dashboard",
    cost.BARE["daily_report"]: "bare_report",
}
SLOTS = 2  # of which the processor time is told
COPIES = (10_000, 20_000)
_COPIED_AT = 1_762_833_600_000
BACKENDS = {"heap (hashmap)": "hashmap", "off-heap (rocksdb)": "rocksdb"}


@dataclass(frozen=True)
class Run:
    """seconds: of the Flink job; checkpoints: size (MiB) and duration (s) of each that was completed; compiled: the
    seconds that a streaming plan took.
    """

    seconds: float
    checkpoints: list[tuple[float, float]]
    sales: Sales | None
    compiled: float | None
    cost: cost.Cost


def run(place: Place, name: str, mode: str, *arguments: str) -> Run:
    """Run the queries of a job to the end of their input; `SystemExit` has what `flink run` said of a failure."""
    cluster = flink_rest.CLUSTERS[mode]
    rest = getattr(place.settings.flink, cluster).rest
    command = [str(stack.flink_bin()), "run", "-m", rest, "-pym", "tests.bench.queries", "-pyfs", str(submit.package())]
    with cost.measured(place, cluster) as spent:
        done = subprocess.run(
            [*command, "--", name, mode, "--conf", place.conf, "--day", str(DAY), *arguments],
            env={**stack.flink_env(place.settings, cluster), "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    answers = [line for line in done.stdout.splitlines() if line.startswith('{"job"')]
    if done.returncode != 0 or not answers:
        raise SystemExit(f"the queries of {name} failed in {mode}: {(done.stdout + done.stderr)[-2000:]}")
    answer = json.loads(answers[-1])
    spent.seconds = float(place.rest(cluster, f"jobs/{answer['job']}")["duration"]) / 1000
    return Run(
        spent.seconds,
        place.checkpoints(answer["job"]) if mode == "streaming" else [],
        answer["sales"] and {city: (o, c, u) for city, (o, c, u) in answer["sales"].items()},
        answer["compiled"],
        spent,
    )


def measure(place: Place, figures: Figures, records: dict[int, int], rounds: int, say: Say) -> None:
    """The queries of both jobs into `blackhole`, by size and by slots; with SLOTS slots the processor time too."""
    sizes = sorted(records)
    spelt, of_spelt = place.load_spelt(sizes[0]), {sizes[0]: records[sizes[0]]}
    for number in range(rounds):
        taken: dict[str, dict[int, cost.Cost]] = {}

        def one(
            contestant: str, name: str, mode: str, size: int, slots: int, topic: str = "", round_: int = number
        ) -> Run:
            figures.section(TITLE)
            label = f"{contestant}, {size:,} orders, {_slots(slots)}"
            say(f"round {round_ + 1}: {label}")
            found = run(place, name, mode, "--topic", topic or f"orders-{size}", "--parallelism", str(slots))
            figures.add(label, records[size] / found.seconds / 1000, "thousand records/s")
            if found.checkpoints:
                figures.add(f"largest checkpoint, {label}", max(c[0] for c in found.checkpoints), "MiB")
            return found

        for size in sizes:
            for contestant, name in BESIDE.items():
                taken.setdefault(contestant, {})[size] = one(contestant, name, "streaming", size, SLOTS).cost
            for name, mode in CASES:
                one(f"{name} {mode}", name, mode, size, 1)
                found = one(f"{name} {mode}", name, mode, size, SLOTS)
                taken.setdefault(f"{name} {mode}, {cost.BLACKHOLE}", {})[size] = found.cost
                if size == sizes[0] and found.compiled is not None:
                    figures.add(f"compiling the queries of {name} {mode}", found.compiled, "s")
        for name, mode in CASES:
            contestant = f"{name} {mode}, {cost.SPELT}"
            found = one(contestant, name, mode, sizes[0], SLOTS, spelt)
            cost.note(figures, contestant, {sizes[0]: found.cost}, of_spelt)
        for contestant, costs in taken.items():
            cost.note(figures, contestant, costs, records)
        _copies(place, figures)
    cost.compare(figures, [f"{name} {mode}" for name, mode in CASES], sizes)
    figures.section(TITLE)
    smallest = sizes[0]
    for name, mode in CASES:
        for size in sizes:
            figures.compare(
                f"{name} {mode}, {size:,} orders, {_slots(2)}", f"{name} {mode}, {size:,} orders, {_slots(1)}"
            )
            if size != smallest:
                figures.compare(
                    f"{name} {mode}, {size:,} orders, {_slots(2)}", f"{name} {mode}, {smallest:,} orders, {_slots(2)}"
                )


def _copies(place: Place, figures: Figures) -> None:
    """What 10,000 copies of one order take, and twice as many: the functions alone, in this process."""
    rules = job.rules_of(place.settings)
    province, city = rules.places[0]
    value = canonical(Order("O-1", _COPIED_AT, "U1", province, city, 100))
    figures.section("Copies of one order (judge, settle and arrivals alone)")
    for count in COPIES:
        places = np.zeros(count, np.int32), np.arange(count), np.full(count, _COPIED_AT)
        begin = time.process_time()
        found = [carried.pack for carried in Judge(rules)(pa.array([value] * count, pa.binary()), *places)]
        settled = settle(found, rules)
        arrived = [row for pack in found for row in Arrivals(rules)(pack)]
        figures.add(f"{count:,} copies", (time.process_time() - begin) * 1000, "CPU-ms")
        assert sum(c.records for c in settled.counts) == count and len(arrived) == 2
    figures.compare(f"{COPIES[1]:,} copies", f"{COPIES[0]:,} copies")


def _slots(number: int) -> str:
    return "1 slot" if number == 1 else f"{number} slots"


def measure_state(place: Place, figures: Figures, sizes: Sequence[int], rounds: int, say: Say) -> None:
    """The report's state on the heap and off it."""
    figures.section("State of the report on the heap and off it (daily_report streaming, into blackhole)")
    pauses = Pauses(place)
    for number in range(rounds):
        for size in sizes:
            for title, backend in BACKENDS.items():
                label = f"{title}, {size:,} orders"
                say(f"round {number + 1}: state on {label}")
                pauses.skip()
                found = run(
                    place, "daily_report", "streaming", "--topic", f"orders-{size}",
                    "--option", f"state.backend.type={backend}",
                )  # fmt: skip
                figures.add(f"seconds, {label}", found.seconds, "s")
                figures.resources(label, pauses.read(), found.checkpoints)
                figures.add(f"memory of the TaskManager, {label}", place.memory()["realtime-taskmanager"], "MiB")
                figures.add(f"peak of the heap, {label}", found.cost.heap, "MiB")
                figures.add(f"peak of the Python workers, {label}", found.cost.workers, "MiB")
    heap, off = BACKENDS
    for size in sizes:
        for what in ("seconds", "longest pause", "all pauses"):
            figures.compare(f"{what}, {heap}, {size:,} orders", f"{what}, {off}, {size:,} orders")
