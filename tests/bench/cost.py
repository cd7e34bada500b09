"""What does a record cost in processor time, and how much memory does the TaskManager's JVM hold at most?

Seconds depend on who else works on the machine; processor time hardly does. Looks at a TaskManager and all the
processes below it several times a second, so that Python workers that end meanwhile are counted, and asks Flink's REST
API for the memory. Notes CPU-µs a record at each size, and between the smallest and the largest (marginal): without the
start of the workers, the JVM's compiling and the planning.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import psutil

from tests.bench.figures import Figures
from tests.bench.place import Place, workers_mib

TITLE, MEMORY = "Processor time a record", "Memory of the TaskManager's JVM"
BY_HAND, METADATA = "hand-written loop", "source with metadata alone"
BARE = {
    "realtime_dashboard": "bare SQL of the dashboard's question",
    "daily_report": "bare SQL of the report's question",
}
"""Job -> the same question in bare Flink SQL, without the contract."""
BLACKHOLE, STORES = "blackhole", "stores"
SPELT = "blackhole, a log by json.dumps in another order"
_LOOK_S, _MEMORY_S = 0.25, 1.0
_DIRECT, _HEAP = "Status.JVM.Memory.Direct.MemoryUsed", "Status.JVM.Memory.Heap.Used"


@dataclass
class Cost:
    """What one run took: processor seconds (user and system) of JVM and Python, wall-clock seconds, and the peaks (MiB)
    of the JVM's heap and direct memory and of the Python workers together, 0 where they were not looked at.
    """

    jvm: float = 0.0
    python: float = 0.0
    seconds: float = 0.0
    heap: float = 0.0
    direct: float = 0.0
    workers: float = 0.0

    @property
    def cpu(self) -> float:
        """Processor seconds of both."""
        return self.jvm + self.python


class Spent(NamedTuple):
    """Processor seconds since a process was first seen."""

    jvm: float
    python: float


class Family:
    """The processor time of a process and of all that ever descended from it, as far as `look` has seen them.

    A worker that lost its parent is followed until it ends; then its last figures stay.
    """

    def __init__(self, root: int) -> None:
        """What was spent before does not count."""
        self._root = psutil.Process(root)
        self._seen: dict[psutil.Process, float] = {}
        self._jvm: set[psutil.Process] = set()
        self.look()
        self._before = dict(self._seen)

    def look(self) -> None:
        """Read the clocks of all that live. Raises `psutil.NoSuchProcess` if the root has ended."""
        for process in {self._root, *self._root.children(recursive=True), *self._seen}:
            try:
                clocks = process.cpu_times()
                # Before it becomes what it is to be, a process has the name of whoever started it.
                (self._jvm.add if process.name() == "java" else self._jvm.discard)(process)
            except psutil.NoSuchProcess:
                continue  # it has ended: what was read last stays
            self._seen[process] = clocks.user + clocks.system

    @property
    def spent(self) -> Spent:
        """Processor seconds as of the last look."""
        further = {process: at - self._before.get(process, 0.0) for process, at in self._seen.items()}
        jvm = sum(seconds for process, seconds in further.items() if process in self._jvm)
        return Spent(jvm, sum(further.values()) - jvm)


class _Often(threading.Thread):
    """Calls a function again and again until `stop`, which raises what it raised."""

    def __init__(self, call: Callable[[], None], seconds: float) -> None:
        super().__init__(daemon=True)
        self._call, self._seconds, self._enough = call, seconds, threading.Event()
        self._failed: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._enough.wait(self._seconds):
                self._call()
        except BaseException as failed:  # noqa: BLE001  raised by stop(), in the thread that measures
            self._failed = failed

    def stop(self) -> None:
        self._enough.set()
        self.join()
        if self._failed is not None:
            raise self._failed


@contextmanager
def measured(place: Place, cluster: str) -> Iterator[Cost]:
    """The cost of what happens inside, on the TaskManager of `realtime` or `batch`; filled in when the block ends.

    Raises `SystemExit` if the TaskManager has ended meanwhile: the figures would be those of two halves.
    """
    cost = Cost()
    try:
        manager = place.pid(f"{cluster}-taskmanager")
        family = Family(manager)

        def peaks() -> None:
            cost.workers = max(cost.workers, workers_mib(manager))
            for name, bytes_ in place.taskmanager_metrics(cluster, (_HEAP, _DIRECT)).items():
                peak = "heap" if name == _HEAP else "direct"
                setattr(cost, peak, max(getattr(cost, peak), bytes_ / 2**20))

        watches = (_Often(family.look, _LOOK_S), _Often(peaks, _MEMORY_S))
        for watch in watches:
            watch.start()
        try:
            yield cost
        finally:
            for watch in watches:
                watch.stop()
        family.look()
        cost.jvm, cost.python = family.spent
    except psutil.NoSuchProcess as gone:
        raise SystemExit(f"the TaskManager of {cluster} ended while it was measured; see its log") from gone


def note(figures: Figures, name: str, taken: Mapping[int, Cost], records: Mapping[int, int]) -> None:
    """Note one round of one contestant: size -> cost."""
    figures.section(TITLE)
    for size, cost in taken.items():
        _note(figures, f"{name}, {size:,} orders", cost, records[size])
    small, large = min(taken), max(taken)
    if small != large:
        one, other = taken[large], taken[small]
        further = Cost(one.jvm - other.jvm, one.python - other.python, one.seconds - other.seconds)
        _note(figures, f"{name}, marginal", further, records[large] - records[small])
    figures.section(MEMORY)
    for size, cost in taken.items():
        if cost.heap:
            figures.add(f"peak of the heap, {name}, {size:,} orders", cost.heap, "MiB")
            figures.add(f"peak of direct memory, {name}, {size:,} orders", cost.direct, "MiB")


def _note(figures: Figures, label: str, cost: Cost, records: int) -> None:
    figures.add(label, cost.cpu / records * 1e6, "CPU-µs a record")
    if cost.jvm:
        figures.add(f"{label}: JVM", cost.jvm / records * 1e6, "CPU-µs a record")
        figures.add(f"{label}: Python", cost.python / records * 1e6, "CPU-µs a record")
    if cost.seconds > 0:
        figures.add(f"{label}: speed", records / cost.seconds / 1000, "thousand records/s")


def compare(figures: Figures, jobs: list[str], sizes: list[int]) -> None:
    """Ask for the ratios of processor time, at each size and of the marginal: job / bare SQL, job / hand-written loop,
    stores / blackhole. Those of which only one side is measured are left out.
    """
    figures.section(TITLE)
    for at in (*(f"{size:,} orders" for size in sizes), "marginal"):
        for job in jobs:
            for other in (BARE[job.split()[0]], BY_HAND):
                figures.compare(f"{job}, {BLACKHOLE}, {at}", f"{other}, {at}")
            figures.compare(f"{job}, {STORES}, {at}", f"{BY_HAND}, {at}")
            figures.compare(f"{job}, {STORES}, {at}", f"{job}, {BLACKHOLE}, {at}")
            figures.compare(f"{job}, {SPELT}, {at}", f"{job}, {BLACKHOLE}, {at}")
