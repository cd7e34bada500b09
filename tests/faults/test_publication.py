"""One day, many runs: who is shown, who was, who is whole, and who is gone; races and deaths on the real stores.

One run is made by Flink. The others are copies of it under ids of their own, written by the jobs' own sink.
"""

from __future__ import annotations

import datetime as dt
import json
import posixpath
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from flink_jobs import clean, compiled, datagen, full_store, order_log, readers, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.runs import Run
from flink_jobs.settings import Settings
from flink_jobs.stores import Table
from tests.local import Local
from udfs.hbase_sink import HBaseSink, HBaseTarget

DAY = dt.date(2025, 9, 9)
TOPIC = "published"
ORDERS = 300
HOUR = 3_600_000
ROUNDS = 20


@dataclass(frozen=True)
class Story:
    """One closed day, a batch run of it made by Flink, and what that run holds."""

    local: Local
    batch: Run
    sales: Table
    numbers: Any

    @property
    def settings(self) -> Settings:
        return self.local.settings

    @property
    def end(self) -> int:
        return self.settings.time.day_end(DAY)

    def sink(self, run_id: str, mode: str) -> HBaseSink:
        hbase, time = self.settings.hbase, self.settings.time
        offset = int(time.offset.total_seconds()) * 1000
        buckets = self.settings.report.buckets
        target = HBaseTarget(hbase.host, hbase.port, hbase.prefix, buckets, run_id, mode, offset, provisional=True)
        return HBaseSink(target)

    def register(self, name: str, **changes: Any) -> Run:
        """A run like the one that Flink made, under an id of its own."""
        run_id = f"{name}-{next(self.numbers)}"
        begun = {"run_id": run_id, "state": "submitted", "started_at": "", "ended_at": "", "flink_job_id": ""}
        with stores.hbase(self.settings) as connection:
            return runs.register(connection, self.batch.model_copy(update=begun | changes))

    def copy(self, name: str, **changes: Any) -> Run:
        """A finished run that holds what the one of Flink holds, in HBase and in HDFS."""
        run = self.register(name, **changes)
        sink = self.sink(run.run_id, run.mode)
        write_rows(sink, self.sales, self.end)
        sink.put_conflicting([self.end], [0])
        mark(sink, self.sales, self.end)
        sink.close()
        with stores.hdfs(self.settings) as files:
            for dataset in stores.DATASETS:
                old = stores.run_folder(self.settings, dataset, str(DAY), self.batch.run_id)
                new = stores.run_folder(self.settings, dataset, str(DAY), run.run_id)
                files.makedirs(new, exist_ok=True)
                for file in files.ls(old, detail=False) if files.exists(old) else ():
                    files.pipe_file(posixpath.join(new, posixpath.basename(file)), files.cat_file(file))
        with stores.hbase(self.settings) as connection:
            runs.set_state(connection, run.run_id, "finished", ended_at=runs.now_iso(self.settings))
            return runs.get(connection, run.run_id)

    def publish(self, *published: Run) -> None:
        with stores.hbase(self.settings) as connection:
            for run in published:
                new = runs.publication_of(connection, self.settings, run, str(DAY))
                runs.publish(connection, runs.REPORT, str(DAY), new)

    def shown(self) -> str:
        with stores.hbase(self.settings) as connection:
            return runs.shown(connection, runs.REPORT, [str(DAY)])[str(DAY)]

    def history(self) -> list[dict[str, Any]]:
        printed = self.local.run("published", "--day", str(DAY), "--report", runs.REPORT, "--history", "--json").stdout
        return list(json.loads(printed)["rows"])

    def seen(self, *more: str) -> tuple[str, str]:
        """What readers see of every city, out of HBase and out of HDFS."""
        report = ("report", "--day", str(DAY), "--level", "city", "--format", "csv", *more)
        return self.local.run(*report).stdout, self.local.run(*report, "--from-hdfs").stdout

    def state(self, run: Run) -> str:
        with stores.hbase(self.settings) as connection:
            return runs.get(connection, run.run_id).state

    def left(self, run: Run) -> list[str]:
        """Everything in the three stores that bears the run's id, but its row of `runs` and the publications."""
        found: list[str] = []
        with stores.hbase(self.settings) as connection:
            for name in ("daily_sales", "verdicts", "versions", "full_report"):
                keys = (key.decode() for key, _ in connection.table(name).scan())
                found += [f"{name} {key}" for key in keys if f"|{run.run_id}|" in f"{key}|"]
        with stores.hdfs(self.settings) as files:
            names = files.find(self.settings.hdfs.root, withdirs=True)
            found += [name for name in names if posixpath.basename(name) in (run.run_id, f"run={run.run_id}")]
        client = stores.redis(self.settings)
        return found + [str(key) for key in client.scan_iter(match=f"{self.settings.redis.prefix}:{run.run_id}:*")]


