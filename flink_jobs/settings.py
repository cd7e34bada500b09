"""Which values do jobs, readers and checks share, and where do the servers stand?

Reads one TOML file (default `conf/samewater.toml`; a local instance writes its own); writes nothing.
Every module takes a `Settings`, none reads a file or the environment of its own. Each setting is described here and
nowhere else: `samewater config show` prints these descriptions with the values and where they come from.

The environment names a file (`SAMEWATER_CONF`) and never a single value: two jobs and a reader started from three
shells would then count by different rules, and no file could be shown that says which.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from flink_jobs.errors import UserError
from flink_jobs.toml_lines import Key, key_lines, repeated_key, unfinished_line

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FILE = ROOT / "conf" / "samewater.toml"
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
VERSIONS_KEPT = 200
TOPIC_RETENTION_MS = -1
CLOCK_AHEAD_MS = HOUR_MS
"""How far an ingest time may be ahead of the clock on the wall: what a broker lets in, and what is believed."""
EARLIEST_INGEST = 946_684_800_000
"""Ingest times before this (epoch ms; the year 2000) are none: seconds, or a clock that was never set."""


class Fixed(NamedTuple):
    """A value that is part of the data contract and therefore no setting. `pattern`: names that people may try."""

    name: str
    value: int
    unit: str
    meaning: str
    pattern: re.Pattern[str]


FIXED = (
    Fixed(
        "dashboard window",
        MINUTE_MS,
        "ms",
        "Window sizes are fixed: Redis names its minutes HH:MM, so another window would be another key, which neither "
        "reader, reconcile nor an earlier run would know.",
        re.compile("window|granularity|^minute"),
    ),
    Fixed(
        "report step",
        HOUR_MS,
        "ms",
        "Window sizes are fixed: the end of the hour is the version under which HBase, HDFS and markers keep the "
        "report, 24 a day, so another step would leave readers, reconcile and earlier runs without theirs.",
        re.compile("step|^hour"),
    ),
    Fixed(
        "versions kept",
        VERSIONS_KEPT,
        "versions",
        "How many versions HBase keeps is fixed: a row belongs to one run and day and never has more than 24, and "
        "fewer would take the past from --as-of.",
        re.compile("versions_|_versions"),  # not the section [versions]
    ),
    Fixed(
        "topic retention",
        TOPIC_RETENTION_MS,
        "ms",
        "Topics that are made here keep everything (-1), because Kafka counts retention from the records' own times "
        "and would soon delete old orders; set it on a topic of your own with Kafka's tools.",
        re.compile("retention"),
    ),
)


@dataclass(frozen=True)
class Unit:
    """What a number counts; stands in the type of a setting."""

    name: str


# ---------------------------------------------------------------- what values look like


def _full(pattern: str, rule: str) -> AfterValidator:
    """Refuses a text that is not wholly `pattern`, and says the rule in words."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"{_short(text)} {rule}")
        return text

    return AfterValidator(check)


def _check_addresses(text: str) -> str:
    # The last of several is what a local instance takes its port from; each must be whole.
    for address in text.split(","):
        _check_address(address)
    return text


def _check_address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not _HOST.fullmatch(host):
        raise ValueError(f"{_short(text)} is not host:port; write it like 127.0.0.1:9092 (IPv6: by a host name)")
    if not re.fullmatch("[0-9]{1,5}", port) or not 1 <= int(port) <= 65_535:
        raise ValueError(f"{_short(text)} has no port from 1 to 65535 behind the colon; correct the port")
    return text


def _check_hdfs(text: str) -> str:
    place = text.removeprefix("hdfs://")
    if place == text or not place or "/" in place:
        raise ValueError(f"{_short(text)} is not hdfs://host:port or hdfs://nameservice, without a path; correct it")
    # The name service of an HA cluster has no port.
    return text if _HOST.fullmatch(place) else "hdfs://" + _check_address(place)


def _check_minutes(ms: int) -> int:
    # The window that gathers an order minute is this longer than the minute, and moves by minutes.
    if ms % MINUTE_MS:
        down = ms - ms % MINUTE_MS
        raise ValueError(f"{ms} ms are no whole minutes; write {down} or {down + MINUTE_MS}")
    return ms


