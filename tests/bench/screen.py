"""How long from an order's append to Kafka until it is painted, and what do many pages at once cost?

Painted: the number of orders of the probe's province stands in the ranking of a real browser's page (headless
Chromium), in the first moment after a frame was drawn. Received: the same number has come to a page that only reads
(tests/bench/pages.py), with 200 of them on one server. Afterwards each of these must have come to what Redis holds, or
the benchmark fails.
"""

from __future__ import annotations

import bisect
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from playwright.sync_api import Page, sync_playwright

from flink_jobs import stores
from flink_jobs.regions import ALL
from flink_jobs.settings import ROOT
from serving.picture import minute_number
from tests.bench.figures import Figures
from tests.bench.latency import LOST_S, WARM_UP_S, Arrived, Probe, Waiting, flow, redis_reader
from tests.bench.place import Place, Say, await_

RATE, MANY = 2_000, 200
ASKED_EACH_S = 0.2
WATCH = """() => {
  window.painted = [];
  const ranking = document.getElementById("ranking");
  const note = () => {
    const at = (performance.timeOrigin + performance.now()) / 1000;
    for (const name of ranking.querySelectorAll("button[data-key]"))
      window.painted.push([at, name.dataset.key, Number(name.closest("tr").cells[2].textContent.replaceAll(",", ""))]);
  };
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(note)))
    .observe(ranking, { childList: true, subtree: true, characterData: true });
}"""
CHROMIUM = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync", "--no-first-run")


def measure(place: Place, figures: Figures, rounds: int, say: Say) -> None:
    """One page painted in a browser, then many pages that read, round by round."""
    figures.section(f"The screen at {RATE:,} orders/s")
    for number in range(rounds):
        say(f"round {number + 1}: append to painted, one page")
        topic = f"screen-{number}-1"
        with _flowing(place, topic), _screen(place) as (address, _), _painted_on(address) as page:
            _note(figures, "append to painted", flow(place, topic, RATE, _painted(page)).latencies)
        say(f"round {number + 1}: append to received, {MANY} pages")
        topic = f"screen-{number}-{MANY}"
        with _flowing(place, topic) as run_id, _screen(place) as (address, server):
            _many(place, figures, address, server, run_id, topic)


def _note(figures: Figures, label: str, latencies: list[float]) -> None:
    for name, value in zip(("p50", "p95", "p99", "max"), np.percentile(latencies, (50, 95, 99, 100)), strict=True):
        figures.add(f"{label} {name}", float(value), "ms")
    figures.add(f"{label}, probes", len(latencies), "")


@contextmanager
def _flowing(place: Place, topic: str) -> Iterator[str]:
    """A dashboard on a topic of its own; its run."""
    place.create_topic(topic)
    run = place.start("realtime_dashboard", "--topic", topic)
    try:
        yield run.run_id
    finally:
        place.cancel(run)


