"""What does a day of orders look like, dirty ones included, and what should become of each record?

Reads the regions; writes an order log (Kafka) and, if asked, a ledger of truth beside it (Parquet, and a JSON summary).

Every order is determined by (seed, number) alone: its fields, its time within the day, its delay, its dirt. The number
is the day (days since 2000-01-01) and a running index, so neither the number of orders asked for nor the number of
days changes an order; only its partition also depends on how many there are. A draw is a hash of (seed, number, name
of the draw), there is no generator with a state.

Time: epoch ms throughout; days are business days of the settings' zone. Orders follow a daily curve with a rush after
midnight and an hour without any (04:00). Delays are 0.1 to 20 s, with a tail almost to the lateness. Heartbeats go to
every partition each minute of ingest time, from before the first day until the last one is closed on the hour. Once a
day one partition *pauses* (nothing is appended; what waits gets the later ingest time; longer than the lateness, so
some of it is late), another is *stalled* (its records, heartbeats too, are appended later with the ingest times they
had), and some clean orders come through a producer whose clock runs 20 s behind.

The ledger (`order_ledger`) states what the generator intended.
Run: `samewater generate --day 2025-11-11 --orders 100000 --seed 7 --speed max --ledger day.parquet`.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from flink_jobs import order_ledger, order_log, regions
from flink_jobs.dirty_orders import DAY_MS, EMPTY_HOUR, HOUR_MS, KINDS, Draft, Kind, Scene, judge
from flink_jobs.errors import UserError
from flink_jobs.order_draw import MINUTE_MS, MOST_ORDERS_A_DAY, Draw, Ints, first_number
from flink_jobs.order_format import MOST_CENTS, Order
from flink_jobs.order_ledger import LEDGER_SCHEMA
from flink_jobs.order_log import HEARTBEAT, Record
from flink_jobs.progress import progress_bar
from flink_jobs.regions import Regions
from flink_jobs.settings import Settings, Time

_PAUSE = (20 * HOUR_MS + 10 * MINUTE_MS, 2 * MINUTE_MS)  # since midnight, and how much longer than the lateness
_STALL = (14 * HOUR_MS + 20 * MINUTE_MS, 14 * HOUR_MS + 32 * MINUTE_MS)
_BLOCK = 16_384
_RULES = Time.model_validate({})  # the defaults of the order contract


@dataclass(frozen=True)
class Rates:
    """Share of the orders that are dirty in each way; the kinds of one group (`dirty_orders`) share its rate.

    The defaults dirty 7 % and hold each group some times in 1,000 orders. Whatever the rates (unless zero), the first
    orders of a day are one specimen of every kind. `spelled` is harmless; `slow_clock` applies to clean orders.
    """

    duplicate: float = 0.012
    copy_amount: float = 0.002
    copy_region: float = 0.001
    copy_minute: float = 0.002
    late: float = 0.010
    late_copy: float = 0.003
    clock: float = 0.003
    stamp: float = 0.001
    invalid: float = 0.008
    malformed: float = 0.005
    spelled: float = 0.020
    slow_clock: float = 0.050
    pauses: bool = True

    @classmethod
    def none(cls) -> Rates:
        """No dirt at all: every order is accepted."""
        return cls(**{f.name: 0.0 for f in fields(cls) if f.name != "pauses"}, pauses=False)

    def changed(self, changes: Iterable[str]) -> Rates:
        """With `name=share` replaced. Raises `UserError` for an unknown name or a share outside 0 to 1."""
        shares = {k: v for k, v in asdict(self).items() if k != "pauses"}
        for change in changes:
            name, _, share = change.partition("=")
            if name not in shares or not re.fullmatch(r"[01]|0?\.[0-9]+", share):
                raise UserError(
                    f"rate {change!r} is not NAME=SHARE with a share from 0 to 1 and a name of {', '.join(shares)}"
                )
            shares[name] = float(share)
        if sum(shares[group] for group in {kind.group for kind in KINDS}) > 1:
            raise UserError("the rates of dirt add up to more than 1; lower some")
        return Rates(**shares, pauses=self.pauses)


@dataclass(frozen=True)
class Spec:
    """What to generate: `orders` on each business day from `first` to `last`, except on the `empty` days."""

    seed: int
    first: dt.date
    last: dt.date
    orders: int
    partitions: int
    regions: Regions
    time: Time = _RULES
    rates: Rates = Rates()
    empty: frozenset[dt.date] = frozenset()

    @classmethod
    def by(cls, settings: Settings, **what: Any) -> Spec:
        """With the partitions, regions and rules of time of the settings; `what`: the other fields."""
        known = regions.load(settings.regions_file())
        return cls(partitions=settings.kafka.partitions, regions=known, time=settings.time, **what)

    @property
    def days(self) -> list[dt.date]:
        """All days, the empty ones included."""
        return [self.first + dt.timedelta(days=n) for n in range((self.last - self.first).days + 1)]

    @property
    def first_heartbeat(self) -> int:
        """Epoch ms; no record comes earlier, not even one whose clock is as far ahead as it may be."""
        return self.time.day_start(self.first) - (1 + math.ceil(self.time.future_ms / MINUTE_MS)) * MINUTE_MS

    @property
    def last_heartbeat(self) -> int:
        """Epoch ms; no record comes later."""
        return order_log.closing_time(self.time, self.last)

    @property
    def quiet_city(self) -> str | None:
        """A city without orders from 10:00: the last one of the first province that has three."""
        return next((cities[-1] for cities in self.regions.provinces.values() if len(cities) > 2), None)

    @property
    def empty_province(self) -> str | None:
        """A province without any order: the last one, unless it is the only one."""
        return max(self.regions.provinces) if len(self.regions.provinces) > 1 else None


def day_records(spec: Spec) -> Iterator[Record]:
    """The records in append order. Ingest times rise within a partition, up to the clock that is 20 s behind."""
    return Plan(spec).records()


# --- specimens: what every day holds --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Boundary:
    """An order at an exact time (ms since midnight) with an exact delay (ms), and perhaps a copy with another delay."""

    name: str
    since_midnight: int
    delay: int
    copy_delay: int | None = None
    cents: int | None = None
    quiet_city: bool = False

    def drafts(self, scene: Scene, spec: Spec) -> list[Draft]:
        order = scene.order._replace(order_time=scene.day_start + self.since_midnight)
        if self.cents is not None:
            order = order._replace(cents=self.cents)
        if self.quiet_city and spec.quiet_city is not None:
            order = order._replace(province=spec.regions.cities[spec.quiet_city], city=spec.quiet_city)
        elif order.city == spec.quiet_city:  # drawn for a time in the morning
            order = order._replace(province=scene.elsewhere[0], city=scene.elsewhere[1])
        delays = [self.delay] if self.copy_delay is None else [self.delay, self.copy_delay]
        return [scene.draft(self.name, order, order.order_time + delay) for delay in delays]


def _boundaries(rules: Time) -> list[_Boundary]:
    nine, last = 9 * HOUR_MS, DAY_MS - 1
    found = [
        _Boundary("first_ms_of_day", 0, 1500),
        _Boundary("last_ms_of_day", last, 1500),
        _Boundary("last_ms_at_lateness", last, rules.lateness_ms),
        _Boundary("first_ms_at_future", 0, -rules.future_ms),
        _Boundary("at_lateness", nine, rules.lateness_ms),
        _Boundary("at_future", nine + 20 * MINUTE_MS, -rules.future_ms),
        _Boundary("ingested_at_once", nine + 30 * MINUTE_MS, 0),
        _Boundary("before_empty_hour", EMPTY_HOUR[0] - 1, 1000),
        _Boundary("after_empty_hour", EMPTY_HOUR[1], 1000),
        _Boundary("quiet_city_in_the_morning", nine - 30 * MINUTE_MS, 2000, quiet_city=True),
        # The largest amounts there can be, which cancel out: a float on the way leaves cents behind.
        _Boundary("largest_amount", nine + 40 * MINUTE_MS, 700, cents=MOST_CENTS),
        _Boundary("largest_cancellation", nine + 40 * MINUTE_MS + 1, 900, cents=-MOST_CENTS),
        _Boundary("beyond_lateness", nine + 10 * MINUTE_MS, rules.lateness_ms + 1),
        _Boundary("last_ms_beyond_lateness", last, rules.lateness_ms + 1),
        _Boundary("beyond_future", nine + 25 * MINUTE_MS, -rules.future_ms - 1),
        _Boundary("copy_at_lateness", nine + 45 * MINUTE_MS, 1000, rules.lateness_ms),
        _Boundary("copy_beyond_lateness", nine + 50 * MINUTE_MS, 1000, rules.lateness_ms + 1),
    ]
    if rules.lateness_ms < rules.late_copy_horizon_ms <= DAY_MS:
        found += [
            _Boundary("copy_at_horizon", 2 * MINUTE_MS, 1000, rules.late_copy_horizon_ms),
            _Boundary("copy_beyond_horizon", 3 * MINUTE_MS, 1000, rules.late_copy_horizon_ms + 1),
        ]
    return found


# --- the plan: every record of the days, sorted ---------------------------------------------------------------------


class Plan:
    """All records of a spec in append order, computed once: `records()`, `ledger()`.

    Holds about 40 bytes per clean order (fields are drawn again when a record is written) and about 1 kB per dirty one.
    """

    def __init__(self, spec: Spec) -> None:
        """Raises `UserError` for a spec that cannot be: too many orders, days out of range or order."""
        if not 0 <= spec.orders <= MOST_ORDERS_A_DAY:
            raise UserError(f"{spec.orders} orders a day are too many or too few; ask for 0 to {MOST_ORDERS_A_DAY}")
        if not dt.date(2000, 1, 2) <= spec.first <= spec.last <= dt.date(2099, 12, 30):
            raise UserError(f"days {spec.first} to {spec.last} are not in order between 2000-01-02 and 2099-12-30")
        self.spec = spec
        self._draw = Draw(spec.seed, spec.regions, spec.time, spec.quiet_city, spec.empty_province)
        self._groups = {
            name: [kind for kind in KINDS if kind.group == name] for name in dict.fromkeys(kind.group for kind in KINDS)
        }
        self._specimens: list[_Boundary | Kind] = [
            boundary
            for boundary in _boundaries(spec.time)
            if spec.rates != Rates.none() or _harmless(boundary, spec.time)
        ]
        self._specimens += [kind for kind in KINDS if getattr(spec.rates, kind.group) > 0]
        self._lay_out()

    def __len__(self) -> int:
        return len(self._partition)

    def records(self) -> Iterator[Record]:
        """The records in append order."""
        for start in range(0, len(self), _BLOCK):
            block = slice(start, start + _BLOCK)
            values: list[bytes | None] = [HEARTBEAT] * len(self._partition[block])
            number, draft = self._number[block], self._draft[block]
            clean = np.flatnonzero(number >= 0)
            for place, value in zip(clean.tolist(), self._clean_values(number[clean]), strict=True):
                values[place] = value
            for place in np.flatnonzero(draft >= 0).tolist():
                values[place] = self._drafts[draft[place]].value
            yield from map(Record, self._partition[block].tolist(), self._ingest[block].tolist(), values)

    def ledger(self) -> pa.Table:
        """What the generator intends with each record, in append order (`LEDGER_SCHEMA`)."""
        size = len(self)
        verdict = np.full(size, "heartbeat", dtype=object)
        kind = verdict.copy()
        reason, id_, user, province, city = (np.full(size, None, dtype=object) for _ in range(5))
        time, cents = (np.full(size, None, dtype=object) for _ in range(2))

        clean = np.flatnonzero(self._number >= 0)
        numbers = self._number[clean]
        orders = self._draw.orders(numbers, self._draw.order_times(numbers))
        if orders:
            late_by = self._ingest[clean] - np.fromiter((order.order_time for order in orders), np.int64, len(orders))
            verdict[clean] = np.select(
                [late_by > self.spec.time.lateness_ms, late_by < -self.spec.time.future_ms],
                ["late", "future"],
                "accepted",
            )
            kind[clean] = np.where(self._slow(numbers), "slow_clock", "clean")
            for column, values in zip((id_, time, user, province, city, cents), zip(*orders, strict=True), strict=True):
                column[clean] = values
        for place in np.flatnonzero(self._draft >= 0).tolist():
            d = self._drafts[self._draft[place]]
            verdict[place], kind[place], reason[place] = d.verdict, d.kind, d.reason or None
            time[place] = d.time
            if d.order is not None:
                id_[place], time[place], user[place], province[place], city[place], cents[place] = d.order

        sequence = np.zeros(size, dtype=np.int64)
        for partition in range(self.spec.partitions):
            own = self._partition == partition
            sequence[own] = np.arange(np.count_nonzero(own))
        columns = [
            self._partition,
            sequence,
            self._ingest,
            verdict,
            reason,
            kind,
            id_,
            time,
            user,
            province,
            city,
            cents,
        ]
        return pa.Table.from_arrays(
            [pa.array(column, type_.type) for column, type_ in zip(columns, LEDGER_SCHEMA, strict=True)],
            schema=LEDGER_SCHEMA,
        )

    def _lay_out(self) -> None:
        """Fill the columns of all records, sorted: partition, ingest time, number (if clean), draft (if dirty)."""
        spec, draw = self.spec, self._draw
        busy = [day for day in spec.days if day not in spec.empty]
        numbers = np.concatenate(
            [np.empty(0, np.int64)]
            + [np.arange(n := first_number(day), n + spec.orders, dtype=np.int64) for day in busy]
        )
        special = (numbers % MOST_ORDERS_A_DAY < len(self._specimens)) | (
            draw.uniform(numbers, "dirt") < self._dirt_share
        )
        clean = numbers[~special]
        groups = self._draft_groups(numbers[special])
        self._drafts = [draft for group in groups for draft in group]

        beats = np.arange(spec.first_heartbeat, spec.last_heartbeat + 1, MINUTE_MS, dtype=np.int64)
        beat_partition = np.tile(np.arange(spec.partitions, dtype=np.int32), len(beats))
        drafts = len(self._drafts)
        partition = np.concatenate(
            [
                beat_partition,
                draw.partitions(clean, spec.partitions),
                np.fromiter((d.partition for d in self._drafts), np.int32, drafts),
            ]
        )
        due = np.concatenate(
            [
                np.repeat(beats, spec.partitions),
                draw.order_times(clean) + draw.delays(clean),
                np.fromiter((d.at for d in self._drafts), np.int64, drafts),
            ]
        )
        number = np.concatenate([np.full(len(beat_partition), -1), clean, np.full(drafts, -1)])
        draft = np.concatenate([np.full(len(beat_partition) + len(clean), -1), np.arange(drafts)])
        stamped, appended, dropped = self._paused(partition, due, heartbeat=(number < 0) & (draft < 0))
        behind = self._slow(np.maximum(number, 0)) & (number >= 0)
        ingest = stamped - behind * self._clock_behind

        for place in range(len(number) - drafts, len(number)):
            self._drafts[draft[place]].at = int(ingest[place])
        for group in groups:
            judge(group, spec.time)

        # Stable, and by due time within a queue that is released at once.
        order = np.lexsort((due, appended))
        order = order[~dropped[order]]
        self._partition, self._ingest = partition[order], ingest[order]
        self._number, self._draft = number[order], draft[order]

    def _paused(
        self, partition: npt.NDArray[np.int32], due: Ints, heartbeat: npt.NDArray[np.bool_]
    ) -> tuple[Ints, Ints, npt.NDArray[np.bool_]]:
        """(time stamped on each record, time it is appended, whether it never comes) under the day's two hindrances."""
        stamped, appended, dropped = due.copy(), due.copy(), np.zeros(len(due), np.bool_)
        if not self.spec.rates.pauses:
            return stamped, appended, dropped
        for day in self.spec.days:
            midnight = self.spec.time.day_start(day)
            paused, stalled = self.hindered(day)
            start, end = midnight + _PAUSE[0], midnight + _PAUSE[0] + self.spec.time.lateness_ms + _PAUSE[1]
            waiting = (partition == paused) & (due >= start) & (due < end)
            dropped |= waiting & heartbeat
            stamped[waiting] = end + (due[waiting] - start) * 5000 // (end - start)  # released within 5 s
            appended[waiting] = stamped[waiting]
            start, end = midnight + _STALL[0], midnight + _STALL[1]
            appended[(partition == stalled) & (due >= start) & (due < end)] = end
        return stamped, appended, dropped

    def hindered(self, day: dt.date) -> tuple[int, int]:
        """(partition that pauses on this day, partition that is stalled)."""
        paused = first_number(day) // MOST_ORDERS_A_DAY % self.spec.partitions
        return paused, (paused + 1) % self.spec.partitions

    @property
    def _clock_behind(self) -> int:
        """How far the slow clock runs behind, ms: 20 s, or what the settings' clock skew allows."""
        return min(20_000, self.spec.time.clock_skew_ms * 2 // 3)

    def _slow(self, numbers: Ints) -> npt.NDArray[np.bool_]:
        return self._draw.uniform(numbers, "slow_clock") < self.spec.rates.slow_clock

    @cached_property
    def _dirt_share(self) -> float:
        return float(sum(getattr(self.spec.rates, name) for name in self._groups))

    def _draft_groups(self, numbers: Ints) -> list[list[Draft]]:
        """For each number that is a specimen or drawn as dirty: its records."""
        draw, spec = self._draw, self.spec
        order_times = draw.order_times(numbers)
        orders = draw.orders(numbers, order_times)
        waits = (100 + 19_900 * draw.uniform(numbers, "wait") ** 4).astype(np.int64)  # short: copies need room behind
        draws = np.stack([draw.uniform(numbers, f"dirt{n}") for n in range(8)], axis=1).tolist()
        starts = np.cumsum([0.0] + [getattr(spec.rates, name) for name in self._groups])
        group = np.minimum(
            np.searchsorted(starts, draw.uniform(numbers, "dirt"), side="right") - 1, len(self._groups) - 1
        )
        groups = list(self._groups.values())
        columns = zip(
            (numbers % MOST_ORDERS_A_DAY).tolist(),
            orders,
            (order_times + waits).tolist(),
            draw.partitions(numbers, spec.partitions).tolist(),
            draws,
            draw.day_starts(numbers).tolist(),
            group.tolist(),
            strict=True,
        )
        found = []
        for index, order, at, partition, chances, day_start, g in columns:
            scene = Scene(
                order, at, partition, spec.partitions, chances, day_start, self._elsewhere(order, chances[3]),
                spec.time, spec.regions,
            )  # fmt: skip
            entry = (
                self._specimens[index] if index < len(self._specimens) else groups[g][int(chances[0] * len(groups[g]))]
            )
            if isinstance(entry, Kind):
                found.append(entry.make(entry.name, scene))
            else:
                found.append(entry.drafts(scene, spec))
        return found

    def _elsewhere(self, order: Order, chance: float) -> tuple[str, str]:
        """The first city of another province that has orders, or the order's own where there is none."""
        others = self._others[order.province]
        return others[int(chance * len(others))] if others else (order.province, order.city)

    @cached_property
    def _others(self) -> dict[str, list[tuple[str, str]]]:
        busy = {p: cities[0] for p, cities in self.spec.regions.provinces.items() if p != self.spec.empty_province}
        return {province: [(p, c) for p, c in busy.items() if p != province] for province in busy}

    def _clean_values(self, numbers: Ints) -> list[bytes]:
        """The canonical form of clean orders, a block at a time."""
        f = self._draw.fields(numbers, self._draw.order_times(numbers))
        head = (
            b'{"order_id":"O-'
            + str(self.spec.seed).encode()
            + b'-%012d","order_time":%d,"user_id":"U%06d",%s,"amount":"%s%d.%02d"}'
        )
        sign = np.where(f.cents < 0, b"-", b"").tolist()
        yuan, fen = np.divmod(np.abs(f.cents), 100)
        places = [self._places[city] for city in f.city.tolist()]
        columns = (numbers.tolist(), f.order_time.tolist(), f.user.tolist(), places, sign, yuan.tolist(), fen.tolist())
        return [head % row for row in zip(*columns, strict=True)]

    @cached_property
    def _places(self) -> list[bytes]:
        pairs = zip(self._draw.provinces, self._draw.cities, strict=True)
        return [f'"province":"{province}","city":"{city}"'.encode() for province, city in pairs]


def _harmless(boundary: _Boundary, rules: Time) -> bool:
    """Whether all its records are accepted."""
    return boundary.copy_delay is None and -rules.future_ms <= boundary.delay <= rules.lateness_ms


def summary(ledger: pa.Table, spec: Spec) -> dict[str, Any]:
    """`order_ledger.summary` of a ledger, headed by its spec."""
    about = {
        "seed": spec.seed,
        "orders_a_day": spec.orders,
        "partitions": spec.partitions,
        "rates": asdict(spec.rates),
    }
    return about | order_ledger.summary(ledger, spec.time, spec.days)


def write_ledger(plan: Plan, file: Path) -> dict[str, Any]:
    """Write the ledger of a plan and its summary (`order_ledger.write`); returns the summary."""
    ledger = plan.ledger()
    counts = summary(ledger, plan.spec)
    order_ledger.write(ledger, counts, file)
    return counts


# --- command line ---------------------------------------------------------------------------------------------------


@click.command()
@click.option("--day", required=True, type=click.DateTime(["%Y-%m-%d"]), help="First business day, YYYY-MM-DD.")
@click.option("--days", default=1, show_default=True, type=click.IntRange(1, 1000), help="Number of days.")
@click.option("--empty-day", multiple=True, type=click.DateTime(["%Y-%m-%d"]), help="A day without orders; repeatable.")
@click.option("--orders", default=100_000, show_default=True, type=click.IntRange(0), help="Orders on each day.")
@click.option(
    "--seed", default=7, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Another seed, other orders."
)
@click.option("--speed", default="max", show_default=True, help="real, a multiple such as 60x, or max.")
@click.option("--topic", help="Topic to append to; made if missing. [default: the settings' topic]")
@click.option(
    "--ledger", type=click.Path(dir_okay=False, path_type=Path), help="Write the truth about each record here."
)
@click.option("--rate", multiple=True, metavar="NAME=SHARE", help="Change a rate of dirt, e.g. late=0.02; repeatable.")
@click.option("--no-dirt", is_flag=True, help="Only orders that are accepted; no pause, no slow clock.")
@click.pass_obj
def generate(
    settings: Settings,
    day: dt.datetime,
    days: int,
    empty_day: tuple[dt.datetime, ...],
    orders: int,
    seed: int,
    speed: str,
    topic: str | None,
    ledger: Path | None,
    rate: tuple[str, ...],
    no_dirt: bool,
) -> None:
    """Append seeded days of orders, with dirt.

    The same seed, day and rates give the same records. A topic that already reaches past the first record is refused:
    generate several days with --days, or use a new topic.

    Example: samewater generate --day 2025-11-11 --days 2 --speed 60x --topic trial
    """
    if no_dirt and rate:
        raise UserError("--rate and --no-dirt contradict each other; give one of them")
    pace = order_log.parse_speed(speed)
    name = topic or settings.kafka.topic
    first = day.date()
    spec = Spec.by(
        settings,
        seed=seed,
        first=first,
        last=first + dt.timedelta(days=days - 1),
        orders=orders,
        rates=Rates.none() if no_dirt else Rates().changed(rate),
        empty=frozenset(d.date() for d in empty_day),
    )
    order_log.create_topic(settings, name, settings.kafka.partitions)
    order_log.refuse_to_go_back(settings, name, spec.first_heartbeat)
    plan = Plan(spec)
    counts = write_ledger(plan, ledger) if ledger is not None else None
    with progress_bar(f"{name} {spec.first}", len(plan), "records") as advance:
        delivered = order_log.produce(settings, name, plan.records(), pace, advance)
    click.echo(
        f"{delivered:,} records in topic {name}: {orders:,} orders a day, {spec.first} to {spec.last}, seed {seed}"
    )
    if counts is not None:
        click.echo("intended: " + ", ".join(f"{n:,} {verdict}" for verdict, n in counts["verdicts"].items()))
        click.echo(f"ledger: {ledger}, {ledger}.summary.json")