_BESIDE = "less_than_another_setting"
# Known to Python's zone files, but refused by java.time.ZoneId, which Flink asks; right/ would count leap seconds.
_ZONES_THAT_JAVA_LACKS = re.compile("EST|MST|HST|ROC|Factory|localtime|posixrules|(posix|right)/.*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252}[A-Za-z0-9])?")
_WORD = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}"
Ms = Annotated[int, Unit("ms")]
WholeMinutes = Annotated[int, Unit("ms"), AfterValidator(_check_minutes)]
Port = Annotated[int, Field(ge=1, le=65_535)]
# Host and prefix reach the workers as job parameters, which may hold neither colon nor comma.
Host = Annotated[str, _full(_HOST.pattern, "is not a host; write a name or an IPv4 address, without port")]
Address = Annotated[str, AfterValidator(_check_address)]
Addresses = Annotated[str, AfterValidator(_check_addresses)]
HdfsUri = Annotated[str, AfterValidator(_check_hdfs)]


# ---------------------------------------------------------------- settings


class _Section(BaseModel):
    # strict: "300000" and true are no numbers. Defaults are checked too, for a rule may hold one against a value given.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Time(_Section):
    """Rules of time; lateness is ingest_time - order_time."""

    zone: str = Field(
        "Asia/Shanghai",
        description="Time zone of business days, always at the same offset from UTC (no daylight saving).",
    )
    lateness_ms: WholeMinutes = Field(
        300_000,
        ge=MINUTE_MS,  # late_orders looks for the accepted ones at the end of their minute
        le=DAY_MS,  # each pack is tried in as many windows as lateness and future have minutes
        description="An order that is later is `late`, in stream, batch and oracle alike; at least the minute window.",
    )
    # Up to what the reader of the log looks for records out of place (SLACK_MS in log_reader.py).
    clock_skew_ms: Ms = Field(
        30_000,
        ge=0,
        le=HOUR_MS,
        description="How far ingest times may run back within a partition, between producers and leaders.",
    )
    future_ms: WholeMinutes = Field(
        60_000,
        ge=0,
        le=DAY_MS,
        description="How far a shop's clock may be ahead before its order is `future`.",
    )
    # In SQL it is an INTERVAL DAY TO SECOND, whose days have two digits.
    late_copy_horizon_ms: Ms = Field(
        86_400_000,
        ge=0,
        le=99 * DAY_MS,
        description="How long a job remembers a key to tell `late_copy` from `late`; its state grows with it.",
    )

    @field_validator("zone")
    @classmethod
    def _fixed_offset(cls, name: str) -> str:
        # A day of 23 or 25 hours would cut hourly versions and daily windows apart.
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
            near = difflib.get_close_matches(name, available_timezones(), n=1)
            advice = f"did you mean {near[0]}?" if near else "name one of the IANA list, such as Asia/Shanghai"
            raise ValueError(f"{_short(name)} is not a time zone; {advice}") from unknown
        if _ZONES_THAT_JAVA_LACKS.fullmatch(name):
            raise ValueError(f"Flink does not know the zone {name}; name one by place, such as Asia/Shanghai")
        # All the years that an order may be of: Flink would follow an old change of the zone, `offset` would not.
        days = (dt.datetime(year, month, 15, tzinfo=zone) for year in range(2000, 2100) for month in range(1, 13))
        before: dt.datetime | None = None
        for day in days:
            if before is not None and day.utcoffset() != before.utcoffset():
                raise ValueError(
                    f"{name} has daylight saving time or changed its offset ({before:%Y-%m} to {day:%Y-%m}); "
                    "name a zone of fixed offset, such as Asia/Shanghai or Etc/GMT-8"
                )
            before = day
        return name

    @field_validator("late_copy_horizon_ms")
    @classmethod
    def _not_less_than_lateness(cls, horizon_ms: int, info: ValidationInfo) -> int:
        lateness_ms = info.data.get("lateness_ms", 0)  # not there if it is wrong by itself
        if horizon_ms < lateness_ms:
            raise PydanticCustomError(
                _BESIDE,
                "{horizon} ms is less than lateness_ms ({lateness}): timely orders would be forgotten before their "
                "late copies come; write {lateness} or more, or lower lateness_ms",
                {"horizon": horizon_ms, "lateness": lateness_ms, "beside": "lateness_ms"},
            )
        return horizon_ms

    @property
    def offset(self) -> dt.timedelta:
        """UTC offset of the business zone (positive east)."""
        offset = dt.datetime(2026, 1, 15, tzinfo=ZoneInfo(self.zone)).utcoffset()
        assert offset is not None
        return offset

    def day_of(self, epoch_ms: int) -> dt.date:
        """The business day that holds this instant (epoch ms)."""
        return (dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=epoch_ms) + self.offset).date()

    def day_start(self, day: dt.date) -> int:
        """First instant of a business day, epoch ms."""
        start = dt.datetime(day.year, day.month, day.day) - self.offset - dt.datetime(1970, 1, 1)
        return int(start.total_seconds()) * 1000

    def day_end(self, day: dt.date) -> int:
        """First instant after a business day, epoch ms."""
        return self.day_start(day) + DAY_MS


