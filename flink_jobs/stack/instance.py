"""Where does a local instance stand: its folder, its ports, its settings file?

Reads `conf/samewater.toml` (instance `demo`) or `.samewater/NAME/samewater.toml` (any other); writes the latter.
Everything of an instance is in one folder, so that two of them, and two clones, never meet.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from flink_jobs.errors import UserError
from flink_jobs.settings import DEFAULT_FILE, ROOT, Settings

# Each port is the base of the instance's block of a hundred plus this.
OFFSETS: Mapping[str, int] = {
    "namenode": 2,
    "namenode-http": 3,
    "datanode": 4,
    "datanode-ipc": 5,
    "datanode-http": 6,
    "zookeeper": 7,
    "hbase-master-http": 8,
    "hbase-thrift": 9,
    "redis": 10,
    "realtime-rest": 11,
    "realtime-rpc": 12,
    "batch-rest": 13,
    "batch-rpc": 14,
    "hbase-master": 15,
    "hbase-regionserver": 16,
    "screen": 20,
    "kafka": 92,
    "kafka-controller": 93,
}
# Below the kernel's ephemeral ports (32768 and up), so that no outgoing connection sits on one of ours.
BLOCKS = range(20_000, 32_000, 100)
# Linux allows 107 bytes for a Unix socket; supervisord first binds a name with its process id behind it.
LONGEST_SOCKET = 95
TAKEN = ("client", "jars", "rivals")
"""Folders beside those of the instances, which `make` fills and empties."""


def home() -> Path:
    """The folder of all instances and of the jars: `SAMEWATER_HOME`, else `.samewater` in the repository."""
    return Path(os.environ.get("SAMEWATER_HOME") or ROOT / ".samewater").absolute()


def block(base: int) -> dict[str, int]:
    """All ports of an instance by name, for the first port of its block."""
    return {name: base + offset for name, offset in OFFSETS.items()}


def port_of(address: str) -> int:
    """The port of `host:port` or `scheme://host:port`; `UserError` when there is none."""
    port = address.rpartition(":")[2]
    if not port.isdigit():
        raise UserError(f"{address!r} in the settings names no port; write host:port")
    return int(port)


def is_free(port: int) -> bool:
    """True when nothing listens on this port of 127.0.0.1."""
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT are no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass(frozen=True)
class Instance:
    """A local instance: `settings` say what clients see, `folder` holds everything it writes.

    `contained`: each server runs in a container of its own, which has the server's name.
    """

    settings: Settings
    folder: Path
    contained: bool = False

    @property
    def name(self) -> str:
        return self.settings.instance

    @cached_property
    def ports(self) -> dict[str, int]:
        """Ports by name. The settings decide those that they name; the others stand in the NameNode's block."""
        s = self.settings
        namenode = port_of(s.hdfs.uri)
        return block(namenode - namenode % 100) | {
            "namenode": namenode,
            "namenode-http": port_of(s.hdfs.webhdfs),
            "kafka": port_of(s.kafka.bootstrap),
            "redis": s.redis.port,
            "hbase-thrift": s.hbase.port,
            "realtime-rest": port_of(s.flink.realtime.rest),
            "batch-rest": port_of(s.flink.batch.rest),
            "screen": s.serving.port,
        }

    def host(self, server: str) -> str:
        """Where a server listens and is found."""
        return server if self.contained else "127.0.0.1"

    @property
    def key(self) -> str:
        """Short and its own for each folder: two clones may both have an instance `demo`."""
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]

    @property
    def screen_settings(self) -> Path:
        """The settings file that the screen runs with: it may follow another topic than the instance's own."""
        return self.folder / "screen.toml"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def socket(self) -> Path:
        """supervisord's control socket: in the instance's folder, or in a short place when that path is too long."""
        near = self.folder / "supervisord.sock"
        if len(os.fsencode(near)) <= LONGEST_SOCKET:
            return near
        # Not XDG_RUNTIME_DIR or TMPDIR: the next shell, which must find it again, may have another one.
        return Path("/tmp") / f"samewater-{os.getuid()}-{self.key}.sock"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps a second up, down or restart of this instance out; `UserError` when one is at work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "lock", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as held:
                raise UserError(
                    f"another up, down or restart of instance {self.name} is at work; wait until it has ended"
                ) from held
            yield


def settings_file(name: str) -> Path:
    """The settings file of a local instance."""
    return DEFAULT_FILE if name == "demo" else home() / name / "samewater.toml"


