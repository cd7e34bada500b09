"""How does a CSV of someone's own orders become an order log?

Reads a CSV (plain or gzip), a mapping file (TOML) and the regions file that it names; writes records to a topic, and a
CSV of the rows that could not be mapped, each with its line number and reason. Nothing is left out silently.

The mapping says which columns make up an order (`order_mapping`). Spaces
around a cell are ignored. Money is computed in decimals and rounded once, to the cent; the report says how many rows
that changed and by how much in total. Without a column for the ingest time, rows are sorted by order time and
ingest = order time, so that every row is timely.

Each row keeps its ingest time as the Kafka timestamp. Heartbeats are hourly (each minute is for a live log: a year of
minutes would be more heartbeats than orders), and a last one closes the last day. All rows are held in memory while
they are sorted: about 0.4 kB each, 0.25 GB for the 541,909 rows of the retail data.
Run: `samewater import FILE.csv.gz --mapping FILE.toml`.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import lru_cache
from heapq import merge
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, TextIO, cast
from zoneinfo import ZoneInfo

import click

from flink_jobs import order_log, regions
from flink_jobs.errors import UserError
from flink_jobs.order_format import ID_PATTERN, MOST_CENTS, NEWEST_MS, OLDEST_MS, Order, canonical
from flink_jobs.order_log import HEARTBEAT, Record
from flink_jobs.order_mapping import DECIMAL, LINE, UNITS, Instant, OrderMapping, Place, Row, Text, fill, load_mapping
from flink_jobs.progress import progress_bar
from flink_jobs.regions import Regions
from flink_jobs.settings import Settings, Time

HOUR_MS = 3_600_000
_ID = re.compile(ID_PATTERN)
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_EXACT = Context(prec=1000, traps=[Inexact, InvalidOperation, Overflow])  # five factors have at most 650 digits
_ROUND = Context(prec=1000, traps=[InvalidOperation])
_ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}
_CENT = Decimal("0.01")
_UNIX = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


# --- from a row to an order -----------------------------------------------------------------------------------------


class RowError(ValueError):
    """Why a row cannot be mapped, for the rejects file."""


class _Lookup:
    """Finds the code of a province, or of a city within its province, by code, alias or name (letter case ignored)."""

    def __init__(self, known: Regions, place: Place | None, cities: bool, where: str) -> None:
        self._what, self._place = ("city" if cities else "province"), place
        self._codes: dict[str, dict[str, str]] = defaultdict(dict)  # province ("" for provinces) -> spelling -> code
        for province, own in known.provinces.items():
            for code in own if cities else (province,):
                group, key = (province, (province, code)) if cities else ("", code)
                for spelling in (known.names[key], known.names_en[key]):
                    # Two places of one name: the name finds neither, their codes do.
                    held = self._codes[group].setdefault(spelling.casefold(), code)
                    if held != code:
                        self._codes[group][spelling.casefold()] = ""
                self._codes[group][code.casefold()] = code
        for alias, meant in (place.aliases if place else {}).items():
            holders = [codes for codes in self._codes.values() if codes.get(meant.casefold())]
            if not holders:
                raise UserError(
                    f"{where}: {self._what}.aliases: {meant!r} is no {self._what} of the regions file; correct it"
                )
            for codes in holders:
                codes[alias.casefold()] = codes[meant.casefold()]

    def find(self, row: Row, province: str = "") -> str:
        if self._place is None:  # checked before: one city in each province
            return next(iter(self._codes[province].values()))
        spelling = row[self._place.column] or self._place.default or ""
        code = self._codes[province].get(spelling.casefold())
        if code is None:
            raise RowError(
                f"{self._what} {spelling!r} is not in the regions file" if spelling else f"{self._what} is empty"
            )
        if not code:
            raise RowError(f"{self._what} {spelling!r} names several; use the code")
        return code


def _clock(instant: Instant) -> Callable[[str], int]:
    """Function from a cell to epoch ms; raises `RowError` for a time that is not one."""
    zone = ZoneInfo(instant.zone) if instant.zone else None

    @lru_cache(maxsize=65_536)
    def read(text: str) -> int:
        if unit := UNITS.get(instant.format):
            if not _INTEGER.fullmatch(text):
                raise RowError(f"{instant.column} {text!r} is not an integer of {instant.format}")
            millis = int(text) * unit
        else:
            try:
                # Naive only until the next lines, unless the offset is in the format.
                at = dt.datetime.strptime(text, instant.format)  # noqa: DTZ007
            except ValueError as bad:
                raise RowError(f"{instant.column} {text!r} is not a time of the form {instant.format}") from bad
            if zone is not None:
                at = at.replace(tzinfo=zone)
                if at.astimezone(dt.UTC).astimezone(zone).replace(tzinfo=None) != at.replace(tzinfo=None):
                    raise RowError(f"{instant.column} {text!r} does not exist in {zone.key}: clocks went forward")
            millis = (at - _UNIX) // dt.timedelta(milliseconds=1)
        if not OLDEST_MS <= millis < NEWEST_MS:
            raise RowError(f"{instant.column} {text!r} is not between the years 2000 and 2099")
        return millis

    def read_cell(text: str) -> int:
        text = text or instant.default or ""
        if not text:
            raise RowError(f"{instant.column} is empty")
        return read(text)

    return read_cell


@dataclass
class Report:
    """What an import did. `cents`: sum of the mapped rows (yuan / 100); `rounded`: rows whose amount had more than two
    places, `shift`: by how much rounding changed the sum (yuan). `first`, `last`: least and greatest order time.
    """

    read: int = 0
    mapped: int = 0
    rejected: int = 0
    rounded: int = 0
    shift: Decimal = Decimal(0)
    cents: int = 0
    first: int = NEWEST_MS
    last: int = OLDEST_MS

    def add(self, order: Order, exact: Decimal) -> None:
        """Count an order that came out of a row."""
        self.mapped += 1
        self.cents += order.cents
        self.first, self.last = min(self.first, order.order_time), max(self.last, order.order_time)
        if (change := _EXACT.subtract(Decimal(order.cents).scaleb(-2), exact)) != 0:
            self.rounded += 1
            self.shift = _EXACT.add(self.shift, change)

    def lines(self, rules: Time, rejects: Path) -> list[str]:
        """What there is to say about the rows, for people."""
        amount = Decimal(self.cents).scaleb(-2)
        found = [
            f"{self.read:,} rows read: {self.mapped:,} orders, {self.rejected:,} rejected ({rejects})",
            f"days {rules.day_of(self.first)} to {rules.day_of(self.last)}, amount {amount} yuan",
        ]
        if self.rounded:
            found.append(
                f"{self.rounded:,} amounts had more than two places and were rounded, which changed the sum of "
                f"{_EXACT.subtract(amount, self.shift)} by {self.shift:+}"
            )
        return found


class RowMapper:
    """Turns rows into orders, in the order of the file (running numbers depend on it)."""

    def __init__(self, mapping: OrderMapping, known: Regions, where: str) -> None:
        """`where` names the mapping in errors. Raises `UserError` for aliases or a missing city that cannot work."""
        if mapping.city is None and (wide := [p for p, cities in known.provinces.items() if len(cities) > 1]):
            raise UserError(
                f"{where}: there is no [city], but province {wide[0]} has several; add a [city], or a regions file "
                "with one city for each province"
            )
        self._mapping = mapping
        self._province = _Lookup(known, mapping.province, False, where)
        self._city = _Lookup(known, mapping.city, True, where)
        self._order_time = _clock(mapping.order_time)
        self._ingest_time = _clock(mapping.ingest_time) if mapping.ingest_time else None
        self._lines: dict[str, int] = defaultdict(int)  # group -> rows so far
        self._rounding = _ROUNDINGS[mapping.amount.rounding]

    def order(self, row: Row) -> tuple[Order, int, Decimal]:
        """(order, ingest time in epoch ms, amount before rounding in yuan) of a row; raises `RowError`.

        A row counts in its group whether it can be mapped or not: ids depend on the file alone.
        """
        mapping = self._mapping
        order_id = self._text("order_id", mapping.order_id, row)
        order_time = self._order_time(row[mapping.order_time.column])
        ingest_time = order_time
        if self._ingest_time is not None and mapping.ingest_time is not None:
            ingest_time = self._ingest_time(row[mapping.ingest_time.column])
        user_id = self._text("user_id", mapping.user_id, row)
        province = self._province.find(row)
        city = self._city.find(row, province)
        exact, cents = self._amount(row)
        return Order(order_id, order_time, user_id, province, city, cents), ingest_time, exact

    def _text(self, name: str, text: Text, row: Row) -> str:
        if text.group is not None:
            self._lines[row[text.group]] += 1
            row = {**row, LINE: str(self._lines[row[text.group]])}
        made = fill(text.template, row)
        if text.remove is not None:
            made = text.remove.sub("", made)
        if not made and text.default is not None:
            made = fill(text.default, row)
        if not _ID.fullmatch(made):
            raise RowError(f"{name} {made!r} is not 1 to 64 of A-Z a-z 0-9 . _ : -" if made else f"{name} is empty")
        return made

    def _amount(self, row: Row) -> tuple[Decimal, int]:
        exact = Decimal(1)
        for column in self._mapping.amount.factors():
            cell = row[column] or self._mapping.amount.default or ""
            if not DECIMAL.fullmatch(cell):
                raise RowError(f"{column} {cell!r} is not a decimal number" if cell else f"{column} is empty")
            exact = _EXACT.multiply(exact, Decimal(cell))
        cents = int(exact.quantize(_CENT, self._rounding, _ROUND).scaleb(2, _ROUND))
        if abs(cents) > MOST_CENTS:
            raise RowError(f"amount {exact} has more than ten digits before the point")
        return exact, cents


# --- from a file to records -----------------------------------------------------------------------------------------


@dataclass
class Orders:
    """The mapped rows of a file, sorted by ingest time and then by line; `first`, `last`: least and greatest ingest."""

    report: Report
    rows: list[tuple[int, str, bytes]] = field(repr=False)  # ingest time, order id, value

    @property
    def first(self) -> int:
        return self.rows[0][0]

    @property
    def last(self) -> int:
        return self.rows[-1][0]

    def records(self, partitions: int, rules: Time) -> Iterator[Record]:
        """Records by ingest time, heartbeats included; an order's partition is a hash of its id."""
        orders = (Record(zlib.crc32(id_.encode()) % partitions, at, value) for at, id_, value in self.rows)
        return merge(self._heartbeats(partitions, rules), orders, key=lambda record: record.ingest_time)

    def first_heartbeat(self, rules: Time) -> int:
        """An hour before the first day, epoch ms."""
        return rules.day_start(rules.day_of(self.first)) - HOUR_MS

    def heartbeat_count(self, partitions: int, rules: Time) -> int:
        """Number of heartbeats among the records."""
        return sum(1 for _ in self._heartbeats(partitions, rules))

    def _heartbeats(self, partitions: int, rules: Time) -> Iterator[Record]:
        closing = order_log.closing_time(rules, rules.day_of(self.last))
        for at in (*range(self.first_heartbeat(rules), closing, HOUR_MS), closing):
            for partition in range(partitions):
                yield Record(partition, at, HEARTBEAT)


