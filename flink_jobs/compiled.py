"""What must be kept of a streaming job, so that another submission can go on with its state?

Writes and reads in HDFS `{root}/jobs/{run_id}/`: `job.json` (options, table definitions, the compiled plan) and
`udfs.zip` (the functions as they were). State of a SQL job is matched by the ids of its operators, and those are
numbered as the planner meets them: one INSERT more would send state to the wrong operator. A compiled plan carries its
ids, so a run goes on as it was submitted, whatever has become of the SQL since. A change of logic is a new run.
"""

from __future__ import annotations

import io
import posixpath
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from flink_jobs import stores
from flink_jobs.errors import UserError
from flink_jobs.settings import ROOT, Settings


class CompiledJob(BaseModel):
    """A streaming job as data. `tables`: DDL of what the plan reads and writes; `sinks`: names of udfs/functions.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    options: Mapping[str, str]
    tables: list[str]
    sinks: list[str]
    plan: str


def folder(settings: Settings, run_id: str) -> str:
    """HDFS folder of what is kept of a run."""
    return f"{settings.hdfs.root}/jobs/{run_id}"


def keep(settings: Settings, compiled: CompiledJob) -> None:
    """Write it, the plan last: where there is a `job.json`, all is there."""
    place = folder(settings, compiled.run_id)
    with stores.hdfs(settings) as files:
        files.makedirs(place, exist_ok=True)
        files.pipe_file(f"{place}/udfs.zip", zip_of_functions())
        files.pipe_file(f"{place}/job.json", compiled.model_dump_json().encode())


def read(settings: Settings, run_id: str) -> CompiledJob:
    """What was kept of a run. Raises `UserError` if nothing was."""
    name = f"{folder(settings, run_id)}/job.json"
    with stores.hdfs(settings) as files:
        try:
            return CompiledJob.model_validate_json(files.cat_file(name))
        except FileNotFoundError as missing:
            raise UserError(
                f"run {run_id} cannot go on: HDFS has no {name}; only streaming runs are kept, so submit a new run"
            ) from missing
        except ValidationError as bad:
            raise UserError(f"{name} in HDFS cannot be read: {bad.errors()[0]['msg']}; submit a new run") from bad


def fetch_functions(settings: Settings, run_id: str, target: Path) -> Path:
    """Copy a run's own `udfs.zip` out of HDFS into the folder `target`; returns its path.

    Raises `UserError` if nothing was kept of the run.
    """
    name = f"{folder(settings, run_id)}/udfs.zip"
    with stores.hdfs(settings) as files:
        try:
            (target / posixpath.basename(name)).write_bytes(files.cat_file(name))
        except FileNotFoundError as missing:
            raise UserError(
                f"run {run_id} cannot go on: HDFS has no {name}; it was cleaned or never kept, so submit a new run"
            ) from missing
    return target / posixpath.basename(name)


def zip_of_functions() -> bytes:
    """The package `udfs` as it stands in the repository, zipped."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((ROOT / "udfs").iterdir()):
            if file.suffix in (".py", ".lua"):
                archive.write(file, f"udfs/{file.name}")
    return content.getvalue()
