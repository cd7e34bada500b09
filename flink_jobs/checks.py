"""Do two sides hold the same, and which rows do not?

Reads and writes nothing: pure functions over tables (row name -> field -> text) that `reconcile` has read from the
log and the stores. Each identity of the promise is one function that gives one `Check`. All figures are text in their
canonical form, so that a spoilt cell is a difference and not an error.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from flink_jobs import oracle
from flink_jobs.stores import ALL, FIELDS, Doubled, Table, cents, digest, yuan

OK, DIFFERENT, MISSING, OPEN, UNKNOWN = "ok", "DIFFERENT", "MISSING", "OPEN", "not available"
WRONG = (DIFFERENT, MISSING, OPEN)
ABSENT = "-"  # how a row or field that is not there is shown
CONFLICTING = f"{ALL}|conflicting"
HOUR_MS = 3_600_000
_OF_ANY_RUN = ("verdict", "reason", "ingest_time")  # of a rejected row


class Difference(NamedTuple):
    """One field of one row that differs; `-` where a side has no such row or field."""

    row: str
    field: str
    left: str
    right: str


@dataclass(frozen=True)
class Check:
    """One identity of one day, with both sides. `verdict`: ok, DIFFERENT, MISSING, OPEN or not available.

    `runs`: the ids of the runs whose figures are held against each other or against the log.
    """

    day: str
    name: str
    left: str
    right: str
    verdict: str
    runs: tuple[str, ...] = ()
    differences: list[Difference] = field(default_factory=list)

    @property
    def side_names(self) -> tuple[str, str]:
        """What the two sides are called."""
        return self.left.partition(":")[0], self.right.partition(":")[0]

    def as_json(self) -> dict[str, Any]:
        """All of it, every differing row included."""
        return {**asdict(self), "differences": [difference._asdict() for difference in self.differences]}


def failed(checks: Sequence[Check]) -> bool:
    """True if anything is wrong, or if nothing at all was compared."""
    return not any(check.verdict == OK for check in checks) or any(check.verdict in WRONG for check in checks)


def differences(left: Table, right: Table) -> list[Difference]:
    """Every field in which two tables differ, in the order of rows; a row of one side only differs in each field."""
    found: list[Difference] = []
    for row in sorted(left.keys() | right.keys()):
        here, there = left.get(row, {}), right.get(row, {})
        for name in sorted(here.keys() | there.keys()):
            one, other = here.get(name, ABSENT), there.get(name, ABSENT)
            if one != other:
                found.append(Difference(row, name, one, other))
    return found


def compare(
    day: str,
    name: str,
    left: tuple[str, Table],
    right: tuple[str, Table],
    runs: tuple[str, ...] = (),
    doubled: Iterable[Doubled] = (),
) -> Check:
    """Hold two named tables against each other; rows that the right side holds more than once differ too."""
    found = differences(left[1], right[1])
    found += [Difference(row, "times stored", "1", str(times)) for row, times in doubled]
    left_side, right_side = (f"{side}: {len(table)} rows {digest(table)[:12]}" for side, table in (left, right))
    return Check(day, name, left_side, right_side, DIFFERENT if found else OK, runs, found)


def compare_number(
    day: str, name: str, left: tuple[str, str], right: tuple[str, str], runs: tuple[str, ...] = ()
) -> Check:
    """Hold two named single figures against each other."""
    found = [Difference(name, "value", left[1], right[1])] if left[1] != right[1] else []
    sides = [f"{side}: {value if len(value) <= 24 else '…' + value[-22:]}" for side, value in (left, right)]
    return Check(day, name, sides[0], sides[1], DIFFERENT if found else OK, runs, found)


# ---------------------------------------------------------------- what the log says, as tables


def sales_table(day: oracle.Day) -> Table:
    """`{province}|{city}` -> orders, amount, users."""
    return {
        f"{province}|{city}": {"orders": str(s.orders), "amount": yuan(s.cents), "users": str(len(s.users))}
        for (province, city), s in day.sales.items()
    }


def verdict_table(day: oracle.Day) -> Table:
    """`{partition}|{verdict}` -> records, offset_min, offset_max, offset_sum; `ALL|conflicting` where there are any."""
    found = {
        f"{partition:05}|{verdict}": {name: str(value) for name, value in asdict(count).items()}
        for (partition, verdict), count in day.verdicts.items()
    }
    return found | ({CONFLICTING: {"records": str(day.conflicting)}} if day.conflicting else {})


def stored_verdicts(stored: Table) -> Table:
    """A run's verdict table in the form of `verdict_table`: of `conflicting` only the number, and only if it is one."""
    conflicting = stored.get(CONFLICTING, {}).get("records", "0")
    rest = {row: fields for row, fields in stored.items() if row != CONFLICTING}
    return rest | ({CONFLICTING: {"records": conflicting}} if conflicting != "0" else {})