def write_rows(sink: HBaseSink, table: Table, version: int) -> None:
    places = [row.split("|") for row in table]
    sink.put_daily_sales(
        [version] * len(table),
        [province for province, _ in places],
        [city for _, city in places],
        [int(fields["orders"]) for fields in table.values()],
        [Decimal(fields["amount"]) for fields in table.values()],
        [int(fields["users"]) for fields in table.values()],
    )


def mark(sink: HBaseSink, table: Table, version: int) -> None:
    cities = [fields for row, fields in table.items() if readers.level_of(row) == "city"]
    orders = sum(int(fields["orders"]) for fields in cities)
    amount = sum((Decimal(fields["amount"]) for fields in cities), Decimal(0))
    sink.put_markers([(version, len(table), orders, amount)])


def one_city(orders: int) -> Table:
    """A report that is whole."""
    fields = {"orders": str(orders), "amount": f"{orders}.50", "users": str(orders)}
    return {row: dict(fields) for row in ("110000|110100", "110000|ALL", "ALL|ALL")}


@pytest.fixture(scope="module")
def story(local: Local) -> Story:
    settings = local.settings
    spec = datagen.Spec.by(settings, seed=9, first=DAY, last=DAY, orders=ORDERS)
    order_log.create_topic(settings, TOPIC, settings.kafka.partitions)
    order_log.produce(settings, TOPIC, datagen.Plan(spec).records())
    days = ("--from", str(DAY), "--to", str(DAY))
    run_id = local.submit("daily_report", "--mode", "batch", "--topic", TOPIC, *days)
    with stores.hbase(settings) as connection:
        run = runs.get(connection, run_id)
    assert run.state == "finished"
    return Story(local, run, readers.read_report(settings, str(DAY), run_id).table, count())


# ---------------------------------------------------------------- who is shown


def test_of_two_publishers_at_once_one_wins_and_the_other_is_told(story: Story):
    one, other = story.copy("one"), story.copy("other")
    before = story.shown()
    commands = [("publish", run.run_id, "--day", str(DAY), "--instead-of", before) for run in (one, other)]
    with ThreadPoolExecutor() as both:
        ended = list(both.map(lambda command: story.local.run(*command, code=None), commands))
    assert sorted(end.returncode for end in ended) == [0, 2]
    (refused,) = (end.stderr for end in ended if end.returncode)
    assert len(refused.strip().splitlines()) == 1 and story.shown() in refused
    assert story.shown() == (one if ended[0].returncode == 0 else other).run_id

    def flip(run: Run, shown: str, start: threading.Barrier) -> bool:
        with stores.hbase(story.settings) as connection:
            start.wait(30)
            try:
                said = runs.said_by(story.settings, run).model_copy(update={"why": "race"})
                runs.publish(connection, runs.REPORT, str(DAY), said, shown)
                return True
            except UserError as told:
                assert "shows run" in str(told) or "at the same moment" in str(told)
                return False

    with ThreadPoolExecutor() as both:
        for _ in range(ROUNDS):
            shown, start = story.shown(), threading.Barrier(2)
            mine, theirs = story.batch, one if shown != one.run_id else other
            if shown == mine.run_id:
                mine = other if theirs is one else one
            won = list(both.map(flip, (mine, theirs), (shown, shown), (start, start)))
            assert sorted(won) == [False, True] and story.shown() == (mine if won[0] else theirs).run_id


