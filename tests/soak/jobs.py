"""The program that the soak run hands to `flink run`: a job as it is, with some of Flink's options changed.

It runs the job's own `main`, so that nothing of it is written twice; what the job's `options` give is overruled by the
second argument. Exit code 2 if the job never asked for its options: the change would have been lost.

    flink run -pym tests.soak.jobs -pyfs dist/udfs.zip -- daily_report KEY=VALUE,KEY=VALUE --mode batch …
"""

from __future__ import annotations

import sys

import click

from flink_jobs import daily_report, job, realtime_dashboard
from flink_jobs.settings import Settings

JOBS = {"daily_report": daily_report, "realtime_dashboard": realtime_dashboard}


def main(name: str, changes: dict[str, str], arguments: list[str]) -> None:
    """Submit the job with these options in place of its own."""
    module, asked = JOBS[name], False
    of_the_job = module.options

    def options(mode: str, settings: Settings) -> dict[str, str]:
        nonlocal asked
        asked = True
        return {**of_the_job(mode, settings), **changes}

    module.options = options  # type: ignore[attr-defined]
    sys.argv = [name, *arguments]
    job.main(module.main)
    if not asked:
        click.echo(f"error: {name} takes its options elsewhere now; mend tests/soak/jobs.py", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1], dict(change.split("=", 1) for change in sys.argv[2].split(",")), sys.argv[3:])
