"""How does a job get its tables, with the same SQL in streaming and in batch?

Reads the files under `sql/` and fills their `${names}`; writes nothing. A job is built from views and queries alone;
where data comes from and goes to is said in `sql/bind/`, which only this module and the jobs' `main` name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from pyflink.table import EnvironmentSettings, StatementSet, TableEnvironment

from flink_jobs.compiled import CompiledJob
from flink_jobs.errors import UserError
from flink_jobs.regions import Regions
from flink_jobs.settings import ROOT, Settings
from udfs import functions

SQL = ROOT / "sql"
ORDER_VIEWS = (
    "parsed",
    "minute_records",
    "classified",
    "numbered_copies",
    "timely_copies",
    "accepted",
    "late_orders",
    "verdicts",
)


def interval(ms: int) -> str:
    """A duration in ms as a SQL interval literal, exact to the millisecond.

    >>> interval(300_001)
    "INTERVAL '0 00:05:00.001' DAY TO SECOND(3)"
    """
    minutes, rest = divmod(ms, 60_000)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"INTERVAL '{days} {hour:02d}:{minute:02d}:{rest // 1000:02d}.{rest % 1000:03d}' DAY TO SECOND(3)"


def rule_values(settings: Settings, regions: Regions) -> dict[str, str]:
    """The values that the order views take from the settings: durations as intervals, regions as lists."""
    time = settings.time
    return {
        "lateness": interval(time.lateness_ms),
        "clock_skew": interval(time.clock_skew_ms),
        "future": interval(time.future_ms),
        "late_copy_horizon": interval(time.late_copy_horizon_ms),
        "provinces": f"'|{'|'.join(sorted(regions.provinces))}|'",
        "cities": f"'|{'|'.join(f'{province}/{city}' for city, province in sorted(regions.cities.items()))}|'",
        "zone_offset_ms": str(int(time.offset.total_seconds()) * 1000),
    }


class Session:
    """A table environment of one mode, with the values that fill the SQL files.

    mode: `streaming` or `batch`. rules (of the data) and places (of this run): what `${name}` in a file stands for; a
    fragment (`sql/fragments/name.sql`) may be named too. config: options of Flink. Tables, `sinks` and `options` are
    remembered, because a compiled plan holds none of them.
    """

    def __init__(
        self,
        settings: Settings,
        mode: str,
        rules: Mapping[str, str],
        places: Mapping[str, str],
        config: Mapping[str, str],
    ) -> None:
        if mode not in ("streaming", "batch"):
            raise UserError(f"mode {mode} is unknown; choose streaming or batch")
        self.mode = mode
        self._rules = dict(rules)
        self._values = {**rules, **places, "keys_remembered": self._keys_remembered(settings)}
        self._read: dict[str, str] = {}
        self.table_definitions: list[str] = []
        self.sinks: list[str] = []
        environment = EnvironmentSettings.new_instance()
        environment = environment.in_streaming_mode() if mode == "streaming" else environment.in_batch_mode()
        self.tables = TableEnvironment.create(environment.build())
        self.options = {"table.local-time-zone": settings.time.zone, **config}
        for key, value in self.options.items():
            self.tables.get_config().set(key, value)

    def _keys_remembered(self, settings: Settings) -> str:
        """The frame of `late_orders`. Batch keeps no state and its code generator fails on a frame of time (2.2.1)."""
        if self.mode == "batch":
            return "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        return f"RANGE BETWEEN {interval(settings.time.late_copy_horizon_ms)} PRECEDING AND CURRENT ROW"

    @property
    def logic_version(self) -> str:
        """First 12 hex digits of the digest over the SQL read so far, the rules that fill it, and the functions.

        Where data comes from (topic, offsets, days, run) is no logic: two runs of the same logic share the digest.
        """
        code = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "udfs").iterdir() if file.is_file()}
        parts = {**self._read, **{f"rule {k}": v for k, v in self._rules.items()}, **code}
        text = "\n".join(f"{name}\n{part}" for name, part in sorted(parts.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def sql(self, name: str) -> str:
        """The statement of `sql/<name>.sql`, comments stripped and filled.

        Raises `UserError` for a file that does not exist or names a value that nobody gave.
        """
        return self._filled(SQL / f"{name}.sql", ())

    def run(self, *names: str) -> None:
        """Execute DDL files in order."""
        for name in names:
            statement = self.sql(name)
            self.tables.execute_sql(statement)
            if statement.startswith("CREATE TEMPORARY TABLE"):
                self.table_definitions.append(statement)

    def register(self, sinks: Iterable[str]) -> None:
        """Make sink functions known to SQL: names of udfs/functions.py."""
        self.sinks += sinks
        functions.register(self.tables, self.sinks)

    def view(self, query: str) -> None:
        """Register `sql/queries/<query>.sql` as a view of the same name."""
        self.tables.execute_sql(f"CREATE TEMPORARY VIEW {query} AS {self.sql(f'queries/{query}')}")

    def inserts(self, names: Iterable[str]) -> StatementSet:
        """One job out of several INSERT files."""
        statements = self.tables.create_statement_set()
        for name in names:
            statements.add_insert_sql(self.sql(name))
        return statements

    def compiled(self, run_id: str, statements: StatementSet) -> CompiledJob:
        """Plan the statements now, as the run is to work from now on."""
        return CompiledJob(
            run_id=run_id,
            options=self.options,
            tables=self.table_definitions,
            sinks=self.sinks,
            plan=statements.compile_plan().as_json_string(),
        )

    def _filled(self, file: Path, inside: tuple[str, ...]) -> str:
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError as missing:
            raise UserError(f"{file.relative_to(ROOT)} does not exist") from missing
        self._read[file.stem] = text
        text = re.sub(r"^\s*--.*\n?", "", text, flags=re.MULTILINE).strip()
        values = dict(self._values)
        # `$` also occurs in JSON paths and patterns; only ${name} is a placeholder.
        for name in set(re.findall(r"\$\{([a-z_]+)\}", text)) - values.keys():
            if name in inside or not (SQL / "fragments" / f"{name}.sql").exists():
                raise UserError(f"{file.relative_to(ROOT)} names ${{{name}}}, which has no value")
            values[name] = self._filled(SQL / "fragments" / f"{name}.sql", (*inside, name))
        return re.sub(r"\$\{([a-z_]+)\}", lambda match: values[match[1]], text)


def execute(job: CompiledJob) -> str:
    """Start a compiled job on the cluster that `flink run` names; returns the id of the Flink job."""
    tables = TableEnvironment.create(EnvironmentSettings.new_instance().in_streaming_mode().build())
    for key, value in job.options.items():
        tables.get_config().set(key, value)
    for statement in job.tables:
        tables.execute_sql(statement)
    functions.register(tables, job.sinks)
    with TemporaryDirectory() as folder:
        # In SQL, for PyFlink's own CompiledPlan.execute fails on a loaded plan (2.2.1: it asks the Java object back).
        file = Path(folder) / "plan.json"
        file.write_text(job.plan, encoding="utf-8")
        client = tables.execute_sql(f"EXECUTE PLAN '{file}'").get_job_client()
    return str(client.get_job_id())
