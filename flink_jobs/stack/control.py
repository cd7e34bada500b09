"""Start, stop, show and restart the servers of an instance.

Reads and writes the instance's folder; talks to its supervisord over a Unix socket. Servers start in parallel as far as
their needs permit, and count as started when they have answered a real question (`ready`).
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport
from tenacity import (
    Retrying,
    retry_if_not_exception_type,
    sleep_using_event,
    stop_after_delay,
    stop_any,
    stop_when_event_set,
    wait_fixed,
)

from flink_jobs.errors import UserError
from flink_jobs.stack import cgroup, processes
from flink_jobs.stack.instance import Instance, is_free
from flink_jobs.stack.servers import Server, servers, write_configuration

START_SECONDS = 180  # for one server, once what it needs is ready
STOP_SECONDS = 60  # more than stopwaitsecs in conf/stack/program.conf, after which supervisord kills
# supervisord gave up on these, or was told to stop them.
DOWN_STATES = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")
# Stopped last, one after the other: HBase closes its regions through ZooKeeper (where that is gone it waits for most of
# a minute), and writes to HDFS until its end.
LAST = (("zookeeper",), ("namenode", "datanode"))
Say = Callable[[str], None]


class _GivenUp(Exception):
    """Waiting longer makes no sense."""


@dataclass(frozen=True)
class Row:
    """One server as `status` shows it. `rss_mb` includes child processes; `uptime_s` is 0 when it does not run."""

    server: str
    state: str
    pid: int
    port: int
    rss_mb: int
    uptime_s: int


def _supervisor(instance: Instance) -> Any:
    # A proxy belongs to one thread, so each use makes its own.
    return xmlrpc.client.ServerProxy(
        "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{instance.socket}")
    ).supervisor


def supervisord_pid(instance: Instance) -> int | None:
    """supervisord's process id, None when it does not run."""
    try:
        return int(_supervisor(instance).getPID())
    except (OSError, http.client.HTTPException):
        return None


def up(instance: Instance, say: Say, without: Collection[str] = ()) -> None:
    """Start what does not run yet and wait until all servers are of use, telling each one as it becomes ready.

    `without`: servers that are left as they are for now. Raises `UserError` naming the first server that did not, with
    the end of its log; what has started goes on running.
    """
    begin = time.monotonic()
    with instance.lock():
        refused = None
        if supervisord_pid(instance) is None:
            refused = _start_supervisord(instance)
        _refuse_another_version(instance)
        processes.end(processes.find_orphans(instance.folder, supervisord_pid(instance)))
        _start(instance, [server for server in servers(instance) if server.name not in without], say)
        if not without:
            cgroup.lower(instance)
    if not without:
        say(cgroup.describe(instance) + (f": {refused}." if refused else "."))
    say(f"Instance {instance.name} is up after {time.monotonic() - begin:.1f} s.")


def _start_supervisord(instance: Instance) -> str | None:
    processes.end(list(processes.marked(instance.folder).values()))  # left by a supervisord that was killed
    _check_ports(instance, servers(instance))
    refused = cgroup.make(instance)
    write_configuration(instance)
    instance.socket.unlink(missing_ok=True)
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "USER", "JAVA_HOME") if key in os.environ}
    # Else as bare as on any other machine: what a server does must not depend on the shell it was started from.
    environment = kept | {
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "TMPDIR": str(instance.folder / "tmp"),
        "MALLOC_ARENA_MAX": "2",  # without it the C library keeps an arena per thread and core
        "SAMEWATER_INSTANCE": instance.name,
        processes.MARK: str(instance.folder),
    }
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(instance.folder / "supervisord.conf")]
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30
    )
    if done.returncode != 0:
        raise UserError(f"supervisord did not start: {done.stdout}{done.stderr}")

    def answers() -> None:
        if supervisord_pid(instance) is None:
            raise OSError("it does not answer on its socket")

    try:
        _patiently(answers, 15)
    except OSError as silent:
        raise UserError(f"supervisord did not start: {silent}; see {instance.logs / 'supervisord.log'}") from silent
    return refused


def _refuse_another_version(instance: Instance) -> None:
    known = {info["name"] for info in _supervisor(instance).getAllProcessInfo()}
    missing = [server.name for server in servers(instance) if server.name not in known]
    if missing:
        raise UserError(
            f"instance {instance.name} was started by a version that has no {', '.join(missing)}; "
            "run `samewater down` once, and then this again"
        )


def _patiently(ask: Callable[[], None], seconds: float, enough: threading.Event | None = None) -> None:
    """Ask until there is no exception, at most for so long or until `enough` is set; then the last one is raised."""
    enough = enough or threading.Event()
    for attempt in Retrying(
        stop=stop_any(stop_after_delay(seconds), stop_when_event_set(enough)),
        sleep=sleep_using_event(enough),
        wait=wait_fixed(0.5),
        retry=retry_if_not_exception_type(_GivenUp),
        reraise=True,
    ):
        with attempt:
            ask()


def _start(instance: Instance, wanted: Iterable[Server], say: Say) -> None:
    control = _supervisor(instance)
    states = {info["name"]: info["statename"] for info in control.getAllProcessInfo()}
    wanted = list(wanted)
    stopped = {server.name for server in wanted if states[server.name] in DOWN_STATES}
    _check_ports(instance, [server for server in wanted if server.name in stopped])
    begin = time.monotonic()
    tasks: dict[str, Future[None]] = {}
    enough = threading.Event()

    def bring_up(server: Server) -> None:
        for need in server.needs:
            if need in tasks:
                tasks[need].result()
        if server.name in stopped:
            _launch(instance, server)
        _await(instance, server, enough)
        where = f"127.0.0.1:{instance.ports[server.ports[0]]}" if server.ports else ""
        say(f"{server.name:<21} ready after {time.monotonic() - begin:5.1f} s  {where}".rstrip())

    with ThreadPoolExecutor(len(wanted)) as pool:
        for server in wanted:
            tasks[server.name] = pool.submit(bring_up, server)
        try:
            done, _ = wait(tasks.values(), return_when=FIRST_EXCEPTION)
        finally:  # the first failure, or Ctrl-C, ends the waiting for the others
            enough.set()
    for task in done:
        task.result()


