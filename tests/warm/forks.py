"""Programs in Python without the start of a Python: each in a process of its own, forked from one that stays.

`samewater` imports for a second before it does anything, the program of a job for two. Here they begin in a copy of a
process that has done so (multiprocessing's fork server); process, environment, folder, output and exit code are their
own, as a user's are. What is imported beforehand is what is installed: another copy of our code is imported anew.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired
from tempfile import TemporaryDirectory

from flink_jobs.settings import ROOT

TIMEOUT_S = 400.0
"""No program of a test works longer; the soak run says how long its own may."""
_CONTEXT = multiprocessing.get_context("forkserver")
# pytest, because a child of the fork server looks at the program that started it.
_CONTEXT.set_forkserver_preload(["pytest", "pyflink.table", "flink_jobs.cli", "udfs.rules"])
_OURS = ("flink_jobs", "serving", "udfs")


def samewater(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], flink: Path
) -> CompletedProcess[str]:
    """`samewater` with these arguments in a folder and an environment; `flink`: what stands for that command.

    Raises `TimeoutExpired` after TIMEOUT_S; the process is killed then.
    """
    return _forked(partial(_samewater, flink), ["samewater", *arguments], folder, environment)


def module(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout_s: float
) -> CompletedProcess[str]:
    """`python -u -m` with these arguments (from `-u` on), as `flink run` calls it. Raises `TimeoutExpired` too."""
    return _forked(_module, list(arguments), folder, environment, timeout_s)


def _forked(
    program: Callable[[], None],
    arguments: list[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout_s: float = TIMEOUT_S,
) -> CompletedProcess[str]:
    with TemporaryDirectory(prefix="forked-") as place:
        said = [Path(place) / name for name in ("stdout", "stderr")]
        process = _CONTEXT.Process(target=_begin, args=(program, arguments, folder, dict(environment), said))
        process.start()
        process.join(timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutExpired(arguments, timeout_s)
        # A process that died before it could open its output said nothing.
        texts = [file.read_text(encoding="utf-8") if file.exists() else "" for file in said]
        return CompletedProcess(arguments, process.exitcode, *texts)


def _begin(
    program: Callable[[], None],
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    said: Sequence[Path],
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, file in enumerate(said, start=1):
        with file.open("wb") as opened:
            os.dup2(opened.fileno(), number)
    places = [place for place in environment.get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:0] = places
    if places != [str(ROOT)]:
        for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
            del sys.modules[name]
    sys.argv = arguments
    program()


def _samewater(flink: Path) -> None:
    from flink_jobs import cli, stack

    stack.flink_bin = lambda: flink
    cli.main()


def _module() -> None:
    unbuffered, by_name, name, *rest = sys.argv
    if (unbuffered, by_name) != ("-u", "-m"):
        raise ValueError(f"not a module that `flink run` starts: {sys.argv}")
    sys.argv = [name, *rest]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