def read_orders(
    file: Path,
    mapping: OrderMapping,
    known: Regions,
    rejects: Path,
    progress: Callable[[int], Any] | None = None,
    where: str = "mapping",
) -> Orders:
    """Map every row of a CSV. Rows that cannot be mapped go to the CSV `rejects` (line, reason, then the row's cells).

    A row's line is the physical line on which it begins, from 1. `progress` gets the bytes read. Raises `UserError` for
    a file that is missing, broken, empty, lacks a column that the mapping names, or has no row that can be mapped.
    """
    mapper = RowMapper(mapping, known, where)
    report = Report()
    rows: list[tuple[int, str, bytes]] = []
    told = 0
    try:
        with _reader(file, mapping.encoding) as (text, position), _rejects(rejects, file) as out:
            lines = csv.reader(text, delimiter=mapping.delimiter, strict=True)
            header = _header(lines, mapping, file, where)
            out.writerow(["line", "reason", *header])
            for line, cells, problem in _rows(lines):
                report.read += 1
                try:
                    if problem:
                        raise RowError(problem)
                    if len(cells) != len(header):
                        raise RowError(f"has {len(cells)} columns, not {len(header)}" if cells else "is an empty line")
                    row = dict(zip(header, map(str.strip, cells), strict=True))
                    order, ingest, exact = mapper.order(row)
                except RowError as reason:
                    report.rejected += 1
                    out.writerow([line, str(reason), *cells])
                else:
                    rows.append((ingest, order.order_id, canonical(order)))
                    report.add(order, exact)
                if progress is not None and report.read & 0xFFF == 0:
                    progress(position() - told)
                    told = position()
            if progress is not None:
                progress(position() - told)
    except (EOFError, gzip.BadGzipFile, zlib.error) as broken:
        raise UserError(f"{file} is a broken gzip file ({broken}); fetch it again") from broken
    except UnicodeDecodeError as bad:
        raise UserError(f"{file} is not {mapping.encoding}: {bad.reason}; set encoding in the mapping") from bad
    if not rows:
        raise UserError(
            f"no row of {file} can be mapped ({report.rejected} rejected, see {rejects}); correct the mapping"
        )
    rows.sort(key=lambda row: row[0])
    return Orders(report, rows)


