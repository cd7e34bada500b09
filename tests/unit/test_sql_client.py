"""Do the scripts of sql/client/ hold all that the jobs are made of, and nothing that is left to fill?"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from flink_jobs import daily_report, job, realtime_dashboard, runs, sql_client
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.sql_client import script
from flink_jobs.sql_files import ORDER_VIEWS, SQL, SqlFiles


def prepared(mode: str, source: str = "log") -> job.Prepared:
    settings = Settings.load(DEFAULT_FILE)
    named = set(re.findall(r"\$\{([a-z_]+)\}", "".join(file.read_text() for file in SQL.rglob("*.sql"))))
    given = {name: name for name in named - {"log"} if not (SQL / "fragments" / f"{name}.sql").exists()}
    run = runs.Run(run_id="r", job="j", mode=mode, logic="", source=source)
    return job.Prepared(
        SqlFiles(settings, mode, given, {"source": source}), {"table.local-time-zone": "it's here"}, run
    )


@pytest.mark.parametrize(
    ("name", "mode", "module"),
    [
        ("dashboard", "streaming", realtime_dashboard),
        ("report", "streaming", daily_report),
        ("report", "batch", daily_report),
    ],
)
def test_a_job_script_holds_every_view_query_and_function_of_the_job(name, mode, module):
    names = (*module.FUNCTIONS, *module.SINKS)
    text = script(prepared(mode), name, names)
    assert "${" not in text and "\\i" not in text
    for view in (*ORDER_VIEWS, *module.QUERIES):
        assert len(re.findall(rf"^CREATE TEMPORARY VIEW {view}\b", text, re.MULTILINE)) == 1, view
    for function in names:
        assert f"CREATE TEMPORARY FUNCTION {function} AS 'udfs.functions.{function}'" in text
    assert text.count("EXECUTE STATEMENT SET BEGIN") == 1 and text.rstrip().endswith("END;")
    assert ("CUMULATE" in text) is (name == "report" and mode == "streaming")


def test_options_are_set_first_and_quoted():
    lines = script(prepared("batch"), "questions").splitlines()
    assert lines[0] == "SET 'execution.runtime-mode' = 'batch';"
    assert "SET 'table.local-time-zone' = 'it''s here';" in lines


@pytest.mark.parametrize("source", ["log", "archive"])
def test_a_script_reads_the_log_from_where_its_run_says(source):
    text = script(prepared("batch", source), "questions")
    made = re.findall(r"^CREATE TEMPORARY (?:TABLE|VIEW) (\w+)", text, re.MULTILINE)
    assert ("archive_files" in made) is (source == "archive")
    assert made.index("orders_schema") < made.index("log_table") < made.index("packs")
    assert ("orders" in made) is (source == "archive")


def test_a_script_is_no_part_of_the_logic(tmp_path: Path):
    """How the files are put together changes no figure: jobs and client share one logic version."""
    of_script, of_job = prepared("batch"), prepared("batch")
    script(of_script, "report", daily_report.SINKS)
    for name in re.findall(r"^\\i ([a-z_/${}]+)", (SQL / "client" / "orders.sql").read_text(), re.MULTILINE):
        of_job.files.sql(name.replace("${source}", "log"))
    for name in re.findall(r"^\\i ([a-z_/${}]+)", (SQL / "client" / "report.sql").read_text(), re.MULTILINE):
        of_job.files.sql(name.replace("${mode}", "batch"))
    assert of_script.files.logic_version == of_job.files.logic_version


def test_an_opened_client_brings_the_functions_that_its_tables_need(monkeypatch: pytest.MonkeyPatch):
    commands: list[list[str]] = []
    monkeypatch.setattr("os.execve", lambda _, command, __: commands.append(command))
    sql_client._open(Settings.load(DEFAULT_FILE), "SELECT 1;")
    ((*_, option, archive, _, file, _, _),) = commands
    assert option == "-pyfs" and "udfs/functions.py" in zipfile.ZipFile(archive).namelist()
    assert Path(file).read_text() == "SELECT 1;"
