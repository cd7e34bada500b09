"""Is the process that left a claim or a lease behind still there?"""

from __future__ import annotations

import os
import socket

import psutil


def own() -> tuple[str, int, float]:
    """Host, pid and start (s since the epoch) of this process; the start, because a pid is used again."""
    return socket.gethostname(), os.getpid(), psutil.Process().create_time()


def is_gone(host: str, pid: int, started: float) -> bool | None:
    """Whether that process has ended; None if it ran on another machine, of which nothing is known here."""
    if host != socket.gethostname():
        return None
    try:
        # The start is counted from the clock, which may be set; no pid is used again within seconds.
        return abs(psutil.Process(pid).create_time() - started) > 5
    except psutil.NoSuchProcess:
        return True