def _rows(lines: Any) -> Iterator[tuple[int, list[str], str]]:
    """(line on which the row begins, its cells, what is wrong with it as CSV) of each row of a csv.reader."""
    while True:
        line = lines.line_num + 1
        try:
            yield line, next(lines), ""
        except StopIteration:
            return
        except csv.Error as bad:
            yield line, [], f"is not CSV up to line {lines.line_num}: {bad}"


def _header(lines: Any, mapping: OrderMapping, file: Path, where: str) -> list[str]:
    try:
        header = [name.strip() for name in next(lines, [])]
    except csv.Error as bad:
        raise UserError(f"the first line of {file} is not CSV: {bad}; correct it") from bad
    if not header:
        raise UserError(f"{file} is empty; its first line must name the columns")
    if twice := [name for name in header if header.count(name) > 1]:
        raise UserError(f"{file} has two columns {twice[0]!r}; rename one")
    if missing := sorted(mapping.columns() - set(header)):
        raise UserError(f"{where} names column {missing[0]!r}, but {file} has {', '.join(header)}; correct the mapping")
    return header


@contextmanager
def _reader(file: Path, encoding: str) -> Iterator[tuple[TextIO, Callable[[], int]]]:
    """The text of a plain or gzip file, and how many of its bytes (packed ones) have been read.

    Bytes that are not text stay in the row as lone surrogates: the row, not the file, is rejected if they matter.
    """
    with ExitStack() as opened:
        try:
            raw = opened.enter_context(open(file, "rb"))
        except OSError as unread:
            raise UserError(f"{file} cannot be read ({unread.strerror}); name another file") from unread
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        content = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
        with TextIOWrapper(content, encoding=encoding, errors="surrogateescape", newline="") as text:
            yield text, raw.tell


