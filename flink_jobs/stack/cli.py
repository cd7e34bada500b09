"""The commands `up`, `down`, `status`, `logs` and `restart`, for the command line to add to its own.

Reads the settings that the command line put into click's context (`ctx.obj`), else the default ones. `--instance NAME`
chooses a local instance by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from flink_jobs.console import format_option
from flink_jobs.errors import UserError
from flink_jobs.settings import Settings
from flink_jobs.stack import cgroup, control, processes
from flink_jobs.stack.instance import Instance, create_instance, find_instance, open_instance

_instance_option: Callable[[Any], Any] = click.option(
    "--instance", "name", metavar="NAME", help="a local instance; without it the one of the settings"
)


def _instance(name: str | None) -> Instance:
    if name:
        return find_instance(name)
    return open_instance(click.get_current_context().find_object(Settings) or Settings.load())


@click.command()
@_instance_option
def up(name: str | None) -> None:
    """Start the servers and wait until each one is of use."""
    control.up(create_instance(name) if name else _instance(None), click.echo)


@click.command()
@click.argument("server", required=False)
@_instance_option
@click.option("--purge", is_flag=True, help="remove the instance's folder too: all its data and logs")
def down(server: str | None, name: str | None, purge: bool) -> None:
    """Stop the servers, or one SERVER alone.

    No process of the instance is left. Example: samewater down --purge
    """
    if server is None:
        control.down(_instance(name), click.echo, purge)
    elif purge:
        raise UserError("--purge is for the whole instance; leave out the server")
    else:
        control.down_one(_instance(name), server, click.echo)


@click.command()
@_instance_option
@format_option("table", "json")
def status(name: str | None, form: str) -> None:
    """What each server does, and its memory."""
    instance = _instance(name)
    rows = control.status(instance)
    total = sum(row.rss_mb for row in rows)
    orphans = [p.pid for p in processes.find_orphans(instance.folder, control.supervisord_pid(instance))]
    if form == "json":
        servers = [asdict(row) for row in rows]
        click.echo(json.dumps({"instance": instance.name, "servers": servers, "rss_mb": total, "orphans": orphans}))
        return
    table = Table("server", "state", box=None)
    for heading in ("pid", "port", "RSS MB", "uptime"):
        table.add_column(heading, justify="right")
    for row in rows:
        minutes, seconds = divmod(row.uptime_s, 60)
        uptime = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if row.pid else ""
        table.add_row(
            row.server, row.state.lower(), str(row.pid or ""), str(row.port or ""), str(row.rss_mb or ""), uptime
        )
    table.add_row("total", "", "", "", str(total), "")
    Console(soft_wrap=True).print(table)
    if any(row.pid for row in rows):
        click.echo(f"{cgroup.describe(instance)}.")
    if orphans:
        click.echo(
            f"Processes {', '.join(map(str, orphans))} have lost their parent; `up`, `restart` and `down` end them."
        )


@click.command()
@click.argument("server")
@click.option("-n", "lines", default=50, show_default=True, type=click.IntRange(1), help="how many lines")
@_instance_option
def logs(server: str, lines: int, name: str | None) -> None:
    """Print the end of a server's log."""
    click.echo(control.tail(control.log_file(_instance(name), server), lines))


@click.command()
@click.argument("server")
@_instance_option
def restart(server: str, name: str | None) -> None:
    """Restart one server and wait until it is ready again."""
    control.restart(_instance(name), server, click.echo)


stack_commands: list[click.Command] = [up, down, status, logs, restart]