@contextmanager
def _screen(place: Place) -> Iterator[tuple[str, psutil.Process]]:
    """A server of the screen: address and process."""
    run = "from flink_jobs.cli import main; main()"
    command = [sys.executable, "-u", "-c", run, "--conf", place.conf, "serve", "--port", "0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        address = re.search(r"http://\S+:\d+", said)
        if address is None:
            raise SystemExit(f"the screen did not start: {said}")
        yield address[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


# ---------------------------------------------------------------- one page, painted


@contextmanager
def _painted_on(address: str) -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.goto(address)
        page.evaluate(WATCH)
        yield page
        browser.close()


def _painted(page: Page) -> Arrived:
    asked = 0.0

    def arrived(waiting: Waiting) -> list[tuple[Probe, float]]:
        nonlocal asked
        if time.time() - asked < ASKED_EACH_S:
            return []
        asked = time.time()
        return _taken_off(waiting, page.evaluate("() => window.painted.splice(0)"))

    return arrived


def _taken_off(waiting: Waiting, seen: list[tuple[float, str, int]]) -> list[tuple[Probe, float]]:
    """The probes that these numbers of orders (epoch s, province, orders; in order of time) show to have arrived."""
    found = []
    by_province: dict[str, list[Probe]] = defaultdict(list)
    for probe in waiting:
        by_province[probe.province].append(probe)
    for at, province, orders in seen:
        left = by_province[province]
        while left and left[0].in_day <= orders:
            probe = left.pop(0)
            del waiting[probe]
            found.append((probe, at))
    return found


# ---------------------------------------------------------------- many pages, received


def _many(place: Place, figures: Figures, address: str, server: psutil.Process, run_id: str, topic: str) -> None:
    appended: Waiting = {}
    readable = redis_reader(place, run_id)

    def arrived(waiting: Waiting) -> list[tuple[Probe, float]]:
        appended.update(waiting)
        return readable(waiting)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pages.json"
        command = [sys.executable, "-m", "tests.bench.pages", address, str(MANY), str(file)]
        readers = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert readers.stdin is not None and readers.stdout is not None
        if readers.stdout.readline().strip() != "open":
            raise SystemExit("the pages could not be opened")
        began, used = time.monotonic(), sum(server.cpu_times()[:2])
        flow(place, topic, RATE, arrived)
        figures.add(
            f"processor of the server, {MANY} pages",
            100 * (sum(server.cpu_times()[:2]) - used) / (time.monotonic() - began),
            "% of a core",
        )
        figures.add(f"memory of the server, {MANY} pages", server.memory_info().rss / 2**20, "MiB")
        _await_quiet(place, run_id)
        readers.stdin.close()
        if readers.wait(LOST_S) != 0:
            raise SystemExit("the pages have failed")
        pages = json.loads(file.read_text(encoding="utf-8"))
    lost = _different(place, run_id, pages)
    if lost:
        raise SystemExit(f"{lost} of {MANY} pages do not show what Redis holds")
    latencies = [late for page in pages for late in _received(appended, page["arrivals"])]
    _note(figures, f"append to received, {MANY} pages", latencies)
    figures.add(f"pages that missed an update, of {MANY}", lost, "")


def _await_quiet(place: Place, run_id: str) -> None:
    """Until no further change has come for two seconds, so that pages and Redis can be compared."""
    client, key = stores.redis(place.settings), f"{place.settings.redis.prefix}:{run_id}:changes"
    last: tuple[Any, float] = (None, 0.0)

    def quiet() -> bool:
        nonlocal last
        newest = client.xrevrange(key, count=1)
        if newest != last[0]:
            last = (newest, time.monotonic())
        return time.monotonic() - last[1] > 2

    await_(quiet)


def _different(place: Place, run_id: str, pages: list[dict[str, Any]]) -> int:
    day = str(place.settings.time.day_of(int(time.time() * 1000)))
    held = {}
    for name, fields in stores.read_minutes(stores.redis(place.settings), place.settings, run_id, day).items():
        minute, _, province = name.partition("|")
        if province == ALL:
            row = [int(fields["final"]), int(fields["orders"]), stores.yuan(int(fields["cents"]))]
            held[str(minute_number(minute))] = row
    if not held:
        raise SystemExit("Redis holds no minute of today")
    # Minutes that are final and hold nothing are left out on that side.
    shown = [{n: row for n, row in page["minutes"].items() if row != [1, 0, "0.00"]} for page in pages]
    return sum(minutes != held for minutes in shown)


def _received(appended: Waiting, arrivals: list[list[Any]]) -> list[float]:
    """Milliseconds from each probe's append until one page had it; probes of the warm-up are left out."""
    times: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, list[int]] = defaultdict(list)
    for at, province, orders in arrivals:
        times[province].append(at)
        counts[province].append(orders)
    from_ = min(appended.values()) + WARM_UP_S
    found = []
    for probe, at in appended.items():
        place = bisect.bisect_left(counts[probe.province], probe.in_day)
        if at >= from_ and place < len(times[probe.province]):
            found.append((times[probe.province][place] - at) * 1000)
    return found
