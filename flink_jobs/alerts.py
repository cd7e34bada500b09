"""When must somebody look, and what do they do then?

Reads conf/prometheus/alerts.yaml, the one place where the thresholds stand: Prometheus loads that file, and `samewater
health` judges a look by it. To be readable by both, an expression is a metric, a comparison and a number; anything else
is refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from flink_jobs.errors import UserError
from flink_jobs.metrics import METRICS, PREFIX, Sample
from flink_jobs.settings import ROOT

RULES = ROOT / "conf" / "prometheus" / "alerts.yaml"
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Rule(NamedTuple):
    """One alert: it fires for each sample of `metric` (without prefix) that compares so with `threshold`."""

    name: str
    metric: str
    compare: str
    threshold: float
    severity: str
    summary: str
    action: str


class Alert(NamedTuple):
    """A rule that fired: `summary` with the sample's labels and value filled in."""

    name: str
    severity: str
    summary: str
    action: str


def load_rules(file: Path = RULES) -> list[Rule]:
    """The rules of a file. Raises `UserError` for one that Prometheus would take and we could not judge by."""
    rules: list[Rule] = []
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            form = re.fullmatch(rf"{PREFIX}([a-z_]+) (==|!=|>=|<=|>|<) ([0-9.]+)", rule["expr"])
            if form is None or form[1] not in METRICS:
                raise UserError(f"{file}: {rule['alert']}: {rule['expr']!r} is not `metric comparison number`")
            note = rule["annotations"]
            rules.append(
                Rule(
                    rule["alert"],
                    form[1],
                    form[2],
                    float(form[3]),
                    rule["labels"]["severity"],
                    note["summary"],
                    note["action"],
                )
            )
    return rules


def firing(rules: Iterable[Rule], samples: Iterable[Sample]) -> list[Alert]:
    """What somebody must look at, in the order of the rules."""
    samples = list(samples)
    return [
        Alert(rule.name, rule.severity, _filled(rule.summary, sample), rule.action)
        for rule in rules
        for sample in samples
        if sample.metric == rule.metric and _COMPARE[rule.compare](sample.value, rule.threshold)
    ]


def _filled(text: str, sample: Sample) -> str:
    value = f"{sample.value:.2f}" if 0 < sample.value < 1 else f"{sample.value:.0f}"
    labels = sample.named
    return re.sub(r"\{\{ \$(?:labels\.([a-z_]+)|value) \}\}", lambda m: labels[m[1]] if m[1] else value, text)
