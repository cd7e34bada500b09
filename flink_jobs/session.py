"""How does a job get its tables, with the same SQL in streaming and in batch?

Runs the files under `sql/` in a table environment; writes nothing. A job is built from views and queries alone; where
data comes from and goes to is said in `sql/bind/`, which only this module and the jobs' `main` name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from pyflink.table import CompiledPlan, EnvironmentSettings, StatementSet, TableEnvironment

from flink_jobs import compiled, job, runs
from flink_jobs.compiled import CompiledJob
from flink_jobs.settings import Settings
from flink_jobs.sql_files import ORDER_VIEWS, SqlFiles
from udfs import functions

ORDERS_FROM = {
    "log": ("bind/orders_kafka",),
    "archive": ("bind/orders_kafka", "bind/archive/archive_files", "bind/archive/archived_orders"),
}
"""Source of a run -> the files that make its table `orders`."""
_VIEW = re.compile(r"CREATE TEMPORARY VIEW (\w+) AS\s")


class Session:
    """A table environment with the files that it reads. `options` are Flink's.

    Tables, sinks and options are remembered, because a compiled plan holds none of them.
    """

    def __init__(self, files: SqlFiles, options: Mapping[str, str]) -> None:
        self.files = files
        self.mode = files.mode
        self.options = dict(options)
        self.table_definitions: list[str] = []
        self.sinks: list[str] = []
        self.tables = _environment(self.mode, self.options)

    def run(self, *names: str, **values: str) -> None:
        """Execute DDL files in order; `values`: what `${name}` stands for in these alone."""
        for name in names:
            statement = self.files.sql(name, **values)
            if view := _VIEW.match(statement):
                self._register(view[1], statement[view.end() :])
            else:
                self.tables.execute_sql(statement)
            if statement.startswith("CREATE TEMPORARY TABLE"):
                self.table_definitions.append(statement)

    def register(self, names: Iterable[str]) -> None:
        """Make functions of udfs/functions.py known to SQL."""
        self.sinks += names
        functions.register(self.tables, self.sinks)

    def view(self, query: str) -> None:
        """Register `sql/queries/<query>.sql` as a view of the same name."""
        self._register(query, self.files.sql(f"queries/{query}"))

    def _register(self, name: str, query: str) -> None:
        """A view of the query as it is parsed now. `CREATE VIEW` keeps its text, and each use parses all below it anew:
        that took a third of the planning, and two uses of one view were not always seen to be the same.
        """
        self.tables.create_temporary_view(name, self.tables.sql_query(query))

    def inserts(self, names: Iterable[str]) -> StatementSet:
        """One job out of several INSERT files."""
        statements = self.tables.create_statement_set()
        for name in names:
            statements.add_insert_sql(self.files.sql(name))
        return statements

    def compiled(self, run_id: str, plan: CompiledPlan) -> CompiledJob:
        """A plan with all that it does not hold itself."""
        return CompiledJob(
            run_id=run_id,
            options=self.options,
            tables=self.table_definitions,
            sinks=self.sinks,
            plan=plan.as_json_string(),
        )


def start(prepared: job.Prepared, names: Iterable[str], orders: str | None = None) -> Session:
    """A session with the order views. `names`: functions of udfs/functions.py; `orders`: DDL instead of Kafka's."""
    session = Session(prepared.files, prepared.options)
    session.register(names)
    session.run("schema/orders")
    if orders is None:
        session.run(*ORDERS_FROM[prepared.run.source])
    else:
        session.tables.execute_sql(orders)
    session.run(*(f"views/{view}" for view in ORDER_VIEWS))
    return session


def launch(settings: Settings, session: Session, run: runs.Run, statements: StatementSet) -> None:
    """Start a streaming run, and keep what it needs to go on after a stop."""
    with job.attempt(settings, run.run_id) as started:
        # What runs is the compiled plan, so that its operators have the ids that the kept one will have.
        plan = statements.compile_plan()
        compiled.keep(settings, session.compiled(run.run_id, plan))
        started(str(plan.execute().get_job_client().get_job_id()))


def execute(kept: CompiledJob) -> str:
    """Start a kept job on the cluster that `flink run` names; returns the id of the Flink job."""
    tables = _environment("streaming", kept.options)
    for statement in kept.tables:
        tables.execute_sql(statement)
    functions.register(tables, kept.sinks)
    with TemporaryDirectory() as folder:
        # In SQL, for PyFlink's own CompiledPlan.execute fails on a loaded plan (2.2.1: it asks the Java object back).
        file = Path(folder) / "plan.json"
        file.write_text(kept.plan, encoding="utf-8")
        client = tables.execute_sql(f"EXECUTE PLAN '{file}'").get_job_client()
    return str(client.get_job_id())


def _environment(mode: str, options: Mapping[str, str]) -> TableEnvironment:
    environment = EnvironmentSettings.new_instance()
    environment = environment.in_streaming_mode() if mode == "streaming" else environment.in_batch_mode()
    tables = TableEnvironment.create(environment.build())
    for key, value in options.items():
        tables.get_config().set(key, value)
    return tables
