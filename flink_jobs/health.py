"""Is all well, and if not, what must somebody do?

Prints what `metrics` found and what `alerts` makes of it, or serves it to Prometheus. Writes nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator, Mapping

import click
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flink_jobs.alerts import Alert, firing, load_rules
from flink_jobs.console import format_option, people, readable, show
from flink_jobs.errors import UserError
from flink_jobs.metrics import METRICS, PREFIX, Look, Sample, Watch
from flink_jobs.settings import Settings

BETWEEN_LOOKS_S = 2.0


class _Exporter(Collector):
    """Looks once for each scrape."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._one_at_a_time = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        with self._one_at_a_time:
            look = self._watch.look()
        yield from _families(look.samples)

    def describe(self) -> Iterator[Metric]:
        return iter(())  # else registering would already ask all servers


def _families(samples: list[Sample]) -> Iterator[Metric]:
    for name, (labels, says) in METRICS.items():
        family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
        metric = family(PREFIX + name, says, labels=labels)
        for sample in samples:
            if sample.metric == name:
                metric.add_metric(sample.labels, sample.value)
        yield metric


def prometheus_text(watch: Watch) -> str:
    """One look in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Exporter(watch))
    return generate_latest(registry).decode()


def _second_look(watch: Watch) -> Look:
    """A look that knows the one before: a partition in which records came in meanwhile does not stand still."""
    first = watch.look()
    if not any(first.of("partition_behind_seconds").values()):
        return first
    # Flink gathers some metrics only once it was asked; a moment later it has them.
    threading.Event().wait(BETWEEN_LOOKS_S)
    return watch.look()


@click.command()
@click.option("--topic", help="Topic of the orders. [default: that of the settings]")
@format_option("table", "json", "prometheus")
@click.option("--serve", metavar="PORT", type=click.IntRange(1, 65535), help="Serve /metrics on this port.")
@click.option("--listen", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.pass_context
def health(context: click.Context, topic: str | None, form: str, serve: int | None, listen: str) -> None:
    """Say whether all is well, and what to do if not.

    By server, partition, job and result.

    Exit code 0: all is well; 1: a rule of conf/prometheus/alerts.yaml fires.

    \b
    Examples:
      samewater health --json
      samewater health --serve 9464        http://127.0.0.1:9464/metrics for Prometheus
    """
    settings: Settings = context.obj
    watch = Watch(settings, topic or settings.kafka.topic)
    rules = load_rules()
    if serve is not None:
        _serve(watch, listen, serve)
        return
    if form == "prometheus":
        click.echo(prometheus_text(watch), nl=False)
        return
    look = _second_look(watch)
    alerts = firing(rules, look.samples)
    if form == "json":
        samples = [{"metric": PREFIX + s.metric, **s.named, "value": s.value} for s in look.samples]
        click.echo(
            json.dumps({"well": not alerts, "alerts": [a._asdict() for a in alerts], "metrics": samples}, indent=2)
        )
    else:
        _print(settings, look, alerts)
    context.exit(1 if alerts else 0)


def _serve(watch: Watch, listen: str, port: int) -> None:
    registry = CollectorRegistry()
    registry.register(_Exporter(watch))
    try:
        _, thread = start_http_server(port, listen, registry)
    except OSError as taken:
        raise UserError(
            f"{listen}:{port} cannot be listened on ({taken.strerror}); choose another --serve PORT"
        ) from taken
    click.echo(f"http://{listen}:{port}/metrics; Ctrl-C ends it")
    thread.join()


def _print(settings: Settings, look: Look, alerts: list[Alert]) -> None:
    """Tables for people: what is wrong first."""
    console = people()
    for alert in alerts:
        console.print(f"{alert.severity.upper()} {alert.name}: {alert.summary}\n    {alert.action}")
    for server, said in look.silent.items():
        console.print(f"    {server}: {said}")
    if not alerts:
        console.print("All is well.")
    _partitions(settings, look)
    _jobs(look)
    _results(settings, look)


def _partitions(settings: Settings, look: Look) -> None:
    newest, behind = look.of("partition_newest_ingest_timestamp_seconds"), look.of("partition_behind_seconds")
    lag, unread = look.of("partition_event_time_lag_seconds"), look.of("partition_records_lag")
    marks, holds = look.of("partition_watermark_timestamp_seconds"), look.of("partition_holds_back")
    logs = [
        {
            "partition": partition,
            "newest ingest": readable(int(newest[topic, partition] * 1000), settings.time)
            if (topic, partition) in newest
            else "never",
            "behind": _seconds(value),
        }
        for (topic, partition), value in behind.items()
    ]
    if logs:
        show("table", ["partition", "newest ingest", "behind"], logs, {"log": next(iter(behind))[0]})
    jobs = [
        {
            "run": run,
            "partition": partition,
            "watermark": readable(int(at * 1000), settings.time),
            "event-time lag": _seconds(lag[run, job, partition]) if (run, job, partition) in lag else "",
            "not read": f"{unread.get((run, job, partition), 0):.0f}",
            "": "holds back" if holds[run, job, partition] and len(set(_of_run(marks, run))) > 1 else "",
        }
        for (run, job, partition), at in marks.items()
    ]
    if jobs:
        show("table", list(jobs[0]), jobs, {})


def _of_run(values: Mapping[tuple[str, ...], float], run: str) -> list[float]:
    return [value for labels, value in values.items() if labels[0] == run]


def _jobs(look: Look) -> None:
    names = (
        "job_restarts_total",
        "job_failures_last_hour",
        "checkpoint_age_seconds",
        "checkpoint_duration_seconds",
        "checkpoint_size_bytes",
    )
    restarts, failures, age, took, size = (look.of(name) for name in names)
    errors = look.of("sink_errors_last_hour")
    rows = [
        {
            "run": run,
            "up": "yes" if up else "NO",
            "restarts": f"{restarts.get((run, job), 0):.0f}",
            "failures 1 h": f"{failures.get((run, job), 0):.0f}",
            "sink errors 1 h": " ".join(f"{s}:{n:.0f}" for (r, _, s), n in errors.items() if r == run and n) or "0",
            "checkpoint age": _seconds(age.get((run, job))),
            "took": _seconds(took.get((run, job))),
            "MB": f"{size.get((run, job), 0) / 1e6:.1f}",
        }
        for (run, job), up in look.of("job_up").items()
    ]
    if rows:
        show("table", list(rows[0]), rows, {})


def _results(settings: Settings, look: Look) -> None:
    rows = [
        {"what": "screen behind the log", "of": run, "value": _seconds(value)}
        for (run,), value in look.of("screen_behind_seconds").items()
    ]
    rows += [
        {"what": "last version behind the log", "of": run, "value": _seconds(value)}
        for (run,), value in look.of("report_behind_seconds").items()
    ]
    rows += [
        {"what": "since the last publication", "of": report, "value": _seconds(value)}
        for (report,), value in look.of("publication_age_seconds").items()
    ]
    rows += [
        {"what": "archive behind the log", "of": topic, "value": _seconds(value)}
        for (topic,), value in look.of("archive_behind_seconds").items()
    ]
    hour, share = look.of("verdict_records_last_hour"), look.of("verdict_share")
    rows += [
        {
            "what": f"{verdict} of {day}",
            "of": run,
            "value": f"{count:.0f} (+{hour[run, day, verdict]:.0f} in the last hour)"
            + (f" {100 * share[run, day, verdict]:.1f} %" if (run, day, verdict) in share else ""),
        }
        for (run, day, verdict), count in look.of("verdict_records").items()
    ]
    if rows:
        show("table", ["what", "value", "of"], rows, {})


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return (
        "for ever"
        if value == float("inf")
        else f"{value:.1f} s"
        if value < 60
        else str(dt.timedelta(seconds=round(value)))
    )
