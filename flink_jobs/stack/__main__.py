"""`python -m flink_jobs.stack up`: the stack's commands alone."""

import sys

import click

from flink_jobs.errors import UserError
from flink_jobs.stack.cli import stack_commands

try:
    click.Group(commands=stack_commands)()
except UserError as error:
    click.echo(str(error), err=True)
    sys.exit(2)
