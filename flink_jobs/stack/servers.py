"""Which servers make up an instance, and how is each one started?

Reads the templates in `conf/stack`, `conf/realtime` and `conf/batch`; writes the filled-in ones to the
instance's folder.
A server is data (`Server`): command, environment, ports, what it needs first, and the question that tells it is ready.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Cluster, Settings
from flink_jobs.stack import cgroup, processes, ready
from flink_jobs.stack.instance import Instance, home, open_instance, to_toml

CONF = ROOT / "conf"
CLUSTERS = ("realtime", "batch")
NAMES = (
    *("namenode", "datanode", "zookeeper", "hbase-master", "hbase-regionserver", "hbase-thrift", "kafka", "redis"),
    *(f"{cluster}-{part}" for cluster in CLUSTERS for part in ("jobmanager", "taskmanager")),
    "screen",
)
KAFKA_CLUSTER_ID = "c2FtZXdhdGVyLWxvY2FsIQ"  # any 16 bytes in base64; a cluster of one node meets no other
# The second compiler pays for itself only after minutes of load; here it would take a third of the start-up.
FIRST_COMPILER = "-XX:TieredStopAtLevel=1"
# Small servers on few cores: a serial collector needs the least memory and no threads of its own.
SMALL = (FIRST_COMPILER, "-XX:+UseSerialGC", "-Xss512k")
# The list of HBase's own start script; without it the master dies on Java 17.
HBASE_OPENS = (
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/jdk.internal.util.random=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.misc=ALL-UNNAMED",
    "--add-exports=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
)


@dataclass(frozen=True)
class Server:
    """One supervised process.

    `ports`: names in `Instance.ports`, the one that clients use first. `needs`: servers that must be ready before.
    `ask`: is given the process id, returns when ready, raises otherwise. `prepare`: runs once before the first start.
    """

    name: str
    command: tuple[str, ...]
    ports: tuple[str, ...]
    ask: Callable[[int], None]
    needs: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[], None] | None = None


def java() -> str:
    """The Java to run servers with; `UserError` when there is none."""
    named = os.environ.get("JAVA_HOME")
    found = str(Path(named) / "bin" / "java") if named else shutil.which("java")
    if not found or not os.access(found, os.X_OK):
        raise UserError(f"there is no Java {f'in JAVA_HOME={named}' if named else 'on the PATH'}; run `make install`")
    return found


def jars(part: str) -> Path:
    """The folder of the jars of `flink`, `hadoop`, `kafka` or `hbase`; `UserError` when they are missing."""
    folder = home() / "jars" / part
    if not any(folder.glob("*.jar")):
        raise UserError(f"the jars of {part} are not in {folder}; run `make install`")
    return folder


def flink_home() -> Path:
    """The Flink distribution inside the installed wheel."""
    spec = importlib.util.find_spec("pyflink")
    if spec is None or not spec.submodule_search_locations:
        raise UserError("apache-flink is not installed in this Python; run `make install`")
    return Path(spec.submodule_search_locations[0])


def flink_bin() -> Path:
    """The `flink` command of the installed distribution."""
    return flink_home() / "bin" / "flink"


def sql_client() -> Path:
    """The SQL client of the installed distribution."""
    return flink_home() / "bin" / "sql-client.sh"


MANAGED_PERCENT = 25
"""How much of a TaskManager's memory lies outside the heap, for RocksDB, for sorts, and for Python."""
DIRECT_MB = 384
"""Beside that: direct memory of the JVM, for what goes to Python workers; about 100 MB for each slot that settles."""


def hadoop_client() -> list[Path]:
    """The jars by which Flink speaks to HDFS."""
    parts = ("hadoop-client-api", "hadoop-client-runtime", "commons-logging")
    return [jar for part in parts for jar in sorted(jars("hadoop").glob(f"{part}-[0-9]*.jar"))]


def flink_variables(instance: Instance, cluster: str) -> dict[str, str]:
    """The variables that point Flink's scripts at one cluster of an instance, and at nothing else."""
    folder = instance.folder / f"flink-{cluster}"
    return {
        "FLINK_HOME": str(flink_home()),
        "FLINK_CONF_DIR": str(folder / "conf"),
        "FLINK_LIB_DIR": str(instance.folder / "flink" / "lib"),
        "FLINK_OPT_DIR": str(instance.folder / "flink" / "opt"),
        "FLINK_LOG_DIR": str(instance.logs),
        "FLINK_PID_DIR": str(folder / "pid"),
        # Flink finds HDFS only here: neither pipeline.jars nor its own classes will do.
        "HADOOP_CLASSPATH": ":".join(map(str, hadoop_client())),
        "HADOOP_USER_NAME": instance.settings.hdfs.user,
    }


