"""Does it all work, from an order to a reconciled report? The whole story, in one command.

Starts the servers, makes a topic of its own for this demo, submits both jobs, streams the orders (a seeded day behind
the days before it, or the user's file) through Kafka while the terminal and the big screen show the live figures out of
Redis, computes the same days in batch, reconciles, publishes, makes the full report of the last day, and says how to
look further. Writes what the jobs write, and `<instance>/demo.toml`, the
settings that the later commands take with `--conf`. The jobs of an earlier demo are ended first; their
topics are deleted.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from tenacity import Retrying, retry_if_result, wait_fixed

from flink_jobs import (
    datagen,
    full_commands,
    order_import,
    order_log,
    readers,
    reconcile,
    recovery,
    regions,
    runs,
    stores,
)
from flink_jobs.errors import UserError
from flink_jobs.flink_rest import cancel
from flink_jobs.order_mapping import load_mapping
from flink_jobs.settings import Settings
from flink_jobs.stack import control, open_instance, servers, to_toml
from flink_jobs.submit import submit

DAY = dt.date(2025, 11, 11)  # Singles' Day: a rush after midnight is what one expects of it
TOPIC = "orders-demo-"
# Not needed before the live jobs have shown what they can: starting it would only keep them waiting.
BATCH_CLUSTER = ("batch-jobmanager", "batch-taskmanager")
PATIENCE_S = 180.0  # how long nothing at all may move


@dataclass(frozen=True)
class Load:
    """What a demo streams: `count` records in append order over these business days.

    `slowly_from`: epoch ms of the first ingest time that is kept to the pace; all before it goes as fast as it can.
    """

    records: Iterator[order_log.Record]
    count: int
    first: dt.date
    last: dt.date
    ledger: Path | None
    slowly_from: int = 0


@click.command()
@click.option("--orders", "file", type=click.Path(path_type=Path), help="CSV (or .csv.gz) of your own orders.")
@click.option("--mapping", type=click.Path(path_type=Path), help="How its columns are to be read; see conf/import/.")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), default=str(DAY), show_default=True, help="Generated day.")
@click.option("--count", default=40_000, show_default=True, type=click.IntRange(1), help="Generated orders of a day.")
@click.option("--history", default=7, show_default=True, type=click.IntRange(0, 60), help="Generated days before it.")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0, 2**63 - 1))
@click.option("--speed", help="real, a multiple such as 1440x, or max. [default: 1440x; max for a file]")
@click.pass_context
def demo(
    context: click.Context,
    file: Path | None,
    mapping: Path | None,
    day: dt.datetime,
    count: int,
    history: int,
    seed: int,
    speed: str | None,
) -> None:
    """Stream a day, compute it in batch, reconcile the two, report."""
    if (file is None) != (mapping is None):
        raise UserError("--orders and --mapping belong together; give both or neither")
    began = time.monotonic()
    pace = order_log.parse_speed(speed or ("1440x" if file is None else "max"))
    settings: Settings = context.obj
    instance = open_instance(settings)
    control.up(instance, click.echo, without=(*BATCH_CLUSTER, "screen"))
    click.echo("Ending the jobs of earlier demos, if any.")
    end_earlier(settings, "streaming")
    settings, conf = own_settings(settings, mapping)
    if file is None:
        load = _generated(settings, day.date(), history, count, seed, conf)
    else:
        load = _imported(settings, file, mapping)
    # It may run already, for the topic of an earlier demo.
    servers.write_screen_settings(instance, settings)
    control.restart(instance, "screen", click.echo)
    topic = settings.kafka.topic
    order_log.create_topic(settings, topic, settings.kafka.partitions)
    click.echo(f"Topic {topic}; {load.count:,} records for {load.first} to {load.last}. Submitting both jobs.")
    screen = servers.screen_address(instance)
    click.echo(f"The big screen: {screen}")
    # The log of a past day ends the day after: what says later has a wrong clock.
    known = ("--ingest-until", str(load.last + dt.timedelta(days=2)))
    with ThreadPoolExecutor(max_workers=2) as pool:
        dashboard = submit(settings, str(conf), runs.DASHBOARD, "streaming", ("--mode", "streaming", *known))
        click.echo(f"run {dashboard} shows minutes; orders start to flow")
        report = pool.submit(submit, settings, str(conf), runs.REPORT, "streaming", ("--mode", "streaming", *known))
        meter = _Meter()
        sent = pool.submit(_send, settings, load, pace, meter)
        _watch(settings, dashboard, load, meter, sent, report, began)
        streaming = report.result()
    click.echo(f"run {streaming} has the daily report, closed by the heartbeats alone")
    click.echo("Computing the same days in batch.")
    control.up(instance, click.echo)
    end_earlier(settings, "batch")
    days = ("--from", str(load.first), "--to", str(load.last))
    batch = submit(settings, str(conf), runs.REPORT, "batch", ("--mode", "batch", *days, *known))
    click.echo(f"run {batch} is done; reconciling")
    named = ["--stream", streaming, "--batch", batch, "--dashboard", dashboard]
    if load.ledger is not None:
        named += ["--ledger", str(load.ledger)]
    code = _invoke(reconcile.reconcile, settings, [*days, *named])
    if code == 0:
        publish(settings, streaming, load.first, load.last)
        _invoke(readers.report, settings, ["--day", str(load.last), "--level", "province"])
        click.echo(f"Joining {load.last} with the days before it.")
        submit(settings, str(conf), runs.FULL_REPORT, "batch", ("--day", str(load.last)))
        page = full_commands.fetch(settings, load.last, None) / "full_report.html"
    total = sum(row.rss_mb for row in control.status(instance))
    click.echo(f"All servers together: {total / 1024:.1f} GiB. The demo took {time.monotonic() - began:.0f} s.")
    _say_more(conf, load.last)
    if code == 0:
        click.echo(f"The full report of {load.last}:\n  {page}")
    click.echo(f"The big screen:\n  {screen}")
    context.exit(code)


def end_earlier(settings: Settings, mode: str) -> None:
    """Cancel what runs of earlier demos in this mode; with the streaming jobs their topics are deleted."""
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        for run in runs.list_runs(connection, mode=mode):
            if run.topic.startswith(TOPIC) and run.topic != settings.kafka.topic and run.state == "running":
                cancel(settings, run.cluster, run.flink_job_id)
                recovery.forget_checkpoints(settings, run.run_id)
                runs.set_state(connection, run.run_id, "stopped")
    if mode == "streaming":
        for topic in order_log.topics(settings):
            if topic.startswith(TOPIC):
                order_log.delete_topic(settings, topic)


def own_settings(settings: Settings, mapping: Path | None) -> tuple[Settings, Path]:
    """The settings of this demo (its topic, the regions of the mapping) and the file that holds them."""
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dt%H%M%S")
    update: dict[str, object] = {"kafka": settings.kafka.model_copy(update={"topic": TOPIC + stamp})}
    known = load_mapping(mapping).regions if mapping is not None else None
    if known is not None:
        update["report"] = settings.report.model_copy(update={"regions": str(Path(known).resolve())})
    own = settings.model_copy(update=update)
    conf = open_instance(settings).folder / "demo.toml"
    conf.write_text(to_toml(own.model_dump(mode="json")), encoding="utf-8")
    return own, conf


def publish(settings: Settings, run_id: str, first: dt.date, last: dt.date) -> None:
    """Make a reconciled run what readers see, for each of its days."""
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
        for n in range((last - first).days + 1):
            day = str(first + dt.timedelta(days=n))
            runs.publish(connection, runs.REPORT, day, runs.publication_of(connection, settings, run, day))
            runs.sync_day(connection, client, settings, day)


class _Meter:
    """Counts records sent, from the producing thread to the watching one."""

    def __init__(self) -> None:
        self.sent = 0

    def add(self, steps: int) -> None:
        self.sent += steps


def _send(settings: Settings, load: Load, pace: float | None, meter: _Meter) -> int:
    """Append the records, at a pace from where the load says; returns their number."""
    sent = 0
    begun = False

    def to_be_seen(record: order_log.Record) -> bool:
        nonlocal begun  # ingest times are only nearly in order
        begun = begun or record.ingest_time >= load.slowly_from
        return begun

    for slowly, records in groupby(load.records, key=to_be_seen):
        sent += order_log.produce(settings, settings.kafka.topic, records, pace if slowly else None, meter.add)
    return sent


def _generated(settings: Settings, day: dt.date, history: int, orders: int, seed: int, conf: Path) -> Load:
    first = day - dt.timedelta(days=history)
    spec = datagen.Spec.by(settings, seed=seed, first=first, last=day, orders=orders)
    plan = datagen.Plan(spec)
    ledger = conf.with_name("demo.ledger.parquet")
    datagen.write_ledger(plan, ledger)
    return Load(plan.records(), len(plan), first, day, ledger, settings.time.day_start(day))


def _imported(settings: Settings, file: Path, mapping_file: Path | None) -> Load:
    assert mapping_file is not None
    known = regions.load(settings.regions_file())
    rejects = Path(f"{file.name}.rejects.csv")
    click.echo(f"Reading {file}.")
    orders = order_import.read_orders(
        file, load_mapping(mapping_file), known, rejects, lambda _: None, f"mapping file {mapping_file}"
    )
    for line in orders.report.lines(settings.time, rejects):
        click.echo(line)
    partitions = settings.kafka.partitions
    count = orders.report.mapped + orders.heartbeat_count(partitions, settings.time)
    first, last = (settings.time.day_of(at) for at in (orders.report.first, orders.report.last))
    return Load(orders.records(partitions, settings.time), count, first, last, None)


def _watch(
    settings: Settings,
    dashboard: str,
    load: Load,
    meter: _Meter,
    sent: Future[int],
    report: Future[str],
    began: float,
) -> None:
    """Show the live figures until both jobs have closed the last day."""
    client = stores.redis(settings)
    end = settings.time.day_end(load.last)
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), auto_refresh=False
    )
    sending = bars.add_task("records sent", total=load.count)
    console = Console()
    first_figure: float | None = None
    day = load.first
    beat = order_log.closing_time(settings.time, load.last)

    def heartbeat() -> None:
        # A gateway's heartbeats never end, and a job that was restarted needs one to know the time again.
        nonlocal beat
        beat += 60_000
        records = [order_log.Record(p, beat, order_log.HEARTBEAT) for p in range(settings.kafka.partitions)]
        order_log.produce(settings, settings.kafka.topic, records, None, lambda _: None)

    moved, reached = time.monotonic(), (0, 0, 0)

    def closed() -> bool:
        nonlocal first_figure, day, moved, reached
        for future in (sent, report):
            if future.done():
                future.result()  # what went wrong there ends the demo here
        final_until = stores.read_final_until(client, settings, dashboard)
        if final_until is not None:
            day = min(settings.time.day_of(final_until), load.last)
        totals = stores.read_day_totals(client, settings, dashboard, str(day))
        if totals and first_figure is None:
            first_figure = time.monotonic() - began
            console.print(f"first live figure after {first_figure:.0f} s")
        bars.update(sending, completed=meter.sent)
        screen.update(Group(bars, _figures(settings, day, totals, final_until)), refresh=True)
        if sent.done():
            heartbeat()
        version = None
        if report.done():
            with stores.hbase(settings) as connection:
                version = runs.last_version(connection, runs.get(connection, report.result()))
        now = (meter.sent, final_until or 0, version or 0)
        if now != reached:
            moved, reached = time.monotonic(), now
        if time.monotonic() - moved > PATIENCE_S:
            raise UserError(
                f"nothing has moved for {PATIENCE_S:.0f} s; see `samewater status` and "
                "`samewater logs realtime-taskmanager`"
            )
        return min(final_until or 0, version or 0) >= end

    with Live(console=console, auto_refresh=False, transient=not console.is_terminal) as screen:
        Retrying(retry=retry_if_result(lambda done: not done), wait=wait_fixed(1))(closed)


def _figures(settings: Settings, day: dt.date, totals: stores.Table, final_until: int | None) -> Table:
    table = Table(title=f"live, {day}", title_justify="left")
    for name, side in (("province", "left"), ("orders", "right"), ("amount, yuan", "right")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    known = regions.load(settings.regions_file())
    top = sorted(totals, key=lambda province: (province != stores.ALL, -int(totals[province]["cents"])))[:6]
    for province in top:
        name = "all provinces" if province == stores.ALL else known.name(province)
        figures = totals[province]
        table.add_row(name, f"{int(figures['orders']):,}", f"{stores.yuan(int(figures['cents']))}")
    if final_until is not None:
        local = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=final_until) + settings.time.offset
        table.caption = f"final until {local:%Y-%m-%d %H:%M}"
    return table


def _invoke(command: click.Command, settings: Settings, arguments: list[str]) -> int:
    code = command.main(arguments, standalone_mode=False, obj=settings)
    return code if isinstance(code, int) else 0


def _say_more(conf: Path, day: dt.date) -> None:
    samewater: Callable[[str], str] = lambda rest: f"  .venv/bin/samewater --conf {conf} {rest}"  # noqa: E731
    click.echo("\nLook further:")
    click.echo(samewater(f"report --day {day} --level city"))
    click.echo(samewater(f"minutes --day {day}"))
    click.echo(samewater("runs"))
    click.echo(samewater(f"reconcile --from {day}"))
    click.echo("Stop everything:\n  make down")
