"""By which rules are records judged, and how do they get to the functions that SQL calls?

The rules travel with a job as its parameters (`pipeline.global-job-parameters`), so that a run keeps those that it
began with. Reads and writes nothing; imports nothing of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

MINUTE_MS = 60_000


@dataclass(frozen=True)
class Rules:
    """What a verdict depends on. Durations in ms; `zone_offset_ms`: of the business zone, positive east.

    `regions`: province code -> the codes of its cities; a city code belongs to one province. `shares`: into how many
    parts the orders of one minute are divided, by the hash of their id; no figure depends on it.
    """

    lateness_ms: int
    future_ms: int
    late_copy_horizon_ms: int
    zone_offset_ms: int
    regions: Mapping[str, tuple[str, ...]]
    shares: int = 1

    @cached_property
    def places(self) -> tuple[tuple[str, str], ...]:
        """(province, city) by their number in a pack: sorted, so that it follows from the regions alone."""
        return tuple(sorted((province, city) for province, cities in self.regions.items() for city in cities))

    @cached_property
    def number_of(self) -> dict[tuple[str, str], int]:
        """(province, city) -> its number in a pack."""
        return {place: number for number, place in enumerate(self.places)}

    @cached_property
    def provinces(self) -> tuple[str, ...]:
        """Province codes, sorted."""
        return tuple(sorted(self.regions))

    @cached_property
    def province_of(self) -> np.ndarray[Any, Any]:
        """Number of a place -> number of its province."""
        number = {province: n for n, province in enumerate(self.provinces)}
        return np.array([number[province] for province, _ in self.places], np.int64)

    def as_parameters(self) -> dict[str, str]:
        """The rules as job parameters; region codes hold neither `/` nor `+`."""
        return {
            "lateness_ms": str(self.lateness_ms),
            "future_ms": str(self.future_ms),
            "late_copy_horizon_ms": str(self.late_copy_horizon_ms),
            "zone_offset_ms": str(self.zone_offset_ms),
            "regions": "+".join("/".join((province, *cities)) for province, cities in sorted(self.regions.items())),
            "shares": str(self.shares),
        }

    @classmethod
    def from_parameters(cls, parameter: Callable[[str], str]) -> Rules:
        """The rules of a job. `parameter`: gives a job parameter by its name, or raises."""
        regions = (group.split("/") for group in parameter("regions").split("+"))
        return cls(
            lateness_ms=int(parameter("lateness_ms")),
            future_ms=int(parameter("future_ms")),
            late_copy_horizon_ms=int(parameter("late_copy_horizon_ms")),
            zone_offset_ms=int(parameter("zone_offset_ms")),
            regions={province: tuple(cities) for province, *cities in regions},
            shares=int(parameter("shares")),
        )