def test_what_was_shown_before_is_shown_again_and_the_history_tells_all_of_it(story: Story):
    old, new = story.copy("old"), story.copy("new", logic="another")
    flip = ("--day", str(DAY), "--why", "a till came late")
    story.local.samewater("publish", old.run_id, "--day", str(DAY))
    before = story.seen()
    story.local.samewater("publish", new.run_id, *flip, "--instead-of", old.run_id)
    after = story.seen()
    assert all(old.run_id in text for text in before) and all(new.run_id in text for text in after)
    assert "shows run" in story.local.samewater("publish", old.run_id, *flip, "--instead-of", old.run_id, code=2)

    back = ("rollback", "--day", str(DAY))
    assert f"shows run {old.run_id} again, in place of {new.run_id}" in story.local.samewater(*back)
    assert story.seen() == before
    assert f"shows run {new.run_id} again" in story.local.samewater(*back)
    assert story.seen() == after
    for again in ("again, in place of", "already"):
        assert again in story.local.samewater(*back, "--instead-of", new.run_id)
        assert story.shown() == old.run_id
    never = story.copy("never")
    assert "never published" in story.local.samewater(*back, "--to", never.run_id, code=2)
    assert "nothing" in story.local.samewater("rollback", "--day", "2024-02-29", code=2)

    told = [(row["run_id"], row["why"], row["logic"]) for row in story.history()[:5]]
    assert told == [
        (old.run_id, "rollback", old.logic),
        (new.run_id, "rollback", "another"),
        (old.run_id, "rollback", old.logic),
        (new.run_id, "a till came late", "another"),
        (old.run_id, "published", old.logic),
    ]
    for row in story.history()[:5]:
        assert row["digest"] == stores.digest(story.sales) and row["rows"] == len(story.sales) and row["who"]
        assert row["version"] == f"{DAY + dt.timedelta(1)} 00:00:00" and row["offsets"] and row["ends"]
    assert story.history()[-1]["why"] == "first", "the run that Flink made published the day by itself"


# ---------------------------------------------------------------- who owns a key


def test_of_two_that_register_one_id_for_two_modes_one_is_refused(story: Story):
    def take(run: Run, start: threading.Barrier) -> Run | None:
        with stores.hbase(story.settings) as connection:
            start.wait(30)
            try:
                return runs.register(connection, run)
            except UserError as told:
                assert "has mode" in str(told)
                return None

    with ThreadPoolExecutor() as both:
        for number in range(ROUNDS):
            pair = [story.batch.model_copy(update={"run_id": f"taken-{number}", "mode": m}) for m in stores.FAMILIES]
            start = threading.Barrier(2)
            (owner,) = [run for run in both.map(take, pair, (start, start)) if run is not None]
            with stores.hbase(story.settings) as connection:
                assert runs.get(connection, f"taken-{number}").mode == owner.mode
                runs.set_state(connection, owner.run_id, runs.CLEANED)  # of no other interest


def test_neither_mode_can_write_over_what_the_other_has_written(story: Story):
    run = story.batch
    story.publish(run)
    before, files = story.seen(), story.left(run)
    days = ("--topic", TOPIC, "--from", str(DAY))
    assert "has mode 'batch', not 'streaming'" in story.local.samewater(
        "submit", "daily_report", *days, "--run-id", run.run_id, code=2
    )
    live = story.copy("live", mode="streaming", from_day="", to_day="", end_offsets={})
    held = story.left(live)
    assert "has mode 'streaming', not 'batch'" in story.local.samewater(
        "submit", "daily_report", "--mode", "batch", *days, "--to", str(DAY), "--run-id", live.run_id, code=2
    )
    for own, other in ((run, "streaming"), (live, "batch")):
        rival = story.sink(own.run_id, other)
        for write in (write_rows, mark):
            with pytest.raises(PermissionError, match=f"is a {own.mode} run"):
                write(rival, one_city(9), story.end)
        rival.close()
    assert story.seen() == before and story.left(run) == files and story.left(live) == held

    # Of a run that nobody registered a sink knows nothing; the cells are apart all the same.
    shared = f"shared-{next(story.numbers)}"
    for mode, orders in (("streaming", 1), ("batch", 2), ("streaming", 1)):
        sink = story.sink(shared, mode)
        write_rows(sink, one_city(orders), story.end)
        sink.put_conflicting([story.end], [orders])
        mark(sink, one_city(orders), story.end)
        sink.close()
    with stores.hbase(story.settings) as connection:
        for mode, orders in (("streaming", 1), ("batch", 2)):
            family, of_day = stores.FAMILIES[mode], (str(DAY), shared)
            sales = stores.read_sales(connection, story.settings.report.buckets, *of_day, family, story.end)
            assert sales == one_city(orders)
            assert runs.markers(connection, *of_day, family)[story.end].orders == orders
            assert stores.verdict_counts(connection, *of_day, family, story.end) == {"conflicting": orders}


