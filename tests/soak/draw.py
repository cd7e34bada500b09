"""What does a round of the soak run draw? All of it follows from one seed, so that a round can be repeated.

Reads and writes nothing.
"""

from __future__ import annotations

import datetime as dt
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from flink_jobs.datagen import Rates
from flink_jobs.order_log import Record

EACH_LARGE = 3  # of so many rounds that follow each other one is large
LARGE, SMALL = (500_000, 700_000), (20_000, 100_000)
SLOTS = 4
BUNDLES, ARROW_BATCHES = (50, 500, 1_000, 2_000, 10_000, 30_000), (10, 100, 1_000, 2_000, 10_000, 20_000)
"""Rows of a bundle and of an Arrow batch. A large round takes none of the first, which would take hours."""
CHECKPOINTS_MS = (1_000, 2_000, 5_000, 10_000, 30_000)
DIRT = (0.0, 0.3, 1.0, 3.0)
BEHIND_MS = 3 * 3_600_000
"""So far a partition may be behind the others in what was sent."""
VERSION, CHECKPOINT = "version", "checkpoint"
"""What is waited for between two parts of the log: the last version that it can give so far; or a checkpoint."""


@dataclass(frozen=True)
class Round:
    """What one round runs. `orders`: on all days together; `report`, `batch`, `dashboard`: parallelism of each job;
    `parts`: where the log is cut (shares of it), and what is waited for there; `disorder_ms`: how far ingest times run
    back within a partition (None: as the generator has it, 20 s); `behind_ms`: how far each partition is behind the
    others, where the log is cut; `rates`: shares of dirt.
    """

    seed: int
    first: dt.date
    days: int
    orders: int
    partitions: int
    report: int
    dashboard: int
    batch: int
    bundle: int
    arrow_batch: int
    checkpoint_ms: int
    parts: tuple[tuple[float, str], ...]
    disorder_ms: int | None
    behind_ms: tuple[int, ...]
    rates: Rates

    @property
    def last(self) -> dt.date:
        """The last day."""
        return self.first + dt.timedelta(days=self.days - 1)

    @property
    def beside(self) -> bool:
        """Whether the dashboard has slots beside the report; else it runs after it."""
        return self.report + self.dashboard <= SLOTS

    def options(self, mode: str) -> dict[str, str]:
        """Flink's options that a job gets in place of its own."""
        python = {
            "python.fn-execution.bundle.size": str(self.bundle),
            "python.fn-execution.arrow.batch.size": str(self.arrow_batch),
        }
        return python | ({"execution.checkpointing.interval": f"{self.checkpoint_ms}ms"} if mode == "streaming" else {})

    def __str__(self) -> str:
        cuts = ", ".join(f"{share:.0%} {what}" for share, what in self.parts)
        standard = asdict(Rates())
        changed = ", ".join(
            f"{name} {share:g}" for name, share in asdict(self.rates).items() if share != standard[name]
        )
        hours = ", ".join(f"{ms / 3_600_000:.1f}" for ms in self.behind_ms)
        behind = f"partitions {hours} h behind" if any(self.behind_ms) else "partitions in step"
        disorder = "as generated" if self.disorder_ms is None else f"{self.disorder_ms / 1000:g} s"
        return (
            f"seed {self.seed}: {self.first} ({self.days} d), {self.orders:,} orders, {self.partitions} partitions, "
            f"report ×{self.report}, dashboard ×{self.dashboard}{'' if self.beside else ' afterwards'}, "
            f"batch ×{self.batch}, bundle {self.bundle:,}, Arrow {self.arrow_batch:,}, "
            f"checkpoints {self.checkpoint_ms / 1000:g} s, log {f'cut at {cuts}' if cuts else 'at once'}, "
            f"disorder {disorder}, {behind}, dirt {changed or 'as usual'}"
        )


def draw(seed: int, skew_ms: int, orders: int | None = None) -> Round:
    """The round of a seed. `skew_ms`: how far ingest times may run back; `orders`: instead of a drawn number."""
    chance = random.Random(seed)
    large = seed % EACH_LARGE == 0
    drawn = chance.randint(*(LARGE if large else SMALL))
    count = orders or drawn
    slow = 0 if count < LARGE[0] else 1
    partitions = chance.randint(1, 5)
    streaming = min(SLOTS, partitions)  # a streaming job of more subtasks than partitions is refused
    report = chance.randint(1, streaming)
    factors = {name: chance.choice(DIRT) for name, share in asdict(Rates()).items() if name != "pauses"}
    shares = {name: getattr(Rates(), name) * factor for name, factor in factors.items()}
    drawn_round = Round(
        seed=seed,
        first=dt.date(2025, 1, 1) + dt.timedelta(days=chance.randrange(365)),
        days=chance.choice((1, 1, 1, 2)),
        orders=count,
        partitions=partitions,
        report=report,
        dashboard=chance.randint(1, streaming),
        batch=chance.choice([n for n in range(1, SLOTS + 1) if n != report]),
        bundle=chance.choice(BUNDLES[slow:]),
        arrow_batch=chance.choice(ARROW_BATCHES[slow:]),
        checkpoint_ms=chance.choice(CHECKPOINTS_MS),
        parts=tuple(
            (share, chance.choice((VERSION, CHECKPOINT)))
            for share in sorted(chance.uniform(0.05, 0.95) for _ in range(chance.choice((0, 0, 1, 2, 3))))
        ),
        disorder_ms=chance.choice((None, chance.randint(0, skew_ms), skew_ms)),
        behind_ms=(0,) * partitions,
        rates=Rates(**shares, pauses=chance.random() < 0.7),
    )
    # What was sent before a job began, it reads as it likes.
    if partitions == 1 or not drawn_round.parts or chance.random() < 0.3:
        return drawn_round
    return replace(drawn_round, behind_ms=tuple(chance.randint(0, BEHIND_MS) for _ in range(partitions)))


def disordered(records: Iterable[Record], most_ms: int | None, seed: int) -> list[Record]:
    """The records, those of a partition in another order: ingest time runs back by up to `most_ms`, never by more.

    Each is put where its ingest time and a drawn delay of at most that long say; the places that a partition has among
    the others stay. None: as they are.
    """
    found = list(records)
    if most_ms is None:
        return found
    chance = random.Random(seed)
    by_partition: dict[int, list[Record]] = defaultdict(list)
    for record in found:
        by_partition[record.partition].append(record)
    queues = {
        partition: iter(sorted(own, key=lambda record: record.ingest_time + chance.randint(0, most_ms)))
        for partition, own in by_partition.items()
    }
    return [next(queues[record.partition]) for record in found]


def out_of_step(records: Iterable[Record], behind_ms: Sequence[int]) -> list[Record]:
    """The records, each partition by so much behind the others; the order within a partition stays."""
    if not any(behind_ms):
        return list(records)
    newest = dict.fromkeys(range(len(behind_ms)), 0)
    due: list[int] = []
    found = list(records)
    for record in found:
        newest[record.partition] = max(newest[record.partition], record.ingest_time)
        due.append(newest[record.partition] + behind_ms[record.partition])
    return [found[n] for n in sorted(range(len(found)), key=due.__getitem__)]