class Report(_Section):
    regions: str = Field(
        "conf/regions.csv",
        description="CSV file of provinces and cities; a relative name is taken from the repository's root.",
    )
    buckets: Annotated[int, Unit("buckets")] = Field(
        4,
        ge=1,
        le=10,
        description="Over how many row key prefixes `daily_sales` is spread; a change hides earlier reports.",
    )

    @field_validator("regions")
    @classmethod
    def _is_there(cls, name: str) -> str:
        if "\0" in name or not (ROOT / name).is_file():
            raise ValueError(f"the regions file {_short(name)} does not exist; correct the path, or put the file there")
        return name


class Versions(_Section):
    """How much stays of runs that nobody is shown; `samewater clean` removes the rest."""

    kept_runs: Annotated[int, Unit("runs")] = Field(
        5,
        ge=0,
        le=1_000,
        description="How many finished runs that nobody is shown are kept of each job and day, the newest.",
    )
    kept_days: Annotated[int, Unit("days")] = Field(
        7,
        ge=0,
        le=3_650,
        description="For how many days a run is kept after it has ended, or was last shown.",
    )


class Kafka(_Section):
    bootstrap: Addresses = Field(description="Brokers of the order log, host:port, several with a comma between them.")
    topic: Annotated[
        str, _full(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}", "is not 1 to 200 of A-Z a-z 0-9 . _ -; rename the topic")
    ] = Field("orders", description="Topic of the orders, unless a command names another.")
    supply_topic: Annotated[
        str, _full(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}", "is not 1 to 200 of A-Z a-z 0-9 . _ -; rename the topic")
    ] = Field("orders-backfill", description="Topic of the orders that shops send afterwards, for backfills.")
    partitions: Annotated[int, Unit("partitions")] = Field(
        3, ge=1, le=1000, description="Partitions of a topic that is made here; one that is there keeps its own."
    )


class Redis(_Section):
    host: Host = Field(description="Server of the live figures.")
    port: Port = Field(description="Port of that server.")
    db: int = Field(0, ge=0, le=65_535, description="Number of the database in that server.")
    prefix: Annotated[
        str, _full(_WORD, "is not 1 to 64 of A-Z a-z 0-9 _ . - (and no . or - first); shorten or rename it")
    ] = Field("samewater", description="Begins the name of each key; a colon follows.")
    changes_kept: Annotated[int, Unit("changes")] = Field(
        100_000,
        ge=0,
        le=100_000_000,
        description="About how many changes of minutes a run's stream keeps, the newest; 0: it has no stream.",
    )


class HBase(_Section):
    host: Host = Field(description="Thrift server of HBase.")
    port: Port = Field(description="Port of that server.")
    prefix: Annotated[
        str, _full(_WORD, "is not 1 to 64 of A-Z a-z 0-9 _ . - (and no . or - first); shorten or rename it")
    ] = Field("samewater_", description="Begins the name of each table.")
    timeout_ms: Ms = Field(
        30_000, ge=1_000, le=600_000, description="How long commands and readers wait for an answer."
    )


class Hdfs(_Section):
    uri: HdfsUri = Field(description="File system that Flink writes to, hdfs://host:port or hdfs://nameservice.")
    webhdfs: Address = Field(description="HTTP address of the NameNode, host:port, which readers ask.")
    user: Annotated[str, _full(_WORD, "is not a user name of A-Z a-z 0-9 _ . -; correct it")] = Field(
        "samewater", description="User as whom files are read and written."
    )
    root: Annotated[
        str,
        _full(
            r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._@+-]+)+",
            "is not an absolute path of A-Z a-z 0-9 . _ @ + - without / at its end; correct it",
        ),
    ] = Field("/samewater", description="Folder of everything that is written there.")


class Cluster(_Section):
    """One Flink session cluster."""

    rest: Address = Field(description="REST address of the JobManager, host:port.")
    conf_dir: str = Field(
        "", description="Configuration folder of a local cluster, made by `samewater up`; empty for one of your own."
    )
    parallelism: Annotated[int, Unit("subtasks")] = Field(
        2, ge=1, le=32_768, description="Parallelism of a job, unless --parallelism says another."
    )
    taskmanager_mb: Annotated[int, Unit("MiB")] = Field(
        2_784,
        ge=2_384,
        le=1_000_000,
        description="Memory of the local TaskManager: more for a larger backlog or more slots (heap).",
    )
    second_compiler: bool = Field(
        True,
        description="Whether Java compiles what the local TaskManager often does a second time: faster after the first "
        "minutes of load, and all the slower until then.",
    )


