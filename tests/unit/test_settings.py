"""Is every mistake in a settings file told with its line, and is it said where each value comes from?"""

from __future__ import annotations

import csv
import io
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs import cli, stores
from flink_jobs.errors import UserError
from flink_jobs.log_reader import SLACK_MS
from flink_jobs.settings import DEFAULT_FILE, FIXED, ROOT, Settings, read_settings, settings_fields
from flink_jobs.sql_files import interval
from flink_jobs.stack import to_toml
from flink_jobs.toml_lines import key_lines, repeated_key
from udfs import PREFIX
from udfs.bodies import PutMinute

LEAST = """\
[time]
# here
[report]
# here
[kafka]
bootstrap = "broker:9092"
[redis]
host = "redis"
port = 6379
[hbase]
host = "hbase"
port = 9090
[hdfs]
uri = "hdfs://namenode:8020"
webhdfs = "namenode:9870"
[flink.realtime]
rest = "jm:8081"
[flink.batch]
rest = "jm:8082"
"""
"""The smallest file that is whole. A test puts its line behind a section's header or in place of another line."""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> Path:
        file = tmp_path / "mine.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return written


def replaced(key: str, statement: str) -> tuple[str, int]:
    """LEAST with `section.key` set by the statement; and the line of the statement."""
    section, _, name = key.rpartition(".")
    lines = LEAST.splitlines()
    begin = lines.index(f"[{section}]")
    end = next((n for n in range(begin + 1, len(lines)) if lines[n].startswith("[")), len(lines))
    at = next((n for n in range(begin + 1, end) if lines[n].startswith(f"{name} = ")), None)
    if at is None:
        at = begin + 1
        lines.insert(at, "")
    lines[at] = statement
    return "\n".join(lines), at + 1


def mistakes(file: Path) -> list[str]:
    """What is told of a file, without its name; the first line only counts them."""
    with pytest.raises(UserError) as refused:
        Settings.load(file)
    first, *rest = str(refused.value).split("\n")
    assert str(file) in first
    assert all(line.startswith(f"{file}:") for line in rest)
    return [line.removeprefix(f"{file}:") for line in rest]


# ---------------------------------------------------------------- what is accepted


