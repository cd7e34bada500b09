"""How are the same jobs, and questions of one's own, run from Flink's SQL client?

Fills a script of `sql/client/`, which names the schema, view and query files that the jobs are made of, and runs it
with `sql-client.sh`. A job started so is a run like any other: registered, reconciled and published; only `resume` is
not for it, because the client keeps no compiled plan. The client ends with exit code 0 whatever happens: its output is
read.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import subprocess
import tempfile
from pathlib import Path

import click

from flink_jobs import flink_rest, job, runs, stack, stores
from flink_jobs.errors import UserError
from flink_jobs.progress import working
from flink_jobs.settings import Settings
from flink_jobs.sql_files import CLIENT, SQL
from flink_jobs.submit import package, refuse_without_slots

_JOBS = {"dashboard": runs.DASHBOARD, "report": runs.REPORT}
"""Script -> the job that it is."""
_ASKING = ("judge", "settle", "tell_copies", "rows_of")
"""Functions that the tables stand on which people ask."""
SCRIPTS = (*_JOBS, "questions")
# The batch mode waits for a job's end; in streaming there is none.
_WAIT = {"batch": {"table.dml-sync": "true"}, "streaming": {}}
_TABLES = {"sql-client.execution.result-mode": "tableau", "table.display.max-column-width": "200"}


def script(prepared: job.Prepared, name: str, names: tuple[str, ...] = _ASKING) -> str:
    """A script of `sql/client/`, filled: what `sql-client.sh` takes. `names`: functions of udfs/functions.py."""
    mode = prepared.files.mode
    options = {"execution.runtime-mode": mode, **_TABLES, **_WAIT[mode], **prepared.options}
    functions = [f"CREATE TEMPORARY FUNCTION {name} AS 'udfs.functions.{name}' LANGUAGE PYTHON;" for name in names]
    prepared.files.also(
        mode=mode,
        options="\n".join(f"SET '{key}' = '{_quoted(value)}';" for key, value in options.items()),
        functions="\n".join(functions),
        source=prepared.run.source,
    )
    return prepared.files.sql(f"{CLIENT}/{name}") + "\n"


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def run_script(settings: Settings, cluster: str, text: str) -> str:
    """Run a filled script; returns what the client printed. Raises `UserError` with its words if a statement failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "script.sql"
        file.write_text(text, encoding="utf-8")
        command = [*_client(settings, cluster), "-f", str(file)]
        done = subprocess.run(
            [*command, *_address(settings, cluster)],
            env=_environment(settings, cluster),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    output = done.stdout + done.stderr
    # The client says so behind the statement, with the cause, and ends with exit code 0.
    failed = re.search(r"\[ERROR\] .*(?:\n(?!\n|Flink SQL>).*)*", output)
    if failed or done.returncode != 0:
        said = failed[0].splitlines() if failed else output.strip().splitlines()[-5:]
        raise UserError(f"the SQL client could not run the script: {' '.join(line.strip() for line in said)[:600]}")
    return output


def answers(output: str) -> str:
    """What the client answered to the questions of `questions.sql`: each question with its table, without the echo."""
    text = (SQL / CLIENT / "questions.sql").read_text(encoding="utf-8")
    questions = re.findall(r"((?:^-- .*\n)+)(?=SELECT )", text, re.MULTILINE)
    tables = re.findall(r"(\+-[-+]*\n(?:\|.*\n|\+-[-+]*\n)+)[0-9]+ rows? in set|^(Empty set)", output, re.MULTILINE)
    told = [
        f"{question.replace('-- ', '').strip()}\n{(table or empty).rstrip()}\n"
        for question, (table, empty) in zip(questions, tables, strict=True)
    ]
    return "\n".join(told)


def _environment(settings: Settings, cluster: str) -> dict[str, str]:
    # The client reads a script in the encoding of the locale, and our files are UTF-8.
    return stack.flink_env(settings, cluster) | {"LC_ALL": "C.UTF-8"}


def _client(settings: Settings, cluster: str) -> tuple[str, ...]:
    """The client, with the functions that the tables need: a cluster has no clone of this one."""
    return (*stack.behind_live_work(settings, cluster), str(stack.sql_client()), "-pyfs", str(package()))


def _address(settings: Settings, cluster: str) -> list[str]:
    host, _, port = getattr(settings.flink, cluster).rest.rpartition(":")
    return [f"-Drest.address={host}", f"-Drest.port={port}"]


def submit_script(settings: Settings, name: str, request: job.Request) -> str:
    """Run a job's script and return its run id; it is RUNNING by then, or FINISHED in batch."""
    # Not above: they bring PyFlink and pandas, for which every other command would wait.
    from flink_jobs import daily_report, realtime_dashboard

    module = {"dashboard": realtime_dashboard, "report": daily_report}[name]
    cluster = flink_rest.CLUSTERS[request.mode]
    refuse_without_slots(settings, request.mode, request.parallelism)
    provisional = request.mode == "batch" and job.is_open(settings, request)
    prepared = job.prepare(settings, request, module.options(request.mode, settings), provisional)
    text = script(prepared, name, (*module.FUNCTIONS, *module.SINKS))
    run = job.register(settings, prepared)
    with job.attempt(settings, run.run_id) as started:
        if request.mode == "batch":
            daily_report.clear_files(settings, run.run_id)
        run_script(settings, cluster, text)
        # The client tells the id of a job only where it does not wait for its end.
        flink_job = next((j["jid"] for j in flink_rest.jobs(settings, cluster) if j["name"] == run.run_id), None)
        if flink_job is None:
            raise UserError(f"the SQL client started no job; see its log among those of the cluster `{cluster}`")
        started(flink_job)
        if request.mode == "batch":
            assert request.from_day is not None and request.to_day is not None
            daily_report.mark_empty_days(settings, run, request.from_day, request.to_day, provisional)
            job.note(settings, run.run_id, "provisional" if provisional else "finished")
    if request.mode == "streaming":
        flink_rest.await_running(settings, cluster, flink_job)
        if name == "dashboard":
            realtime_dashboard.publish(settings, run)
    return run.run_id


@click.command("sql")
@click.argument("name", type=click.Choice(SCRIPTS), required=False, metavar="[dashboard|report|questions]")
@click.option("--mode", type=click.Choice(["streaming", "batch"]), help="[default: streaming for jobs, else batch]")
@click.option("--topic", help="Topic of the orders. [default: that of the settings]")
@click.option("--from", "from_day", type=click.DateTime(["%Y-%m-%d"]), help="First business day.")
@click.option("--to", "to_day", type=click.DateTime(["%Y-%m-%d"]), help="Last business day.")
@click.option("--parallelism", type=click.IntRange(min=1), help="[default: that of the cluster's settings]")
@click.pass_obj
def sql(
    settings: Settings,
    name: str | None,
    mode: str | None,
    topic: str | None,
    from_day: dt.datetime | None,
    to_day: dt.datetime | None,
    parallelism: int | None,
) -> None:
    """Run jobs and questions in Flink's SQL client.

    Runs a script of sql/client/; without a name it opens the client with all tables.

    \b
    Examples:
    samewater sql report --mode batch --from 2025-11-11 --to 2025-11-11
    samewater sql questions --from 2025-11-11 --to 2025-11-11
    samewater sql --from 2025-11-11 --to 2025-11-11      then: SELECT verdict, COUNT(*) FROM verdicts GROUP BY verdict;
    """
    mode = mode or ("streaming" if name in _JOBS else "batch")
    if name == "dashboard" and mode == "batch":
        raise UserError("the dashboard's script is for streaming; leave out --mode")
    if name == "questions" and mode == "streaming":
        raise UserError("questions are asked in batch; open the client without a name to ask in streaming")
    first, last = (day.date() if day else None for day in (from_day, to_day))
    last = first if last is None and name not in _JOBS else last
    title = _JOBS.get(name or "", "questions")
    request = job.Request(title, mode, topic or settings.kafka.topic, first, last, parallelism=parallelism)
    if name in _JOBS:
        with working(f"starting {name} ({mode}) in the SQL client"):
            run = submit_script(settings, name, request)
        click.echo(f"run {run}")
        return
    options = job.JUDGED if mode == "streaming" else job.JUDGED_IN_BATCH
    # Which operators share a task in what a person asks, nobody has looked at (job.JUDGED).
    prepared = job.prepare(settings, request, {**options, "pipeline.object-reuse": "false"})
    with stores.hdfs(settings) as files:  # before the first report there are none, which is no error
        for dataset in stores.DATASETS:
            files.makedirs(f"{settings.hdfs.root}/{dataset}", exist_ok=True)
    if name is None:
        _open(settings, script(prepared, "tables"))
    with working("asking in batch"):
        said = run_script(settings, "batch", script(prepared, "questions"))
    click.echo(answers(said), nl=False)


def _open(settings: Settings, text: str) -> None:
    """Become the interactive client, with the tables of this script."""
    file = Path(tempfile.gettempdir()) / f"samewater-{os.getpid()}.sql"
    file.write_text(text, encoding="utf-8")
    command = [*_client(settings, "batch"), "-i", str(file), *_address(settings, "batch")]
    os.execve(command[0], command, _environment(settings, "batch"))