@contextmanager
def _rejects(rejects: Path, file: Path) -> Iterator[Any]:
    """A csv.writer of the rejects file."""
    if rejects.resolve() == file.resolve():
        raise UserError(f"the rejects cannot go into {file} itself; name another file with --rejects")
    with ExitStack() as opened:
        try:
            out = opened.enter_context(open(rejects, "w", encoding="utf-8", errors="surrogateescape", newline=""))
        except OSError as refused:
            raise UserError(
                f"{rejects} cannot be written ({refused.strerror}); name another file with --rejects"
            ) from refused
        yield csv.writer(out)  # RFC 4180 lines: a carriage return inside a field is quoted only then


# --- command line ---------------------------------------------------------------------------------------------------


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--mapping", "mapping_file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="TOML file."
)
@click.option("--topic", help="Topic to append to; made if missing. [default: the settings' topic]")
@click.option("--speed", default="max", show_default=True, help="real, a multiple such as 60x, or max.")
@click.option(
    "--rejects",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Rows that cannot be mapped go here. [default: FILE.rejects.csv in this folder]",
)
@click.pass_obj
def import_orders(
    settings: Settings, file: Path, mapping_file: Path, topic: str | None, speed: str, rejects: Path | None
) -> None:
    """Append the orders of a CSV file, plain or gzip.

    A topic that already reaches past the first order is refused: use a new one.

    Example: samewater import retail.csv.gz --mapping conf/import/online_retail.toml --topic retail
    """
    pace = order_log.parse_speed(speed)
    name = topic or settings.kafka.topic
    mapping = load_mapping(mapping_file)
    regions_file = mapping.regions or settings.regions_file()
    known = regions.load(regions_file)
    rejects = rejects or Path(f"{file.name}.rejects.csv")
    with progress_bar(f"read {file.name}", file.stat().st_size if file.is_file() else 0, "bytes") as advance:
        orders = read_orders(file, mapping, known, rejects, advance, f"mapping file {mapping_file}")
    report, partitions = orders.report, settings.kafka.partitions
    for text in report.lines(settings.time, rejects):
        click.echo(text)
    if known != regions.load(settings.regions_file()):
        click.echo(f"note: jobs must know these regions too; set [report] regions to {regions_file} in their settings")
    order_log.create_topic(settings, name, partitions)
    order_log.refuse_to_go_back(settings, name, orders.first_heartbeat(settings.time))
    beats = orders.heartbeat_count(partitions, settings.time)
    with progress_bar(f"{name} {settings.time.day_of(report.first)}", report.mapped + beats, "records") as advance:
        delivered = order_log.produce(settings, name, orders.records(partitions, settings.time), pace, advance)
    click.echo(f"{delivered:,} records in topic {name}: {report.mapped:,} orders and {beats:,} heartbeats")
