"""The big screen in a real browser: live update, correction, resuming, midnight, Redis down and back, languages."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from flink_jobs import order_log, runs, stores
from flink_jobs.settings import ROOT, Settings
from flink_jobs.stack import find_instance, to_toml
from flink_jobs.stack.control import down_one, up
from flink_jobs.stack.instance import home
from tests.local import COMMAND, MEASURED, Local, wait_until
from udfs.redis_sink import RedisSink, RedisTarget

MIDNIGHT = 1_750_176_000_000  # 2025-06-18T00:00:00+08:00: a day that no other test has
MINUTE, DAY = 60_000, 86_400_000
TOPIC = "orders-screen"
ALL, BEIJING, GUANGDONG = "ALL", "110000", "440000"
CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
CUT_OFF = """[...document.querySelectorAll('.figure')]
  .filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map((e) => e.id)"""
expect.set_options(timeout=15_000)


class Shop:
    """What the dashboard's job would write: minutes of the country and its provinces, through the job's own sink."""

    def __init__(self, settings: Settings, run: str) -> None:
        place = settings.redis
        self.run, self._settings = run, settings
        self.client = stores.redis(settings)
        self.sink = RedisSink(RedisTarget(place.host, place.port, place.db, place.prefix, run, 8 * 3_600_000), 1000)

    def show(self) -> None:
        """Make this run the one on the screen."""
        self.client.set(f"{self._settings.redis.prefix}:current", self.run)

    def sells(self, minute: int, orders: int, cents: int, final: bool = False, province: str = BEIJING) -> None:
        """The figures of a minute (from the midnight of 2025-06-18), all in one province."""
        at = MIDNIGHT + minute * MINUTE
        self.sink.put_minutes(final, [at, at], [province, ALL], [orders, orders], [cents, cents])

    def closes(self, minute: int) -> None:
        """Every minute before this one is final."""
        self.sink.put_progress(MIDNIGHT + minute * MINUTE)


class Cable:
    """A TCP connection to the screen that can be cut: open ones end, new ones are refused."""

    def __init__(self, to: int) -> None:
        self._to, self._whole, self._open = to, True, set[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        self._whole = False
        for one in list(self._open):
            with contextlib.suppress(OSError):  # it has gone by itself
                one.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._whole = True

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                near, _ = self._listener.accept()
                if not self._whole:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open |= {near, far}
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):  # either end has gone: so does the other
            while data := one.recv(65_536):
                other.sendall(data)
        for end in (one, other):
            self._open.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        started = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=[*CHROMIUM, f"--disk-cache-dir={folder}"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def address(local: Local, stores_as_they_were: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A screen of its own, that follows a topic of its own."""
    folder = tmp_path_factory.mktemp("screen")
    log, conf = folder / "log", folder / "screen.toml"
    kafka = local.settings.kafka.model_copy(update={"topic": TOPIC})
    conf.write_text(to_toml(local.settings.model_copy(update={"kafka": kafka}).model_dump()))
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", COMMAND, "--conf", str(conf), "serve", "--port", "0"],
            cwd=ROOT, env={"PYTHONPATH": str(ROOT), "SAMEWATER_HOME": str(home()), "PATH": "/usr/bin:/bin"},
            stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        wait_until(lambda: "http://" in log.read_text() or process.poll() is not None, "the screen's address", 60)
        found = re.search(r"http://\S+:\d+", log.read_text())
        assert found, log.read_text()
        yield found[0]
        assert process.poll() is None, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture(scope="module", autouse=True)
def stores_as_they_were(local: Local) -> Iterator[None]:
    """A topic of our own, tables, if nobody made them; Redis' pointer, which others reconcile, is put back."""
    order_log.create_topic(local.settings, TOPIC, local.settings.kafka.partitions)
    with stores.hbase(local.settings) as connection:
        stores.ensure_tables(connection)
    client, key = stores.redis(local.settings), f"{local.settings.redis.prefix}:current"
    before = client.get(key)
    yield
    order_log.delete_topic(local.settings, TOPIC)
    if before is None:
        client.delete(key)
    else:
        client.set(key, before)