# ---------------------------------------------------------------- who is whole


def test_a_version_that_is_half_written_is_never_shown(story: Story):
    run = story.register("hours", mode="streaming", from_day="", to_day="", end_offsets={})
    sink = story.sink(run.run_id, "streaming")
    begin = story.settings.time.day_start(DAY)
    report = ("report", "--day", str(DAY), "--run", run.run_id, "--level", "country", "--json")

    def told(*more: str) -> tuple[str, int]:
        found = json.loads(story.local.run(*report, *more).stdout)
        return found["version"], found["rows"][0]["orders"]

    ten, eleven = f"{DAY} 10:00:00", f"{DAY} 11:00:00"
    write_rows(sink, one_city(10), begin + 10 * HOUR)
    mark(sink, one_city(10), begin + 10 * HOUR)
    later = one_city(11)
    first = {"110000|110100": later.pop("110000|110100")}
    write_rows(sink, first, begin + 11 * HOUR)
    assert told() == told("--as-of", "23:00") == (ten, 10), "rows without their marker"
    mark(sink, first | later, begin + 11 * HOUR)
    for asked in ((), ("--as-of", "11:00"), ("--as-of", "23:00")):
        refused = story.local.samewater(*report, *asked, code=2)
        assert "as it was written" in refused and "reconcile" in refused, "a marker without all of its rows"
    assert told("--as-of", "10:59") == (ten, 10)
    assert "no version" in story.local.samewater(*report, "--as-of", "00:30", code=2)
    write_rows(sink, later, begin + 11 * HOUR)
    assert told() == (eleven, 11) and told("--as-of", "10:30") == (ten, 10)
    sink.close()


def test_a_reader_beside_a_writer_sees_whole_versions_only_and_never_goes_back(story: Story):
    run = story.register("race", mode="streaming", from_day="", to_day="", end_offsets={})
    begin, ended = story.settings.time.day_start(DAY), threading.Event()

    def write() -> None:
        sink = story.sink(run.run_id, "streaming")
        for hour in range(1, 25):
            table = one_city(hour)
            for row, fields in table.items():
                write_rows(sink, {row: fields}, begin + hour * HOUR)
            mark(sink, table, begin + hour * HOUR)
        sink.close()
        ended.set()

    seen = [0]
    with ThreadPoolExecutor() as beside:
        writing = beside.submit(write)
        while not ended.is_set() and not writing.done():
            try:
                found = readers.read_report(story.settings, str(DAY), run.run_id)
            except UserError as early:
                assert "no version" in str(early) and seen == [0]
                continue
            hour = (found.version - begin) // HOUR
            assert found.table == one_city(hour) and hour >= seen[-1]
            seen.append(hour)
        writing.result()
    assert len(set(seen)) > 3, "it never read in between"
    assert readers.read_report(story.settings, str(DAY), run.run_id).table == one_city(24)


def test_a_full_report_that_dies_half_way_leaves_the_old_one_and_the_next_gives_the_same_bytes(
    story: Story, changed: Callable, tmp_path_factory: pytest.TempPathFactory
):
    settings, out = story.settings, tmp_path_factory.mktemp("reports")
    story.publish(story.batch)

    def make(code: int = 0, **where: Any) -> runs.Publication | None:
        given = ("--day", str(DAY), "--out", str(out), "--anyway")  # nobody has reconciled it
        story.local.samewater("full-report", *given, code=code, conf=story.local.wide, **where)
        with stores.hbase(settings) as connection:
            return runs.published(connection, runs.FULL_REPORT, str(DAY))

    def pages() -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in (out / str(DAY)).iterdir()}

    old = make()
    assert old is not None and old.rows > 100
    written = pages()
    assert len(written) == 2 and all(written.values())
    die = ("    folder = stores.run_folder(settings, PAGES, day, run_id)\n", "    import os; os._exit(9)\n")
    assert make(2, root=changed({"flink_jobs/full_store.py": [die]})) == old
    new = make()
    assert new is not None and new.run_id != old.run_id
    assert (new.digest, new.rows, new.previous[0]) == (old.digest, old.rows, old.run_id)
    assert pages() == written
    with stores.hdfs(settings) as files:
        for dataset in (full_store.REPORT, full_store.INPUTS):
            contents = [
                [files.cat_file(name) for name in files.ls(stores.run_folder(settings, dataset, str(DAY), run), False)]
                for run in (old.run_id, new.run_id)
            ]
            assert contents[0] == contents[1] and contents[0] and contents[0][0]
    story.local.samewater("publish", old.run_id, "--day", str(DAY), "--instead-of", new.run_id)
    with stores.hbase(settings) as connection:
        again = runs.published(connection, runs.FULL_REPORT, str(DAY))
    assert again is not None and again.run_id == old.run_id and again.digest == old.digest


