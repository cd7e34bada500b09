"""`make soak`: python -m tests.soak [--rounds N] [--seed S] [--orders N]. Exit code 1 if anything differs."""

from __future__ import annotations

import secrets
import signal
import sys
import time

import click

from flink_jobs.errors import UserError
from tests.bench import place
from tests.soak import rounds as one_round
from tests.soak.draw import draw
from tests.warm.flink import WarmFlink

SHOWN = 3  # differences of a round


@click.command()
@click.option("--rounds", type=click.IntRange(min=1), default=30, show_default=True)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the first round; each other has the next one.  [default: drawn]"
)
@click.option("--orders", type=click.IntRange(min=1000), help="Instead of a drawn number, in every round.")
def main(rounds: int, seed: int | None, orders: int | None) -> None:
    """Run all jobs on random logs, settings and times, and hold every figure they write against the oracle."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers go down with it
    first = secrets.randbelow(1_000_000) if seed is None else seed
    red: list[int] = []
    with place.servers(click.echo, "soak") as servers, WarmFlink(one_round.PATIENCE_S) as flink:
        for number in range(rounds):
            drawn = draw(first + number, servers.settings.time.clock_skew_ms, orders)
            begin = time.monotonic()
            click.echo(f"round {number + 1} of {rounds}, {drawn}", nl=False)
            try:
                outcome = one_round.run(servers, flink.command, drawn)
                differences, checks = outcome.differences, len(outcome.checks)
            except UserError as failed:
                differences, checks = [str(failed)], 0
            click.echo(f": {time.monotonic() - begin:.0f} s, {checks} checks, {len(differences)} differences")
            for line in differences[:SHOWN]:
                click.echo(f"  {line}")
            if differences or not checks:
                red.append(drawn.seed)
                given = f" --orders {orders}" if orders else ""
                click.echo(f"  again: python -m tests.soak --rounds 1 --seed {drawn.seed}{given}")
    if red:
        click.echo(f"{len(red)} of {rounds} rounds differ: seeds {', '.join(map(str, red))}")
        sys.exit(1)
    click.echo(f"{rounds} rounds, seeds {first} to {first + rounds - 1}: no difference")


if __name__ == "__main__":
    main()