def flink_env(settings: Settings, cluster: str) -> dict[str, str]:
    """The environment in which `flink_bin()` talks to `cluster` (`realtime` or `batch`).

    On a cluster of the user's own (`conf_dir` empty) it is the environment as it is.
    """
    if not getattr(settings.flink, cluster).conf_dir:
        return dict(os.environ)
    return dict(os.environ) | flink_variables(open_instance(settings), cluster) | client_variables()


def client_folder() -> Path:
    """What `make install` made for the client's JVM: `lib`, its jars, and CLASSES (flink_jobs/class_archive.py)."""
    return home() / "client"


CLASSES = "classes.jsa"


def client_variables() -> dict[str, str]:
    """The variables that have the client's JVM take its classes from the archive; none if there is no archive.

    It holds for one class path, whose order Flink's scripts take from the locale. Where it does not hold, the JVM goes
    on without, and would say so between what the client prints.
    """
    folder = client_folder()
    if not (folder / CLASSES).exists():
        return {}
    options = ("-Xlog:disable", f"-XX:SharedArchiveFile={folder / CLASSES}", os.environ.get("JVM_ARGS", ""))
    return {"FLINK_LIB_DIR": str(folder / "lib"), "LC_ALL": "C.UTF-8", "JVM_ARGS": " ".join(options).strip()}


def behind_live_work(settings: Settings, cluster: str) -> tuple[str, ...]:
    """What to put before a command that works for `cluster`, so that it gets the cluster's own CPU priority.

    Planning a batch job takes as much CPU as a small one needs to run. Nothing for `realtime`, nor for a cluster of the
    user's own, which runs elsewhere.
    """
    if cluster != "batch" or not settings.flink.batch.conf_dir:
        return ()
    return _low_priority(cgroup.folder(open_instance(settings)))


def _low_priority(group: Path | None) -> tuple[str, ...]:
    return (str(ROOT / "tools" / "low-priority.sh"), str(group or "none"))


def servers(instance: Instance) -> list[Server]:
    """All servers of an instance, each one after those it needs."""
    return [*data_servers(instance), *flink_servers(instance), screen_server(instance)]


def data_servers(instance: Instance) -> list[Server]:
    """The servers that Flink reads from and writes to."""
    s, folder, run = instance.settings, instance.folder, java()
    master = f"{instance.host('hbase-master')}:{instance.ports['hbase-master-http']}"

    def jvm(part: str, main: str, *arguments: str, conf: str, heap: str, options: tuple[str, ...]) -> tuple[str, ...]:
        path = f"{folder}/conf/{conf}:{jars(part)}/*"
        temporary = f"-Djava.io.tmpdir={folder}/tmp"
        return (run, f"-Xmx{heap}", *options, temporary, "-cp", path, main, *arguments)

    kafka_conf = f"{folder}/conf/kafka/server.properties"
    kafka_log = f"-Dlog4j2.configurationFile={folder}/conf/kafka/log4j2.properties"

    def kafka(main: str, *arguments: str) -> tuple[str, ...]:
        return jvm("kafka", main, *arguments, conf="kafka", heap="400m", options=(*SMALL, kafka_log))

    def hdfs(main: str, *arguments: str) -> tuple[str, ...]:
        return jvm(
            "hadoop", f"org.apache.hadoop.hdfs.server.{main}", *arguments, conf="hadoop", heap="256m", options=SMALL
        )

    def hbase(main: str, heap: str, options: tuple[str, ...]) -> tuple[str, ...]:
        return jvm("hbase", f"org.apache.hadoop.hbase.{main}", "start", conf="hbase", heap=heap, options=options)

    format_kafka = kafka("kafka.tools.StorageTool", "format", "-t", KAFKA_CLUSTER_ID, "-c", kafka_conf)
    format_hdfs = hdfs("namenode.NameNode", "-format", "-nonInteractive")
    return [
        Server(
            "namenode",
            hdfs("namenode.NameNode"),
            ("namenode", "namenode-http"),
            lambda _: ready.namenode(s),
            prepare=lambda: _once(instance, "namenode", "current/VERSION", format_hdfs),
        ),
        Server(
            "datanode",
            hdfs("datanode.DataNode"),
            ("datanode", "datanode-ipc", "datanode-http"),
            lambda _: ready.datanode(s),
            needs=("namenode",),
        ),
        Server(
            "zookeeper",
            hbase("zookeeper.HQuorumPeer", "128m", (*SMALL, "-Dzookeeper.admin.enableServer=false")),
            ("zookeeper",),
            lambda _: ready.zookeeper(instance.host("zookeeper"), instance.ports["zookeeper"]),
        ),
        # Master and region server as processes of their own: each ends itself when it cannot write to HDFS, and only a
        # process that has ended is started again. (In one process the master lives on without a region server.)
        Server(
            "hbase-master",
            hbase("master.HMaster", "300m", (*SMALL, *HBASE_OPENS)),
            ("hbase-master", "hbase-master-http"),
            lambda _: ready.hbase_master(master),
            needs=("datanode",),
        ),
        Server(
            "hbase-regionserver",
            hbase("regionserver.HRegionServer", "500m", (*SMALL, *HBASE_OPENS)),
            ("hbase-regionserver",),
            lambda _: ready.hbase_regions(master),
            needs=("datanode",),  # it waits for the master by itself
        ),
        Server(
            "hbase-thrift",
            hbase("thrift.ThriftServer", "256m", (*SMALL, *HBASE_OPENS)),
            ("hbase-thrift",),
            lambda _: ready.hbase_thrift(s),
            needs=("datanode",),  # it waits for the master by itself, so both start at once
        ),
        Server(
            "kafka",
            kafka("kafka.Kafka", kafka_conf),
            ("kafka", "kafka-controller"),
            lambda _: ready.kafka(s),
            prepare=lambda: _once(instance, "kafka", "meta.properties", format_kafka),
        ),
        Server(
            "redis", (_redis_server(), f"{folder}/conf/redis/redis.conf"), ("redis",), lambda _: ready.redis_server(s)
        ),
    ]