def rejected_table(day: oracle.Day) -> Table:
    """`{partition}|{offset}` -> cells as `stores.record_cells`."""
    return {f"{r.partition:05}|{r.offset}": _record_cells(r) for r in day.rejected}


def clock_table(records: Iterable[oracle.Judged]) -> Table:
    """As `rejected_table`, of records whose ingest time cannot be right."""
    return {f"{r.partition:05}|{r.offset}": _record_cells(r) for r in records}


def _record_cells(record: oracle.Judged | oracle.Admission) -> dict[str, str]:
    cells = {"verdict": record.verdict, "reason": record.reason, "ingest_time": str(record.ingest_time)}
    if record.md5:
        cells["md5"] = record.md5.hex()
    fields = record.order or record.fields
    texts = (*fields[:-1], None if fields.cents is None else yuan(fields.cents))
    return cells | {name: str(text) for name, text in zip(FIELDS, texts, strict=True) if text is not None}


def as_kept(records: Table, whole: bool) -> Table:
    """Rejected rows or admissions as a run keeps them: all of them or, of a run without `Run.whole_rows`, only what it
    keeps in the same way, verdict, reason and ingest_time.
    """
    if whole:
        return records
    return {row: {name: cells[name] for name in cells if name in _OF_ANY_RUN} for row, cells in records.items()}


def minute_table(day: oracle.Day) -> Table:
    """`{HH:MM}|{province or ALL}` -> final (1), orders, cents."""
    return {
        f"{minute}|{province}": {"final": "1", "orders": str(orders), "cents": str(amount)}
        for (minute, province), (orders, amount) in day.minutes.items()
    }


def verdict_sums(verdicts: Table) -> dict[str, str]:
    """Verdict -> records over all partitions, for people to look at."""
    found: dict[str, list[str]] = defaultdict(list)
    for row, fields in verdicts.items():
        found[row.partition("|")[2]].append(fields.get("records", ABSENT))
    return {verdict: _sum(records) for verdict, records in sorted(found.items())}


# ---------------------------------------------------------------- sums of stored rows


def _sum(values: Iterable[str], read: Callable[[str], int] = int, write: Callable[[int], str] = str) -> str:
    total = 0
    for value in values:
        try:
            total += read(value)
        except ValueError:
            return f"no sum: {value!r}"
    return write(total)


def _sum_rows(rows: Iterable[Mapping[str, str]]) -> dict[str, str]:
    rows = list(rows)
    return {
        "orders": _sum(row.get("orders", ABSENT) for row in rows),
        "amount": _sum((row.get("amount", ABSENT) for row in rows), cents, yuan),
    }


def _grouped(rows: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, list[Mapping[str, str]]]:
    found: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for name, fields in rows:
        found[name].append(fields)
    return found


def totals_from_cities(sales: Table) -> Table:
    """Orders and amount of each province (from its cities) and of the country (from its provinces)."""
    cities = ((row.partition("|")[0], f) for row, f in sales.items() if not row.endswith(f"|{ALL}"))
    provinces = [f for row, f in sales.items() if row.endswith(f"|{ALL}") and row != f"{ALL}|{ALL}"]
    found = {f"{province}|{ALL}": _sum_rows(rows) for province, rows in _grouped(cities).items()}
    return found | ({f"{ALL}|{ALL}": _sum_rows(provinces)} if provinces else {})


