"""Which runs could be meant, when somebody presses Tab?

Reads `runs` (HBase) for the shell's completion only; a run id on the command line is any text but none.
"""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import CompletionItem

from flink_jobs import runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import DEFAULT_FILE, Settings

SHOWN = 50


class _RunId(click.types.StringParamType):
    name = "run"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The text as it is; a mistake of usage if it is empty (an unset variable of a script)."""
        if value == "":
            self.fail("a run id is not empty", param, ctx)
        return super().convert(value, param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The newest runs that begin so, with job and state; none if HBase does not answer at once."""
        # While completing, click does not call the group, so its settings are not there.
        conf = ctx.find_root().params.get("conf") or os.environ.get("SAMEWATER_CONF") or DEFAULT_FILE
        try:
            settings = Settings.load(conf)
            quick = settings.model_copy(update={"hbase": settings.hbase.model_copy(update={"timeout_ms": 1_000})})
            with stores.hbase(quick) as connection:
                found = runs.list_runs(connection)
        except UserError:
            return []  # the command itself will say what is wrong
        fit = [run for run in found if run.run_id.startswith(incomplete)]
        return [CompletionItem(run.run_id, help=f"{run.state}, {run.submitted_at}") for run in fit[:SHOWN]]


RUN_ID = _RunId()
"""Type of an argument or option that names a run."""
