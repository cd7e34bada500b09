"""The command `samewater`: one group of commands, each defined beside what it does.

Reads the settings file that `--conf` or `SAMEWATER_CONF` names, default `conf/samewater.toml`. Exit codes: 0 done, 1 a
check found a difference, 2 a mistake of the user, told in one sentence.
"""

from __future__ import annotations

import os
import sys

import click

from flink_jobs import datagen, demo, health, order_import, readers, rebuild, reconcile, recovery
from flink_jobs.errors import UserError
from flink_jobs.settings import DEFAULT_FILE, Settings
from flink_jobs.stack import stack_commands
from flink_jobs.submit import JOBS, submit


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--conf",
    type=click.Path(dir_okay=False),
    help="Settings file. [default: $SAMEWATER_CONF, else conf/samewater.toml]",
)
@click.pass_context
def samewater(context: click.Context, conf: str | None) -> None:
    """The same orders, streamed or in batch, to the cent."""
    file = conf or os.environ.get("SAMEWATER_CONF") or str(DEFAULT_FILE)
    context.obj = Settings.load(file)
    context.meta["samewater.conf"] = file


@samewater.command("submit", context_settings={"ignore_unknown_options": True})
@click.argument("job", type=click.Choice(JOBS))
@click.option("--mode", type=click.Choice(["streaming", "batch"]), default="streaming", show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def submit_command(context: click.Context, job: str, mode: str, arguments: tuple[str, ...]) -> None:
    """Submit JOB with `flink run`; ARGUMENTS go to the job: --topic, --from, --to, --run-id, --parallelism.

    Example: samewater submit daily_report --mode batch --from 2025-11-11 --to 2025-11-11
    """
    arguments = ("--mode", mode, *arguments)
    click.echo(f"run {submit(context.obj, context.meta['samewater.conf'], job, mode, arguments)}")


def _add(*commands: click.Command) -> None:
    for command in commands:
        samewater.add_command(command)


_add(demo.demo, *stack_commands, datagen.generate, order_import.import_orders, reconcile.reconcile)
_add(recovery.stop, recovery.resume, rebuild.rebuild, health.health)
_add(readers.report, readers.minutes, readers.runs, readers.published, readers.publish, readers.versions)


def main() -> None:
    """Entry point: a mistake of the user is one sentence and exit code 2."""
    try:
        code = samewater(standalone_mode=False)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.Abort:
        click.echo("stopped", err=True)
        code = 130
    except click.ClickException as mistake:
        mistake.show()
        code = 2
    except UserError as mistake:
        click.echo(f"error: {mistake}", err=True)
        code = 2
    sys.exit(code if isinstance(code, int) else 0)
