"""What was measured, and on what: gathered during a run, written as JSON and as Markdown.

A figure is one number of one round; a ratio is taken round by round, between figures of the same round, so that a
machine whose speed drifts does not decide it. Nothing here judges.
"""

from __future__ import annotations

import datetime as dt
import json
import platform
import re
import statistics
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil

from flink_jobs.settings import ROOT
from tests.bench import place

PACKAGES = ("apache-flink", "confluent-kafka", "orjson", "redis", "happybase")
JARS = ("flink", "flink.kafka", "kafka", "hbase", "hadoop")


@dataclass
class Section:
    """name -> unit and a value per round; the order of the names is that of the report."""

    values: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    ratios: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Figures:
    """title -> section of the report."""

    sections: dict[str, Section] = field(default_factory=dict)

    def section(self, title: str) -> None:
        """What is noted from now on stands under this title."""
        self._open = self.sections.setdefault(title, Section())

    def add(self, name: str, value: float, unit: str) -> None:
        """Note one value of this round."""
        self._open.units[name] = unit
        self._open.values.setdefault(name, []).append(value)

    def resources(self, label: str, pauses: list[float], checkpoints: list[tuple[float, float]]) -> None:
        """Note what a streaming run cost besides time: pauses (ms), checkpoints (MiB, s)."""
        self.add(f"longest pause, {label}", max(pauses, default=0.0), "ms")
        self.add(f"all pauses, {label}", sum(pauses), "ms")
        if checkpoints:
            self.add(f"largest checkpoint, {label}", max(size for size, _ in checkpoints), "MiB")
            self.add(f"slowest checkpoint, {label}", max(took for _, took in checkpoints), "s")

    def compare(self, one: str, other: str) -> None:
        """Ask for the ratio one/other of two figures of this section, round by round."""
        if (one, other) not in self._open.ratios:
            self._open.ratios.append((one, other))

    def rows(self) -> list[dict[str, Any]]:
        """Section, name, unit, rounds, min, median, max and values of every figure and ratio."""
        found = []
        for title, section in self.sections.items():
            series = [(name, section.units[name], values) for name, values in section.values.items()]
            for one, other in section.ratios:
                if one in section.values and all(section.values.get(other, [0])):  # nothing is a ratio to none
                    pairs = [a / b for a, b in zip(section.values[one], section.values[other], strict=False)]
                    series.append((f"{one} / {other}", "ratio", pairs))
            found += [
                {
                    "section": title,
                    "name": name,
                    "unit": unit,
                    "rounds": len(values),
                    "min": min(values),
                    "median": statistics.median(values),
                    "max": max(values),
                    "values": values,
                }
                for name, unit, values in series
            ]
        return found


def machine() -> dict[str, str]:
    """What the figures were measured on, and with which versions."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=True).stderr.splitlines()[0]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    pom = ElementTree.parse(ROOT / "conf/maven/pom.xml")
    properties = {tag.tag.rpartition("}")[2]: tag.text or "" for tag in pom.iter()}
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit or "unknown",
        "cpu": f"{psutil.cpu_count()} × {cpu[1] if cpu else platform.processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "kernel": platform.release(),
        "live TaskManager": f"{place.TASKMANAGER_MB} MiB",
        "load before": f"{psutil.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "java": java,
        **{name: version(name) for name in PACKAGES},
        **{f"{name} (jar)": properties[f"{name}.version"] for name in JARS},
    }


def write(folder: Path, about: dict[str, str], figures: Figures) -> Path:
    """Write `bench.json` and `bench.md`; returns the latter's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = figures.rows()
    (folder / "bench.json").write_text(
        json.dumps({"machine": about, "figures": rows}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    lines = ["# Benchmark of Samewater", "", "| machine | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in about.items()]
    for title, part in groupby(rows, key=lambda row: row["section"]):
        lines += ["", f"## {title}", "", "| figure | unit | rounds | min | median | max |", "|---|---|---|---|---|---|"]
        lines += [
            f"| {row['name']} | {row['unit']} | {row['rounds']} | {_short(row['min'])} | {_short(row['median'])} "
            f"| {_short(row['max'])} |"
            for row in part
        ]
    report = folder / "bench.md"
    report.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return report


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
