"""How do the days before a report, and its provinces, look?

Pure: draws SVG for the page of the full report. Same figures, same bytes: no date, no random ids. Text stays text, so
that the reader's own fonts show it and a search finds it.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, QUIET, DAY, SAME_WEEKDAY, OTHER, BAR = "#1c2733", "#8a94a0", "#0b5c8a", "#7fb0cc", "#d3dce3", "#8fbdd6"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "samewater",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#e6eaee",
}


def days(amounts: Mapping[dt.date, Decimal | None], day: dt.date) -> str:
    """The amount (yuan) of each day as a bar, the day and its weekday marked; None: the day is not published."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(7.2, 2.3)
        shown = list(amounts)
        colours = [DAY if d == day else SAME_WEEKDAY if d.weekday() == day.weekday() else OTHER for d in shown]
        unit, name = _unit([value for value in amounts.values() if value is not None])
        heights = [0.0 if amounts[d] is None else float((amounts[d] or 0) / unit) for d in shown]
        axes.bar(range(len(shown)), heights, color=colours, width=0.8)
        for at, when in enumerate(shown):
            if amounts[when] is None:
                axes.text(at, 0, "?", ha="center", va="bottom", color=QUIET)
        axes.set_xticks(
            [at for at, when in enumerate(shown) if (day - when).days % 7 == 0],
            [f"{when:%m-%d}" for when in shown if (day - when).days % 7 == 0],
        )
        axes.set_ylabel(name)
        axes.grid(axis="y")
        return _svg(figure)


def ranking(places: Sequence[tuple[str, Decimal, Decimal | None]]) -> str:
    """Places by amount (yuan), the first on top: (name, amount, amount of the same day last week or None)."""
    with mpl.rc_context(_STYLE):
        figure, axes = _canvas(7.2, 0.6 + 0.085 * len(places))
        unit, name = _unit([amount for _, amount, _ in places])
        at = range(len(places))
        axes.barh(at, [float(amount / unit) for _, amount, _ in places], color=BAR, height=0.66)
        known = [(y, float(before / unit)) for y, (_, _, before) in zip(at, places, strict=True) if before is not None]
        axes.scatter(
            [x for _, x in known], [y for y, _ in known], marker="|", s=20, color=INK, linewidths=1.4, zorder=3
        )
        axes.set_yticks(at, [place for place, _, _ in places])
        axes.set_ylim(len(places) - 0.4, -0.6)
        axes.set_xlabel(f"{name}; | the same day last week" if known else name)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0, labelsize=6)
        return _svg(figure)


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _unit(values: Sequence[Decimal]) -> tuple[Decimal, str]:
    """What the axis counts in, so that its labels stay short."""
    largest = max((abs(value) for value in values), default=Decimal(0))
    for size, name in ((10**6, "million yuan"), (10**3, "thousand yuan")):
        if largest >= size:
            return Decimal(size), name
    return Decimal(1), "yuan"


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return text.getvalue()[text.getvalue().index("<svg") :]