def test_the_smallest_file_is_accepted_with_the_defaults(write: Write) -> None:
    settings = Settings.load(write(LEAST))
    assert settings.time.zone == "Asia/Shanghai"
    assert settings.time.lateness_ms == 300_000
    assert settings.regions_file() == ROOT / "conf" / "regions.csv"
    assert settings.redis.changes_kept == 100_000
    assert settings.flink.checkpoint_interval_ms == 30_000


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_accepted(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "windows.toml"
    file.write_bytes(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())
    assert Settings.load(file) == Settings.load(write(LEAST))
    assert read_settings(file).lines == read_settings(write(LEAST)).lines


@pytest.mark.parametrize(
    "key, statement",
    [
        ("time.lateness_ms", "lateness_ms = 60000"),
        ("time.lateness_ms", "lateness_ms = 86400000"),
        ("time.clock_skew_ms", "clock_skew_ms = 0"),
        ("time.clock_skew_ms", "clock_skew_ms = 3600000"),
        ("time.future_ms", "future_ms = 0"),
        ("time.late_copy_horizon_ms", "late_copy_horizon_ms = 300000"),
        ("time.late_copy_horizon_ms", "late_copy_horizon_ms = 8553600000"),
        ("time.zone", 'zone = "UTC"'),
        ("time.zone", 'zone = "Asia/Kolkata"'),
        ("time.zone", 'zone = "Etc/GMT-3"'),
        ("kafka.bootstrap", 'bootstrap = "a.example:1,b_2:65535"'),
        ("kafka.topic", 'topic = "..."'),
        ("hdfs.uri", 'uri = "hdfs://nameservice"'),
        ("hdfs.root", 'root = "/data/..shop/samewater"'),
        ("redis.port", "port = 65535"),
        ("redis.changes_kept", "changes_kept = 0"),
        ("hbase.prefix", 'prefix = "_shop.1-"'),
        ("flink.batch.conf_dir", 'conf_dir = ""'),
    ],
)
def test_a_value_at_its_bound_is_accepted(write: Write, key: str, statement: str) -> None:
    settings: Any = Settings.load(write(replaced(key, statement)[0]))
    for part in key.split("."):
        settings = getattr(settings, part)
    assert settings == tomllib.loads(statement)[key.rpartition(".")[2]]


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "key, statement, told",
    [
        # unknown keys
        ("time.lateness", "lateness = 300000", "unknown key; did you mean lateness_ms?"),
        ("time.colour", "colour = 1", "unknown key; known here are zone, lateness_ms, clock_skew_ms"),
        ("report.lateness_ms", "lateness_ms = 300000", "it belongs under [time]"),
        ("redis.instance", 'instance = "x"', "before the first section"),
        ("hdfs.flink", "flink = {}", "section [flink]"),
        ("flink.batch.parallel", "parallel = 3", "did you mean parallelism?"),
        ("time.window_ms", "window_ms = 60000", "Window sizes are fixed: Redis names its minutes HH:MM"),
        ("time.minute_ms", "minute_ms = 60000", "Window sizes are fixed: Redis names its minutes HH:MM"),
        ("report.step_ms", "step_ms = 3600000", "Window sizes are fixed: the end of the hour is the version"),
        ("hbase.versions_kept", "versions_kept = 3", "never has more than 24"),
        ("kafka.retention_ms", "retention_ms = 604800000", "counts retention from the records' own times"),
        # wrong types
        ("time.lateness_ms", 'lateness_ms = "300000"', "must be an integer, but is a string"),
        ("time.lateness_ms", "lateness_ms = 300000.0", "must be an integer, but is a float"),
        ("report.buckets", "buckets = true", "must be an integer, but is a boolean"),
        ("time.zone", "zone = 8", "must be a string in quotes, but is an integer"),
        ("time.zone", "zone = 2026-01-01", "must be a string in quotes, but is a date"),
        ("kafka.topic", 'topic = ["orders"]', "must be a string in quotes, but is an array"),
        # time
        ("time.lateness_ms", "lateness_ms = 59999", "write 60000 to"),
        ("time.lateness_ms", "lateness_ms = -1", "write 60000 to"),
        ("time.lateness_ms", "lateness_ms = 300001", "300001 ms are no whole minutes; write 300000 or 360000"),
        ("time.future_ms", "future_ms = 1", "1 ms are no whole minutes; write 0 or 60000"),
        ("time.lateness_ms", "lateness_ms = 86400001", "write 60000 to 86400000 ms"),
        ("time.late_copy_horizon_ms", "late_copy_horizon_ms = 299999", "299999 ms is less than lateness_ms (300000)"),
        ("time.late_copy_horizon_ms", "late_copy_horizon_ms = 8553600001", "out of bounds"),
        ("time.clock_skew_ms", "clock_skew_ms = -1", "write 0 to 3600000 ms"),
        ("time.clock_skew_ms", "clock_skew_ms = 3600001", "write 0 to 3600000 ms"),
        ("time.future_ms", "future_ms = 86400001", "write 0 to 86400000 ms"),
        ("time.future_ms", f"future_ms = {'9' * 100}", "write 0 to 86400000 ms"),
        ("time.zone", 'zone = "asia/shanghai"', "did you mean Asia/Shanghai?"),
        ("time.zone", 'zone = "Asia"', "is not a time zone"),
        ("time.zone", 'zone = ""', "is not a time zone"),
        ("time.zone", 'zone = "../etc/passwd"', "is not a time zone"),
        ("time.zone", 'zone = "Europe/Berlin"', "daylight saving"),
        ("time.zone", 'zone = "Europe/Moscow"', "changed its offset (2000-03 to 2000-04)"),
        ("time.zone", 'zone = "EST"', "Flink does not know"),
        ("time.zone", 'zone = "posix/Asia/Shanghai"', "not know"),
        ("time.zone", 'zone = "ROC"', "Flink does not know"),
        # places
        ("report.regions", 'regions = "conf/none.csv"', '"conf/none.csv" does not exist'),
        ("report.regions", 'regions = "conf"', "does not exist"),
        ("report.buckets", "buckets = 11", "write 1 to 10 buckets"),
        ("kafka.bootstrap", 'bootstrap = "broker"', "is not host:port"),
        ("kafka.bootstrap", 'bootstrap = "a:1,"', "is not host:port"),
        ("kafka.bootstrap", 'bootstrap = "a:1, b:2"', "is not host:port"),
        ("kafka.bootstrap", 'bootstrap = "PLAINTEXT://a:1"', "is not host:port"),
        ("kafka.topic", 'topic = "a b"', "rename the topic"),
        ("kafka.topic", 'topic = ".."', "rename the topic"),
        ("redis.host", 'host = "redis:6379"', "without port"),
        ("redis.host", 'host = "redis\\n"', "without port"),
        ("redis.port", "port = 0", "write 1 to 65535"),
        ("hbase.port", "port = 65536", "write 1 to 65535"),
        ("hdfs.webhdfs", 'webhdfs = "namenode:70000"', "no port from 1 to 65535"),
        ("hdfs.webhdfs", 'webhdfs = "namenode:١"', "no port from 1 to 65535"),
        ("hdfs.webhdfs", 'webhdfs = "http://namenode:9870"', "is not host:port"),
        ("hdfs.uri", 'uri = "namenode:8020"', "is not hdfs://host:port"),
        ("hdfs.uri", 'uri = "hdfs://namenode:8020/"', "without a path"),
        ("hdfs.uri", 'uri = "hdfs://namenode:0"', "no port from 1 to 65535"),
        ("hdfs.root", 'root = "/a/../b"', "is not an absolute path"),
        ("hdfs.root", 'root = "/a/"', "is not an absolute path"),
        ("hdfs.root", 'root = "/it\'s"', "is not an absolute path"),
        ("redis.prefix", 'prefix = "shop:"', "is not 1 to 64 of"),
        ("redis.prefix", 'prefix = "shop*"', "is not 1 to 64 of"),
        ("redis.prefix", 'prefix = ""', "is not 1 to 64 of"),
        ("hbase.prefix", 'prefix = "-shop"', "is not 1 to 64 of"),
        ("hbase.prefix", 'prefix = "店_"', "is not 1 to 64 of"),
        ("flink.realtime.rest", 'rest = "8081"', "is not host:port"),
        ("flink.realtime.parallelism", "parallelism = 0", "write 1 to 32768 subtasks"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_key(write: Write, key: str, statement: str, told: str) -> None:
    text, line = replaced(key, statement)
    [only] = mistakes(write(text))
    at, where, what = only.split(": ", 2)
    assert int(at) == line
    assert where == (key if not told.startswith("late_copy_horizon_ms") else "time.late_copy_horizon_ms")
    assert told.removeprefix("late_copy_horizon_ms: ") in what


def test_all_mistakes_are_told_at_once_by_line(write: Write) -> None:
    text = LEAST.replace("# here", 'future_ms = -1\nzone = "Mars"', 1).replace("port = 6379", "port = 0")
    text = text.replace("[hbase]\n", "[hbase]\ntimeout = 5\n").replace('host = "hbase"\n', "")
    told = mistakes(write(text + "[hbas]\n"))
    begin = [(2, "time.future_ms"), (3, "time.zone"), (10, "redis.port"), (11, "hbase.host"), (12, "hbase.timeout")]
    end = [(text.count("\n") + 1, "hbas")]
    assert [(int(at), key) for at, key, _ in (line.split(": ", 2) for line in told)] == [*begin, *end]


def test_what_is_missing_is_told_at_its_section_or_at_the_end(write: Write) -> None:
    [host] = mistakes(write(LEAST.replace('host = "redis"\n', "")))
    assert host == "7: redis.host: is missing; add it. Server of the live figures."
    [section] = mistakes(write(LEAST.replace("[flink.batch]\n", "").replace('rest = "jm:8082"\n', "")))
    assert section == "16: flink.batch: the section [flink.batch] is missing; add it"
    told = mistakes(write(""))
    assert [line.split(": ")[:2] for line in told] == [["1", s] for s in ("flink", "hbase", "hdfs", "kafka", "redis")]


def test_a_value_in_place_of_a_section_is_told(write: Write) -> None:
    [told] = mistakes(write("time = 3\n" + LEAST.replace("[time]\n", "")))
    assert told == "1: time: must be a table, but is an integer; correct it"
    [told] = mistakes(write(LEAST.replace("[time]", "[[time]]")))
    assert told == "1: time: must be a table, but is an array; correct it"


@pytest.mark.parametrize(
    "content, told",
    [
        (b"[time]\nzone = \n", "2: Invalid value; correct that line"),
        (b"[time]\nzone = [\n'a',", "2: what begins here does not end"),
        (b'[time]\n\n# """\nzone = """UTC\n[kafka]\n', "4: what begins here does not end"),
        (b'zone = """', "1: what begins here does not end"),
        (b"[time]\nfuture_ms = 1\n\nfuture_ms = '''\n'''\n", "4: time.future_ms: stands in line 2 already"),
        (b"[redis]\nport = 1\n[time]\n[redis]\n", "4: redis: stands in line 1 already"),
        (b"# a\n# \xff\n", "2: save the file as UTF-8"),
        (b"a = " + b"[" * 100_000, "1: some key or value is nested too deeply"),
        (b"a" + b".a" * 10_000 + b" = 1", "1: some key or value is nested too deeply"),
        (b"\na = " + b"1" * 5_000, "2: "),
    ],
)
def test_what_is_not_toml_is_told_with_its_line(tmp_path: Path, content: bytes, told: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    [only] = mistakes(file)
    assert only.startswith(told)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml does not exist; name another with --conf"):
        Settings.load(tmp_path / "none.toml")
    with pytest.raises(UserError, match="cannot be read"):
        Settings.load(tmp_path)


# ---------------------------------------------------------------- lines

MISLEADING = '''\
# [time] lateness_ms = 1
instance = "demo" # [redis]

time.zone = """
[redis]
lateness_ms = 2
"""
"time".'lateness_ms' = 7
time . future_ms = [ # a comment "with quotes
  """]
]""", ']',

]
report = {regions = "a = [", buckets = """
"""}
[flink.batch]
  rest = "]\\"" # ' """
[ "flink" ]
restart_attempts = 1
[[more]]
a.b = 1
[[more]]
a.c.d = '\u2028'
[more.x]
'''


def test_strings_comments_arrays_and_dotted_keys_do_not_mislead() -> None:
    tomllib.loads(MISLEADING)
    assert key_lines(MISLEADING) == {
        ("instance",): 2,
        ("time",): 4,
        ("time", "zone"): 4,
        ("time", "lateness_ms"): 8,
        ("time", "future_ms"): 9,
        ("report",): 14,
        ("report", "regions"): 14,
        ("report", "buckets"): 14,
        ("flink",): 18,
        ("flink", "batch"): 16,
        ("flink", "batch", "rest"): 17,
        ("flink", "restart_attempts"): 19,
        ("more",): 22,
        ("more", "a"): 21,
        ("more", "a", "b"): 21,
        ("more", "a", "c"): 23,
        ("more", "a", "c", "d"): 23,
        ("more", "x"): 24,
    }


def test_the_key_that_stands_twice_is_found() -> None:
    text = "[a]\nx.y = 1\nb = '''\nx.y = 1\n'''\nx.y = [\n]\n"
    assert repeated_key(text, 7) == (6, ("a", "x", "y"), 2)


NOISE = st.sampled_from(["", "# key0 = 1", " \t", "#[t]"])
VALUES = st.sampled_from(
    [
        "1",
        '"#"',
        "'''\nkey0 = 1\n'''",
        '"""\n[t]\n\\"""\n"""',
        "[\n1, # ]\n\n2]",
        "{a = [\n'}'\n]}",
        "'\u2028\u0085'",
        "[[1], [\n]]",
    ]
)


@given(st.lists(st.tuples(st.lists(NOISE, max_size=2), VALUES, st.sampled_from(["", " # [t]", "\t"])), max_size=8))
def test_each_key_has_the_line_where_it_was_written(statements: list[tuple[list[str], str, str]]) -> None:
    text, expected = "", {}
    for n, (noise, value, comment) in enumerate(statements):
        text += "".join(f"{line}\n" for line in noise)
        expected[(f"key{n}",)] = text.count("\n") + 1
        text += f"key{n} = {value}{comment}\n"
    found = key_lines(text)
    assert {key: line for key, line in found.items() if len(key) == 1} == expected
    assert list(tomllib.loads(text)) == [name for (name,) in expected]


# ---------------------------------------------------------------- config show, config check


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.samewater, arguments, standalone_mode=False)


def shown(file: Path) -> dict[str, dict[str, Any]]:
    result = run("--conf", str(file), "config", "show", "--format", "json")
    assert result.exception is None, result.exception
    return {row["setting"]: row for row in json.loads(result.output)["rows"]}


def test_each_value_is_shown_with_its_unit_its_place_and_its_meaning(write: Write) -> None:
    text, line = replaced("time.lateness_ms", "lateness_ms = 120000")
    file = write(text)
    rows = shown(file)
    lateness = rows["time.lateness_ms"]
    assert (lateness["value"], lateness["unit"], lateness["from"]) == (120_000, "ms", f"{file}:{line}")
    assert "`late`" in lateness["meaning"]
    assert (rows["time.future_ms"]["value"], rows["time.future_ms"]["from"]) == (60_000, "default")
    last = len(text.splitlines())
    assert rows["flink.batch.rest"]["from"] == f"{file}:{last}"
    assert (rows["dashboard window"]["value"], rows["dashboard window"]["from"]) == (60_000, "fixed")


def test_every_setting_is_shown_once_and_described(write: Write) -> None:
    def leaves(values: dict[str, Any], above: str = "") -> list[str]:
        return [
            name
            for key, value in values.items()
            for name in (leaves(value, f"{above}{key}.") if isinstance(value, dict) else [above + key])
        ]

    file = write(LEAST)
    names = leaves(Settings.load(file).model_dump())
    assert len(names) > 25
    rows = shown(file)
    in_ms = ("dashboard window", "report step", "topic retention")
    assert sorted(rows) == sorted([*names, *(fixed.name for fixed in FIXED)])
    for name, row in rows.items():
        assert re.fullmatch(r"[A-Z].{15,}\.", row["meaning"]), name
        assert (row["unit"] == "ms") == (name.endswith("_ms") or name in in_ms), name


def test_csv_and_table_hold_the_same_settings(write: Write) -> None:
    file = write(LEAST)
    lines = csv.DictReader(io.StringIO(run("--conf", str(file), "config", "show", "--format", "csv").output))
    table = run("--conf", str(file), "config", "show").output
    names = [line["setting"] for line in lines]
    assert names == list(shown(file))
    assert [line.split("  ")[0] for line in table.splitlines()[3:]] == names


def test_it_is_said_what_chose_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMEWATER_CONF", raising=False)
    file = write(LEAST)

    def said(*arguments: str) -> tuple[str, str]:
        result = json.loads(run(*arguments, "config", "show", "--format", "json").output)
        return result["file"], result["chosen by"]

    assert said("--conf", str(file)) == (str(file), "--conf")
    assert said()[1] == "default"
    monkeypatch.setenv("SAMEWATER_CONF", str(file))
    assert said() == (str(file), "SAMEWATER_CONF")
    assert said("--conf", str(DEFAULT_FILE))[1] == "--conf"


def test_check_says_ok_and_changes_nothing(write: Write) -> None:
    file = write(LEAST)
    assert run("--conf", str(file), "config", "check").output == f"OK: {file}\n"
    assert file.read_text() == LEAST


def test_check_looks_into_the_regions_file_too(write: Write, tmp_path: Path) -> None:
    (tmp_path / "regions.csv").write_text("province\n")
    result = run(
        "--conf", str(write(replaced("report.regions", f"regions = '{tmp_path}/regions.csv'")[0])), "config", "check"
    )
    assert isinstance(result.exception, UserError)
    assert "the first line must be" in str(result.exception)


def test_a_bad_file_ends_the_command_line_with_all_mistakes_and_code_2(
    write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(LEAST.replace("6379", "0").replace("9090", "0"))
    monkeypatch.setattr("sys.argv", ["samewater", "--conf", str(file), "config", "check"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, *told = err.splitlines()
    assert first == f"error: settings file {file} has 2 mistakes"
    assert [line.split(": ")[0] for line in told] == [f"{file}:9", f"{file}:12"]


# ---------------------------------------------------------------- bounds, and what they are taken from


def test_the_shipped_file_says_what_the_defaults_say() -> None:
    shipped = Settings.load(DEFAULT_FILE)
    for key, field in settings_fields():
        if not field.is_required() and key[-1] != "conf_dir":
            value: Any = shipped
            for part in key:
                value = getattr(value, part)
            assert value == field.default, key


def test_bounds_follow_from_what_limits_them() -> None:
    most = {key: part.le for key, field in settings_fields() for part in field.metadata if hasattr(part, "le")}
    assert most["time", "clock_skew_ms"] == SLACK_MS
    # An SQL interval of days has two digits.
    assert interval(most["time", "late_copy_horizon_ms"]).startswith("INTERVAL '99 ")
    # Half of what the alert calls too old, so that a run with one checkpoint late is not called ill.
    alert = re.search(r"checkpoint_age_seconds > (\d+)", (ROOT / "conf" / "prometheus" / "alerts.yaml").read_text())
    assert alert is not None and most["flink", "checkpoint_interval_ms"] == int(alert[1]) * 1000 / 2


def test_every_number_is_bounded_on_both_sides() -> None:
    numbers = [(key, field) for key, field in settings_fields() if field.annotation is int]
    assert len(numbers) > 10
    for key, field in numbers:
        assert {name for part in field.metadata for name in ("ge", "le") if hasattr(part, name)} == {"ge", "le"}, key


def test_what_is_called_fixed_is_what_the_sql_and_the_tables_say() -> None:
    minute, hour, versions, retention = FIXED
    assert minute.value == 60_000
    assert "HOP(TABLE packs, DESCRIPTOR(safe_time), INTERVAL '1' MINUTE, " in sql("views/complete_minutes.sql")
    assert hour.value == 3_600_000
    assert "INTERVAL '1' HOUR, INTERVAL '1' DAY)" in sql("bind/streaming/day_windows.sql")
    assert stores.TABLES["daily_sales"] == {"s": versions.value, "b": versions.value}
    assert versions.value >= 24
    # The local broker's own default, for topics that somebody makes by another hand.
    broker = (ROOT / "conf" / "stack" / "kafka" / "server.properties").read_text(encoding="utf-8")
    assert re.findall(r"^log\.retention\.ms=(.*)$", broker, re.MULTILINE) == [str(retention.value)] == ["-1"]


def sql(name: str) -> str:
    return (ROOT / "sql" / name).read_text(encoding="utf-8")


def test_no_setting_is_named_like_what_is_fixed() -> None:
    names = {part for key, _ in settings_fields() for part in key}
    assert len(names) > 20
    assert [name for name in names for fixed in FIXED if fixed.pattern.search(name)] == []


class Parameters:
    """What a worker sees of a job: its parameters, all text."""

    def __init__(self, **values: object) -> None:
        self.values = {PREFIX + name.replace("__", "."): str(value) for name, value in values.items()}

    def get_job_parameter(self, key: str, default: str | None) -> str | None:
        return self.values.get(key, default)


def test_the_kept_changes_reach_the_workers_and_are_not_guessed() -> None:
    place = {"redis__host": "h", "redis__port": 1, "redis__db": 0, "redis__prefix": "p", "run_id": "r"}
    put: Any = PutMinute(final=True)
    put.open(Parameters(**place, zone_offset_ms=0, redis__changes_kept=7))
    assert put.sink.changes_kept == 7
    with pytest.raises(ValueError, match=r"redis\.changes_kept is not set"):
        put.open(Parameters(**place, zone_offset_ms=0))


def test_written_settings_hold_names_of_any_script() -> None:
    values = {"report": {"regions": "/地区/𝄞\x7f\"'\\\n.csv"}}
    assert tomllib.loads(to_toml(values)) == values