# ---------------------------------------------------------------- who is gone


@pytest.fixture
def at_once(story: Story, tmp_path: Path) -> Path:
    """Settings that keep nothing that nobody is shown."""
    text = story.local.conf.read_text(encoding="utf-8")
    for name, value in (("kept_runs", 5), ("kept_days", 7)):
        assert f"{name} = {value}\n" in text
        text = text.replace(f"{name} = {value}\n", f"{name} = 0\n")
    conf = tmp_path / "at-once.toml"
    conf.write_text(text, encoding="utf-8")
    return conf


def test_runs_that_nobody_needs_go_whole_and_readers_notice_nothing(story: Story, at_once: Path):
    gone = [
        story.copy("gone"),
        story.copy("gone", mode="streaming", from_day="", to_day="", end_offsets={}),
        story.copy("gone", job=runs.BACKFILL),
    ]
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(
        2
    )  # its version lies in the future, also in the business zone
    early = story.register("gone", from_day=str(tomorrow), to_day=str(tomorrow))
    sink = story.sink(early.run_id, early.mode)
    for _ in range(2):
        write_rows(sink, one_city(1), story.settings.time.day_end(tomorrow))
    sink.close()
    with stores.hbase(story.settings) as connection:
        runs.set_state(connection, early.run_id, "failed", ended_at=runs.now_iso(story.settings))
    story.publish(gone[0])
    before, shown = story.copy("before"), story.copy("shown")
    story.publish(before, shown)
    young = story.register("young")
    client, prefix = stores.redis(story.settings), story.settings.redis.prefix
    client.hset(f"{prefix}:{gone[2].run_id}:minutes:{DAY}", "10:00|ALL", "1:3:1234")
    with stores.hdfs(story.settings) as files:
        root = story.settings.hdfs.root
        streaming = gone[1].run_id
        for folder in (
            compiled.folder(story.settings, streaming),
            stores.checkpoints_folder(story.settings, streaming),
        ):
            files.makedirs(f"{folder}/x")
            files.pipe_file(f"{folder}/x/y", b"z")
        files.makedirs(f"{root}/daily_sales/.staging_9/task-0-attempt-0/dt={DAY}/run={gone[0].run_id}")
    seen, held = story.seen(), [story.left(run) for run in (before, shown)]
    whole = [story.left(run) for run in gone]
    assert all(len(left) > 5 for left in whole) and len(story.left(early)) == 3

    dry = json.loads(story.local.run("clean", "--dry-run", "--json", conf=at_once).stdout)["rows"]
    assert [story.left(run) for run in gone] == whole and {story.state(run) for run in gone} == {"finished"}
    told = {row["run_id"]: (row["action"], row["why"]) for row in dry}
    assert {told[run.run_id][0] for run in gone} == {"would be removed"}
    assert told[shown.run_id] == ("kept", f"published: daily_report of {DAY}")
    assert told[before.run_id][1] == f"shown before: rollback of daily_report of {DAY} goes back to it"
    assert told[young.run_id][1] == "seen less than 1 d ago", "it may be at work"

    # By the settings of the story nothing is old enough.
    assert not [row for row in json.loads(story.local.run("clean", "--json").stdout)["rows"] if row["action"] != "kept"]
    done = json.loads(story.local.run("clean", "--json", conf=at_once).stdout)["rows"]
    assert {row["run_id"]: row["action"] for row in done} == {
        run_id: "kept" if action == "kept" else "removed" for run_id, (action, _) in told.items()
    }
    assert story.left(early) == [] and story.state(early) == runs.CLEANED, "rows that no marker tells of"
    assert [story.left(run) for run in gone] == [[], [], []] and {story.state(run) for run in gone} == {runs.CLEANED}
    assert [story.left(run) for run in (before, shown)] == held
    assert story.seen() == seen
    versions = json.loads(story.local.run("versions", "--day", str(DAY), "--json").stdout)["rows"]
    readable = {row["run"]: row["published"] for row in versions}
    assert (readable[before.run_id], readable[shown.run_id]) == ("no", "yes")
    assert not readable.keys() & {run.run_id for run in gone}

    for command in (("publish", gone[0].run_id, "--day", str(DAY)), ("report", "--day", str(DAY), "--run")):
        told_of = story.local.samewater(*command, *([gone[0].run_id] if command[-1] == "--run" else []), code=2)
        assert f"{gone[0].run_id} was cleaned" in told_of and len(told_of.strip().splitlines()) == 1
    with stores.hbase(story.settings) as connection, pytest.raises(UserError, match="not used again"):
        runs.register(connection, gone[0])
    assert f"shows run {before.run_id} again" in story.local.samewater("rollback", "--day", str(DAY))
    assert story.shown() == before.run_id and before.run_id in story.seen()[0]