class Flink(_Section):
    restart_attempts: Annotated[int, Unit("attempts")] = Field(
        120,
        ge=1,
        le=1_000_000,
        description="How often a streaming job is tried again, in the end every 30 s, before it fails for good.",
    )
    # `health` and the alerts call a job ill that has had no checkpoint for 120 s.
    checkpoint_interval_ms: Ms = Field(
        30_000,
        ge=1_000,
        le=60_000,
        description="How often a new streaming run saves its state; Parquet files are finished as often.",
    )
    realtime: Cluster
    batch: Cluster

    def subtasks(self, mode: str, asked: int | None) -> int:
        """The parallelism of a job in this mode (`streaming` or `batch`), wherever it runs; `asked`: by the user."""
        return asked or (self.batch if mode == "batch" else self.realtime).parallelism


class Serving(_Section):
    listen: Host = Field("127.0.0.1", description="Address that the screen listens on; 0.0.0.0: on every one.")
    port: Port = Field(19_020, description="Port of the screen and its API.")
    pages: Annotated[int, Unit("pages")] = Field(
        500, ge=1, le=10_000, description="How many pages may be open at once; each holds a connection."
    )
    range_days: Annotated[int, Unit("days")] = Field(
        92, ge=1, le=366, description="How many days one question to the API may span."
    )