def _check_ports(instance: Instance, stopped: Iterable[Server]) -> None:
    for server in stopped:
        for port in (instance.ports[name] for name in server.ports):
            if not is_free(port):
                raise UserError(
                    f"port {port} for {server.name} is taken by {processes.listener(port)}; "
                    "stop that, or use other ports: `samewater up --instance NAME`"
                )


def _launch(instance: Instance, server: Server) -> None:
    if server.prepare:
        server.prepare()
    _supervisor(instance).startProcess(server.name, False)


def _await(instance: Instance, server: Server, enough: threading.Event) -> None:
    control = _supervisor(instance)
    seen: set[int] = set()

    def ask() -> None:
        info = control.getProcessInfo(server.name)
        seen.add(info["pid"])
        if info["statename"] in DOWN_STATES or len(seen - {0}) > 2:
            raise _GivenUp("its process ended")
        server.ask(info["pid"])

    begin = time.monotonic()
    try:
        _patiently(ask, START_SECONDS, enough)
    except Exception as last:  # whatever the client library raises: it is told, with the server's own words
        file = log_file(instance, server.name)
        raise UserError(
            f"{server.name} was not ready after {time.monotonic() - begin:.0f} s ({last or type(last).__name__}); "
            f"the end of {file}:\n{tail(file, 25)}"
        ) from last


def down(instance: Instance, say: Say, purge: bool = False) -> None:
    """Stop all servers and make sure that no process of the instance is left; `purge` removes its folder too."""
    with instance.lock():
        pid = supervisord_pid(instance)
        if pid is not None:
            control = _supervisor(instance)
            names = [info["name"] for info in control.getAllProcessInfo()]
            first = [name for name in names if name not in chain(*LAST)]
            for together in (first, *LAST):
                _stop(instance, together)
            process = psutil.Process(pid)
            control.shutdown()
            psutil.wait_procs([process], timeout=STOP_SECONDS)
        left = list(processes.marked(instance.folder).values())
        processes.end(left)
        instance.socket.unlink(missing_ok=True)
        cgroup.remove(instance)
        if purge:
            shutil.rmtree(instance.folder)
    said = "is stopped" if pid is not None or left else "was not running"
    say(f"Instance {instance.name} {said}{' and its folder removed' if purge else ''}; no process of it is left.")


def _stop(instance: Instance, names: Iterable[str]) -> None:
    control = _supervisor(instance)
    running = [name for name in names if control.getProcessInfo(name)["statename"] not in DOWN_STATES]
    for name in running:
        control.stopProcess(name, False)

    def have_stopped() -> None:
        rest = [name for name in running if control.getProcessInfo(name)["statename"] not in DOWN_STATES]
        if rest:
            raise UserError(f"{', '.join(rest)} did not stop within {STOP_SECONDS} s")

    _patiently(have_stopped, STOP_SECONDS)


def restart(instance: Instance, name: str, say: Say) -> None:
    """Stop one server, end what it left behind, start it and wait until it is ready again."""
    with instance.lock():
        server = _down_one(instance, name)
        _start(instance, [server], say)


def down_one(instance: Instance, name: str, say: Say) -> None:
    """Stop one server, with what it left behind; `up` starts it again."""
    with instance.lock():
        _down_one(instance, name)
    say(f"{name} of instance {instance.name} is stopped; `samewater up` starts it again.")


def _down_one(instance: Instance, name: str) -> Server:
    server = next((server for server in servers(instance) if server.name == name), None)
    if server is None:
        raise _unknown(instance, name)
    pid = supervisord_pid(instance)
    if pid is None:
        raise UserError(f"instance {instance.name} is not running; `samewater up` starts it")
    _refuse_another_version(instance)
    _stop(instance, [name])
    processes.end(processes.find_orphans(instance.folder, pid))
    return server


def status(instance: Instance) -> list[Row]:
    """What each server does now."""
    infos = {}
    if supervisord_pid(instance) is not None:
        infos = {info["name"]: info for info in _supervisor(instance).getAllProcessInfo()}
    rows = []
    for server in servers(instance):
        info = infos.get(server.name, {"statename": "STOPPED", "pid": 0, "start": 0, "now": 0})
        pid = info["pid"]
        rows.append(
            Row(
                server=server.name,
                state=info["statename"],
                pid=pid,
                port=instance.ports[server.ports[0]] if server.ports else 0,
                rss_mb=round(processes.memory(pid) / 2**20) if pid else 0,
                uptime_s=info["now"] - info["start"] if pid else 0,
            )
        )
    return rows


def log_file(instance: Instance, name: str) -> Path:
    """The log of one server; `UserError` for a name that is none."""
    if name not in {server.name for server in servers(instance)}:
        raise _unknown(instance, name)
    return instance.logs / f"{name}.log"


def _unknown(instance: Instance, name: str) -> UserError:
    return UserError(f"there is no server {name!r}; the servers are {', '.join(s.name for s in servers(instance))}")


def tail(file: Path, lines: int) -> str:
    """The last lines of a log file; says so when there is none."""
    if not file.exists():
        return "(nothing was logged)"
    with open(file, "rb") as f:
        f.seek(max(0, file.stat().st_size - 400 * lines - 10_000))
        return "\n".join(f.read().decode(errors="replace").splitlines()[-lines:])