@pytest.fixture
def shop(local: Local) -> Shop:
    """Two days of a run: the day before with 10.00 a minute until 12:00, today with 3 minutes from 10:00."""
    made = Shop(local.settings, f"screen-{secrets.token_hex(4)}")
    made.sells(-DAY // MINUTE + 600, 1, 1000, final=True)
    made.sells(-DAY // MINUTE + 601, 1, 1000, final=True)
    made.sells(-DAY // MINUTE + 900, 5, 5000, final=True)
    made.sells(600, 2, 1234, final=True)
    made.sells(601, 1, 250, province=GUANGDONG)
    made.sells(602, 1, 100_000_000)
    made.closes(601)
    made.show()
    return made


@pytest.fixture
def page(browser: Browser, address: str, shop: Shop) -> Iterator[Page]:
    faults: list[str] = []
    context = browser.new_context(
        viewport={"width": 1366, "height": 768}, locale="en-GB", reduced_motion="no-preference"
    )
    opened = context.new_page()
    opened.on("pageerror", lambda error: faults.append(str(error)))
    # Also what the security policy refuses is told here.
    opened.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    opened.goto(address)
    expect(opened.locator("#run")).to_contain_text(shop.run)
    yield opened
    context.close()
    assert [fault for fault in faults if "404 (Not Found)" not in fault] == []  # a report that is not there yet


def shown(page: Page, name: str, text: str | re.Pattern[str]) -> None:
    expect(page.locator(f"#{name}")).to_have_text(text)


def events(address: str, last_event_id: str, count: int) -> list[dict[str, Any]]:
    """The first events of a stream that bring figures."""
    found: list[dict[str, Any]] = []
    event: dict[str, Any] = {}
    with requests.get(f"{address}/stream", headers={"Last-Event-ID": last_event_id}, stream=True, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines(decode_unicode=True):
            name, _, value = line.partition(": ")
            if line:
                event[name] = value
                continue
            if event.get("event") in ("snapshot", "changes"):
                found.append(event | {"data": json.loads(event["data"])})
            if len(found) == count:
                return found
            event = {}
    pytest.fail("the stream ended")


def test_the_headline_is_exact_and_compared_with_the_day_before_at_the_same_minute(page: Page):
    shown(page, "day", "2025-06-18")
    shown(page, "amount", "1,000,014.84")
    shown(page, "orders", "4")
    shown(page, "average", "250,003.71")
    # 12.34 + 2.50 until 10:02, against 10.00 + 10.00.
    shown(page, "amount-against", "−5.16 (−25.8 %) against the day before, to 10:02")
    shown(page, "orders-against", "+1 (+50.0 %)")


def test_an_order_is_on_the_page_soon_and_in_its_province(page: Page, shop: Shop):
    shown(page, "orders", "4")
    before = page.evaluate("performance.now()")
    shop.sells(603, 3, 4567, province=GUANGDONG)
    shown(page, "amount", "1,000,060.51")
    MEASURED["ms from a write into Redis until it is on the page"] = page.evaluate("performance.now()") - before
    row = page.locator("#ranking tr", has_text="Guangdong")
    expect(row).to_contain_text("48.17")
    shown(page, "clock", "10:03")


def test_a_corrected_minute_is_told_with_its_minute_amount_and_reason(page: Page, shop: Shop):
    shown(page, "orders", "4")
    shop.sells(603, 1, 100)
    shop.sells(601, 2, 550, province=GUANGDONG)  # late, but in time
    row = page.locator("#corrections tbody tr").first
    expect(row).to_contain_text("10:01")
    expect(row).to_contain_text("+3.00")
    expect(row).to_contain_text("late, counted")
    shop.sells(602, 2, 99_999_999, final=True)  # the exact figure is another one
    expect(row).to_contain_text("10:02")
    expect(row).to_contain_text("−0.01")
    expect(row).to_contain_text("at closing")
    expect(page.locator("#corrections-sum")).to_contain_text("2 since")


def test_a_page_that_was_cut_off_goes_on_from_its_last_id(address: str, shop: Shop):
    # The pointer in Redis is looked at once a second.
    wait_until(lambda: events(address, "", 1)[0]["data"]["run"] == shop.run, "the run of this test", 10)
    first = events(address, "", 1)[0]
    assert first["event"] == "snapshot"
    assert first["data"]["minutes"]["2025-06-18"] == [
        [600, 1, 2, "12.34"],
        [601, 0, 1, "2.50"],
        [602, 0, 1, "1000000.00"],
    ]
    shop.sells(603, 2, 999)
    again = events(address, first["id"], 1)[0]
    assert again["event"] == "changes"
    assert again["data"]["minutes"] == {"2025-06-18": [[603, 0, 2, "9.99"]]}
    assert again["id"] > first["id"]
    # An id that nobody knows any more: everything.
    assert events(address, f"{shop.run}/1-0", 1)[0]["event"] == "snapshot"
    assert events(address, "another-run/1-0", 1)[0]["event"] == "snapshot"


def test_the_page_itself_says_that_the_screen_is_gone_and_goes_on_from_where_it_was(
    browser: Browser, address: str, shop: Shop
):
    with Cable(int(address.rpartition(":")[2])) as cable:
        context = browser.new_context(locale="en-GB")
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{cable.port}")
        shown(page, "orders", "4")
        page.evaluate(
            "import('/static/js/state.js').then((m) => { window.known = m.state; window.had = m.state.minutes; })"
        )
        cable.cut()
        expect(page.locator("#state-text")).to_have_text("Screen server gone")
        expect(page.locator("body")).to_have_attribute("data-old", "true")
        shown(page, "amount", "1,000,014.84")
        shop.sells(603, 5, 500)
        cable.mend()
        shown(page, "orders", "9")
        expect(page.locator("body")).to_have_attribute("data-old", "false")
        # A snapshot would have made it another object.
        assert page.evaluate("window.had === window.known.minutes") is True
        context.close()


def test_midnight_turns_the_day_without_a_reload_and_the_old_day_stays_provisional(page: Page, shop: Shop):
    shown(page, "day", "2025-06-18")
    page.evaluate("window.sameDocument = true")
    shop.sells(1440, 1, 777)
    shown(page, "day", "2025-06-19")
    shown(page, "amount", "7.77")
    expect(page.locator("#closed")).to_contain_text("2025-06-18: provisional, no report is published")
    assert page.evaluate("window.sameDocument") is True


def test_another_run_that_becomes_current_is_shown_whole(page: Page, shop: Shop, local: Local):
    shown(page, "orders", "4")
    other = Shop(local.settings, f"{shop.run}-other")
    other.sells(600, 7, 7000, final=True)
    other.show()
    shown(page, "orders", "7")
    shown(page, "amount-against", "no figures of the day before in this run")
    expect(page.locator("#run")).to_contain_text(other.run)


def test_redis_that_is_gone_is_told_the_values_stay_greyed_and_come_back_by_themselves(
    page: Page, shop: Shop, local: Local
):
    shown(page, "orders", "4")
    instance = find_instance(local.settings.instance)
    down_one(instance, "redis", lambda _: None)
    expect(page.locator("#state-text")).to_have_text("Redis gone")
    expect(page.locator("#notices")).to_contain_text("the figures are those of")
    expect(page.locator("body")).to_have_attribute("data-old", "true")
    shown(page, "amount", "1,000,014.84")
    up(instance, lambda _: None)
    expect(page.locator("body")).to_have_attribute("data-old", "false")
    shop.sells(603, 1, 16)
    shown(page, "amount", "1,000,015.00")


def test_minutes_that_redis_has_lost_are_named_and_not_silently_missing(page: Page, shop: Shop, local: Local):
    shown(page, "orders", "4")
    shop.client.delete(f"{local.settings.redis.prefix}:{shop.run}:minutes:2025-06-18")
    shop.client.hset(f"{local.settings.redis.prefix}:{shop.run}:days", "2025-06-18|ALL", "2:1234")
    expect(page.locator("#notices li[data-kind=lost]")).to_contain_text("3 minutes with 1,000,014.84 yuan were here")
    expect(page.locator("#notices li[data-kind=unequal]")).to_contain_text(
        "The minutes add up to 0.00, but the day's total in Redis says 12.34"
    )


def test_a_redis_that_was_emptied_meanwhile_is_told_with_what_is_missing(page: Page, shop: Shop, local: Local):
    shown(page, "orders", "4")
    keys = shop.client.keys(f"{local.settings.redis.prefix}:{shop.run}:*")
    assert len(keys) == 5
    shop.client.delete(*keys)
    shop.sells(602, 1, 100_000_000)
    expect(page.locator("#notices li[data-kind=lost]")).to_contain_text(
        "5 minutes with 84.84 yuan were here and are gone"
    )
    shown(page, "amount", "1,000,000.00")


def test_without_a_stream_of_changes_the_figures_are_read_once_a_second(address: str, local: Local):
    place = local.settings.redis
    run = f"screen-{secrets.token_hex(4)}"
    target = RedisTarget(place.host, place.port, place.db, place.prefix, run, 8 * 3_600_000)
    quiet = RedisSink(target, changes_kept=0)
    quiet.put_minutes(False, [MIDNIGHT], [ALL], [1], [100])
    stores.redis(local.settings).set(f"{place.prefix}:current", run)
    for orders in (1, 2, 3):
        quiet.put_minutes(False, [MIDNIGHT], [ALL], [orders], [100])
        minutes = {"2025-06-18": [[0, 0, orders, "1.00"]], "2025-06-17": []}
        wait_until(lambda told=minutes: events(address, "", 1)[0]["data"]["minutes"] == told, f"{orders} orders", 10)


def test_what_is_unknown_of_the_job_is_said(page: Page, shop: Shop):
    expect(page.locator("#notices")).to_contain_text(f"run {shop.run} is on the screen, but nobody registered it")


@pytest.fixture
def lost_job(local: Local, shop: Shop) -> Iterator[None]:
    """The run of the shop is noted as running, but Flink does not know its job."""
    with stores.hbase(local.settings) as connection:
        run = runs.Run(run_id=shop.run, job=runs.DASHBOARD, mode="streaming", logic="l", topic=TOPIC)
        runs.register(connection, run)
        runs.set_state(connection, shop.run, "running", flink_job_id="0" * 32)
    yield
    with stores.hbase(local.settings) as connection:
        runs.set_state(connection, shop.run, "stopped")


def test_a_job_that_is_down_looks_different(lost_job: None, page: Page):
    expect(page.locator("#state")).to_have_attribute("data-kind", "job_down")
    expect(page.locator("#notices li[data-kind=job_down]")).to_contain_text("The dashboard's job is UNKNOWN")


def test_pause_keeps_the_figures_and_says_how_far_behind(page: Page, shop: Shop):
    shown(page, "orders", "4")
    page.get_by_role("button", name="Pause").click()
    shop.sells(605, 1, 1)
    expect(page.locator("#notices li[data-kind=paused]")).to_contain_text(
        re.compile("3 min and [1-9].* updates behind")
    )
    shown(page, "orders", "4")
    page.get_by_role("button", name="Resume").click()
    shown(page, "orders", "5")


def test_keyboard_and_screen_reader_reach_everything(page: Page):
    shown(page, "orders", "4")
    tile = page.get_by_role("button", name="Guangdong: 2.50 yuan, 1 orders. Shows its cities")
    tile.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Guangdong")).to_be_visible()
    expect(page.locator("#cities-of")).to_contain_text("there is no report of 2025-06-18")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Table").press("Enter")
    page.get_by_role("button", name="Minutes of 10:00").press("Enter")
    row = page.locator("#curve-table tr", has_text="10:01")
    expect(row).to_contain_text("2.50")
    expect(row).to_contain_text("10.00")
    expect(row).to_contain_text("provisional")
    expect(page.locator("#spoken")).to_have_attribute("aria-live", "polite")
    expect(page.locator("#spoken")).to_contain_text("1,000,014.84 yuan, 4 orders")


def test_language_and_theme_are_switched_and_kept(page: Page):
    page.get_by_role("button", name="中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    expect(page.get_by_role("button", name="广东省")).to_have_count(2)
    page.get_by_role("button", name="主题").click()
    page.get_by_role("button", name="主题").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    shown(page, "h-amount", "今日成交额(元)")


@pytest.mark.parametrize("width,height", [(1366, 768), (1920, 1080), (3840, 2160)])
def test_every_size_shows_everything_at_once_and_cuts_no_figure(
    browser: Browser, address: str, shop: Shop, width: int, height: int
):
    context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
    page = context.new_page()
    page.goto(address)
    shown(page, "orders", "4")
    cut: Callable[[str], Any] = page.evaluate
    assert cut(
        "document.documentElement.scrollHeight <= innerHeight && document.documentElement.scrollWidth <= innerWidth"
    )
    assert cut(CUT_OFF) == []
    context.close()


def test_money_is_formatted_and_compared_without_floats(page: Page):
    found = page.evaluate(
        """async () => {
          const m = await import("/static/js/money.js");
          const all = (...texts) => texts.map((text) => m.yuan(m.cents(text)));
          let refused = 0;
          for (const bad of ["1", "1.2", "1.234", "", "x", "1e3", "NaN"]) try { m.cents(bad); } catch { refused += 1; }
          return { all: all("0.00", "-0.01", "90071992547409.93", "1234.50"), refused,
            signed: [m.signedYuan(0n), m.signedYuan(-5n), m.signedYuan(100n)],
            brief: [m.brief(123456n, false), m.brief(123456789n, true), m.brief(99n, false), m.brief(-1234500n, false)],
            average: [m.average(5n, 2), m.average(-5n, 2), m.average(0n, 0), m.average(1n, 3)].map(String),
            percent: [m.percent(110n, 100n), m.percent(1n, 0n), m.percent(90, 100)] };
        }"""
    )
    assert found == {
        "all": ["0.00", "−0.01", "90,071,992,547,409.93", "1,234.50"],
        "refused": 7,
        "signed": ["±0.00", "−0.05", "+1.00"],
        "brief": ["1.2K", "123万", "0", "−12K"],
        "average": ["3", "-3", "null", "0"],
        "percent": ["+10.0 %", "", "−10.0 %"],
    }


def test_the_api_page_works_without_the_internet(browser: Browser, address: str):
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.goto(f"{address}/docs")
    expect(page.get_by_text("/api/days/{day}/minutes").first).to_be_visible()
    assert len(asked) >= 4
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
    context.close()


def test_the_stacks_own_screen_answers(local: Local):
    port = find_instance(local.settings.instance).ports["screen"]
    assert requests.get(f"http://127.0.0.1:{port}/alive", timeout=10).json() == {"alive": True}
    file = Path(find_instance(local.settings.instance).screen_settings)
    assert Settings.load(file) == local.settings


def test_a_taken_port_ends_the_command_with_one_sentence(local: Local):
    port = find_instance(local.settings.instance).ports["screen"]
    told = local.samewater("serve", "--port", str(port), code=2)
    where = f"127.0.0.1:{port} cannot be listened on (Address already in use)"
    assert told == f"error: {where}; choose another --port or --listen\n"
