"""The command `samewater`: one group of commands, each defined beside what it does.

Reads the settings file that `--conf` or `SAMEWATER_CONF` names, default `conf/samewater.toml`. Exit codes: 0 done, 1 a
check found a difference, 2 a mistake of the user, told in one sentence.
"""

from __future__ import annotations

import sys

import click
from click import shell_completion

from flink_jobs import (
    archive_commands,
    backfill_commands,
    clean,
    config,
    datagen,
    demo,
    difference,
    full_commands,
    health,
    late,
    losses,
    order_import,
    publication,
    readers,
    rebuild,
    reconcile,
    recovery,
    replay_commands,
    sql_client,
    supply,
)
from flink_jobs.errors import UserError
from flink_jobs.progress import working
from flink_jobs.settings import Settings, choose_file
from flink_jobs.stack import stack_commands
from flink_jobs.submit import JOBS, submit


class _Sections(click.Group):
    """Lists the commands by what they are for."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        room = formatter.width - 6 - max(len(name) for name in self.commands)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(str(c.name), c.get_short_help_str(room)) for c in commands])


@click.group(cls=_Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--conf",
    type=click.Path(dir_okay=False),
    help="Settings file. [default: $SAMEWATER_CONF, else conf/samewater.toml]",
)
@click.pass_context
def samewater(context: click.Context, conf: str | None) -> None:
    """The same orders, streamed or in batch, to the cent.

    Exit codes: 0 done, 1 a check found a difference, 2 a mistake or a server that is down, in one sentence. Tab
    completion: eval "$(samewater completion bash)"
    """
    chosen = choose_file(conf)
    context.obj = Settings.load(chosen.path)
    context.meta["samewater.conf"] = str(chosen.path)
    context.meta["samewater.conf.by"] = chosen.by


@samewater.command("submit", context_settings={"ignore_unknown_options": True})
@click.argument("job", type=click.Choice(JOBS))
@click.option("--mode", type=click.Choice(["streaming", "batch"]), default="streaming", show_default=True)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def submit_command(context: click.Context, job: str, mode: str, arguments: tuple[str, ...]) -> None:
    """Submit JOB with `flink run`.

    Waits until it runs (streaming) or has ended (batch). ARGUMENTS go to the job: --topic, --from, --to, --run-id,
    --parallelism, --source (of the daily report in batch).

    Example: samewater submit daily_report --mode batch --from 2025-11-11 --to 2025-11-11
    """
    with working(f"submitting {job} ({mode})"):
        run = submit(context.obj, context.meta["samewater.conf"], job, mode, ("--mode", mode, *arguments))
    click.echo(f"run {run}")


@samewater.command()
@click.option("--listen", help="Address to listen on. [default: that of the settings]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 0: any that is free. [default: that of the settings]"
)
@click.pass_context
def serve(context: click.Context, listen: str | None, port: int | None) -> None:
    """Show the big screen and answer its API, until Ctrl-C.

    Read-only. The page names what is down; /docs describes the API.

    Example: samewater serve --port 8000
    """
    from serving.command import serve as serve_screen  # a web server is not needed by any other command

    place = context.obj.serving
    serve_screen(context.obj, place.listen if listen is None else listen, place.port if port is None else port)


@samewater.command()
@click.argument("shell", type=click.Choice(["bash", "fish", "zsh"]))
def completion(shell: str) -> None:
    """Let the Tab key complete commands, options and run ids.

    Prints what a SHELL must read.

    Example, in ~/.bashrc: eval "$(samewater completion bash)"
    """
    kind = shell_completion.get_completion_class(shell)
    assert kind is not None  # it is one of the choices
    click.echo(kind(samewater, {}, "samewater", "_SAMEWATER_COMPLETE").source())


SECTIONS: dict[str, list[click.Command]] = {
    "The whole story": [demo.demo],
    "Servers": stack_commands,
    "Settings": [config.config],
    "Orders into the log": [datagen.generate, order_import.import_orders],
    "Jobs": [
        submit_command,
        recovery.stop,
        recovery.resume,
        losses.accept_gap,
        rebuild.rebuild,
        sql_client.sql,
        readers.runs,
    ],
    "The past": [
        archive_commands.archive,
        late.late,
        supply.supply,
        backfill_commands.backfill,
        difference.diff,
        replay_commands.replay_group,
    ],
    "The full report": [full_commands.full_report, full_commands.full_pages, full_commands.lookup],
    "Figures": [readers.report, readers.minutes, readers.versions, serve],
    "What readers are shown": [publication.published, publication.publish, publication.rollback, clean.clean],
    "Trust": [reconcile.reconcile, health.health],
    "Shell": [completion],
}
"""Section of the help -> its commands."""
for _command in (command for commands in SECTIONS.values() for command in commands):
    samewater.add_command(_command)


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
