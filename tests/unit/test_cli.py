"""Do the commands read like one tool: sections, examples, --json, completion, errors in one sentence?"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from fake_hbase import FakeHBase

from flink_jobs import cli, run_id, runs
from flink_jobs.console import format_option, show
from flink_jobs.errors import UserError

SELF_EXPLAINING = {"up", "status", "logs", "restart", "demo", "runs"}


def help_of(*arguments: str) -> str:
    result = CliRunner().invoke(cli.samewater, [*arguments, "--help"], terminal_width=100)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("arguments", [("resume",), ("publish",), ("reconcile", "--from", "2025-11-11", "--batch")])
def test_an_empty_run_id_is_a_mistake_of_usage(arguments: tuple[str, ...]):
    """HBase refuses an empty row key in words that sound like a server that is down."""
    result = CliRunner().invoke(cli.samewater, [*arguments, ""])
    assert result.exit_code == 2 and "a run id is not empty" in result.output


def test_the_help_lists_every_command_once_and_cuts_no_sentence():
    lines = help_of().splitlines()
    for name in cli.samewater.commands:
        assert len([line for line in lines if line.split()[:1] == [name]]) == 1, name
    assert not [line for line in lines[1:] if line.endswith("...")]


@pytest.mark.parametrize("name", sorted(cli.samewater.commands.keys() - SELF_EXPLAINING))
def test_a_command_with_options_shows_how_it_is_used(name: str):
    assert "Example" in help_of(name)


@click.command()
@format_option("table", "json", "csv")
def shows(form: str) -> None:
    show(form, ["a"], [{"a": 1}], {"of": "x"})


def test_json_is_short_for_format_json():
    short, long = (CliRunner().invoke(shows, arguments).output for arguments in (["--json"], ["--format", "json"]))
    assert short == long and json.loads(short) == {"of": "x", "rows": [{"a": 1}]}
    assert CliRunner().invoke(shows, ["--format", "csv"]).output == "a,of\n1,x\n"


def test_nothing_is_coloured_when_piped():
    assert "\x1b" not in CliRunner().invoke(shows, []).output


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    hbase = FakeHBase()
    for name, at in (
        ("daily_report-1", "2026-11-11T08:00:00+08:00"),
        ("realtime_dashboard-1", "2026-11-11T09:00:00+08:00"),
    ):
        run = runs.Run(run_id=name, job=name[:-2], mode="streaming", logic="x", submitted_at=at)
        runs.register(hbase, run)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def opened(_: Any) -> Iterator[FakeHBase]:
        yield hbase

    monkeypatch.setattr(run_id.stores, "hbase", opened)


def completed(*words: str) -> list[str]:
    *before, incomplete = words
    found = ShellComplete(cli.samewater, {}, "samewater", "_SAMEWATER_COMPLETE").get_completions(before, incomplete)
    return [item.value for item in found]


def test_tab_completes_commands_options_and_run_ids_the_newest_first(registered: None):
    assert completed("rec") == ["reconcile"]
    assert "--savepoint" in completed("resume", "--")
    assert completed("stop", "") == ["realtime_dashboard-1", "daily_report-1"]
    assert completed("report", "--run", "daily") == ["daily_report-1"]


def test_tab_says_nothing_when_hbase_is_down(monkeypatch: pytest.MonkeyPatch):
    @contextlib.contextmanager
    def down(_: Any) -> Iterator[None]:
        raise UserError("HBase does not answer")
        yield

    monkeypatch.setattr(run_id.stores, "hbase", down)
    assert completed("stop", "") == []


def test_a_mistake_is_one_sentence_on_standard_error_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setattr("sys.argv", ["samewater", "--conf", str(tmp_path / "none.toml"), "runs"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out == ""
    assert told.err.startswith("error: settings file") and len(told.err.splitlines()) == 1


def test_no_command_waits_for_libraries_of_the_jobs():
    heavy = {"pandas", "pyflink", "matplotlib", "uvicorn"}
    asked = f"import sys, flink_jobs.cli; print(*sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
