"""Which values do jobs, readers and checks share, and where do the servers stand?

Reads one TOML file (default `conf/samewater.toml`; a local instance writes its own); writes nothing.
Every module takes a `Settings`, none reads a file or the environment of its own.
"""

from __future__ import annotations

import datetime as dt
import os
import tomllib
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flink_jobs.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_FILE = ROOT / "conf" / "samewater.toml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(_Section):
    """Rules of time, all in ms; lateness is ingest_time - order_time."""

    zone: str = "Asia/Shanghai"
    # Not less than the minute window of accepted orders: late_orders looks for them at the end of their minute.
    lateness_ms: int = Field(300_000, ge=60_000)
    clock_skew_ms: int = Field(30_000, ge=0)
    future_ms: int = Field(60_000, ge=0)
    late_copy_horizon_ms: int = Field(86_400_000, ge=0)

    @field_validator("zone")
    @classmethod
    def _fixed_offset(cls, name: str) -> str:
        # A day of 23 or 25 hours would cut hourly versions and daily windows apart.
        try:
            zone = ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as unknown:
            raise ValueError(f"{name} is not a time zone") from unknown
        offsets = {dt.datetime(2026, month, 15, tzinfo=zone).utcoffset() for month in range(1, 13)}
        if len(offsets) != 1:
            raise ValueError(f"{name} has daylight saving time; name a zone of fixed offset")
        return name

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
        return self.day_start(day) + 86_400_000


class Kafka(_Section):
    bootstrap: str
    topic: str = Field("orders", pattern=r"^[A-Za-z0-9._-]{1,200}$")
    partitions: int = Field(3, ge=1, le=1000)


class Redis(_Section):
    host: str
    port: int
    db: int = 0
    prefix: str = "samewater"


class HBase(_Section):
    """The Thrift server of HBase. `prefix` begins the name of each table."""

    host: str
    port: int
    prefix: str = "samewater_"
    timeout_ms: int = 30_000


class Hdfs(_Section):
    """`uri` is what Flink writes to, `webhdfs` (host:port of the NameNode's HTTP) what readers ask."""

    uri: str
    webhdfs: str
    user: str = "samewater"
    root: str = "/samewater"


class Cluster(_Section):
    """One Flink session cluster: its REST address and, for a local one, its configuration folder."""

    rest: str
    conf_dir: str = ""
    parallelism: int = Field(2, ge=1)


class Flink(_Section):
    """`restart_attempts`: how often a streaming job is tried again before it fails for good (30 s apart at the end)."""

    restart_attempts: int = Field(120, ge=1)
    realtime: Cluster
    batch: Cluster


class Report(_Section):
    """`regions`: CSV of provinces and cities. `buckets`: pre-split regions of `daily_sales`."""

    regions: str = "conf/regions.csv"
    buckets: int = Field(4, ge=1, le=10)


class Settings(_Section):
    instance: str = Field("demo", pattern=r"^[a-z0-9-]{1,32}$")
    time: Time = Time()
    report: Report = Report()
    kafka: Kafka
    redis: Redis
    hbase: HBase
    hdfs: Hdfs
    flink: Flink

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Settings:
        """Read and check a settings file.

        Without `path`: the file that `SAMEWATER_CONF` names, else `conf/samewater.toml`.
        Raises `UserError` for a missing file, bad TOML, an unknown key or an impossible value.
        """
        file = Path(path or os.environ.get("SAMEWATER_CONF") or DEFAULT_FILE)
        try:
            with open(file, "rb") as f:
                return cls.model_validate(tomllib.load(f))
        except FileNotFoundError as missing:
            raise UserError(f"settings file {file} does not exist; name another with --conf") from missing
        except tomllib.TOMLDecodeError as bad:
            raise UserError(f"settings file {file} is not TOML: {bad}") from bad
        except ValidationError as bad:
            first = bad.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise UserError(f"settings file {file}: {where}: {first['msg']}; correct that value") from bad

    def regions_file(self) -> Path:
        """The regions CSV; a relative name is taken from the repository's root."""
        return ROOT / self.report.regions