def stored_totals(sales: Table) -> Table:
    """Orders and amount of the rows that stand for provinces and the country."""
    return {
        row: {name: fields.get(name, ABSENT) for name in ("orders", "amount")}
        for row, fields in sales.items()
        if row.endswith(f"|{ALL}")
    }


def days_from_minutes(minutes: Table) -> Table:
    """Orders and cents of each province, and of `ALL`, summed over the minutes."""
    by_province = _grouped((row.partition("|")[2], fields) for row, fields in minutes.items())
    sums = {
        province: {name: _sum(row.get(name, ABSENT) for row in rows) for name in ("orders", "cents")}
        for province, rows in by_province.items()
    }
    return {province: day for province, day in sums.items() if day != {"orders": "0", "cents": "0"}}


def report_as_days(sales: Table) -> Table:
    """The report's provinces and country in the form of `days_from_minutes`."""
    return {
        row.partition("|")[0]: {"orders": total["orders"], "cents": _sum([total["amount"]], cents)}
        for row, total in stored_totals(sales).items()
    }


def marker_sums(sales: Table) -> dict[str, str]:
    """What a marker of these rows says: rows of all levels; orders and amount over cities."""
    cities = [fields for row, fields in sales.items() if not row.endswith(f"|{ALL}")]
    return {"rows": str(len(sales)), **_sum_rows(cities)}


# ---------------------------------------------------------------- the identities


@dataclass(frozen=True)
class StoredDay:
    """What the stores hold of one run's day of the report.

    `name`: what the run is called in the checks: `streaming`, `batch` or `backfill`. `sales`, `files`: version (epoch
    ms) -> table, from HBase (every marked version) and from HDFS (all that is there). `markers`: version -> rows,
    orders, amount. `final`: the version at the end of the day. `whole_rows`: as `runs.Run`.
    """

    run_id: str
    name: str
    final: int
    markers: Mapping[int, Mapping[str, str]]
    sales: Mapping[int, Table]
    verdicts: Table
    files: Mapping[int, Table]
    doubled: list[Doubled]
    rejected: Table
    rejected_doubled: list[Doubled]
    whole_rows: bool = True

    @property
    def day_sales(self) -> Table:
        """The whole day in HBase."""
        return self.sales.get(self.final, {})

    def versions_due(self) -> list[int]:
        """The versions that a closed day has: each hour in streaming, the day's end in batch."""
        hours = range(23, -1, -1) if self.name == "streaming" else range(1)
        return [self.final - hour * HOUR_MS for hour in hours]


def check_run(day: str, truth: oracle.Day, stored: StoredDay, time_name: Callable[[int], str]) -> list[Check]:
    """Every identity between the log and one run's day, and within that run. `time_name` prints a version."""

    def by_version(tables: Mapping[int, Table]) -> Table:
        return {f"{time_name(v)} {row}": fields for v, table in tables.items() for row, fields in table.items()}

    def presence(versions: Iterable[int]) -> Table:
        return {time_name(version): {"marker": "present"} for version in versions}

    name_of_run = stored.name
    due, held = presence(stored.versions_due()), presence(stored.markers)
    written = {time_name(v): dict(marker) for v, marker in stored.markers.items()}
    sums = {time_name(v): marker_sums(stored.sales.get(v, {})) for v in stored.markers}
    verdicts = stored_verdicts(stored.verdicts)
    counted = _sum(f.get("records", ABSENT) for row, f in verdicts.items() if row != CONFLICTING)
    truth_sales = sales_table(truth)
    due_rows, rows = (as_kept(records, stored.whole_rows) for records in (rejected_table(truth), stored.rejected))
    day_sales, day_files = stored.day_sales, stored.files.get(stored.final, {})
    versions = by_version(stored.sales), by_version(stored.files)

    def against(name: str, left: tuple[str, Table], right: tuple[str, Table], doubled: Iterable[Doubled] = ()) -> Check:
        return compare(day, f"{name_of_run}: {name}", left, right, (stored.run_id,), doubled)

    return [
        against("verdicts", ("log", verdict_table(truth)), ("HBase", verdicts)),
        compare_number(
            day, f"{name_of_run}: sum of verdicts", ("log", str(truth.records)), ("HBase", counted), (stored.run_id,)
        ),
        against("report", ("log", truth_sales), ("HBase", day_sales)),
        against("report files", ("log", truth_sales), ("HDFS", day_files), stored.doubled),
        against("rejected", ("log", due_rows), ("HDFS", rows), stored.rejected_doubled),
        against("every version", ("HBase", versions[0]), ("HDFS", versions[1])),
        against("levels", ("sums", totals_from_cities(day_sales)), ("HBase", stored_totals(day_sales))),
        against("markers", ("due", due), ("HBase", held)),
        against("marked rows", ("markers", written), ("HBase", sums)),
    ]


