"""How do orders that a shop sends afterwards get to the backfills?

Reads a file of orders: one JSON object a line, as the order contract has it (plain or gzip), or a CSV with a mapping
file, as `samewater import` takes it. Writes its records, under the file's name in the header `supply`, to the topic
`orders-backfill` (`[kafka] supply_topic`), whatever they hold: a backfill says of each what became of it. Nothing that
readers see changes by this.

Time: a record keeps its ingest time, if the line has one (a member `ingest_time`, epoch ms; a mapped column): of two
copies of an order the one that came first counts. Otherwise it is the time of sending.
Sending a file again doubles no order, because the copies have the same keys.
"""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import click

from flink_jobs import oracle, order_log, regions
from flink_jobs.errors import UserError
from flink_jobs.log_reader import SUPPLY_HEADER, Span, is_wrong, read_supply
from flink_jobs.order_import import read_orders
from flink_jobs.order_log import Record
from flink_jobs.order_mapping import load_mapping
from flink_jobs.progress import progress_bar
from flink_jobs.settings import Settings
from flink_jobs.truth import rules_of

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Line(NamedTuple):
    """A record to be sent: its value, and the ingest time (epoch ms) that it had, if any."""

    value: bytes
    ingest_time: int | None


@dataclass
class Supplied:
    """What a supply holds: `orders`, business day of the order time -> valid orders; `rejected`, reason -> records."""

    orders: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    without_ingest: int = 0

    @property
    def records(self) -> int:
        """All of them."""
        return self.orders.total() + self.rejected.total()

    def add(self, value: bytes | None, rules: oracle.Rules) -> None:
        """Count one record."""
        found = oracle.parse(value, rules.regions)
        if isinstance(found, oracle.Order):
            self.orders[rules.day_of(found.order_time)] += 1
        else:
            self.rejected[f"{found.verdict} {found.reason}".strip()] += 1

    def lines(self) -> Iterator[str]:
        """In sentences."""
        for day, orders in sorted(self.orders.items()):
            yield f"{orders:,} orders of {day}"
        for reason, records in sorted(self.rejected.items()):
            yield f"{records:,} records will not count: {reason}"


def lines_of(file: Path) -> Iterator[Line]:
    """The lines of a file of JSON objects, plain or gzip; empty ones are left out. Raises `UserError`."""
    try:
        with open(file, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        with gzip.open(file, "rb") if packed else open(file, "rb") as content:
            for line in content:
                value = line.rstrip(b"\r\n")
                if value.strip():
                    yield Line(value, _ingest_time(value))
    except OSError as unread:
        raise UserError(f"{file} cannot be read ({unread.strerror or unread}); name another file") from unread
    except (EOFError, zlib.error) as broken:
        raise UserError(f"{file} is a broken gzip file ({broken}); fetch it again") from broken


def _ingest_time(value: bytes) -> int | None:
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    at = found.get("ingest_time") if isinstance(found, dict) else None
    return at if type(at) is int and not is_wrong(at, order_log.believed_until()) else None


def read_supplies(
    settings: Settings, rules: oracle.Rules, spans: Mapping[int, Span] | None = None
) -> dict[str, Supplied]:
    """Name -> what the topic of the supply holds of it (`spans`: between these offsets), by the oracle's parser."""
    found: dict[str, Supplied] = {}
    for sent in read_supply(settings, spans):
        found.setdefault(sent.supply, Supplied()).add(sent.record.value, rules)
    return found


@click.command("supply")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--as", "name", help="Name of the supply. [default: the file's name]")
@click.option("--mapping", type=click.Path(dir_okay=False, path_type=Path), help="TOML file; FILE is a CSV then.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Rows of a CSV that cannot be mapped go here. [default: FILE.rejects.csv in this folder]",
)
@click.pass_obj
def supply(settings: Settings, file: Path, name: str | None, mapping: Path | None, rejects: Path | None) -> None:
    """Take in a file of orders that a shop sends late, for the next backfill.

    One JSON object a line, as the order contract has it; `ingest_time` (epoch ms) may stand in it. Changes no figure.

    Example: samewater supply late-orders.jsonl && samewater backfill --from 2025-11-11 --to 2025-11-11
    """
    name = name or file.name
    if not NAME.fullmatch(name):
        raise UserError(f"the name {name!r} is not 1 to 100 of A-Z a-z 0-9 . _ -; give one with --as")
    lines = list(lines_of(file) if mapping is None else _mapped(settings, file, mapping, rejects))
    if not lines:
        raise UserError(f"{file} holds no line; there is nothing to send")
    now, found, rules = int(time.time() * 1000), Supplied(), rules_of(settings)
    topic = settings.kafka.supply_topic
    order_log.create_topic_if_missing(settings, topic, settings.kafka.partitions)
    partitions = order_log.topic_partitions(settings, topic)

    def records() -> Iterator[Record]:
        for line in lines:
            found.add(line.value, rules)
            found.without_ingest += line.ingest_time is None
            yield Record(
                zlib.crc32(line.value) % partitions,
                now if line.ingest_time is None else line.ingest_time,
                line.value,
                ((SUPPLY_HEADER, name.encode()),),
            )

    with progress_bar(f"{topic} {name}", len(lines), "records") as advance:
        sent = order_log.produce(settings, topic, records(), progress=advance)
    click.echo(f"{sent:,} records in topic {topic} as supply {name}")
    for told in found.lines():
        click.echo(told)
    if found.without_ingest:
        click.echo(f"{found.without_ingest:,} have no ingest time of their own and got that of now")


def _mapped(settings: Settings, file: Path, mapping_file: Path, rejects: Path | None) -> Iterator[Line]:
    mapping = load_mapping(mapping_file)
    known = regions.load(mapping.regions or settings.regions_file())
    rejects = rejects or Path(f"{file.name}.rejects.csv")
    orders = read_orders(file, mapping, known, rejects, where=f"mapping file {mapping_file}")
    for told in orders.report.lines(settings.time, rejects):
        click.echo(told)
    for ingest, _, value in orders.rows:
        yield Line(value, ingest if mapping.ingest_time is not None else None)
