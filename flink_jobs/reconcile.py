"""Do stream, batch, dashboard and files agree with the log, to the cent and to the row?

Reads the order log with a consumer and a strict parser of its own (flink_jobs/oracle.py), the archive of the log where
retention has taken records of the days, and for each day what HBase,
HDFS and Redis hold of the runs: by default the newest registered streaming and batch runs of `daily_report` that have
the day's last version, the dashboard's current generation, and the backfill that is published, if one is (against the
log with what it took in); and the late records that Flink itself counted as dropped. Prints each identity with both
sides, their digests and the rows that differ. Writes the outcome of each day beside what is published of it
(`p:reconciled`), and nothing else.

Exit code 0: all equal. 1: a difference, something missing, a day that is still open, or nothing to compare. 2: a
mistake of the user or a server that is down.
"""

from __future__ import annotations

import datetime as dt
import json
import urllib.parse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import click
import fsspec
import happybase
import pyarrow as pa
import redis as redis_client
import requests
from pyarrow import parquet
from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs import flink_rest, losses, oracle, runs, stores
from flink_jobs.archive_reader import newest_ingest
from flink_jobs.checks import (
    ABSENT,
    DIFFERENT,
    MISSING,
    OK,
    OPEN,
    UNKNOWN,
    WRONG,
    Check,
    StoredDay,
    as_kept,
    check_closed,
    check_dashboard,
    check_minutes_against_report,
    check_modes,
    check_published,
    check_run,
    clock_table,
    compare,
    compare_number,
    failed,
    sales_table,
    stored_verdicts,
    verdict_sums,
    verdict_table,
)
from flink_jobs.console import format_option, parse_days, people, readable
from flink_jobs.errors import UserError
from flink_jobs.log_reader import is_wrong, reached
from flink_jobs.order_log import believed_until
from flink_jobs.progress import progress_bar
from flink_jobs.recovery import files_due_s
from flink_jobs.run_id import RUN_ID
from flink_jobs.settings import Settings
from flink_jobs.stores import ALL, Table, digest, yuan
from flink_jobs.truth import Backfilled, read_backfilled, read_truth, rules_of
from flink_jobs.waiting import last_answer

ROWS_PRINTED = 20
DAYS_IN_FULL = 7
NOTHING = "nothing to compare"
_METRICS_S = 10.0  # a Flink cluster gathers metrics only once it was asked, and answers meanwhile
_HTTP_S = 10.0


@dataclass(frozen=True)
class Chosen:
    """Which runs to hold against the log; None: the newest that fits."""

    streaming: str | None = None
    batch: str | None = None
    dashboard: str | None = None
    backfill: str | None = None
    """Beside the others, published or not."""


class Version(NamedTuple):
    """One version (epoch ms) of a run's day, and the digest of its rows."""

    watermark: int | None
    digest: str | None


@dataclass(frozen=True)
class Result:
    """All checks, and for people: day -> side -> verdict -> records; and how far ingest time ran back in the log."""

    first_day: str
    last_day: str
    topic: str
    checks: list[Check]
    verdicts: Mapping[str, Mapping[str, Mapping[str, str]]]
    disorder_ms: Mapping[int, int]
    versions: Mapping[str, Mapping[str, Version]] = field(default_factory=dict)
    """Day -> run -> what was checked of its report; of the published run too, if it is one of this log."""
    source: str = "log"
    """Or `archive`: read up to its edge, because the log alone does not hold the days any more."""

    @property
    def red(self) -> bool:
        """Whether anything is not as it must be."""
        return failed(self.checks)

    @property
    def sentence(self) -> str:
        """The outcome, in one sentence."""
        which = self.first_day if self.first_day == self.last_day else f"{self.first_day} to {self.last_day}"
        if all(check.name == NOTHING for check in self.checks):
            return f"{which}: there is nothing to compare: topic {self.topic} holds no record of that time"
        count = Counter(check.verdict for check in self.checks)
        waiting = [check.day for check in self.checks if check.verdict == OPEN]
        unknown = f"; {count[UNKNOWN]} could not be looked at" if count[UNKNOWN] else ""
        if not self.red:
            return f"{which}: all {count[OK]} checks are equal{unknown}"
        if count[DIFFERENT] or count[MISSING]:
            still = f", still open: {', '.join(waiting)}" if waiting else ""
            return (
                f"{which}: NOT EQUAL: {count[DIFFERENT]} checks differ, {count[MISSING]} sides are missing, "
                f"{count[OK]} are equal{still}{unknown}"
            )
        return f"{which}: provisional: the log has not passed {', '.join(waiting)} yet; reconcile again when it has"


