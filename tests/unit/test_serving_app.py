"""The web server without any other: headers, methods, bad input, what is vendored, and the report by the API."""

from __future__ import annotations

import hashlib
import re
import tomllib
from typing import Any

import pytest
from fake_hbase import marker_column, put_in_place
from fastapi.testclient import TestClient

from flink_jobs import regions, runs, stores
from flink_jobs.errors import UserError
from flink_jobs.settings import DEFAULT_FILE, ROOT, Settings
from serving.app import STATIC, create_app

DAY = "2025-11-11"
END = 1_762_876_800_000  # the end of that day in Shanghai
RUN = "daily_report-streaming-1"
ROWS = {
    "110000|110100": ("3", "4.00", "2"),
    "110000|ALL": ("3", "4.00", "2"),
    "440000|440300": ("1", "-0.05", "1"),
    "440000|ALL": ("1", "-0.05", "1"),
    "ALL|ALL": ("4", "3.95", "3"),
}
ASKED = [
    f"/api/days/{DAY}/minutes",
    f"/api/days/{DAY}/provinces",
    f"/api/days/{DAY}/cities",
    f"/api/days/{DAY}/verdicts",
    f"/api/days/{DAY}/versions",
    f"/api/days/{DAY}/full-report",
    f"/api/reports?from={DAY}",
]


@pytest.fixture
def settings() -> Settings:
    nobody = Settings.load(DEFAULT_FILE)
    # Port 1 of this machine: nobody listens there.
    update = {
        name: getattr(nobody, name).model_copy(update={"host": "127.0.0.1", "port": 1}) for name in ("hbase", "redis")
    }
    return nobody.model_copy(update=update)


@pytest.fixture
def client(settings: Settings) -> TestClient:
    return TestClient(create_app(settings), base_url="http://127.0.0.1")


@pytest.fixture
def hbase(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Any:
    fake = put_in_place(monkeypatch)
    runs.register(fake, runs.Run(run_id=RUN, job="daily_report", mode="streaming", logic="l", topic="orders"))
    for row, (orders, amount, users) in ROWS.items():
        province, _, city = row.partition("|")
        key = stores.sales_key(DAY, RUN, province, city, settings.report.buckets).encode()
        cells = {"orders": orders, "amount": amount, "users": users}
        fake.table("daily_sales").put(key, {f"s:{k}".encode(): v.encode() for k, v in cells.items()}, timestamp=END)
    marker = runs.Marker(rows=5, orders=4, amount="3.95").model_dump_json().encode()
    fake.table("versions").put(stores.marker_key(DAY, RUN).encode(), {marker_column("s", END): marker})
    for partition, records in ((0, 7), (1, 2)):
        key = f"{DAY}|{RUN}|{partition:05}|late".encode()
        fake.table("verdicts").put(key, {b"s:records": str(records).encode()}, timestamp=END)
    return fake


@pytest.mark.parametrize("path", ["/", "/docs", "/static/js/main.js", "/nothing", "/api/days/x/minutes"])
def test_every_answer_has_the_headers_of_security(client: TestClient, path: str):
    headers = client.get(path).headers
    scripts = re.search(r"script-src ([^;]*)", headers["content-security-policy"])
    assert scripts is not None and scripts[1] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_no_page_has_a_script_of_its_own_or_loads_anything_from_elsewhere(client: TestClient, path: str):
    page = client.get(path).text
    assert re.findall(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=", page) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 4
    for place in loaded:
        assert place.startswith(("/", "#"))
        if place.startswith("/static"):
            assert client.get(place).status_code == 200


def test_what_is_vendored_is_what_was_published():
    kept = tomllib.loads((STATIC / "vendor" / "vendored.toml").read_text())
    files = {name: digest for package in kept.values() for name, digest in package["files"].items()}
    assert set(files) == {file.name for file in (STATIC / "vendor").iterdir() if file.suffix in (".js", ".css")}
    for name, digest in files.items():
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(client: TestClient, method: str):
    for path in ("/", *ASKED):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()) == (405, {"error": "this server is read-only"})


def test_another_host_name_is_not_answered_to(client: TestClient, settings: Settings):
    assert client.get("/", headers={"host": "attacker.example"}).status_code == 400
    reached_by_any_name = TestClient(create_app(settings, "0.0.0.0"), base_url="http://hall.example")
    assert reached_by_any_name.get("/alive").status_code == 200


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/api/days/yesterday/minutes", "'yesterday' is not a day; write it as YYYY-MM-DD"),
        ("/api/days/2025-02-30/provinces", "is not a day"),
        (f"/api/days/{'9' * 41}/minutes", "at most 40 characters"),
        (f"/api/days/{DAY}/minutes?province=Atlantis", "province 'Atlantis' is not known"),
        (f"/api/days/{DAY}/cities?province=Atlantis", "province 'Atlantis' is not known"),
        (f"/api/days/{DAY}/full-report?province=Atlantis", "province 'Atlantis' is not known"),
        (f"/api/days/{DAY}/provinces?as_of=noon", "'noon' is not a time"),
        ("/api/reports", "from: Field required"),
        ("/api/reports?from=2025-11-12&to=2025-11-11", "before it begins"),
        ("/api/reports?from=2025-01-01&to=2025-12-31", "365 days are too many at once; ask for 92 at most"),
    ],
)
def test_bad_input_is_told_in_a_sentence(client: TestClient, path: str, told: str):
    answer = client.get(path)
    assert answer.status_code == 400
    assert told in answer.json()["error"]


