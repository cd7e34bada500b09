"""Which settings are in force, where does each value come from, and what does it mean?

Reads the settings file and the regions file that it names; writes to standard output.
Run: `samewater config show`, `samewater config check`.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import click

from flink_jobs import regions
from flink_jobs.console import format_option, show
from flink_jobs.settings import FIXED, SettingsFile, read_settings, settings_fields, unit_of

COLUMNS = ("setting", "value", "unit", "from", "meaning")


@click.group()
def config() -> None:
    """Show and check the settings.

    Example: samewater --conf mine.toml config check
    """


@config.command("show")
@format_option("table", "json", "csv")
@click.pass_context
def show_command(context: click.Context, form: str) -> None:
    """Print each setting, where it comes from, and what it means.

    With value, unit, and FILE:LINE or `default`; then what is fixed. Above: the file, and what chose it.
    """
    file = read_settings(context.meta["samewater.conf"])
    show(form, COLUMNS, setting_rows(file), {"file": file.name, "chosen by": context.meta["samewater.conf.by"]})


@config.command("check")
@click.pass_context
def check_command(context: click.Context) -> None:
    """Check the settings file and its regions file.

    Prints OK, or all mistakes with their lines; then the exit code is 2.
    """
    file = read_settings(context.meta["samewater.conf"])
    regions.load(file.settings.regions_file())
    click.echo(f"OK: {file.name}")


def setting_rows(file: SettingsFile) -> list[dict[str, Any]]:
    """A row of `COLUMNS` for each setting, in the order of their definition, and for each value that is fixed."""
    rows = []
    for key, field in settings_fields():
        line = file.lines.get(key)
        rows.append(
            {
                "setting": ".".join(key),
                "value": reduce(getattr, key, file.settings),
                "unit": unit_of(field),
                "from": "default" if line is None else f"{file.name}:{line}",
                "meaning": field.description,
            }
        )
    fixed = (
        {"setting": f.name, "value": f.value, "unit": f.unit, "from": "fixed", "meaning": f.meaning} for f in FIXED
    )
    return [*rows, *fixed]