def open_instance(settings: Settings) -> Instance:
    """The local instance that these settings describe; `UserError` when they name somebody else's servers."""
    if not (settings.flink.realtime.conf_dir and settings.flink.batch.conf_dir):
        raise UserError(
            "these settings name servers of your own (flink.*.conf_dir is empty); "
            "only a local instance can be started, stopped or shown here"
        )
    folder = home() / settings.instance
    for place in (folder, ROOT):
        if re.search(r"[^A-Za-z0-9._/@+-]", str(place)):
            raise UserError(
                f"the servers cannot run in {str(place)!r}: its path may hold only letters, digits and . _ / @ + -; "
                "move the clone, or set SAMEWATER_HOME"
            )
    return Instance(settings, folder)


def find_instance(name: str) -> Instance:
    """An instance that exists; `UserError` when nobody has started one of this name."""
    file = settings_file(name)
    if not file.exists():
        raise UserError(f"there is no instance {name}; `samewater up --instance {name}` makes it")
    return open_instance(Settings.load(file))


def create_instance(name: str, flink: Mapping[str, Any] | None = None) -> Instance:
    """The instance of this name; a new one gets free ports and a settings file that remembers them.

    `flink`: what that file says otherwise than the demo's in its part `flink`; `realtime` and `batch` are tables."""
    if not settings_file(name).exists():
        if not re.fullmatch(r"[a-z0-9-]{1,32}", name) or name in TAKEN:
            raise UserError(
                f"{name!r} is no instance name; use up to 32 lower-case letters, digits and hyphens, "
                f"and none of {', '.join(TAKEN)}"
            )
        home().mkdir(parents=True, exist_ok=True)
        with open(home() / "ports.lock", "w") as lock:  # two new instances at once must not choose the same block
            fcntl.flock(lock, fcntl.LOCK_EX)
            base = free_block(remembered_ports())
            _write_settings(name, base, flink or {})
    return find_instance(name)


def remembered_ports() -> set[int]:
    """The ports of all instances of this folder, running or not."""
    files = [DEFAULT_FILE, *home().glob("*/samewater.toml")]
    return {port for file in files for port in open_instance(Settings.load(file)).ports.values()}


def free_block(taken: Iterable[int]) -> int:
    """The first base whose ports are neither `taken` nor in use; `UserError` when there is none."""
    taken = set(taken)
    for base in BLOCKS:
        ports = block(base).values()
        if taken.isdisjoint(ports) and all(map(is_free, ports)):
            return base
    raise UserError(f"no free block of ports between {BLOCKS.start} and {BLOCKS.stop}; stop other instances")


def _write_settings(name: str, base: int, flink: Mapping[str, Any]) -> None:
    ports = block(base)
    values = Settings.load(DEFAULT_FILE).model_dump()
    values["instance"] = name
    values["kafka"]["bootstrap"] = f"127.0.0.1:{ports['kafka']}"
    values["redis"].update(host="127.0.0.1", port=ports["redis"])
    values["hbase"].update(host="127.0.0.1", port=ports["hbase-thrift"])
    values["hdfs"].update(uri=f"hdfs://127.0.0.1:{ports['namenode']}", webhdfs=f"127.0.0.1:{ports['namenode-http']}")
    for cluster in ("realtime", "batch"):
        values["flink"][cluster].update(
            rest=f"127.0.0.1:{ports[f'{cluster}-rest']}", conf_dir=f".samewater/{name}/flink-{cluster}/conf"
        )
    values["serving"].update(port=ports["screen"])
    for key, value in flink.items():
        values["flink"][key] = values["flink"][key] | value if isinstance(value, Mapping) else value
    file = settings_file(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".new")
    unfinished.write_text(f"# Made by `samewater up --instance {name}`.\n" + to_toml(values), encoding="utf-8")
    unfinished.rename(file)


def to_toml(values: Mapping[str, object], path: str = "") -> str:
    """TOML of nested tables of strings and numbers (all that `Settings` holds)."""
    plain = {k: v for k, v in values.items() if not isinstance(v, Mapping)}
    lines = "".join(f"{key} = {_toml_value(value)}\n" for key, value in plain.items())
    text = f"\n[{path}]\n{lines}" if path and plain else lines
    for key, value in values.items():
        if isinstance(value, Mapping):
            text += to_toml(value, f"{path}.{key}" if path else key)
    return text


def _toml_value(value: object) -> str:
    # A JSON string or number is also a TOML one, but for two: JSON may escape 𝄞 as a pair, and leaves DEL as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
