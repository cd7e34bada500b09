"""How does a streaming job replay the log by changed logic, and take the place of the live one?

A replay is a streaming run of its own, with its own state, consumer group and version, from the log's start: by the
code and the settings of now, beside the live run that it `replays`, on the batch cluster and shown to nobody. Once it
has caught up with the log it can be given that run's place, and the old run keeps its state for an undo.

Reads the log's reach (Kafka), `runs`, `versions` and the reports (HBase, HDFS), `progress` (Redis). Writes `published`
and the pointer in Redis, and of the replay's row in `runs`: `base`, `cluster`, `provisional`. Each step looks first at
what is so already, so that the same command, after a death at any point, comes to the same end.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

import happybase
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from flink_jobs import flink_rest, lease, runs, stores
from flink_jobs.console import readable
from flink_jobs.difference import between
from flink_jobs.errors import UserError
from flink_jobs.log_reader import open_log, reached
from flink_jobs.order_log import topic_max_ingest
from flink_jobs.progress import progress_bar, working
from flink_jobs.readers import read_report
from flink_jobs.recovery import files_due_s, newest_state, resume_run, stop_run
from flink_jobs.runs import Run
from flink_jobs.settings import Settings, Time
from flink_jobs.submit import submit, subtasks_of

ASIDE, LIVE_CLUSTER = flink_rest.CLUSTERS["batch"], flink_rest.CLUSTERS["streaming"]
STEP_MS = {runs.REPORT: 3_600_000, runs.DASHBOARD: 60_000}
"""Job -> in which steps of event time it gives exact figures."""
MINUTE_MS = 60_000
LOOK_S = 1.0
STALL_S = 900.0  # a step of a large log takes minutes; a run that moves no more is told

Say = Callable[[str], None]
"""Takes one sentence on what was done."""


def rules_of(run: Run) -> Time:
    """The rules of time that a run counts by."""
    return Time.model_validate(run.settings)


def the_replay(connection: happybase.Connection, run_id: str) -> Run:
    """The run, if it is a replay; else raises `UserError`."""
    run = runs.get(connection, run_id)
    if not run.replays:
        raise UserError(f"run {run_id} is no replay; see `samewater replay list`")
    return run


def is_living(settings: Settings, run: Run) -> bool:
    """Whether Flink has a job of the run that has not ended."""
    return flink_rest.living_job(settings, run.cluster, run.run_id) is not None


# ---------------------------------------------------------------- begin, and catch up


def begin(
    settings: Settings,
    conf: str | None,
    job: str,
    topic: str,
    from_day: str | None = None,
    parallelism: int | None = None,
    instead_of: str | None = None,
) -> str:
    """Submit a replay of the live run, or of the run `instead_of`; returns its id.

    Raises `UserError` if there is no such run, if business days are others by these settings, if the log does not
    reach `from_day`, or if the batch cluster lacks slots.
    """
    with stores.hbase(settings) as connection:
        stores.ensure_tables(connection)
        replayed = live_run(settings, connection, job, topic, instead_of)
    zone = rules_of(replayed).zone
    if zone != settings.time.zone:
        raise UserError(
            f"run {replayed.run_id} counts business days of {zone}, these settings say {settings.time.zone}: "
            "days of the same name would be others; replay by settings with the same zone"
        )
    until = reach(settings, topic, settings.time, job)
    if from_day is not None and until <= settings.time.day_start(dt.date.fromisoformat(from_day)):
        raise UserError(
            f"topic {topic} is closed until {readable(until, settings.time)}, before {from_day} has begun; "
            "choose an earlier --from"
        )
    arguments = ["--topic", topic, "--replays", replayed.run_id]
    arguments += [] if from_day is None else ["--from", from_day]
    arguments += [] if parallelism is None else ["--parallelism", str(parallelism)]
    return submit(settings, conf, job, "streaming", arguments)


def first_whole_day(settings: Settings, topic: str) -> str | None:
    """The first day of which retention has taken nothing; None if it has taken nothing at all.

    Each partition may have lost another part, so the one that has lost most decides.
    """
    time = settings.time
    with open_log(settings, topic) as log:
        cut = [partition for partition, span in log.reach().items() if 0 < span.start < span.end]
        firsts = [at for at in map(log.first_ingest_of, cut) if at is not None]
    if not firsts:
        return None
    needed = max(firsts) + time.late_copy_horizon_ms + time.future_ms
    return str(time.day_of(needed) + dt.timedelta(1))


def live_run(
    settings: Settings, connection: happybase.Connection, job: str, topic: str, named: str | None = None
) -> Run:
    """The streaming run of the topic that has its place: the named one, else the one that lives, else the newest.

    Raises `UserError` if there is none, or if several live and the one on the screen is none of them.
    """
    found = [run for run in runs.list_runs(connection, job=job, mode="streaming", topic=topic) if not run.provisional]
    if named is not None:
        found = [run for run in found if run.run_id == named]
    if not found:
        which = f"run {named} is no streaming run" if named else "there is no streaming run"
        raise UserError(
            f"{which} of {job} on topic {topic} whose place a replay could take; see `samewater runs`, or begin one: "
            f"samewater submit {job} --topic {topic}"
        )
    names = {flink_job["name"] for flink_job in flink_rest.living_jobs(settings, LIVE_CLUSTER)}
    living = [run for run in found if run.run_id in names]
    shown = runs.shown(connection, job, [runs.LIVE])[runs.LIVE]
    several = [run for run in living if run.run_id == shown] or living
    if len(several) > 1:
        raise UserError(
            f"several runs of {job} live on topic {topic}: {', '.join(run.run_id for run in several)}; "
            "name the one whose place the replay is to take with --instead-of"
        )
    return several[0] if several else found[0]


def reach(settings: Settings, topic: str, rules: Time, job: str) -> int:
    """Epoch ms up to which the log lets a job give exact figures now. Raises `UserError` if a partition is empty."""
    until = reached(topic_max_ingest(settings, topic), rules.lateness_ms, rules.clock_skew_ms)
    if until is None:
        raise UserError(
            f"a partition of topic {topic} is empty, so that no job can come to an exact figure; "
            "let the gateway send heartbeats to every partition"
        )
    # The steps begin on the clocks of the business zone.
    return until - (until + int(rules.offset.total_seconds()) * 1000) % STEP_MS[job]


def position(settings: Settings, run: Run) -> int | None:
    """Epoch ms up to which a run's figures are exact and written; None if none are."""
    if run.job == runs.DASHBOARD:
        return stores.read_final_until(stores.redis(settings), settings, run.run_id)
    with stores.hbase(settings) as connection:
        return runs.last_version(connection, run)


