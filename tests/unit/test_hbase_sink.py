"""The sink's own keys, cells and digest are those that readers look for (udfs import nothing of ours)."""

from __future__ import annotations

import copy
import datetime as dt
import json
from decimal import Decimal

import pytest
from fake_hbase import FakeHBase
from thriftpy2.transport import TTransportException

from flink_jobs import full_store, runs, stores
from flink_jobs.settings import DEFAULT_FILE, Settings, Time
from udfs.hbase_client import HBaseClient
from udfs.hbase_scan import scan_daily_sales
from udfs.hbase_sink import DAY_MS, HOUR_MS, HBaseSink, HBaseTarget

RUN, DAY = "daily_report-streaming-x", dt.date(2025, 11, 11)
START = Time().day_start(DAY)
END = START + DAY_MS


class BatchedHBase(FakeHBase):
    """Counts the calls, and refuses the first `down` of them."""

    down = 0
    calls = 0

    def table(self, name):
        self.calls += 1
        if self.down > 0:
            self.down -= 1
            raise TTransportException(message="gone")
        return super().table(name)

    def close(self):
        pass


def sink(mode: str = "streaming", hbase: BatchedHBase | None = None, **options) -> tuple[HBaseSink, BatchedHBase]:
    made, hbase = HBaseSink(HBaseTarget("h", 1, "", 4, RUN, mode, 8 * HOUR_MS, **options)), hbase or BatchedHBase()
    made._client._connection = hbase
    return made, hbase


def register(hbase: BatchedHBase, mode: str) -> runs.Run:
    ends = {"0": 9} if mode == "batch" else {}
    run = runs.Run(
        run_id=RUN,
        job="daily_report",
        mode=mode,
        logic="l",
        topic="t",
        start_offsets={"0": 7},
        end_offsets=ends,
        submitted_by="me@here",
    )
    return runs.register(hbase, run)


def put_rows(made: HBaseSink, version: int) -> None:
    made.put_daily_sales(
        [version] * 3, ["ALL", "110000", "110000"], ["ALL", "ALL", "110100"], [2, 2, 2], [Decimal("3.5")] * 3, [1, 1, 1]
    )


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_readers_find_the_rows_that_the_sink_wrote(mode):
    made, hbase = sink(mode)
    put_rows(made, END)
    found = stores.read_sales(hbase, 4, str(DAY), RUN, stores.FAMILIES[mode], END)
    assert found == {
        name: {"orders": "2", "amount": "3.50", "users": "1"} for name in ("ALL|ALL", "110000|ALL", "110000|110100")
    }
    other = stores.FAMILIES["batch" if mode == "streaming" else "streaming"]
    assert stores.read_sales(hbase, 4, str(DAY), RUN, other, END) == {}


def test_readers_find_the_verdict_counts_that_the_sink_wrote():
    made, hbase = sink()
    figures = {"records": [3], "offset_min": [1], "offset_max": [9], "offset_sum": [15]}
    made.put_verdict_counts([END], [2], ["late"], figures)
    made.put_conflicting([END], [4])
    assert stores.read_verdicts(hbase, str(DAY), RUN, "s", END) == {
        "00002|late": {name: str(values[0]) for name, values in figures.items()},
        "ALL|conflicting": {"records": "4"},
    }


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_the_last_version_of_a_day_is_published_as_the_command_would_publish_it(mode):
    made, hbase = sink(mode)
    run = register(hbase, mode)
    put_rows(made, END)
    made.put_markers([(END, 3, 2, Decimal("3.5"))])
    publication = runs.published(hbase, "daily_report", str(DAY))
    assert publication is not None
    table = stores.read_sales(hbase, 4, str(DAY), RUN, stores.FAMILIES[mode], END)
    assert (publication.run_id, publication.rows, publication.digest) == (RUN, 3, stores.digest(table))
    assert (publication.watermark, publication.offsets) == (END, {"0": 7})
    assert publication.ends == ({"0": 9} if mode == "batch" else None)
    by_command = runs.publication_of(hbase, Settings.load(DEFAULT_FILE), run, str(DAY))
    said = publication.model_dump() | {"who": "", "at": "", "why": ""}
    assert said == by_command.model_dump() | {"who": "", "at": ""}
    assert (publication.who, publication.why) == ("me@here", "first")
    written = json.loads(hbase.table("published").row(f"daily_report|{DAY}".encode(), [b"p"])[b"p:current"])
    assert written.keys() == runs.Publication.model_fields.keys()