@pytest.mark.parametrize("path", ASKED)
def test_a_server_that_is_down_is_told_in_a_sentence(client: TestClient, path: str):
    answer = client.get(path)
    assert answer.status_code == 503
    assert re.search("(Redis|HBase).* does not answer; start it", answer.json()["error"])


def test_a_report_is_told_by_province_and_city_with_its_run_and_version(client: TestClient, hbase: Any):
    found = client.get(f"/api/days/{DAY}/provinces").json()
    assert {k: v for k, v in found.items() if k != "rows"} == {
        "day": DAY, "run": RUN, "mode": "streaming", "version": END, "published": False,
    }  # fmt: skip
    rows = [(r["province"], r["province_name_zh"], r["orders"], r["amount"], r["users"]) for r in found["rows"]]
    assert rows == [("110000", "北京市", 3, "4.00", 2), ("440000", "广东省", 1, "-0.05", 1)]
    cities = client.get(f"/api/days/{DAY}/cities?province=Guangdong").json()["rows"]
    assert [(c["city"], c["city_name"], c["amount"]) for c in cities] == [("440300", "Shenzhen", "-0.05")]


def test_verdicts_are_summed_over_partitions_and_versions_are_listed(client: TestClient, hbase: Any):
    assert client.get(f"/api/days/{DAY}/verdicts").json()["records"] == {"late": 9}
    versions = client.get(f"/api/days/{DAY}/versions").json()
    assert versions == [{"run": RUN, "version": END, "rows": 5, "orders": 4, "amount": "3.95"}]


def test_published_days_are_told_with_what_reconcile_said_and_others_as_not_published(
    client: TestClient, hbase: Any, settings: Settings
):
    publication = runs.publication_of(hbase, settings, runs.get(hbase, RUN), DAY)
    runs.publish(hbase, runs.REPORT, DAY, publication)
    of = {
        "run_id": RUN,
        "watermark": END,
        "digest": publication.digest,
        "topic": "orders",
        "at": "2025-11-12T01:00:00+08:00",
    }
    runs.note_reconciled(hbase, DAY, runs.Reconciled(equal=True, says="all 30 checks are equal", **of))
    whole, nothing = client.get(f"/api/reports?from={DAY}&to=2025-11-12").json()
    assert (whole["orders"], whole["amount"], whole["users"], whole["whole"]) == (4, "3.95", 3, True)
    assert whole["reconciled"] == {"equal": True, "says": "all 30 checks are equal", "failed": [], "at": of["at"]}
    assert nothing == {"day": "2025-11-12", "published": False}


