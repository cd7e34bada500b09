"""The archive of the client's classes holds for the class paths that Flink's scripts make."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from flink_jobs.stack import servers

WHEEL = servers.flink_home()


@pytest.mark.parametrize("script", [servers.flink_bin(), servers.sql_client()], ids=["flink", "sql-client"])
def test_the_classes_of_the_client_come_from_the_archive(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    loaded = tmp_path / "loaded"
    monkeypatch.setenv("JVM_ARGS", f"-Xlog:class+load:file={loaded}")
    environment = {
        **os.environ,
        "FLINK_HOME": str(WHEEL),
        "FLINK_CONF_DIR": str(WHEEL / "conf"),
        "FLINK_OPT_DIR": str(servers.client_folder() / "opt"),
        "FLINK_LOG_DIR": str(tmp_path),
        "HADOOP_CLASSPATH": ":".join(map(str, servers.hadoop_client())),
        **servers.client_variables(),
    }
    subprocess.run([str(script), "--help"], env=environment, capture_output=True, check=True)
    flinks = re.findall(r" (org\.apache\.flink\.\S+) source: (.*)", loaded.read_text())
    archived = [name for name, source in flinks if source == "shared objects file (top)"]
    assert len(archived) > 30
    assert len(archived) > 0.7 * len(flinks), flinks


def test_without_an_archive_nothing_is_asked_of_the_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SAMEWATER_HOME", str(tmp_path))
    assert servers.client_variables() == {}