def first_ingest(settings: Settings, run: Run) -> int:
    """Ingest time (epoch ms) of the first record that a run reads. Raises `UserError` if the log holds none."""
    with open_log(settings, run.topic) as log:
        found = log.first_ingest({int(partition): offset for partition, offset in run.start_offsets.items()})
    if found is None:
        raise UserError(f"topic {run.topic} holds nothing of what run {run.run_id} reads: retention has deleted it")
    return found


class CaughtUp(NamedTuple):
    """Until when a run's figures are exact (epoch ms); how much of the log it came through (ms), and in how long."""

    rules: Time
    until: int
    log_ms: int
    seconds: float

    def sentence(self, run_id: str) -> str:
        """For people."""
        said = f"run {run_id} has caught up with the log, exact until {readable(self.until, self.rules)}"
        if not self.log_ms:
            return said
        times = self.log_ms / 1000 / self.seconds
        log = dt.timedelta(seconds=self.log_ms // 1000)
        return f"{said}: {log} of the log in {self.seconds:.0f} s, {times:,.0f} times real time"


def await_caught_up(settings: Settings, run_id: str, since: float | None = None) -> CaughtUp:
    """Wait until a run has come to where the log's end is now, with a progress bar.

    `since`: monotonic clock when it was submitted; else seconds and log are counted from now. Raises `UserError` if the
    run is no longer at work, or has not moved for `STALL_S`.
    """
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
    rules = rules_of(run)
    until = reach(settings, run.topic, rules, run.job)
    was = None if since is not None else position(settings, run)
    was = min(until, first_ingest(settings, run) if was is None else was)
    began = moved = time.monotonic()
    at = was
    with progress_bar(f"replaying {run.topic}", (until - was) // MINUTE_MS, "min of the log") as advance:

        def look() -> int:
            nonlocal at, moved
            now = max(at, min(until, position(settings, run) or at))
            advance((now - was) // MINUTE_MS - (at - was) // MINUTE_MS)
            if now > at:
                at, moved = now, time.monotonic()
            if at < until and not is_living(settings, run):
                raise UserError(
                    f"run {run_id} is no longer at work, at {readable(at, rules)}; see the Flink page of the cluster "
                    f"`{run.cluster}` for the cause, then: samewater resume {run_id}"
                )
            if at < until and time.monotonic() - moved > STALL_S:
                raise UserError(
                    f"run {run_id} has stood at {readable(at, rules)} for {STALL_S / 60:.0f} min; see `samewater "
                    f"health` and the Flink page of the cluster `{run.cluster}`, then: samewater replay wait {run_id}"
                )
            return at

        Retrying(retry=retry_if_result(lambda reached: reached < until), wait=wait_fixed(LOOK_S))(look)
    return CaughtUp(rules, until, until - was, time.monotonic() - (began if since is None else since))


# ---------------------------------------------------------------- which days


def days_in_full(settings: Settings, connection: happybase.Connection, run: Run) -> list[str]:
    """The days whose last version a run of the report has marked."""
    last = runs.last_version(connection, run)
    if last is None:
        return []
    rules = rules_of(run)
    # An order may be late, so the first record's day is not the first that has one.
    first = run.from_day or str(rules.day_of(first_ingest(settings, run) - rules.lateness_ms))
    return [
        day
        for day in between(first, str(rules.day_of(last - 1)))
        if rules.day_end(dt.date.fromisoformat(day)) in runs.markers(connection, day, run.run_id, run.family)
    ]


class Plan(NamedTuple):
    """What publishing a replay does: `flip`, day -> the run shown until then, or empty; `already`, days that show it;
    `left`, day -> why it is left alone.
    """

    flip: dict[str, str]
    already: list[str]
    left: dict[str, str]


def plan(run: Run, days: Iterable[str], shown: Mapping[str, Run | None]) -> Plan:
    """Which of the days that a replay has in full are flipped. `shown`: day -> the run that readers see."""
    made = Plan({}, [], {})
    for day in days:
        now = shown[day]
        if now is None:
            made.flip[day] = ""
        elif now.run_id == run.run_id:
            made.already.append(day)
        elif now.job == runs.BACKFILL:
            made.left[day] = f"shows backfill {now.run_id}, which counted more than the log's timely orders"
        elif now.topic != run.topic:
            made.left[day] = f"shows run {now.run_id} of topic {now.topic}"
        else:
            made.flip[day] = now.run_id
    return made


def make_plan(settings: Settings, connection: happybase.Connection, run: Run) -> Plan:
    """Look at what readers are shown of the days that a replay has; of the dashboard's, at the screen."""
    days = [runs.LIVE] if run.job == runs.DASHBOARD else days_in_full(settings, connection, run)
    shown = runs.shown(connection, run.job, days)
    return plan(run, days, {day: runs.get(connection, one) if one else None for day, one in shown.items()})


def refuse_unless_whole(settings: Settings, run: Run, day: str) -> None:
    """Raise `UserError` unless a day's last version is in HBase as its marker counted it, and the same in HDFS."""
    rows = read_report(settings, day, run.run_id).table
    version = rules_of(run).day_end(dt.date.fromisoformat(day))

    def is_filed() -> bool:
        with stores.hdfs(settings) as files:
            versions, doubled = stores.read_sales_files(files, settings, day, run.run_id)
        return not doubled and versions.get(version, {}) == rows

    patience_s = files_due_s(settings)
    waiting = Retrying(
        retry=retry_if_result(lambda filed: not filed), stop=stop_after_delay(patience_s), wait=wait_fixed(LOOK_S)
    )
    try:
        waiting(is_filed)
    except RetryError as missing:
        raise UserError(
            f"HDFS does not hold {day} of run {run.run_id} as HBase does, {patience_s:.0f} s after it was marked; see "
            "whether its checkpoints are complete (samewater health), then publish again"
        ) from missing


# ---------------------------------------------------------------- publish


def publish(settings: Settings, conf: str | None, run_id: str, say: Say) -> None:
    """Give a replay the place of the run that it replays: readers first, then the cluster of the live jobs.

    All days that it has in full are flipped, or the screen is; then the old run is stopped with a savepoint, and the
    replay moves to the live cluster, where it publishes what it closes. Raises `UserError` if it has not caught up and
    is not at work, if another run has taken that place, or if the live cluster will have no slots for it.
    """
    with stores.hbase(settings) as connection:
        run = the_replay(connection, run_id)
    with lease.held(settings, f"replay|{run.job}"):
        _refuse_taken(settings, run)
        _refuse_without_place(settings, run)
        if is_living(settings, run):
            say(await_caught_up(settings, run_id).sentence(run_id))
        elif not showing(settings, run):  # else it was on its way to the live cluster
            raise UserError(f"run {run_id} is not at work; go on with it first: samewater resume {run_id}")
        _flip(settings, run_id, say)
        _stop(settings, run.replays, say)
        _move(settings, conf, run_id, say)
        if run.job == runs.REPORT:
            # A day may have closed on the way, when neither run published by itself.
            await_caught_up(settings, run_id)
            _flip(settings, run_id, say, again=True)


def _refuse_taken(settings: Settings, run: Run) -> None:
    with stores.hbase(settings) as connection:
        others = runs.list_runs(connection, job=run.job, mode="streaming", topic=run.topic)
    for other in others:
        if other.replays in (run.replays, run.run_id) and other.run_id != run.run_id and not other.provisional:
            raise UserError(
                f"run {other.run_id} has taken the place of run {other.replays} since; begin a new replay, "
                f"or take it back first: samewater replay undo {other.run_id}"
            )


def _refuse_without_place(settings: Settings, run: Run) -> None:
    """Before anything is flipped or stopped: the old run must leave to the replay what that needs on its cluster."""
    if run.cluster == LIVE_CLUSTER and is_living(settings, run):
        return
    with stores.hbase(settings) as connection:
        old = runs.get(connection, run.replays)
    left = subtasks_of(settings, old) if old.cluster == LIVE_CLUSTER and is_living(settings, old) else 0
    needed = subtasks_of(settings, run)
    free = flink_rest.free_slots(settings, LIVE_CLUSTER, needed - left) + left
    if free < needed:
        raise UserError(
            f"run {run.run_id} needs {needed} slots of the Flink cluster `{LIVE_CLUSTER}`, which will have {free} when "
            f"run {old.run_id} is stopped; stop another job there, or replay with --parallelism {max(1, free)}"
        )


def _flip(settings: Settings, run_id: str, say: Say, again: bool = False) -> None:
    """All is looked at, and what was shown is noted, before the first flip; `again`: only what is new is said."""
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        run = the_replay(connection, run_id)
        made = make_plan(settings, connection, run)
    if not again:
        for day, why in made.left.items():
            say(f"{run.job} of {day} is left alone: it {why}")
        for day in made.already:
            say(f"{run.job} of {day} shows run {run_id} already")
    if not made.flip and not made.already:
        raise UserError(f"run {run_id} has no day in full that it could be published for; see `samewater versions`")
    if run.job == runs.REPORT:
        for day in made.flip:
            refuse_unless_whole(settings, run, day)
    with stores.hbase(settings) as connection:
        if made.flip:
            runs.amend(connection, run_id, base={**run.base, **made.flip})
        for day, before in made.flip.items():
            new = runs.publication_of(connection, settings, run, day).model_copy(update={"why": "replay"})
            runs.publish(connection, run.job, day, new, before)
            say(f"{run.job} of {day} shows run {run_id}, before it {before or 'nothing'}")
        if run.job == runs.DASHBOARD:
            runs.sync(connection, client, settings)


def _stop(settings: Settings, run_id: str, say: Say) -> None:
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
    if not is_living(settings, run):
        say(f"run {run_id} is not at work")
        return
    with working(f"stopping {run_id} with a savepoint"):
        stopped = stop_run(settings, run_id)
    say(f"run {run_id} is stopped; its state is kept in {stopped.savepoint}")


def _move(settings: Settings, conf: str | None, run_id: str, say: Say) -> None:
    """Let a replay go on at the cluster of the live jobs, where it publishes by itself."""
    with stores.hbase(settings) as connection:
        run = the_replay(connection, run_id)
    if run.cluster == LIVE_CLUSTER and is_living(settings, run):
        say(f"run {run_id} is at work on the cluster `{LIVE_CLUSTER}` already")
        return
    if is_living(settings, run):
        _stop(settings, run_id, say)
    if run.cluster != LIVE_CLUSTER and not _can_move(settings, run):
        raise UserError(
            f"run {run_id} failed on the cluster `{run.cluster}` and has no savepoint with which it could move; "
            f"go on with it there first: samewater resume {run_id}"
        )
    # Not before it has ended there: its row says where it lives.
    with stores.hbase(settings) as connection:
        runs.amend(connection, run_id, cluster=LIVE_CLUSTER, provisional=False)
    _resume(settings, conf, run_id, say)


def _resume(settings: Settings, conf: str | None, run_id: str, say: Say) -> None:
    with working(f"resuming {run_id}"):
        resume_run(settings, conf, run_id)
    say(f"run {run_id} goes on, on the cluster `{LIVE_CLUSTER}`")


def _can_move(settings: Settings, run: Run) -> bool:
    """Whether a run that has ended left a savepoint: a checkpoint fits only a cluster that keeps state the same way."""
    with stores.hdfs(settings) as files:
        state = newest_state(files, settings, run)
    return state is not None and urlsplit(state.path).path.startswith(stores.savepoints_folder(settings, run.run_id))


# ---------------------------------------------------------------- undo


def undo(settings: Settings, conf: str | None, run_id: str, say: Say) -> None:
    """Give the place back: each day shows what it showed before, and the old run goes on where it was stopped.

    A day that only the replay has shows it until the old run, catching up, has that day in full; the screen too waits
    for that, so that its counts never go back. The replay is stopped with a savepoint, on its old cluster again. Raises
    `UserError` if it was never published, or if another replay has taken its place.
    """
    with stores.hbase(settings) as connection:
        run = the_replay(connection, run_id)
    with lease.held(settings, f"replay|{run.job}"):
        _refuse_taken(settings, run)
        if not run.base:
            raise UserError(f"run {run_id} was not published; to end it: samewater stop {run_id}")
        with stores.hbase(settings) as connection:  # before anything is taken back
            runs.refuse_cleaned(connection, run.replays)
        if run.job == runs.REPORT:
            _flip_back(settings, run, say)
        _stop(settings, run_id, say)
        aside = ASIDE if _can_move(settings, run) else run.cluster
        with stores.hbase(settings) as connection:
            runs.amend(connection, run_id, cluster=aside, provisional=True)
            old = runs.get(connection, run.replays)
        if is_living(settings, old):
            say(f"run {old.run_id} is at work")
        else:
            _resume(settings, conf, old.run_id, say)
        if showing(settings, run):
            say(await_caught_up(settings, old.run_id).sentence(old.run_id))
            _give_over(settings, run, old, say)


def showing(settings: Settings, run: Run) -> list[str]:
    """The days of its report that show the run."""
    with stores.hbase(settings) as connection:
        published = list(runs.list_published(connection))
    return [day for report, day, one, _ in published if (report, one.run_id) == (run.job, run.run_id)]


def _flip_back(settings: Settings, run: Run, say: Say) -> None:
    for day in showing(settings, run):
        before = run.base.get(day)
        if before:
            with stores.hbase(settings) as connection:
                runs.rollback(connection, settings, run.job, day, instead_of=run.run_id, to=before)
            say(f"{run.job} of {day} shows run {before} again")


def _give_over(settings: Settings, run: Run, old: Run, say: Say) -> None:
    """What still shows the replay shows the old run, as far as that has it by now."""
    client = stores.redis(settings)
    with stores.hbase(settings) as connection:
        full = [runs.LIVE] if run.job == runs.DASHBOARD else days_in_full(settings, connection, old)
    for day in showing(settings, run):
        if day not in full:
            say(f"{run.job} of {day} goes on showing run {run.run_id}: run {old.run_id} does not have it in full")
            continue
        if run.job == runs.REPORT:
            refuse_unless_whole(settings, old, day)
        with stores.hbase(settings) as connection:
            new = runs.publication_of(connection, settings, old, day).model_copy(update={"why": "rollback"})
            runs.publish(connection, run.job, day, new, run.run_id)
            if run.job == runs.DASHBOARD:
                runs.sync(connection, client, settings)
        say(f"{run.job} of {day} shows run {old.run_id}")