KILLED = {
    "before rows go": ("flink_jobs/clean.py", "            remove(settings, connection, one.run)\n"),
    "among the rows": ("flink_jobs/clean.py", '        _delete(connection, "full_report", by_bucket)\n'),
    "among the files": ("flink_jobs/clean.py", "            files.rm(folder, recursive=True)\n"),
    "before it is noted": ("flink_jobs/clean.py", "            runs.set_state(connection, one.run.run_id, CLEANED)\n"),
}


@pytest.mark.parametrize("where", KILLED)
def test_a_cleaning_that_is_killed_comes_to_the_same_end_when_it_is_called_again(
    story: Story, at_once: Path, changed: Callable, where: str
):
    gone = [story.copy("killed"), story.copy("killed", mode="streaming", from_day="", to_day="", end_offsets={})]
    seen, shown = story.seen(), story.shown()
    file, line = KILLED[where]
    indent = line[: len(line) - len(line.lstrip())]
    root = changed({file: [(line, f"{indent}import os; os._exit(9)\n")]})
    story.local.samewater("clean", code=9, root=root, conf=at_once)
    assert {story.state(run) for run in gone} == {runs.CLEANING} and any(story.left(run) for run in gone)
    refused = story.local.samewater("publish", gone[0].run_id, "--day", str(DAY), code=2)
    assert "was cleaned" in refused and story.shown() == shown and story.seen() == seen
    story.local.samewater("clean")  # what was begun is ended, also by settings that would have kept it
    assert [story.left(run) for run in gone] == [[], []] and {story.state(run) for run in gone} == {runs.CLEANED}
    assert story.seen() == seen


def test_of_a_publication_and_a_cleaning_at_once_one_gives_way(story: Story, at_once: Path):
    settings = Settings.load(at_once)
    first = story.shown()
    for number in range(6):
        run = story.copy("contested")
        start = threading.Barrier(2)

        def publish(run: Run = run, start: threading.Barrier = start) -> bool:
            start.wait(30)
            try:
                story.publish(run)
                return True
            except UserError as told:
                assert "cleaned" in str(told) or "no version" in str(told)
                return False

        def remove(start: threading.Barrier = start, late: bool = number % 2 == 0) -> None:
            start.wait(30)
            if late:
                story.state(story.batch)  # some steps later
            clean.clean_runs(settings)

        with ThreadPoolExecutor() as both:
            cleaning, publishing = both.submit(remove), both.submit(publish)
            published = publishing.result()
            cleaning.result()
        assert (story.shown() == run.run_id) is published
        if published:
            assert story.state(run) == "finished"
            assert readers.read_report(settings, str(DAY)).table == story.sales
            story.local.samewater("rollback", "--day", str(DAY), "--instead-of", run.run_id)
        assert story.shown() == first
    assert first in story.seen()[0]