@pytest.mark.parametrize(("mode", "other"), [("batch", "streaming"), ("streaming", "batch")])
def test_neither_mode_writes_under_the_id_of_a_run_of_the_other(mode, other):
    made, hbase = sink(mode)
    run = register(hbase, mode)
    put_rows(made, END)
    made.put_markers([(END, 3, 2, Decimal("3.5"))])
    before = {name: copy.deepcopy(table.rows) for name, table in hbase.tables.items()}
    figures = {"records": [3], "offset_min": [1], "offset_max": [9], "offset_sum": [15]}
    for write in (
        lambda s: s.put_daily_sales([END], ["ALL"], ["ALL"], [9], [Decimal(9)], [9]),
        lambda s: s.put_verdict_counts([END], [2], ["late"], figures),
        lambda s: s.put_conflicting([END], [4]),
        lambda s: s.put_markers([(END, 9, 9, Decimal(9))]),
        lambda s: s.put_full_report([END], ["ALL"], ["ALL"], ["{}"]),
    ):
        with pytest.raises(PermissionError, match=f"{RUN} is a {mode} run"):
            write(sink(other, hbase)[0])
    assert {name: table.rows for name, table in hbase.tables.items()} == before
    assert runs.get(hbase, RUN) == run


@pytest.mark.parametrize(("mode", "other"), [("batch", "streaming"), ("streaming", "batch")])
def test_modes_that_share_a_run_id_share_no_cell(mode, other):
    """Nobody registered the run: there is nothing that a sink could refuse by."""
    made, hbase = sink(mode)
    rival, _ = sink(other, hbase)
    put_rows(made, END)
    made.put_conflicting([END], [4])
    made.put_markers([(END, 3, 2, Decimal("3.5"))])
    published = runs.published(hbase, "daily_report", str(DAY))
    before = {name: copy.deepcopy(hbase.table(name).rows) for name in ("daily_sales", "verdicts", "versions")}
    rival.put_daily_sales([END] * 2, ["ALL", "110000"], ["ALL"] * 2, [9] * 2, [Decimal(9)] * 2, [9] * 2)
    rival.put_conflicting([END], [9])
    rival.put_markers([(END, 9, 9, Decimal(9))])
    for name, rows in before.items():
        now = hbase.table(name).rows
        assert rows and {key: {c: now[key][c] for c in cells} for key, cells in rows.items()} == rows, name
    assert runs.markers(hbase, str(DAY), RUN, stores.FAMILIES[mode])[END].rows == 3
    assert runs.published(hbase, "daily_report", str(DAY)) == published


def test_a_day_that_somebody_else_published_stays_theirs():
    made, hbase = sink()
    made.put_markers([(END, 0, 0, Decimal(0))])
    other, _ = sink("batch", hbase)
    other.target.__dict__["run_id"] = "another"
    other.put_markers([(END, 0, 0, Decimal(0))])
    assert runs.published(hbase, "daily_report", str(DAY)).run_id == RUN


def test_a_provisional_run_publishes_nothing():
    made, hbase = sink("batch", provisional=True)
    made.put_markers([(END, 0, 0, Decimal(0))])
    assert END in runs.markers(hbase, str(DAY), RUN, "b")
    assert runs.published(hbase, "daily_report", str(DAY)) is None


def test_every_hour_of_a_streaming_day_has_a_marker_also_those_without_records():
    made, hbase = sink()
    made.put_markers([(START + 3 * HOUR_MS, 5, 2, Decimal("1.25"))])
    made.put_markers([(END + 2 * HOUR_MS, 1, 1, Decimal("2"))])
    first = runs.markers(hbase, str(DAY), RUN, "s")
    assert sorted(first) == [START + n * HOUR_MS for n in range(1, 25)]
    assert first[START + 3 * HOUR_MS].amount == "1.25" and first[END].orders == 0
    assert sorted(runs.markers(hbase, "2025-11-12", RUN, "s")) == [END + HOUR_MS, END + 2 * HOUR_MS]