# ---------------------------------------------------------------- the stores


def read_run(
    settings: Settings, connection: happybase.Connection, files: fsspec.AbstractFileSystem, run: runs.Run, day: str
) -> StoredDay:
    """All that HBase and HDFS hold of a run's day."""
    final = settings.time.day_end(dt.date.fromisoformat(day))
    markers = runs.markers(connection, day, run.run_id, run.family)
    buckets = settings.report.buckets
    by_version, doubled = stores.read_sales_files(files, settings, day, run.run_id)
    rejected, rejected_doubled = stores.read_rejected(files, settings, day, run.run_id)
    return StoredDay(
        run_id=run.run_id,
        name=run.job if run.job == runs.BACKFILL else run.mode,
        final=final,
        markers={version: {k: str(v) for k, v in marker.model_dump().items()} for version, marker in markers.items()},
        sales={v: stores.read_sales(connection, buckets, day, run.run_id, run.family, v) for v in markers},
        verdicts=stores.read_verdicts(connection, day, run.run_id, run.family, final),
        files=by_version,
        doubled=doubled,
        rejected=rejected,
        rejected_doubled=rejected_doubled,
        whole_rows=run.whole_rows,
    )


def read_filed(
    settings: Settings, connection: happybase.Connection, files: fsspec.AbstractFileSystem, run: runs.Run, day: str
) -> StoredDay:
    """As `read_run`, once HDFS has the last version that a streaming run at work has marked: a checkpoint commits it.

    When the job has ended or takes too long it is given without: the checks then name what is missing.
    """

    def is_due(stored: StoredDay) -> bool:
        marked = stored.markers.get(stored.final, {}).get("rows", "0") != "0"
        return marked and stored.final not in stored.files and _is_at_work(settings, run)

    filed = Retrying(
        retry=retry_if_result(is_due),
        stop=stop_after_delay(files_due_s(settings)),
        wait=wait_fixed(1),
        retry_error_callback=last_answer,
    )
    return filed(read_run, settings, connection, files, run, day)


def _is_at_work(settings: Settings, run: runs.Run) -> bool:
    try:
        return flink_rest.living_job(settings, run.cluster, run.run_id) is not None
    except UserError:  # a cluster that is down files nothing
        return False


def choose_run(
    settings: Settings, connection: happybase.Connection, mode: str, topic: str, day: str, named: str | None
) -> runs.Run | None:
    """The named run, else the newest of this mode and topic with the last version of the day, but for replays that were
    not published: they may count by other rules.

    Raises `UserError` if the named run is not one of this mode on this topic.
    """
    if named is not None:
        run = runs.get(connection, named)
        runs.refuse_cleaned(connection, named)
        if (run.job, run.mode, run.topic) != (runs.REPORT, mode, topic):
            raise UserError(
                f"run {named} is {run.job} ({run.mode}) of topic {run.topic}, not {runs.REPORT} ({mode}) of {topic}; "
                "see `samewater runs`"
            )
        return run
    final = settings.time.day_end(dt.date.fromisoformat(day))
    candidates = runs.list_runs(connection, job=runs.REPORT, mode=mode, topic=topic)
    known = (run for run in candidates if not run.provisional)
    return next((run for run in known if final in runs.markers(connection, day, run.run_id, run.family)), None)


def read_published(
    settings: Settings,
    connection: happybase.Connection,
    day: str,
    publication: runs.Publication,
    run: runs.Run | None,
) -> tuple[dict[str, str], dict[str, str]]:
    """What the published row says of its version, and what HBase holds under that run (None: unknown) and version."""
    said = {"run": publication.run_id, "version": str(publication.watermark)}
    if publication.rows is not None:
        said["rows"] = str(publication.rows)
    if publication.digest:
        said["digest"] = publication.digest
    version = publication.watermark
    held = {"run": ABSENT if run is None else run.run_id, "version": ABSENT}
    if run is not None and version is not None and version in runs.markers(connection, day, run.run_id, run.family):
        table = stores.read_sales(connection, settings.report.buckets, day, run.run_id, run.family, version)
        held |= {"version": str(version), "rows": str(len(table)), "digest": stores.digest(table)}
    return said, held


