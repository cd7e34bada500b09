"""What do the files under `sql/` say, once they are filled?

Reads them; writes nothing. `${name}` in a file stands for a value or a fragment, `\\i queries/daily_sales` on a line of
its own for another file. Stream and batch, jobs and SQL client read the same files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flink_jobs.errors import UserError
from flink_jobs.settings import CLOCK_AHEAD_MS, EARLIEST_INGEST, HOUR_MS, MINUTE_MS, ROOT, Settings

if TYPE_CHECKING:
    from udfs.rules import Rules

SQL = ROOT / "sql"
CLIENT = "client"  # the folder of the SQL client's scripts
NO_LOGIC = (SQL / CLIENT, SQL / "bind" / "archive")
"""Folders of what only puts the logic together, and of where the log is read from once it is archived."""
PACED = {"streaming": "", "batch": " CROSS JOIN (VALUES (0)) AS single (zero)"}
"""What stands between an aggregate over packs and the Python function that takes them, by mode.

At the end of its input a batch sort gives all its rows in one go, and a Python function in the same task could not end
a bundle meanwhile: input and results of a whole day would stand on the heap. A join begins a task of its own, which
takes row by row and ends bundles by time (`job.JUDGED_IN_BATCH`). A join with one row changes nothing else.
"""
WATERMARK = {"streaming": "CURRENT_WATERMARK(safe_time)", "batch": "CAST(NULL AS TIMESTAMP(3))"}
"""How far the time of the log has come where a record is judged, by mode: in batch nothing is late."""
ORDER_VIEWS = ("judged", "packs", "complete_minutes")
"""What every job stands on, in the order in which they are made."""


def interval(ms: int) -> str:
    """A duration in ms as a SQL interval literal, exact to the millisecond.

    >>> interval(300_001)
    "INTERVAL '0 00:05:00.001' DAY TO SECOND(3)"
    """
    minutes, rest = divmod(ms, 60_000)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return f"INTERVAL '{days} {hour:02d}:{minute:02d}:{rest // 1000:02d}.{rest % 1000:03d}' DAY TO SECOND(3)"


def rule_values(settings: Settings, rules: Rules) -> dict[str, str]:
    """The values that SQL takes from the settings, and those that only its functions take: all of them are logic."""
    time = settings.time
    told = {name: value for name, value in rules.as_parameters().items() if name != "shares"}
    return told | {
        "lateness": interval(time.lateness_ms),
        "clock_skew": interval(time.clock_skew_ms),
        "gathering": interval(time.lateness_ms + time.future_ms + MINUTE_MS),
        # An outage that is not longer does not make a minute's provisional sum begin anew.
        "sums_remembered": f"{max(6 * HOUR_MS, 4 * (time.lateness_ms + time.future_ms + time.clock_skew_ms))} ms",
    }


def ingest_bounds(until: int | None) -> dict[str, str]:
    """Between which ingest times a record's clock can be right, for `sql/fragments/safe_time.sql`.

    `until`: exclusive, epoch ms; None: by the clock on the wall as it goes, `CLOCK_AHEAD_MS` ahead of it.
    """
    by_the_wall = f"CURRENT_TIMESTAMP + {interval(CLOCK_AHEAD_MS)}"
    return {
        "ingest_from": str(EARLIEST_INGEST),
        "ingest_until": by_the_wall if until is None else f"TO_TIMESTAMP_LTZ({until}, 3)",
    }


class SqlFiles:
    """The files, filled for one mode.

    mode: `streaming` or `batch`. rules (of the data) and places (of a run): what `${name}` stands for; a fragment
    (`sql/fragments/name.sql`) may be named too.
    """

    def __init__(self, settings: Settings, mode: str, rules: Mapping[str, str], places: Mapping[str, str]) -> None:
        if mode not in ("streaming", "batch"):
            raise UserError(f"mode {mode} is unknown; choose streaming or batch")
        self.mode = mode
        self._rules = dict(rules)
        defaults = {
            "log": "",
            "log_table": "orders",
            "counting": "accepted_packs",
            "verdicts": "verdicts_counted",
            "stretches": "stretches",
            "told": "marker",
            **ingest_bounds(None),
        }
        self._values = {
            **defaults,
            **rules,
            **places,
            "keys_remembered": self._keys_remembered(settings),
            "paced": PACED[mode],
            "watermark": WATERMARK[mode],
        }
        self._read: dict[str, str] = {}

    def _keys_remembered(self, settings: Settings) -> str:
        """The frame of `late_orders`. Batch keeps no state and its code generator fails on a frame of time (2.2.1)."""
        if self.mode == "batch":
            return "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        # A late record stands at the end of its hour.
        remembered = interval(settings.time.late_copy_horizon_ms + HOUR_MS)
        return f"RANGE BETWEEN {remembered} PRECEDING AND CURRENT ROW"

    @property
    def logic_version(self) -> str:
        """First 12 hex digits of the digest over the SQL read so far, the rules that fill it, and the functions.

        Where data comes from (topic, offsets, days, run, log or archive) is no logic: two runs of the same logic share
        the digest.
        """
        code = {file.name: file.read_text(encoding="utf-8") for file in (ROOT / "udfs").iterdir() if file.is_file()}
        parts = {**self._read, **{f"rule {k}": v for k, v in self._rules.items()}, **code}
        text = "\n".join(f"{name}\n{part}" for name, part in sorted(parts.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def also(self, **values: str) -> None:
        """Give further values; they are no part of the logic."""
        self._values |= values

    def sql(self, name: str, **values: str) -> str:
        """The statement of `sql/<name>.sql`, comments stripped and filled; `values`: others than those of the run.

        Raises `UserError` for a file that does not exist or names a value that nobody gave.
        """
        return self._filled(SQL / f"{name}.sql", (), values)

    def _filled(self, file: Path, inside: tuple[str, ...], given: Mapping[str, str]) -> str:
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError as missing:
            raise UserError(f"{file.relative_to(ROOT)} does not exist") from missing
        if file.parent not in NO_LOGIC:
            self._read[file.stem] = text
        text = re.sub(r"^\s*--.*\n?", "", text, flags=re.MULTILINE).strip()
        values = {**self._values, **given}
        # `$` also occurs in JSON paths and patterns; only ${name} is a placeholder.
        for name in set(re.findall(r"\$\{([a-z_]+)\}", text)) - values.keys():
            if name in inside or not (SQL / "fragments" / f"{name}.sql").exists():
                raise UserError(f"{file.relative_to(ROOT)} names ${{{name}}}, which has no value")
            values[name] = self._filled(SQL / "fragments" / f"{name}.sql", (*inside, name), given)
        text = re.sub(r"\$\{([a-z_]+)\}", lambda match: values[match[1]], text)
        return re.sub(r"^\\i ([a-z_/]+)", lambda match: self.sql(match[1], **given), text, flags=re.MULTILINE)