def check_modes(day: str, streaming: StoredDay, batch: StoredDay) -> list[Check]:
    """The stream's day is the batch's day: report, verdicts and rejected rows."""
    both = (streaming.run_id, batch.run_id)
    whole = streaming.whole_rows and batch.whole_rows
    tables = {
        "report": (streaming.day_sales, batch.day_sales),
        "verdicts": (stored_verdicts(streaming.verdicts), stored_verdicts(batch.verdicts)),
        "rejected": (as_kept(streaming.rejected, whole), as_kept(batch.rejected, whole)),
    }
    return [
        compare(day, f"streaming = batch: {name}", ("streaming", left), ("batch", right), both)
        for name, (left, right) in tables.items()
    ]


def check_dashboard(
    day: str, truth: oracle.Day, run_id: str, minutes: Table, days: Table, name: str = "dashboard"
) -> list[Check]:
    """The minutes of the dashboard (or of a backfill, so named) are final and those of the log, and its days are the
    sums of its minutes.
    """
    return [
        compare(day, f"{name}: minutes", ("log", minute_table(truth)), ("Redis", minutes), (run_id,)),
        compare(day, f"{name}: days", ("minutes", days_from_minutes(minutes)), ("Redis", days), (run_id,)),
    ]


def admission_table(admissions: Iterable[oracle.Admission]) -> Table:
    """`{day} {origin} {partition}|{offset}` -> cells as `stores.record_cells`, of what a backfill looked at."""
    return {f"{a.day} {a.origin} {a.partition:05}|{a.offset}": _record_cells(a) for a in admissions}


def check_minutes_against_report(day: str, run_id: str, minutes: Table, stored: StoredDay) -> Check:
    """The dashboard's minutes sum to the report, in each province and the country."""
    sums, report = days_from_minutes(minutes), report_as_days(stored.day_sales)
    return compare(day, f"dashboard = {stored.name}", ("minutes", sums), ("HBase", report), (run_id, stored.run_id))


def check_published(day: str, said: Mapping[str, str], held: Mapping[str, str]) -> Check:
    """The published row describes the version that it names. A digest that the publisher left out is not compared."""
    left = {day: dict(said)}
    right = {day: {name: value for name, value in held.items() if name in said}}
    return compare(day, "published", ("said", left), ("HBase", right), (said.get("run", ABSENT),))


def check_closed(
    day: str, end: int, until: int | None, last: Mapping[int, int | None], time_name: Callable[[int], str]
) -> Check:
    """The log has passed the end of the day by lateness and skew in every partition; else who holds it back."""
    right = f"end of the day {time_name(end)}"
    if until is not None and until >= end:
        return Check(day, "closed", f"log is complete until {time_name(until)}", right, OK)
    behind = min(last, key=lambda partition: (last[partition] is not None, last[partition] or 0))
    at = last[behind]
    stands = "holds nothing" if at is None else f"stands at {time_name(at)}"
    until_name = "nothing yet" if until is None else time_name(until)
    return Check(day, "closed", f"log is complete until {until_name}: partition {behind} {stands}", right, OPEN)
