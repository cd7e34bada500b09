"""May the batch cluster have a CPU group of its own, so that live work goes first?

Reads and writes below `/sys/fs/cgroup`, in version 1 or 2, where the user may. Nice 10, which always works, weighs a
thread against the others of its session; the group stands back as a whole, however many threads it runs. It is idle
(`cpu.idle`, Linux 5.15): it gets what live work leaves, and is preempted as soon as a live thread wakes. A quarter of
the usual share was too much: all live servers are one session, which the kernel weighs as one group (autogroup), so
that a backfill took a fifth of two busy cores from them. The batch cluster's own time-outs are as long as that asks for
(conf/batch/config.yaml), and its processes start at the usual share.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from flink_jobs.stack.instance import Instance

ROOT = Path("/sys/fs/cgroup")
# Where the kernel knows no cpu.idle: a hundredth of the usual share.
USUAL_V1, LOW_V1 = 1024, 10  # cpu.shares
USUAL_V2, LOW_V2 = 100, 1  # cpu.weight


def folder(instance: Instance) -> Path | None:
    """The group's folder, whether it exists or not; None where the system has no CPU controller."""
    parent = _parent()
    return parent / f"samewater-{instance.name}-batch-{instance.key}" if parent else None


def _parent() -> Path | None:
    if (ROOT / "cgroup.controllers").exists():
        return ROOT if "cpu" in (ROOT / "cgroup.controllers").read_text().split() else None
    return next((found for found in (ROOT / "cpu", ROOT / "cpu,cpuacct") if (found / "cpu.shares").exists()), None)


def make(instance: Instance) -> str | None:
    """Make the group, with the usual share. The answer is why that was not permitted, None when it was."""
    group = folder(instance)
    if group is None:
        return "this system has no CPU cgroups"
    try:
        if (ROOT / "cgroup.controllers").exists():
            switch = ROOT / "cgroup.subtree_control"
            if "cpu" not in switch.read_text().split():
                switch.write_text("+cpu")
        group.mkdir(exist_ok=True)
        _stand_back(group, False)
    except OSError as refused:
        return f"making {group} is not permitted ({refused.strerror})"
    return None


def lower(instance: Instance) -> None:
    """Let the group stand back, now that its processes have started; nothing to do without a group."""
    group = folder(instance)
    if group is not None and group.exists():
        _stand_back(group, True)


def _stand_back(group: Path, back: bool) -> None:
    idle, weight = group / "cpu.idle", group / "cpu.weight"
    if idle.exists():
        idle.write_text(str(int(back)))
    elif weight.exists():
        weight.write_text(str(LOW_V2 if back else USUAL_V2))
    else:
        (group / "cpu.shares").write_text(str(LOW_V1 if back else USUAL_V1))


def describe(instance: Instance) -> str:
    """One sentence on the priority that the batch cluster has now."""
    group = folder(instance)
    if group is None or not os.access(group / "cgroup.procs", os.W_OK):
        return "The batch cluster runs at nice 10, without a CPU cgroup"
    return f"The batch cluster runs at nice 10 and gets the CPU time that live work leaves (cgroup {group})"


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