def flink_servers(instance: Instance) -> list[Server]:
    """Both Flink clusters."""
    flink = instance.settings.flink
    return _cluster(instance, "realtime", flink.realtime.rest) + _cluster(instance, "batch", flink.batch.rest)


def screen_server(instance: Instance) -> Server:
    """The big screen. It needs no other server: what is missing it names."""
    conf = instance.screen_settings

    def prepare() -> None:
        if not conf.exists():
            write_screen_settings(instance, instance.settings)

    # Not the installed command: an environment may be shared by several clones.
    start = (sys.executable, "-c", "from flink_jobs.cli import main; main()", "--conf", str(conf), "serve")
    return Server(
        "screen",
        start,
        ("screen",),
        lambda _: ready.screen(screen_address(instance)),
        environment={"PYTHONPATH": str(ROOT)},
        prepare=prepare,
    )


def write_screen_settings(instance: Instance, settings: Settings) -> None:
    """Let the screen follow these settings when it starts next."""
    values = settings.model_dump(mode="json")
    if instance.contained:
        values["serving"]["listen"] = instance.host("screen")
    instance.screen_settings.write_text(to_toml(values), encoding="utf-8")


def screen_address(instance: Instance) -> str:
    """Where the screen is found, `http://host:port`."""
    listen = instance.settings.serving.listen
    host = instance.host("screen") if instance.contained or listen == "0.0.0.0" else listen
    return f"http://{host}:{instance.ports['screen']}"


def _cluster(instance: Instance, cluster: str, rest: str) -> list[Server]:
    control: tuple[str, ...] = ()
    work: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    if cluster == "batch":
        needs = ("hbase-master",)  # not that it must, but starting takes all the CPU there is, and live work goes first
        control = _low_priority(None)  # hardly any work, but it answers even when live work leaves nothing
        work = _low_priority(cgroup.folder(instance))
    # Flink's scripts run three small JVMs before the real one. A TaskManager's own options say which it has.
    variables = flink_variables(instance, cluster) | {"JDK_JAVA_OPTIONS": FIRST_COMPILER}
    scripts = flink_home() / "bin"
    reap = (sys.executable, processes.__file__, str(instance.folder))
    return [
        Server(
            f"{cluster}-jobmanager",
            (*control, str(scripts / "jobmanager.sh"), "start-foreground"),
            (f"{cluster}-rest", f"{cluster}-rpc"),
            lambda _: ready.jobmanager(rest),
            needs=needs,
            environment=variables,
        ),
        Server(
            f"{cluster}-taskmanager",
            (*work, *reap, str(scripts / "taskmanager.sh"), "start-foreground"),
            (),
            lambda pid: ready.taskmanager(rest, pid),
            needs=needs,
            environment=variables,
        ),
    ]


