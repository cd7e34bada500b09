"""Which processes belong to an instance, and which of them has nobody looking after it any more?

Reads `/proc` through psutil. supervisord and all that it starts, at any depth, carry `SAMEWATER_FOLDER` in their
environment; the name of a process or its user would prove nothing. Only processes marked so are ever ended.

`python processes.py FOLDER COMMAND…` ends the orphans of the instance in FOLDER and becomes COMMAND. A TaskManager is
started so: when one is killed, its Python workers (180 MB each) live on, and only its successor can know. By its path,
not as a module of the package: it need not import all of that before each start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from flink_jobs.errors import UserError

MARK = "SAMEWATER_FOLDER"


def marked(folder: Path) -> dict[int, psutil.Process]:
    """All living processes of the instance in this folder, by process id."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # ended meanwhile, or another user's: neither is ours
    found.pop(os.getpid(), None)
    return found


def orphans(parents: Mapping[int, int], supervisord: int | None) -> set[int]:
    """Those of our processes that do not descend from supervisord (`parents`: process id to its parent's).

    A Python worker whose TaskManager was killed is one: nobody will end it.
    """

    def is_looked_after(pid: int) -> bool:
        while pid in parents:
            if pid == supervisord:
                return True
            pid = parents[pid]
        return False

    return {pid for pid in parents if not is_looked_after(pid)}


def find_orphans(folder: Path, supervisord: int | None) -> list[psutil.Process]:
    """The orphans of the instance in this folder, as they are now."""
    ours = marked(folder)
    parents = {}
    for pid, process in ours.items():
        try:
            parents[pid] = process.ppid()
        except psutil.NoSuchProcess:
            continue
    return [ours[pid] for pid in orphans(parents, supervisord)]


def end(processes: list[psutil.Process], patience: float = 5) -> None:
    """Ask these processes to end, then kill them; `UserError` when one is still there."""
    for process in processes:
        try:
            process.terminate()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(processes, timeout=patience)
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(alive, timeout=patience)
    if alive:
        raise UserError(f"processes {', '.join(str(p.pid) for p in alive)} could not be ended; end them by hand")


def listener(port: int) -> str:
    """Who listens on this port of this machine, for a message: `process 12 (redis-server)`, or what is known."""
    for connection in psutil.net_connections("tcp"):
        if (
            connection.status == psutil.CONN_LISTEN
            and connection.laddr
            and connection.laddr.port == port
            and connection.pid
        ):
            return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return "a process of another user"


def memory(pid: int) -> int:
    """Resident bytes of a process and all its children (the Python workers of a TaskManager)."""
    total = 0
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


if __name__ == "__main__":
    _folder, *_command = sys.argv[1:]
    # Whoever starts this is supervisord: what does not descend from it has nobody.
    end(find_orphans(Path(_folder), os.getppid()))
    os.execv(_command[0], _command)