# ---------------------------------------------------------------- Flink's own count of dropped records


def dropped_late(settings: Settings, flink_job_id: str) -> Table | str:
    """Operator -> late records that it dropped since the job's last start; or why that cannot be told.

    A batch job drops none, and a cluster forgets a job some time after its end.
    """
    if not flink_job_id:
        return "the run has no Flink job id"
    why = "no Flink cluster answers"
    for cluster in (settings.flink.realtime, settings.flink.batch):
        rest = f"http://{cluster.rest}"
        job = f"{rest}/jobs/{flink_job_id}"
        try:
            answer = requests.get(job, timeout=_HTTP_S)
            if answer.status_code == requests.codes.not_found:
                why = "no cluster knows the job any more"
                continue
            answer.raise_for_status()
            found = answer.json()
            if found["state"] != "RUNNING":
                return f"the job is {found['state']}"
            renewed = _await_renewed(rest)
            counts = late_counts(job, {vertex["id"]: vertex["name"] for vertex in found["vertices"]})
        except requests.ConnectionError:
            continue
        except requests.RequestException as broken:
            return f"{cluster.rest} does not tell: {type(broken).__name__}"
        if not renewed and not isinstance(counts, str) and all(row["dropped"] == "0" for row in counts.values()):
            return "the cluster gives figures from before the question"
        return counts
    return why


def _await_renewed(rest: str) -> bool:
    """Wait until the cluster has newer metrics of every TaskManager than it had when this began; False: not in time.

    It answers at once, from the copy that the last question left, however long ago that was, and only then asks its
    TaskManagers. Of a running JVM no two copies have the same heap in use.
    """

    def heaps() -> dict[str, Any]:
        managers = [manager["id"] for manager in _json(f"{rest}/taskmanagers")["taskmanagers"]]
        return {m: _json(f"{rest}/taskmanagers/{m}/metrics?get=Status.JVM.Memory.Heap.Used") for m in managers}

    before = heaps()
    newer = Retrying(
        retry=retry_if_result(
            lambda now: any(not heap or before.get(manager) == heap for manager, heap in now.items())
        ),
        stop=stop_after_delay(_METRICS_S),
        wait=wait_fixed(0.2),
        retry_error_callback=lambda _: None,
    )
    return newer(heaps) is not None


def late_counts(job: str, vertices: Mapping[str, str]) -> Table | str:
    """Operator -> late records that it dropped, summed over its subtasks; or why that cannot be told.

    `job`: its address at the REST API; `vertices`: id -> name, all that it has. One that does not tell its metrics
    within `_METRICS_S` counts as unknown, not as none, unless another one is known to have dropped some. Operators of
    one name in several vertices are added up.
    """
    gathered = Retrying(
        retry=retry_if_result(lambda metrics: not metrics),
        stop=stop_after_delay(_METRICS_S),
        wait=wait_fixed(0.5),
        retry_error_callback=last_answer,
    )
    addresses = {vertex: f"{job}/vertices/{vertex}/subtasks/metrics" for vertex in vertices}
    names = {vertex: [m["id"] for m in gathered(_json, address)] for vertex, address in addresses.items()}
    silent = [vertices[vertex] for vertex, known in names.items() if not known]
    dropped: Counter[str] = Counter()
    for vertex, known in names.items():
        late = [name for name in known if name.lower().endswith(flink_rest.LATE_METRIC)]
        if late:
            asked = ",".join(urllib.parse.quote(name, safe="") for name in late)
            sums = {value["id"]: int(value["sum"]) for value in _json(f"{addresses[vertex]}?get={asked}&agg=sum")}
            dropped.update(sums)
            if sums.keys() != set(late):
                silent.append(vertices[vertex])
    if silent and not any(dropped.values()):
        return f"{', '.join(silent)} does not tell its metrics"
    if not dropped:
        return "no operator of the job counts dropped records"
    return {name: {"dropped": str(count)} for name, count in dropped.items()}


def _json(address: str) -> Any:
    answer = requests.get(address, timeout=_HTTP_S)
    answer.raise_for_status()
    return answer.json()