def _redis_server() -> str:
    found = shutil.which("redis-server")
    if not found:
        raise UserError("redis-server is not installed; run `make install`")
    return found


def _once(instance: Instance, data: str, proof: str, command: tuple[str, ...]) -> None:
    folder = instance.folder / "data" / data
    if (folder / proof).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)  # a format that was cut off left half of it
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise UserError(f"the data folder {folder} could not be formatted:\n{end}")


def fill(template: str, values: Mapping[str, object]) -> str:
    """`template` with each `{{name}}` replaced by its value; `KeyError` for a name without one."""
    return re.sub(r"\{\{([a-z.-]+)\}\}", lambda found: str(values[found[1]]), template)


def template_values(instance: Instance) -> dict[str, object]:
    """What the templates in `conf` may name: `port.NAME`, `host.SERVER` and the keys below; memory in MiB."""
    values: dict[str, object] = {f"port.{name}": port for name, port in instance.ports.items()}
    values |= {f"host.{name}": instance.host(name) for name in NAMES}
    for cluster in ("realtime", "batch"):
        told: Cluster = getattr(instance.settings.flink, cluster)
        values |= {
            f"memory.{cluster}": told.taskmanager_mb,
            f"managed.{cluster}": (told.taskmanager_mb - DIRECT_MB) * MANAGED_PERCENT // 100,
            f"compilers.{cluster}": 4 if told.second_compiler else 1,
        }
    return values | {
        "direct": DIRECT_MB,
        # What HBase's servers call each other; "localhost" needs no DNS.
        "name.hbase-master": "hbase-master" if instance.contained else "localhost",
        "name.hbase-regionserver": "hbase-regionserver" if instance.contained else "localhost",
        "folder": instance.folder,
        "instance": instance.name,
        "socket": instance.socket,
        "hdfs": instance.settings.hdfs.uri + instance.settings.hdfs.root,
        "python": sys.executable,
    }


def write_configuration(instance: Instance) -> None:
    """Fill in every template, link Flink's jars, and write supervisord's file with one program per server.

    Nothing of the instance may run meanwhile: its temporary files are thrown away.
    """
    fill_templates(instance)
    folder = instance.folder
    program = (CONF / "stack" / "program.conf").read_text()
    text = fill((CONF / "stack" / "supervisord.conf").read_text(), template_values(instance))
    for server in servers(instance):
        variables = ",".join(f'{key}="{value}"' for key, value in server.environment.items())
        text += fill(
            program,
            {
                "name": server.name,
                "folder": folder,
                "command": shlex.join(server.command),
                "environment": variables,
            },
        )
    (folder / "supervisord.conf").write_text(text)


def fill_templates(instance: Instance) -> None:
    """Write the configuration of every server, make the folders that they expect, and link Flink's jars."""
    folder = instance.folder
    values = template_values(instance)
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    for name in ("data/redis", "logs", "tmp", *(f"tmp/flink-{cluster}" for cluster in CLUSTERS)):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for part in ("kafka", "hadoop", "hbase", "redis"):
        _fill_folder(CONF / "stack" / part, folder / "conf" / part, values)
    for cluster in CLUSTERS:
        _fill_folder(CONF / "stack" / "flink", folder / f"flink-{cluster}" / "conf", values)
        _fill_folder(CONF / cluster, folder / f"flink-{cluster}" / "conf", values)
    link_flink_jars(folder / "flink")


def _fill_folder(source: Path, target: Path, values: Mapping[str, object]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir():
        (target / file.name).write_text(fill(file.read_text(), values))


def link_flink_jars(target: Path) -> None:
    """Fill the folders `lib` and `opt` of `target` with links to the jars of the installed distribution and ours."""
    wheel, ours = flink_home(), jars("flink")
    gateway = list(ours.glob("flink-sql-gateway-*.jar"))
    python = list((wheel / "opt").glob("flink-python-*.jar"))
    connectors = [jar for jar in ours.glob("*.jar") if jar not in gateway]
    # `flink run -pym` and sql-client.sh both find everything this way; pipeline.jars would serve neither.
    links = {
        "lib": [*(wheel / "lib").glob("*.jar"), *python, *connectors],
        "opt": [*(wheel / "opt").glob("*.jar"), *gateway],
    }
    for name, files in links.items():
        folder = target / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for jar in files:
            (folder / jar.name).symlink_to(jar)