def test_the_full_report_is_told_by_place_and_what_is_not_known_is_left_out(
    client: TestClient, hbase: Any, settings: Settings
):
    figures = {"orders": "3", "amount": "4.00", "users": "2", "rank": "1", "share": "1.0000"}
    sums = {"month_orders": "3", "month_amount": "4.00", "year_orders": "30", "year_amount": "40.00"}
    for province, city in (("110000", "ALL"), ("110000", "110100"), ("440000", "ALL")):
        key = stores.sales_key(DAY, "full-1", province, city, settings.report.buckets).encode()
        cells = {f"b:{k}".encode(): v.encode() for k, v in (figures | sums).items()}
        hbase.table("full_report").put(key, cells)
    publication = runs.Publication(run_id="full-1", mode="batch", at="2025-11-12T04:00:00+08:00")
    runs.publish(hbase, runs.FULL_REPORT, DAY, publication)
    found = client.get(f"/api/days/{DAY}/full-report?province=Beijing").json()
    assert (found["run"], found["published_at"]) == ("full-1", publication.at)
    assert [(row["province"], row["city"]) for row in found["rows"]] == [("110000", "110100"), ("110000", "ALL")]
    assert found["rows"][0] == {
        "province": "110000", "city": "110100", "orders": 3, "amount": "4.00", "users": 2, "share": "1.0000",
        "rank": 1, "month_orders": 3, "month_amount": "4.00", "year_orders": 30, "year_amount": "40.00",
    }  # fmt: skip
    assert len(client.get(f"/api/days/{DAY}/full-report").json()["rows"]) == 3


def test_what_is_not_there_is_404(client: TestClient, hbase: Any):
    for path in (
        "/api/days/2025-11-12/provinces",
        "/api/days/2025-11-12/verdicts",
        "/api/days/2025-11-12/full-report",
        f"/api/days/{DAY}/cities?run=nobody",
    ):
        answer = client.get(path)
        assert (answer.status_code, "error" in answer.json()) == (404, True), path


def test_the_description_of_the_api_names_every_path_and_its_errors(client: TestClient):
    paths = client.get("/api/openapi.json").json()["paths"]
    assert len(paths) == len(ASKED)
    for path in paths.values():
        assert list(path) == ["get"]
        assert {"200", "400", "404", "503"} <= set(path["get"]["responses"])


def test_the_tile_grid_has_a_place_of_its_own_for_every_province():
    known = regions.load(ROOT / "conf" / "regions.csv").provinces
    text = (STATIC / "js" / "tiles.js").read_text()
    tiles = re.findall(r'(\d{6}): \[(\d), (\d), "([A-Z]{2})", "([^"]+)"\]', text)
    assert {code for code, *_ in tiles} == set(known)
    for values in ({tuple(t[1:3]) for t in tiles}, {t[3] for t in tiles}, {t[4] for t in tiles}):
        assert len(values) == len(known) == 34


def test_english_and_chinese_have_the_same_words():
    text = (STATIC / "js" / "i18n.js").read_text()
    english, _, chinese = text.partition("const zh = ")
    names = [
        re.findall(r"(?:^  |, |\{ |^    |^      )\"?([a-z_A-Z-]+)\"?: ", part, re.M) for part in (english, chinese)
    ]
    assert len(names[0]) > 100
    assert names[0] == names[1]


def test_a_taken_address_is_one_sentence(settings: Settings):
    import socket

    from serving.command import serve

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"127.0.0.1:{port} cannot be listened on"):
            serve(settings, "127.0.0.1", port)