def check_dropped(day: str, job: str, run_id: str, counted: Table | str) -> Check:
    """No operator of a streaming job has dropped a late record."""
    name = f"{job}: late rows dropped"
    if isinstance(counted, str):
        return Check(day, name, "none", counted, UNKNOWN, (run_id,))
    none: Table = {row: {"dropped": "0"} for row in counted}
    return compare(day, name, ("none", none), ("Flink", counted), (run_id,))


# ---------------------------------------------------------------- the generator's ledger


def ledger_tables(ledger: pa.Table, rules: oracle.Rules) -> dict[str, Table]:
    """Day -> what the generator intended: `{verdict}|{reason}` -> records, and `accepted` -> orders, amount, users."""
    columns = ("verdict", "reason", "ingest_time", "order_time", "order_id", "user_id", "cents")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    money: Counter[str] = Counter()
    users: dict[str, set[str]] = defaultdict(set)
    times: dict[str, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
    for verdict, reason, ingest, at, order_id, user, amount in zip(
        *(ledger[column].to_pylist() for column in columns), strict=True
    ):
        timely = at is not None and ingest - rules.lateness_ms <= at <= ingest + rules.future_ms
        day = rules.day_of(at if timely else ingest)
        counts[day][f"{verdict}|{reason or ''}"] += 1
        if verdict == "accepted":
            money[day] += amount
            users[day].add(user)
            times[day][order_id].add(at)
    return {
        day: _witness(found, money[day], len(users[day]), sum(len(several) > 1 for several in times[day].values()))
        for day, found in counts.items()
    }


def truth_as_ledger(truth: oracle.Day) -> Table:
    """The log's own account in the form of `ledger_tables`."""
    country = truth.sales.get((ALL, ALL), oracle.Sales())
    reasons = {f"{verdict}|{reason}": records for (verdict, reason), records in truth.reasons.items()}
    return _witness(reasons, country.cents, len(country.users), truth.conflicting)


def _witness(records: Mapping[str, int], amount: int, users: int, conflicting: int) -> Table:
    country = {"amount": yuan(amount), "users": str(users), "conflicting": str(conflicting)}
    return {row: {"records": str(count)} for row, count in records.items()} | {"country": country}


def read_ledger(file: Path) -> pa.Table:
    """A ledger as `samewater generate --ledger` writes it. Raises `UserError` if the file is not one."""
    try:
        return parquet.read_table(file)
    except (OSError, pa.ArrowException) as bad:
        raise UserError(f"ledger {file} cannot be read: {bad}; name the Parquet file of `samewater generate`") from bad


# ---------------------------------------------------------------- putting it together


def verdict_of(settings: Settings, result: Result, day: str, run_id: str) -> runs.Reconciled:
    """What the result says of a day and of a run that was checked for it (`result.versions`)."""
    checks = [check for check in result.checks if check.day == day]
    version = result.versions[day][run_id]
    return runs.Reconciled(
        run_id=run_id,
        watermark=version.watermark,
        digest=version.digest,
        topic=result.topic,
        equal=not failed(checks),
        says=replace(result, first_day=day, last_day=day, checks=checks).sentence,
        failed=[check.name for check in checks if check.verdict in WRONG],
        who=runs.submitter(),
        at=runs.now_iso(settings),
    )


class _Reader:
    """The opened stores of one reconciliation."""

    def __init__(self, settings: Settings, topic: str, chosen: Chosen, open_stores: ExitStack) -> None:
        self.settings = settings
        self.topic = topic
        self.chosen = chosen
        self.connection: happybase.Connection = open_stores.enter_context(stores.hbase(settings))
        self.files: fsspec.AbstractFileSystem = open_stores.enter_context(stores.hdfs(settings))
        self.redis: redis_client.Redis = stores.redis(settings)
        self.rules = rules_of(settings)
        self.backfilled: dict[str, Backfilled] = {}
        self.dropped: dict[str, Table | str] = {}
        self.versions: dict[str, dict[str, Version]] = defaultdict(dict)
        self.clock: list[oracle.Judged] = []
        """Of the log: what may have a wrong clock."""
        self.began: Mapping[int, int] = {}
        """Partition -> the first offset that was read of the log."""

    def wrong_from(self) -> int:
        """The ingest time (epoch ms) from which on a record has a wrong clock: that of now, or what somebody said when
        streaming began (of a batch, it is that of its planning).
        """
        known = [run.ingest_until for run in runs.list_runs(self.connection, mode="streaming", topic=self.topic)]
        return min([until for until in known if until], default=believed_until())

    def readable(self, epoch_ms: int) -> str:
        return readable(epoch_ms, self.settings.time)

    def check_day(self, day: str, truth: oracle.Day) -> tuple[list[Check], dict[str, dict[str, str]]]:
        """All checks of a closed day, and the verdict counts of each side for people to look at."""
        found: list[Check] = []
        verdicts = {"log": verdict_sums(verdict_table(truth))}
        stored: dict[str, StoredDay] = {}
        live: dict[str, str] = {}
        for mode, named in (("streaming", self.chosen.streaming), ("batch", self.chosen.batch)):
            run = choose_run(self.settings, self.connection, mode, self.topic, day, named)
            if run is None:
                found.append(Check(day, f"{mode}: report", "log", f"no {mode} run has the whole day", MISSING))
                continue
            read = read_filed if mode == "streaming" else read_run
            stored[mode] = read(self.settings, self.connection, self.files, run, day)
            self.versions[day][run.run_id] = Version(stored[mode].final, digest(stored[mode].day_sales))
            verdicts[mode] = verdict_sums(stored_verdicts(stored[mode].verdicts))
            found += check_run(day, truth, stored[mode], self.readable)
            found += self._check_seen(day, run, mode)
            found += self._check_clock(day, truth, run)
            if mode == "streaming":
                live[mode] = run.run_id
        if len(stored) == 2:
            found += check_modes(day, stored["streaming"], stored["batch"])
        current = stores.current_generation(self.redis, self.settings)
        dashboard = self.chosen.dashboard or current
        if dashboard is None:
            found.append(Check(day, "dashboard: minutes", "log", "Redis names no current run", MISSING))
        else:
            found += self._check_dashboard(day, truth, dashboard, stored.values())
            live["dashboard"] = dashboard
        if self.chosen.dashboard is None:
            shown = runs.published(self.connection, runs.DASHBOARD, runs.LIVE)
            said = ABSENT if shown is None else shown.run_id
            found.append(compare_number(day, "dashboard: shown", ("published", said), ("Redis", current or ABSENT)))
        found += self._check_published(day, truth)
        found += self._check_backfills(day)
        found += [check_dropped(day, job, run_id, self._dropped(run_id)) for job, run_id in live.items()]
        return found, verdicts

    def _check_seen(self, day: str, run: runs.Run, name: str) -> list[Check]:
        """What of the log the run did not see, if anything: told even if somebody has accepted it, for the log cannot
        tell any more what it was.
        """
        gaps = stores.read_gaps(self.connection, run.run_id, run.family)
        lost = [gap for gap in gaps if losses.concerns(self.settings, run, gap, day)]
        if not lost:
            return []
        verdict = UNKNOWN if all(losses.is_accepted(run, gap) for gap in lost) else DIFFERENT
        return [
            Check(day, f"{name}: seen", "log: every offset", f"without {losses.told(lost)}", verdict, (run.run_id,))
        ]

    def _check_clock(self, day: str, truth: oracle.Day, run: runs.Run) -> list[Check]:
        """The records whose ingest time cannot be right, up to the last that counts on the day: in no day, and none
        missing. Not told where there are none.
        """
        reach: dict[int, int] = {}
        for (partition, _), count in truth.verdicts.items():
            reach[partition] = max(reach.get(partition, 0), count.offset_max)
        wrong_from = run.ingest_until or believed_until()

        def concerns(partition: int, offset: int) -> bool:
            start = max(run.starts.get(partition, 0), self.began.get(partition, 0))
            return start <= offset <= reach.get(partition, -1)

        due = clock_table(
            r for r in self.clock if concerns(r.partition, r.offset) and is_wrong(r.ingest_time, wrong_from)
        )
        held, doubled = stores.read_rejected(self.files, self.settings, stores.CLOCK, run.run_id)
        seen = {row: cells for row, cells in held.items() if concerns(*map(int, row.split("|")))}
        if (not due and not seen) or (run.mode == "batch" and not run.ingest_until):  # an earlier release kept none
            return []
        return [compare(day, f"{run.mode}: clock", ("log", due), ("HDFS", seen), (run.run_id,), doubled)]

    def _check_dashboard(self, day: str, truth: oracle.Day, run_id: str, stored: Iterable[StoredDay]) -> list[Check]:
        run = runs.find(self.connection, run_id)
        if run is not None and run.topic != self.topic:
            return [
                Check(day, "dashboard: minutes", f"topic {self.topic}", f"reads topic {run.topic}", MISSING, (run_id,))
            ]
        minutes = stores.read_minutes(self.redis, self.settings, run_id, day)
        days = stores.read_day_totals(self.redis, self.settings, run_id, day)
        against = [check_minutes_against_report(day, run_id, minutes, one) for one in stored]
        return [*check_dashboard(day, truth, run_id, minutes, days), *against]

    def _check_published(self, day: str, truth: oracle.Day) -> list[Check]:
        publication = runs.published(self.connection, runs.REPORT, day)
        if publication is None:
            return [Check(day, "published", f"{runs.REPORT} of {day}", "nothing is published", MISSING)]
        run = runs.find(self.connection, publication.run_id)
        said, held = read_published(self.settings, self.connection, day, publication, run)
        row = check_published(day, said, held)
        if run is not None and run.topic != self.topic:
            # Another log of the same day may be the published one: that is no error of these runs, but to be seen.
            return [replace(row, left=f"{row.left} of topic {run.topic}")]
        self.versions[day][publication.run_id] = Version(publication.watermark, publication.digest)
        table: Table = {}
        if run is not None and publication.watermark is not None:
            buckets, version = self.settings.report.buckets, publication.watermark
            table = stores.read_sales(self.connection, buckets, day, run.run_id, run.family, version)
        if run is not None and run.job == runs.BACKFILL:
            truth = self._backfilled(run).days[day]
        seen = ("HBase", table)
        return [row, compare(day, "published: report", ("log", sales_table(truth)), seen, (publication.run_id,))]

    def _check_backfills(self, day: str) -> list[Check]:
        """The backfill that is published of the day and the one that was named: all that they wrote, in every store."""
        shown = runs.shown(self.connection, runs.REPORT, [day])[day]
        found: list[Check] = []
        for run_id in dict.fromkeys(filter(None, (shown, self.chosen.backfill))):
            run = runs.find(self.connection, run_id)
            if run is None or run.job != runs.BACKFILL or run.topic != self.topic or day not in run.days:
                continue
            truth = self._backfilled(run)
            stored = read_run(self.settings, self.connection, self.files, run, day)
            self.versions[day][run_id] = Version(stored.final, digest(stored.day_sales))
            minutes = stores.read_minutes(self.redis, self.settings, run_id, day)
            totals = stores.read_day_totals(self.redis, self.settings, run_id, day)
            held, doubled = stores.read_admissions(self.files, self.settings, run_id)
            log, held = (as_kept(records, run.whole_rows) for records in (truth.admissions, held))
            found += [
                *check_run(day, truth.days[day], stored, self.readable),
                *self._check_seen(day, run, "backfill"),
                *check_dashboard(day, truth.days[day], run_id, minutes, totals, "backfill"),
                compare(day, "backfill: admissions", ("log", log), ("HDFS", held), (run_id,), doubled),
            ]
        instead = runs.minutes_of(self.connection, day) or ABSENT
        pointed = stores.backfilled_by(self.redis, self.settings, day) or ABSENT
        return [*found, compare_number(day, "minutes: shown", ("published", instead), ("Redis", pointed))]

    def _backfilled(self, run: runs.Run) -> Backfilled:
        if run.run_id not in self.backfilled:
            self.backfilled[run.run_id] = read_backfilled(self.settings, self.rules, run)
        return self.backfilled[run.run_id]

    def _dropped(self, run_id: str) -> Table | str:
        if run_id not in self.dropped:
            run = runs.find(self.connection, run_id)
            known = "the run is not registered" if run is None else dropped_late(self.settings, run.flink_job_id)
            self.dropped[run_id] = known
        return self.dropped[run_id]


def reconcile_days(
    settings: Settings,
    first_day: str,
    last_day: str,
    topic: str,
    chosen: Chosen | None = None,
    ledger: Path | None = None,
    next_day: Callable[[], None] = lambda: None,
) -> Result:
    """Hold the days (both included) of the stores against the log. A day that is still open is not compared.

    `next_day` is called as each day's turn comes. Raises `UserError` if a server does not answer, or a topic, run or
    file is not there.
    """
    rules = rules_of(settings)
    if chosen is not None and chosen.backfill is not None:
        _refuse_other_than_backfill(settings, topic, chosen.backfill, (first_day, last_day))
    intended = None if ledger is None else ledger_tables(read_ledger(ledger), rules)
    checks: list[Check] = []
    verdicts: dict[str, dict[str, dict[str, str]]] = {}
    disorder: dict[int, int] = {}
    source = "log"
    with ExitStack() as open_stores:
        reader = _Reader(settings, topic, chosen or Chosen(), open_stores)
        last_ingest = newest_ingest(settings, topic)
        until = reached(last_ingest, settings.time.lateness_ms, settings.time.clock_skew_ms)
        days = [
            (dt.date.fromisoformat(first_day) + dt.timedelta(n)).isoformat()
            for n in range((dt.date.fromisoformat(last_day) - dt.date.fromisoformat(first_day)).days + 1)
        ]
        closed = {
            day: check_closed(day, rules.day_start(day) + oracle.DAY_MS, until, last_ingest, reader.readable)
            for day in days
        }
        ready = [day for day in days if closed[day].verdict == OK]
        truth: dict[str, oracle.Day] = {}
        if ready:
            found_truth = read_truth(settings, rules, topic, ready[0], ready[-1], reader.wrong_from())
            truth, disorder, source, reader.clock, reader.began = found_truth
        for day in days:
            next_day()
            if day in truth and truth[day].records == 0:
                nothing = f"topic {topic} holds no record of the day"
                checks.append(Check(day, NOTHING, nothing, ABSENT, MISSING))
                continue
            checks.append(closed[day])
            if day in truth:
                found, verdicts[day] = reader.check_day(day, truth[day])
                checks += found
            if day in truth and intended is not None:
                left = intended.get(day, {})
                checks.append(compare(day, "ledger", ("ledger", left), ("log", truth_as_ledger(truth[day]))))
    return Result(first_day, last_day, topic, checks, verdicts, disorder, reader.versions, source)


def _refuse_other_than_backfill(settings: Settings, topic: str, run_id: str, days: tuple[str, str]) -> None:
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
    if (run.job, run.topic) != (runs.BACKFILL, topic):
        raise UserError(
            f"run {run_id} is {run.job} of topic {run.topic}, not {runs.BACKFILL} of {topic}; see `samewater runs`"
        )
    if not run.from_day <= days[0] <= days[1] <= run.to_day:
        raise UserError(f"backfill {run_id} is of {run.from_day} to {run.to_day}; choose days among these")


# ---------------------------------------------------------------- command


@click.command()
@click.option("--from", "first", required=True, help="First business day, YYYY-MM-DD.")
@click.option("--to", "last", help="Last business day, included.  [default: the first]")
@click.option("--topic", help="Order log.  [default: that of the settings]")
@click.option(
    "--stream", "streaming", metavar="RUN", type=RUN_ID, help="Streaming run.  [default: the newest that has the day]"
)
@click.option("--batch", metavar="RUN", type=RUN_ID, help="Batch run.  [default: the newest that has the day]")
@click.option("--dashboard", metavar="RUN", type=RUN_ID, help="Dashboard run.  [default: the current one]")
@click.option("--backfill", metavar="RUN", type=RUN_ID, help="This backfill too, published or not.")
@click.option(
    "--ledger", type=click.Path(dir_okay=False, path_type=Path), help="The generator's ledger, one witness more."
)
@format_option("table", "json")
@click.pass_context
def reconcile(
    context: click.Context,
    first: str,
    last: str | None,
    topic: str | None,
    streaming: str | None,
    batch: str | None,
    dashboard: str | None,
    backfill: str | None,
    ledger: Path | None,
    form: str,
) -> None:
    """Check that stream, batch, screen and files equal the log.

    Exit code 1 if anything differs. With --json every differing row is told. The verdict on each
    run is noted, for readers of the day once it is published.

    Example: samewater reconcile --from 2025-11-11 --to 2025-11-12
    """
    settings: Settings = context.obj
    from_day, to_day = parse_days(first, last)
    chosen = Chosen(streaming, batch, dashboard, backfill)
    days = (dt.date.fromisoformat(to_day) - dt.date.fromisoformat(from_day)).days + 1
    log = topic or settings.kafka.topic
    with progress_bar("reconcile", days, "days") as advance:
        result = reconcile_days(settings, from_day, to_day, log, chosen, ledger, lambda: advance(1))
    with stores.hbase(settings) as connection:
        for day, checked in result.versions.items():
            for run_id in checked:
                runs.note_reconciled(connection, day, verdict_of(settings, result, day, run_id))
    if form == "json":
        click.echo(json.dumps(as_dict(result), ensure_ascii=False, indent=2))
    else:
        print_result(settings, result)
    context.exit(1 if result.red else 0)


def as_dict(result: Result) -> dict[str, Any]:
    """The whole result for machines."""
    return {
        "from": result.first_day,
        "to": result.last_day,
        "topic": result.topic,
        "source": result.source,
        "equal": not result.red,
        "says": result.sentence,
        "disorder_ms": result.disorder_ms,
        "verdicts": result.verdicts,
        "checks": [check.as_json() for check in result.checks],
    }


def print_result(settings: Settings, result: Result) -> None:
    """The result for people: the checks, the first differing rows of each, the verdicts, and one sentence.

    Of a long range, the days on which all is equal take one line each.
    """
    console = people()
    by_day: dict[str, list[Check]] = defaultdict(list)
    for check in result.checks:
        by_day[check.day].append(check)
    equal = [day for day, checks in by_day.items() if all(check.verdict == OK for check in checks)]
    if len(by_day) > DAYS_IN_FULL and equal:
        table = RichTable("day", "records", "accepted", "checks", box=_box(console))
        for day in equal:
            log = result.verdicts[day]["log"]
            records = sum(int(count) for verdict, count in log.items() if verdict != "conflicting")
            table.add_row(day, str(records), log.get("accepted", "0"), f"{len(by_day.pop(day))} ok")
        console.print(table)
    for day, checks in by_day.items():
        _print_day(console, day, checks, result.verdicts.get(day, {}))
    furthest = max(result.disorder_ms.values(), default=0)
    if furthest > settings.time.clock_skew_ms:
        console.print(
            f"Beware: ingest time runs back by {furthest} ms within a partition, more than clock_skew_ms = "
            f"{settings.time.clock_skew_ms}; a streaming job may drop such records."
        )
    if result.source == "archive":
        console.print(
            "The log holds these days no more: its archive was read up to the edge, and the log from there on."
        )
    console.print(result.sentence, style="bold red" if result.red else "bold green")


def _box(console: Console) -> box.Box | None:
    return box.SIMPLE_HEAD if console.is_terminal else None


def _print_day(console: Console, day: str, checks: list[Check], sides: Mapping[str, Mapping[str, str]]) -> None:
    colours = {OK: None, UNKNOWN: "yellow", OPEN: "yellow"}
    console.print(day)
    table = RichTable("check", "left", "right", "verdict", box=_box(console))
    for check in checks:
        table.add_row(check.name, check.left, check.right, check.verdict, style=colours.get(check.verdict, "bold red"))
    console.print(table)
    for run_id in dict.fromkeys(run_id for check in checks for run_id in check.runs):
        console.print(f"run {run_id}")
    for check in checks:
        if check.differences:
            _print_differences(console, check)
    if sides:
        console.print(f"{day}: records by verdict")
        counts = RichTable("verdict", *sides, box=_box(console))
        for verdict in sorted({name for side in sides.values() for name in side}):
            counts.add_row(verdict, *(side.get(verdict, "0") for side in sides.values()))
        console.print(counts)


def _print_differences(console: Console, check: Check) -> None:
    console.print(f"{check.name} ({', '.join(check.runs)})" if check.runs else check.name)
    rows = RichTable("row", "field", *check.side_names, box=None)
    for difference in check.differences[:ROWS_PRINTED]:
        rows.add_row(*difference)
    console.print(rows)
    if len(check.differences) > ROWS_PRINTED:
        console.print(f"{len(check.differences)} differences; --json lists all of them")
