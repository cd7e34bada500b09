"""`make bench`: python -m tests.bench [--orders N …] [--rate N …] [--rounds N] [--only PART …] [--out FOLDER]."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import click

from flink_jobs.stack.instance import home
from tests.bench import alone, figures, files, full_report, isolation, latency, place, screen, throughput

PARTS = ("throughput", "queries", "state", "files", "latency", "screen", "full", "isolation")

BY_SIZE = {"throughput", "queries", "state", "files"}


@click.command()
@click.option(
    "--orders", multiple=True, type=click.IntRange(min=1000), default=(2_000_000, 8_000_000), show_default=True
)
@click.option("--rate", multiple=True, type=click.IntRange(min=100), default=(2_000, 10_000), show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="One part of it; may be given again.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=home() / "bench-report")
def main(orders: tuple[int, ...], rate: tuple[int, ...], rounds: int, only: tuple[str, ...], out: Path) -> None:
    """Measure throughput, state and latency on servers of its own, and write bench.md and bench.json."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers go down with it
    about, found = figures.machine(), figures.Figures()
    parts = [part for part in PARTS if not only or part in only]
    with place.servers(click.echo) as servers:
        records = servers.load_all(orders, click.echo) if {*parts} & BY_SIZE else {}
        for part in parts:
            try:
                match part:
                    case "throughput":
                        throughput.measure(servers, found, records, rounds, click.echo)
                    case "queries":
                        alone.measure(servers, found, records, rounds, click.echo)
                    case "state":
                        alone.measure_state(servers, found, sorted(records), rounds, click.echo)
                    case "files":
                        files.measure(servers, found, records, rounds, click.echo)
                    case "latency":
                        latency.measure(servers, found, rate, rounds, click.echo)
                    case "screen":
                        screen.measure(servers, found, rounds, click.echo)
                    case "full":
                        full_report.measure(servers, found, rounds, click.echo)
                    case "isolation":
                        isolation.measure(servers, found, rounds, click.echo)
            finally:  # also what a part measured before it failed
                report = figures.write(out, about, found)
    click.echo(report.read_text(encoding="utf-8"))
    click.echo(f"report: {report}, {report.with_suffix('.json')}")


if __name__ == "__main__":
    main()
