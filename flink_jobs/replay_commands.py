"""How does an on-call engineer change the logic of a live job: replay, look at the difference, publish, take back?

Submits flink_jobs/daily_report.py or flink_jobs/realtime_dashboard.py to the batch cluster by flink_jobs/replay.py,
which alone writes what readers see. Reads `runs`, `published` and the reports (HBase), and the minutes (Redis).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import click

from flink_jobs import regions, replay, runs, stores
from flink_jobs.console import format_option, parse_day, people, readable, show
from flink_jobs.difference import LEVEL, read_difference, show_differences
from flink_jobs.errors import UserError
from flink_jobs.progress import working
from flink_jobs.run_id import RUN_ID
from flink_jobs.runs import Run
from flink_jobs.settings import Settings
from flink_jobs.stores import ALL, Table
from flink_jobs.submit import JOBS

MINUTE_COLUMNS = (
    *("day", "minute", "province", "province_name"),
    *("orders_before", "orders_after", "amount_before", "amount_after", "amount_change"),
)
DAY_COLUMNS = (
    *("day", "minutes_changed"),
    *("orders_before", "orders_after", "amount_before", "amount_after", "amount_change"),
)


# ---------------------------------------------------------------- what differs


def logic_sentences(before: Run, after: Run) -> list[str]:
    """Both logic versions, and which rules of time differ, for people."""
    said = [f"logic: {before.logic} (run {before.run_id}) -> {after.logic} (run {after.run_id})"]
    rules = changed_rules(before, after)
    said += [f"rule {name}: {old} -> {new}" for name, (old, new) in rules.items()]
    if before.logic == after.logic:
        said.append("the logic is the same: what differs was counted otherwise by the same rules")
    elif not rules:
        said.append("the rules of time are the same: SQL, functions or regions differ")
    return said


def logic_of(before: Run, after: Run) -> dict[str, Any]:
    """The same for machines."""
    return {"logic_before": before.logic, "logic_after": after.logic, "rules": changed_rules(before, after)}


def changed_rules(before: Run, after: Run) -> dict[str, tuple[Any, Any]]:
    """Setting of `[time]` -> its value in either run, where they differ."""
    old, new = (replay.rules_of(run).model_dump() for run in (before, after))
    return {name: (old[name], new[name]) for name in old if old[name] != new[name]}


class Minute(NamedTuple):
    """A minute `HH:MM` of a province (or `ALL`) that differs; orders and cents of either run."""

    day: str
    minute: str
    province: str
    before: tuple[int, int]
    after: tuple[int, int]


def changed_minutes(day: str, before: Table, after: Table, last: str) -> Iterator[Minute]:
    """The minutes of two runs that differ, up to the minute `last` (`HH:MM`, excluded) at which both are final."""
    for name in sorted(before.keys() | after.keys()):
        minute, _, province = name.partition("|")
        old, new = _figures(before.get(name)), _figures(after.get(name))
        if minute < last and old != new:
            yield Minute(day, minute, province, old, new)


def _figures(minute: Mapping[str, str] | None) -> tuple[int, int]:
    return (0, 0) if minute is None else (int(minute["orders"]), int(minute["cents"]))


def country_of(minutes: Table, last: str) -> tuple[int, int]:
    """Orders and cents of the country, up to the minute `last` (`HH:MM`, excluded)."""
    found = [_figures(fields) for name, fields in minutes.items() if name.endswith(f"|{ALL}") and name[:5] < last]
    return sum(orders for orders, _ in found), sum(cents for _, cents in found)


def _amounts(before: tuple[int, int], after: tuple[int, int]) -> dict[str, Any]:
    return {
        "orders_before": before[0],
        "orders_after": after[0],
        "amount_before": stores.yuan(before[1]),
        "amount_after": stores.yuan(after[1]),
        "amount_change": stores.yuan(after[1] - before[1]),
    }


# ---------------------------------------------------------------- commands


@click.group("replay")
def replay_group() -> None:
    """Let a live job count the log again by changed logic.

    A replay is a streaming run by the code and the settings of now, beside the live run: give other rules with --conf.
    Readers and live jobs do not notice it. `replay publish` gives it the place of the live run; `replay undo` takes
    that back.

    \b
    Example:
      samewater --conf rules.toml replay daily_report
      samewater replay diff RUN
      samewater replay publish RUN
    """


def _begin_command(job: str) -> click.Command:
    @click.command(job, short_help=f"Replay {job}, and wait.")
    @click.option("--topic", help="Order log.  [default: that of the settings]")
    @click.option("--from", "from_day", help="First business day, YYYY-MM-DD.  [default: that of the log]")
    @click.option("--parallelism", type=click.IntRange(min=1), help="[default: that of the live cluster]")
    @click.option("--instead-of", metavar="RUN", type=RUN_ID, help="Whose place it is to take.  [default: who lives]")
    @click.pass_context
    def command(
        context: click.Context, topic: str | None, from_day: str | None, parallelism: int | None, instead_of: str | None
    ) -> None:
        settings: Settings = context.obj
        from_day = None if from_day is None else parse_day(from_day)
        log = topic or settings.kafka.topic
        if from_day is None and (from_day := replay.first_whole_day(settings, log)) is not None:
            click.echo(f"note: retention has taken the beginning of topic {log}; {from_day} is the first whole day")
        since = time.monotonic()
        with working(f"submitting a replay of {job}"):
            conf = context.meta["samewater.conf"]
            run_id = replay.begin(settings, conf, job, log, from_day, parallelism, instead_of)
        click.echo(f"run {run_id}")
        click.echo(f"It goes on if this command is interrupted; to wait again: samewater replay wait {run_id}")
        _wait(settings, run_id, since)

    command.help = (
        f"Replay {job} by the code and settings of now, and wait until it has caught up.\n\n"
        f"Nobody is shown it, and it runs on the batch cluster.\n\n"
        f"Example: samewater --conf rules.toml replay {job} --topic orders"
    )
    return command


for _job in JOBS:
    replay_group.add_command(_begin_command(_job))


def _wait(settings: Settings, run_id: str, since: float | None = None) -> None:
    done = replay.await_caught_up(settings, run_id, since)
    click.echo(done.sentence(run_id))
    click.echo(f"To look at it: samewater replay diff {run_id}")
    click.echo(f"To show it: samewater replay publish {run_id}")


@replay_group.command("wait")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.pass_obj
def wait_command(settings: Settings, run_id: str) -> None:
    """Wait until a replay has caught up with the log."""
    with stores.hbase(settings) as connection:
        replay.the_replay(connection, run_id)
    _wait(settings, run_id)


@replay_group.command("list")
@format_option("table", "json", "csv")
@click.pass_obj
def list_command(settings: Settings, form: str) -> None:
    """The replays, the newest first.

    How far the figures of each are exact, and which days show it.
    """
    rows: list[dict[str, Any]] = []
    with stores.hbase(settings) as connection:
        found = [run for run in runs.list_runs(connection, mode="streaming") if run.replays]
    for run in found:
        at = replay.position(settings, run)
        rows.append(
            {
                "run_id": run.run_id,
                "replays": run.replays,
                "topic": run.topic,
                "state": run.state,
                "cluster": run.cluster,
                "exact_until": "" if at is None else readable(at, replay.rules_of(run)),
                "shown": " ".join(replay.showing(settings, run)),
                "logic": run.logic,
                "submitted_at": run.submitted_at,
            }
        )
    columns = ["run_id", "replays", "topic", "state", "cluster", "exact_until", "shown", "logic", "submitted_at"]
    show(form, columns, rows, {})


@replay_group.command("diff")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@LEVEL
@format_option("table", "json", "csv")
@click.pass_obj
def diff_command(settings: Settings, run_id: str, level: str | None, form: str) -> None:
    """What a replay changes for readers, and by which logic.

    Once it is published: what it has changed. Of the report, the rows of every day that the replay has in full. Of the
    dashboard, its days; with --format csv or json each minute that differs, as far as it is final in both runs.

    Example: samewater replay diff RUN --level country --format csv > diff.csv
    """
    with stores.hbase(settings) as connection:
        run = replay.the_replay(connection, run_id)
        old = runs.get(connection, run.replays)
    if form == "table":
        for line in logic_sentences(old, run):
            people().print(line, soft_wrap=True)
    if run.job == runs.DASHBOARD:
        _show_minutes(settings, form, run, logic_of(old, run))
    else:
        _show_days(settings, form, level, run, logic_of(old, run))


def _before(run: Run, days: Iterable[str], shown: Mapping[str, str]) -> dict[str, str]:
    """Day -> the run that is shown, or was shown before the replay; empty: none."""
    return {day: run.base.get(day, "") if shown[day] == run.run_id else shown[day] for day in days}


def _show_days(settings: Settings, form: str, level: str | None, run: Run, logic: Mapping[str, Any]) -> None:
    with working("reading both runs"):
        with stores.hbase(settings) as connection:
            days = replay.days_in_full(settings, connection, run)
            before = _before(run, days, runs.shown(connection, run.job, days))
        if not days:
            raise UserError(f"run {run.run_id} has no day in full yet; wait with `samewater replay wait {run.run_id}`")
        found = [read_difference(settings, day, before[day], run.run_id) for day in days]
    show_differences(settings, form, level, found, logic)


def _show_minutes(settings: Settings, form: str, run: Run, logic: Mapping[str, Any]) -> None:
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        before = _before(run, [runs.LIVE], runs.shown(connection, run.job, [runs.LIVE]))[runs.LIVE] or run.replays
    both = [stores.read_final_until(client, settings, one) for one in (before, run.run_id)]
    if both[0] is None or both[1] is None:
        raise UserError(f"run {before if both[0] is None else run.run_id} has no final minute yet; wait and ask again")
    until = min(both[0], both[1])
    names, time = regions.load(settings.regions_file()), replay.rules_of(run)
    days: list[dict[str, Any]] = []
    minutes: list[dict[str, Any]] = []
    for day in sorted({*stores.read_days(client, settings, before), *stores.read_days(client, settings, run.run_id)}):
        tables = [stores.read_minutes(client, settings, one, day) for one in (before, run.run_id)]
        last = "00:00" if day > str(time.day_of(until)) else "24:00"
        last = readable(until, time)[11:16] if day == str(time.day_of(until)) else last
        changed = list(changed_minutes(day, tables[0], tables[1], last))
        totals = _amounts(country_of(tables[0], last), country_of(tables[1], last))
        of_country = sum(one.province == ALL for one in changed)
        days.append({"day": day, "minutes_changed": of_country, **totals})
        minutes += [
            {
                "day": day,
                "minute": one.minute,
                "province": one.province,
                "province_name": "" if one.province == ALL else names.name(one.province),
                **_amounts(one.before, one.after),
            }
            for one in changed
        ]
    about = {"before": before, "after": run.run_id, "final_until": readable(until, time)}
    if form == "table":
        show(form, DAY_COLUMNS, days, about)
    elif form == "csv":
        show(form, MINUTE_COLUMNS, minutes, {})
    else:
        click.echo(json.dumps({**about, **logic, "days": days, "rows": minutes}, ensure_ascii=False, indent=2))


@replay_group.command("publish")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.pass_context
def publish_command(context: click.Context, run_id: str) -> None:
    """Give a replay the place of the live run.

    All days that it has in full show it, or the screen does; then the live run is stopped with a savepoint, and the
    replay goes on in its place. If this is interrupted, the same command comes to the same end.
    """
    settings: Settings = context.obj
    replay.publish(settings, context.meta["samewater.conf"], run_id, click.echo)
    click.echo(f"To take it back: samewater replay undo {run_id}")


@replay_group.command("undo")
@click.argument("run_id", metavar="RUN", type=RUN_ID)
@click.pass_context
def undo_command(context: click.Context, run_id: str) -> None:
    """Take a publication back, and let the old run go on.

    Each day shows what it showed before. Days that only the replay has show it until the old run has caught up. If this
    is interrupted, the same command comes to the same end.
    """
    settings: Settings = context.obj
    replay.undo(settings, context.meta["samewater.conf"], run_id, click.echo)
