"""May the batch cluster have a CPU group of its own, so that live work goes first?

Reads and writes below `/sys/fs/cgroup`, in version 1 or 2, where the user may. Beside nice 10, which always works, the
group as a whole gets a quarter of the usual share, however many threads the batch cluster runs. A tenth was tried:
under load its processes then missed their own time-outs. They also start at the usual share, for the same reason.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from flink_jobs.stack.instance import Instance

ROOT = Path("/sys/fs/cgroup")
USUAL_V1, LOW_V1 = 1024, 256  # cpu.shares
USUAL_V2, LOW_V2 = 100, 25  # cpu.weight


def folder(instance: Instance) -> Path | None:
    """The group's folder, whether it exists or not; None where the system has no CPU controller."""
    parent = _parent()
    return parent / f"samewater-{instance.name}-batch-{instance.key}" if parent else None


def _parent() -> Path | None:
    if (ROOT / "cgroup.controllers").exists():
        return ROOT if "cpu" in (ROOT / "cgroup.controllers").read_text().split() else None
    return next((found for found in (ROOT / "cpu", ROOT / "cpu,cpuacct") if (found / "cpu.shares").exists()), None)


def make(instance: Instance) -> str | None:
    """Make the group, still with the usual share. The answer is why that was not permitted, None when it was."""
    group = folder(instance)
    if group is None:
        return "this system has no CPU cgroups"
    try:
        if (ROOT / "cgroup.controllers").exists():
            switch = ROOT / "cgroup.subtree_control"
            if "cpu" not in switch.read_text().split():
                switch.write_text("+cpu")
        group.mkdir(exist_ok=True)
        _set_share(group, USUAL_V1, USUAL_V2)
    except OSError as refused:
        return f"making {group} is not permitted ({refused.strerror})"
    return None


def _set_share(group: Path, v1: int, v2: int) -> None:
    weight = group / "cpu.weight"
    if weight.exists():
        weight.write_text(str(v2))
    else:
        (group / "cpu.shares").write_text(str(v1))


def lower(instance: Instance) -> None:
    """Give the group its low share, now that its processes have started; nothing to do without a group."""
    group = folder(instance)
    if group is not None and group.exists():
        _set_share(group, LOW_V1, LOW_V2)


def describe(instance: Instance) -> str:
    """One sentence on the priority that the batch cluster has now."""
    group = folder(instance)
    if group is None or not os.access(group / "cgroup.procs", os.W_OK):
        return "The batch cluster runs at nice 10, without a CPU cgroup"
    return f"The batch cluster runs at nice 10 and with a quarter of the usual CPU share (cgroup {group})"


def remove(instance: Instance) -> None:
    """Remove the group; its servers must have ended. A client that is still open goes on with the usual share."""
    group = folder(instance)
    if group is None or not group.exists():
        return
    try:
        for pid in (group / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()
    except OSError as refused:
        if refused.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
