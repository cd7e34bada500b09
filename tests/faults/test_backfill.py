"""Backfills that die on their way, and two of one day at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from flink_jobs import flink_rest, runs, stores
from tests.backfill_story import (
    FIRST,
    SECOND,
    SUPPLY,
    THIRD,
    Story,
)
from tests.local import wait_until


def test_a_backfill_that_dies_on_its_way_comes_to_the_same_when_it_is_run_again(supplied: Story, changed: Callable):
    past, settings = supplied, supplied.local.settings
    die = "import os; os._exit(9)"
    midway = changed({"flink_jobs/backfill.py": [("            result.wait()\n", f"            {die}\n")]})
    past.backfill(*past.days(FIRST, SECOND), code=2, root=midway)
    run = past.newest()
    assert "not finished" in past.backfill("publish", run, code=2)
    wait_until(lambda: flink_rest.living_job(settings, "batch", run) is None, "the end of the dead client's Flink job")
    past.backfill("run", run)
    # The same once more, of a run that was whole: it is not, from the moment on that its files are removed.
    job = midway / "flink_jobs" / "backfill.py"
    text = job.read_text(encoding="utf-8").replace(f"            {die}\n", "            result.wait()\n")
    cleared = "            clear(settings, run.run_id, only_minutes)\n"
    assert cleared in text
    job.write_text(text.replace(cleared, f"{cleared}            {die}\n"), encoding="utf-8")
    past.backfill("run", run, code=2, root=midway)
    assert "is running, not finished" in past.backfill("publish", run, code=2)
    past.backfill("run", run)
    past.equal("--from", str(FIRST), "--to", str(SECOND), "--backfill", run)

    bases = {day: past.shown(day) for day in (FIRST, SECOND)}
    flipped = "                runs.sync_day(connection, client, settings, day)\n"
    (tmp := midway / "flink_jobs" / "backfill_commands.py").write_text(
        (text := tmp.read_text(encoding="utf-8")).replace(flipped, f"                {die}\n"), encoding="utf-8"
    )
    assert flipped in text
    past.backfill("publish", run, code=9, root=midway)
    assert past.shown(FIRST) == run and past.shown(SECOND) == bases[SECOND]
    said = past.backfill("publish", run)
    assert f"{FIRST} shows {run} already" in said and past.shown(SECOND) == run
    past.equal("--from", str(FIRST), "--to", str(THIRD))
    with stores.hbase(settings) as connection:
        history = runs.history(connection, runs.REPORT, str(FIRST))
    assert [one.run_id for one in history[:2]] == [run, bases[FIRST]] and history[0].why == "backfill"
    past.backfill("undo", run)
    assert {day: past.shown(day) for day in (FIRST, SECOND)} == bases


def test_of_two_backfills_of_a_day_at_once_one_is_refused_and_the_slower_one_is_not_published(supplied: Story):
    past = supplied
    with ThreadPoolExecutor() as both:
        ends = [both.submit(past.backfill, *past.days(SECOND), code=None) for _ in range(2)]  # type: ignore[arg-type]
        said = [end.result() for end in ends]
    (refused,) = [text for text in said if "error:" in text]
    (done,) = [text for text in said if "error:" not in text]
    assert "is being made by" in refused
    assert len([line for line in refused.splitlines() if "error:" in line]) == 1
    first = past.run_of(done)
    second = past.run_of(past.backfill(*past.days(SECOND), "--without", SUPPLY))
    past.backfill("publish", second)
    assert second in past.backfill("publish", first, code=2)
    assert past.shown(SECOND) == second
    past.equal("--from", str(SECOND))
    past.backfill("undo", second)
