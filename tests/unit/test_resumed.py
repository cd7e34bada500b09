"""A run that goes on brings the functions that it began with: what resumes it must work beside those of any age."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flink_jobs.settings import ROOT


def test_what_resumes_a_run_asks_of_its_functions_no_more_than_their_names(tmp_path: Path):
    package = tmp_path / "udfs"
    package.mkdir()
    (package / "__init__.py").write_text('PREFIX = "samewater."\n', encoding="utf-8")
    (package / "functions.py").write_text("def register(tables, names): ...\n", encoding="utf-8")
    path = os.pathsep.join((str(tmp_path), str(ROOT)))
    program = "import udfs, flink_jobs.resumed; print(udfs.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(package / "__init__.py")), done.stderr
