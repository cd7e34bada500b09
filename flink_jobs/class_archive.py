"""How does a submission start faster?

A third of what `flink run` takes is to load and verify the 15,000 classes of Flink's client and planner. Java keeps
loaded classes in an archive (class-data sharing), but only those of the class path, and Flink hides its planner in a
jar inside a jar. So the client has a folder of jars of its own, in which the planner's jar lies open; Flink's
documentation names the two as alternatives. The clusters keep theirs.

`python -m flink_jobs.class_archive`, a part of `make install`, writes that folder and the archive into
`stack.servers.client_folder()`: it runs `flink run` once, whose program (`rehearse`) plans the jobs and submits them to
a port where nobody listens. Reads the SQL and the jars.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from flink_jobs.settings import DEFAULT_FILE, ROOT, Settings
from flink_jobs.stack.servers import (
    CLASSES,
    CONF,
    client_folder,
    flink_bin,
    flink_home,
    hadoop_client,
    link_flink_jars,
)

_MODULE = "flink_jobs.class_archive"
_DAY = dt.date(2000, 1, 1)


def make() -> None:
    """Write the client's jars and the archive of their classes; the archive last, for it says that all is there."""
    folder = client_folder()
    shutil.rmtree(folder, ignore_errors=True)
    _collect_jars(folder)
    archive = folder / f"{CLASSES}.new"
    with TemporaryDirectory() as scratch, socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # taken and never listened on
        where = ("-t", "remote", "-Drest.address=127.0.0.1", f"-Drest.port={deaf.getsockname()[1]}")
        patience = ("-Drest.retry.max-attempts=0",)
        program = ("-pyclientexec", sys.executable, "-pym", _MODULE, "--", scratch)
        done = subprocess.run(
            [str(flink_bin()), "run", *where, *patience, *program],
            env=_environment(folder, Path(scratch), archive),
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    if done.returncode == 0 and archive.exists():
        archive.rename(folder / CLASSES)
        return
    # Nothing depends on it but the time that a submission takes. A Java that was installed without the archive of its
    # own classes, on which this one stands, writes none.
    said = "\n".join((done.stdout + done.stderr).splitlines()[:30])
    click.echo(f"note: Flink's classes could not be archived, so jobs are submitted more slowly. {said}", err=True)


def _collect_jars(folder: Path) -> None:
    """All in `lib`: an archive holds for each class path that begins with its own, and the SQL client puts other jars
    before those of HADOOP_CLASSPATH.
    """
    link_flink_jars(folder)
    (loader,) = (folder / "lib").glob("flink-table-planner-loader-*.jar")
    with zipfile.ZipFile(loader) as jar:
        jar.extract("flink-table-planner.jar", folder / "lib")
    loader.unlink()
    for jar_file in hadoop_client():
        (folder / "lib" / jar_file.name).symlink_to(jar_file)


def _environment(folder: Path, scratch: Path, archive: Path) -> Mapping[str, str]:
    """The variables of Flink's scripts, without an instance; Java's options are those of the instances."""
    conf = scratch / "conf"
    shutil.copytree(flink_home() / "conf", conf)
    lines = (CONF / "realtime" / "config.yaml").read_text(encoding="utf-8").splitlines(keepends=True)
    (conf / "config.yaml").write_text(
        "".join(line for line in lines if line.startswith(("env.java.opts.all", "env.java.opts.client")))
    )
    return dict(os.environ) | {
        "FLINK_HOME": str(flink_home()),
        "FLINK_CONF_DIR": str(conf),
        "FLINK_LIB_DIR": str(folder / "lib"),
        "FLINK_OPT_DIR": str(folder / "opt"),
        "FLINK_LOG_DIR": str(scratch),
        "HADOOP_CLASSPATH": "",
        "LC_ALL": "C.UTF-8",
        "JVM_ARGS": f"-Djava.io.tmpdir={scratch} -XX:ArchiveClassesAtExit={archive} -Xlog:disable",
    }


def rehearse(scratch: str) -> None:
    """Plan both jobs, in streaming and in batch, as their submission does; what is submitted reaches nobody.

    `scratch`: a folder in the place of HDFS, where to plan a batch job makes folders.
    """
    from pyflink.table import ExplainDetail
    from pyflink.util.exceptions import JavaException

    from flink_jobs import daily_report, job, realtime_dashboard
    from flink_jobs.archive_reader import Found
    from flink_jobs.log_reader import Span
    from flink_jobs.session import start

    settings = Settings.load(DEFAULT_FILE)
    here = settings.hdfs.model_copy(update={"uri": "file://", "root": scratch})
    settings = settings.model_copy(update={"hdfs": here})
    for module, mode in ((realtime_dashboard, "streaming"), (daily_report, "streaming"), (daily_report, "batch")):
        name = module.__name__.rpartition(".")[2]
        request = job.Request(name, mode, settings.kafka.topic, _DAY, _DAY, parallelism=1)
        found = Found({0: Span(0, 1)}, None)
        prepared = job.prepare_over(settings, request, found, module.options(mode, settings))
        statements = module.build(start(prepared, (*module.FUNCTIONS, *module.SINKS)))
        if mode == "batch":
            statements.explain(ExplainDetail.JSON_EXECUTION_PLAN)
            continue
        plan = statements.compile_plan()
        plan.as_json_string()
        try:
            plan.execute()
        except JavaException as refused:
            if "Connection refused" not in refused.stack_trace:
                raise


if __name__ == "__main__":
    rehearse(*sys.argv[1:]) if sys.argv[1:] else make()
