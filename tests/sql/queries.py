"""What do a job's queries say about a topic? Asked of a mini-cluster in this process, without the job's stores.

The queries are those of the job, over the real Kafka connector; where a job writes to its stores, the rows come back
here. Needs a Kafka, and the variables of `stack.flink_env` in `os.environ` before PyFlink starts its JVM.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from pyflink.table.types import DataType, VarBinaryType

from flink_jobs import compiled, job, sql_files
from flink_jobs.session import Session, start
from flink_jobs.settings import ROOT, Settings

Row = dict[str, str | None]
Rows = dict[str, list[Row]]
SECONDS = 600.0


def run_queries(
    settings: Settings,
    module: ModuleType,
    mode: str,
    topic: str,
    days: tuple[dt.date, dt.date],
    root: Path = ROOT,
    until: Callable[[str, Row], bool] | None = None,
    options: Mapping[str, str] | None = None,
) -> Rows:
    """Query -> its rows in the order in which they came; a row: column -> value as SQL casts it to STRING, bytes as
    Base64.

    `module`: a job, whose QUERIES, `query` and `options` are used. `days`: the first and the last. `until`: streaming
    reads on for ever, so this is given each query's rows as they come, and tells when enough have; the job is cancelled
    then. `root`: a copy
    of the code whose SQL and functions are run instead; what else is changed in it counts for nothing here. `options`:
    Flink's, over those of the job.

    Fails with TimeoutError if that takes longer than SECONDS, and with AssertionError on a row that is taken back.
    """
    assert (mode == "streaming") == (until is not None), "streaming needs an end, batch has one"
    name, source = module.__name__.rpartition(".")[2], "log" if mode == "batch" else "auto"
    request = job.Request(name, mode, topic, *days, parallelism=1, source=source)
    with _code_of(root) as functions:
        chosen = {**module.options(mode, settings), **functions, **(options or {})}
        prepared = job.prepare(settings, request, chosen)
        session = start(replace(prepared, options=_in_memory(prepared.options)), module.FUNCTIONS)
        module.query(session)
        result = session.tables.execute_sql(_all_in_one(session, module.QUERIES))
    rows: Rows = {query: [] for query in module.QUERIES}

    def collect() -> None:
        # Java's rows as Java tells them, `+I[query, {…}]`: to make one of PyFlink's takes four times as many calls.
        with closing(result._j_table_result.collect()) as found:
            while found.hasNext():
                text = found.next().toString()
                assert text.startswith("+I["), f"a row is taken back: {text}"
                query, _, members = text[3:-1].partition(", ")
                rows[query].append(json.loads(members))
                if until is not None and until(query, rows[query][-1]):
                    return

    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(collect)
        try:
            reading.result(timeout=SECONDS)
        finally:
            if until is not None or not reading.done():
                result.get_job_client().cancel().result()
    return rows


def _in_memory(options: Mapping[str, str]) -> dict[str, str]:
    """Without checkpoints, for there is no HDFS and rows would wait for each one; and a failure is told at once."""
    kept = {name: value for name, value in options.items() if not name.startswith("execution.checkpointing.")}
    return kept | {"restart-strategy.type": "none"}


def _all_in_one(session: Session, queries: tuple[str, ...]) -> str:
    """One query for all: (query, its row as a JSON object). So one job runs them, as the real one does.

    An object, for PyFlink (2.2.1) cannot read an array that holds a NULL.
    """
    selects = []
    for query in queries:
        schema = session.tables.from_path(query).get_resolved_schema()
        types = dict(zip(schema.get_column_names(), schema.get_column_data_types(), strict=True))
        members = ", ".join(f"KEY '{name}' VALUE {_as_text(name, kind)}" for name, kind in types.items())
        selects.append(f"SELECT CAST('{query}' AS STRING), JSON_OBJECT({members} NULL ON NULL) FROM `{query}`")
    return "\nUNION ALL\n".join(selects)


def _as_text(column: str, kind: DataType) -> str:
    # A JSON object has bytes as Base64; as text, those that are no UTF-8 would be lost.
    return f"`{column}`" if isinstance(kind, VarBinaryType) else f"CAST(`{column}` AS STRING)"


@contextmanager
def _code_of(root: Path) -> Iterator[dict[str, str]]:
    """Let SQL be read from this copy of the code; gives the options that let its functions be run.

    Those of the code at hand run in this process; those of another copy in processes of their own, as on a cluster,
    because this one has imported the first.
    """
    if root == ROOT:
        yield {}
        return
    archive = root / "dist" / "udfs.zip"
    archive.parent.mkdir(exist_ok=True)
    with patch.object(compiled, "ROOT", root):
        archive.write_bytes(compiled.zip_of_functions())
    sql = root / "sql"
    no_logic = tuple(sql / folder.relative_to(sql_files.SQL) for folder in sql_files.NO_LOGIC)
    with (
        patch.multiple(sql_files, SQL=sql, NO_LOGIC=no_logic, ROOT=root),
        patch.dict("os.environ", {"_python_worker_execution_mode": "process"}),
    ):
        yield {"python.files": f"file://{archive}"}


def last_versions(rows: list[Row], day_end: str) -> list[Row]:
    """Those rows of `daily_sales`, `verdict_counts` or `conflicting` that say what the whole day came to.

    `day_end`: the day's end as SQL writes it, `2025-11-12 00:00:00.000`.
    """
    return [row for row in rows if row["version_end"] == day_end]