def test_markers_of_many_hours_take_one_put_each_in_two_tables():
    made, hbase = sink()
    made.put_markers([(START + HOUR_MS, 1, 1, Decimal(1))])
    before = hbase.calls
    made.put_markers([(START + hour * HOUR_MS, hour, hour, Decimal(hour)) for hour in (5, 3, 2, 9)])
    assert hbase.calls - before == 2
    found = runs.markers(hbase, str(DAY), RUN, "s")
    assert {at: marker.rows for at, marker in found.items()} == {
        START + hour * HOUR_MS: hour if hour in (1, 2, 3, 5, 9) else 0 for hour in range(1, 10)
    }


def test_a_restarted_sink_goes_on_behind_the_last_marker_of_the_run():
    made, hbase = sink()
    made.put_markers([(START + 3 * HOUR_MS, 5, 2, Decimal("1.25"))])
    again, _ = sink(hbase=hbase)
    again.put_markers([(START + 5 * HOUR_MS, 6, 3, Decimal("2.25"))])
    found = runs.markers(hbase, str(DAY), RUN, "s")
    assert [found[START + hour * HOUR_MS].rows for hour in (3, 4, 5)] == [5, 0, 6]


def test_a_replayed_marker_changes_nothing():
    made, hbase = sink()
    for _ in range(2):
        for hour in (1, 2, 3):
            made.put_markers([(START + hour * HOUR_MS, hour, hour, Decimal(hour))])
    assert [m.rows for m in runs.markers(hbase, str(DAY), RUN, "s").values()] == [1, 2, 3]


def test_an_empty_day_is_marked_once_and_never_over_a_marker():
    made, hbase = sink("batch")
    made.put_markers([(END, 5, 2, Decimal("1.25"))])
    assert made.mark_empty_day(END) is False
    assert made.mark_empty_day(END + DAY_MS) is True
    assert runs.markers(hbase, str(DAY), RUN, "b")[END].rows == 5
    assert runs.markers(hbase, "2025-11-12", RUN, "b")[END + DAY_MS].rows == 0


def test_a_call_that_is_not_answered_is_tried_again_with_a_new_connection(monkeypatch):
    made, hbase = sink()
    hbase.down = 2
    monkeypatch.setattr("udfs.hbase_client.happybase.Connection", lambda *_, **__: hbase)
    put_rows(made, END)
    assert len(stores.read_sales(hbase, 4, str(DAY), RUN, "s", END)) == 3


@pytest.mark.parametrize("mode", ["streaming", "batch"])
def test_the_scan_by_bucket_finds_what_the_readers_find(mode):
    made, hbase = sink(mode)
    put_rows(made, END)
    put_rows(made, END - HOUR_MS)
    family = stores.FAMILIES[mode]
    client = HBaseClient("h", 1, "")
    client._connection = hbase
    found = [row for bucket in range(4) for row in scan_daily_sales(client, bucket, str(DAY), RUN, family, END)]
    assert sorted(found) == [
        ("110000", "110100", 2, "3.50", 1),
        ("110000", "ALL", 2, "3.50", 1),
        ("ALL", "ALL", 2, "3.50", 1),
    ]
    assert {f"{row.province}|{row.city}" for row in found} == set(
        stores.read_sales(hbase, 4, str(DAY), RUN, family, END)
    )
    nothing = [scan_daily_sales(client, bucket, str(DAY), "another", family, END) for bucket in range(4)]
    assert nothing == [[]] * 4


def test_readers_find_the_full_report_that_the_sink_wrote():
    made, hbase = sink("batch")
    cells = {"orders": "2", "amount": "3.50", "share": "0.5000"}
    made.put_full_report([END], ["110000"], ["110100"], [json.dumps(cells)])
    settings = Settings.load(DEFAULT_FILE)
    assert full_store.read(hbase, settings, str(DAY), RUN) == {"110000|110100": cells}
    assert full_store.look_up(hbase, settings, str(DAY), RUN, "110000", "110100") == cells
    assert full_store.look_up(hbase, settings, str(DAY), RUN, "110000", "ALL") == {}
