"""`make bench`: python -m tests.bench [--orders N …] [--rounds N] [--only PART] [--out FOLDER]."""

from __future__ import annotations

from pathlib import Path

import click

from flink_jobs.stack.instance import home
from tests.bench import figures, latency, place, throughput


@click.command()
@click.option("--orders", multiple=True, type=click.IntRange(min=1000), default=(500_000, 2_000_000), show_default=True)
@click.option("--rate", multiple=True, type=click.IntRange(min=100), default=(2_000, 10_000), show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--only", type=click.Choice(["throughput", "latency"]), help="One part of it.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=home() / "bench-report")
def main(orders: tuple[int, ...], rate: tuple[int, ...], rounds: int, only: str | None, out: Path) -> None:
    """Measure throughput and latency on servers of its own, and write bench.md and bench.json."""
    about, found = figures.machine(), figures.Figures()
    with place.servers(click.echo) as servers:
        if only != "latency":
            throughput.measure(servers, found, sorted(orders), rounds, click.echo)
            figures.write(out, about, found)
        if only != "throughput":
            latency.measure(servers, found, rate, rounds, click.echo)
    report = figures.write(out, about, found)
    click.echo(report.read_text(encoding="utf-8"))
    click.echo(f"report: {report}, {report.with_suffix('.json')}")


if __name__ == "__main__":
    main()