class Settings(_Section):
    instance: Annotated[
        str, _full("[a-z0-9-]{1,32}", "is not 1 to 32 lower-case letters, digits and hyphens; rename it")
    ] = Field("demo", description="Name of the local servers, and of their folder.")
    time: Time
    report: Report
    versions: Versions
    kafka: Kafka
    redis: Redis
    hbase: HBase
    hdfs: Hdfs
    flink: Flink
    serving: Serving

    @model_validator(mode="before")
    @classmethod
    def _sections_of_defaults(cls, values: Any) -> Any:
        # No default objects: they would be checked, with the regions file that they name, when this is imported.
        return (
            {"time": {}, "report": {}, "versions": {}, "serving": {}, **values} if isinstance(values, dict) else values
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Settings:
        """Read and check a settings file.

        Without `path`: the file that `SAMEWATER_CONF` names, else `conf/samewater.toml`.
        Raises `UserError` for a missing file, bad TOML, and for unknown keys and impossible values: all of them.
        """
        return read_settings(path).settings

    def regions_file(self) -> Path:
        """The regions CSV; a relative name is taken from the repository's root."""
        return ROOT / self.report.regions


# ---------------------------------------------------------------- the file


class SettingsFile(NamedTuple):
    """A file that was read. `name`: how to print it; `lines`: key -> line, of the keys that stand in it."""

    name: str
    settings: Settings
    lines: Mapping[Key, int]


class ChosenFile(NamedTuple):
    """A settings file, and what chose it: `--conf`, `SAMEWATER_CONF` or `default`."""

    path: Path
    by: str


def choose_file(path: str | os.PathLike[str] | None = None) -> ChosenFile:
    """The file that `path` (of `--conf`) names, else the one of `SAMEWATER_CONF`, else `conf/samewater.toml`."""
    if path:
        return ChosenFile(Path(path), "--conf")
    named = os.environ.get("SAMEWATER_CONF")
    return ChosenFile(Path(named), "SAMEWATER_CONF") if named else ChosenFile(DEFAULT_FILE, "default")


def read_settings(path: str | os.PathLike[str] | None = None) -> SettingsFile:
    """As `Settings.load`, with the line of each key. Raises `UserError`, which has a line for each mistake."""
    file = choose_file(path).path
    name = str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
    try:
        content = file.read_bytes()
    except FileNotFoundError as missing:
        raise UserError(f"settings file {name} does not exist; name another with --conf") from missing
    except OSError as unread:
        raise UserError(
            f"settings file {name} cannot be read ({unread.strerror}); name another with --conf"
        ) from unread
    try:
        text = content.decode("utf-8-sig")
        values, lines = tomllib.loads(text), key_lines(text)
    except UnicodeDecodeError as bad:
        line = content.count(b"\n", 0, bad.start) + 1
        raise UserError(f"settings file {name} is not UTF-8\n{name}:{line}: save the file as UTF-8") from bad
    except (ValueError, RecursionError) as bad:
        line, what = _syntax(bad, text)
        raise UserError(f"settings file {name} is not TOML\n{name}:{line}: {what}") from bad
    try:
        return SettingsFile(name, Settings.model_validate(values), lines)
    except ValidationError as bad:
        last = text.rstrip("\n").count("\n") + 1
        found = sorted(_mistake(error, lines, last) for error in bad.errors(include_url=False))
        count = "a mistake" if len(found) == 1 else f"{len(found)} mistakes"
        told = (f"{name}:{line}: {_dotted(key)}: {what}" for line, key, what in found)
        raise UserError("\n".join([f"settings file {name} has {count}", *told])) from bad


def settings_fields(section: type[BaseModel] = Settings, above: Key = ()) -> Iterator[tuple[Key, FieldInfo]]:
    """Every setting that a file may hold, in the order of their definition; sections themselves are left out."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from settings_fields(field.annotation, (*above, name))
        else:
            yield (*above, name), field


def unit_of(field: FieldInfo) -> str:
    """What the number counts, such as `ms`; empty if it is no number or has no unit."""
    return next((part.name for part in field.metadata if isinstance(part, Unit)), "")


def _syntax(bad: Exception, text: str) -> tuple[int, str]:
    """Line of what the parser complains of, and what to do."""
    if isinstance(bad, RecursionError):
        return 1, "some key or value is nested too deeply for a settings file; remove it"
    told = re.search(r"at line ([0-9]+), column", str(bad))
    if told is None and "end of document" in str(bad):
        return unfinished_line(text), "what begins here does not end; close its quotes or brackets"
    line = int(told[1]) if told else text.rstrip("\n").count("\n") + 1
    what = re.sub(r" \(at .*\)$", "", str(bad))
    if what.startswith("Cannot "):
        line, key, first = repeated_key(text, line)
        return line, f"{_dotted(key)}: stands in line {first} already; remove one of the two"
    return line, f"{what}; correct that line"


# ---------------------------------------------------------------- a mistake in words

_KINDS = {bool: "a boolean", int: "an integer", float: "a float", str: "a string", dict: "a table", list: "an array"}
_WANTED = {"int_type": "an integer", "string_type": "a string in quotes", "model_type": "a table"}


def _mistake(error: ErrorDetails, lines: Mapping[Key, int], last: int) -> tuple[int, Key, str]:
    """Line, key and text of one mistake. What is missing has the line of its section, or the last one of the file."""
    key = tuple(str(part) for part in error["loc"])
    beside = error.get("ctx", {}).get("beside")
    places = [key, *([(*key[:-1], beside)] if beside else []), *(key[:n] for n in range(len(key) - 1, 0, -1))]
    return next((lines[place] for place in places if place in lines), last), key, _text(error, key)


def _text(error: ErrorDetails, key: Key) -> str:
    kind, value = error["type"], error["input"]
    field = dict(settings_fields()).get(key)
    if kind == "extra_forbidden":
        return _unknown(key)
    if kind == "missing":
        if field is None:
            return f"the section [{_dotted(key)}] is missing; add it"
        return f"is missing; add it. {field.description}"
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, but is {_KINDS.get(type(value), 'a date or time')}; correct it"
    if field is not None and kind in ("greater_than_equal", "less_than_equal"):
        least = next(part.ge for part in field.metadata if hasattr(part, "ge"))
        most = next(part.le for part in field.metadata if hasattr(part, "le"))
        bounds = f"{least} to {most} {unit_of(field)}".rstrip()
        return f"{_short(value)} is out of bounds; write {bounds}. {field.description}"
    return error["msg"].removeprefix("Value error, ")


def _unknown(key: Key) -> str:
    """What to say of a key that no section has."""
    for fixed in FIXED:
        if fixed.pattern.search(key[-1]):
            return f"is no setting. {fixed.meaning} Remove the key"
    known = [other for other, _ in settings_fields()]
    homes = [other for other in known if other[-1] == key[-1]]
    if len(key) > 1 and key[-1] in Settings.model_fields and key[-1] != "instance":
        return f"unknown key here; the section [{key[-1]}] stands in no other, so begin it with its header"
    if len(homes) == 1 and len(homes[0]) == 1:
        return "unknown key here; it belongs before the first section"
    if len(homes) == 1:
        return f"unknown key here; it belongs under [{_dotted(homes[0][:-1])}]"
    depth = len(key)
    siblings = list(
        dict.fromkeys(other[depth - 1] for other in known if len(other) >= depth and other[: depth - 1] == key[:-1])
    )
    near = difflib.get_close_matches(key[-1], siblings, n=1)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here are {', '.join(siblings)}"


def _dotted(key: Key) -> str:
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _short(part) for part in key)


def _short(value: Any) -> str:
    """A value as TOML writes it, in one line, cut after 60 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
