"""Which columns of a CSV make up an order?

Reads a mapping file (TOML; `conf/import/online_retail.toml` is an example) into an `OrderMapping`; writes nothing.
Unknown keys are refused. Cells are text; what they become is for `order_import`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from flink_jobs.errors import UserError
from flink_jobs.toml_lines import Key, key_lines

LINE = "line"  # the name of the running number in a template
UNITS = {"epoch_ms": 1, "epoch_s": 1000}  # formats of integer times -> ms
DECIMAL = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?")
_BRACES = re.compile(r"\{([^{}]+)\}")


def _checked_template(template: str) -> str:
    if re.search(r"[{}]", _BRACES.sub("", template)):
        raise ValueError(f"template {template!r} has a brace too many; write columns as {{InvoiceNo}}")
    return template


def fill(template: str, values: Row) -> str:
    """The template with each name in braces replaced by its value."""
    return _BRACES.sub(lambda name: values[name[1]], template)


Row = Mapping[str, str]
Template = Annotated[str, Field(min_length=1), AfterValidator(_checked_template)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def columns(self) -> set[str]:
        """The columns of the CSV that this part needs."""
        raise NotImplementedError


class Text(_Part):
    """A text made from columns. `template`: e.g. `{InvoiceNo}-{line}`, where `{line}` counts the rows, from 1, that
    have the same `group` column. `remove`: a regular expression whose matches are cut out. `default`: a template to
    use where the result is empty.
    """

    template: Template
    group: str | None = None
    remove: re.Pattern[str] | None = None
    default: Template | None = None

    @model_validator(mode="after")
    def _counted(self) -> Text:
        if self.group is not None and LINE not in self._used():
            raise ValueError("a group is there to count its rows; write {line} into the template, or remove the group")
        return self

    def _used(self) -> set[str]:
        return set(_BRACES.findall(self.template + (self.default or "")))

    def columns(self) -> set[str]:
        return self._used() if self.group is None else (self._used() - {LINE}) | {self.group}


class Instant(_Part):
    """A time. `format`: as of Python's strptime, or `epoch_ms`, or `epoch_s`. `zone`: of a time without an offset; a
    time that comes twice when clocks go back is taken as the first. `default`: text to read where the cell is empty.
    """

    column: str
    format: str = "epoch_ms"
    zone: str | None = None
    default: str | None = None

    @field_validator("zone")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        try:
            return name if name is None else ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError) as unknown:
            raise ValueError(f"{name} is not a time zone") from unknown

    @model_validator(mode="after")
    def _placed(self) -> Instant:
        if self.format in UNITS:
            if self.zone is not None:
                raise ValueError(f"a time in {self.format} has no zone; remove the zone")
        elif "%" not in self.format:
            raise ValueError(f"format {self.format!r} is neither epoch_ms nor epoch_s nor one of strptime")
        elif ("%z" in self.format) == (self.zone is not None):
            raise ValueError("a time needs either a zone here or an offset (%z) in its format")
        return self

    def columns(self) -> set[str]:
        return {self.column}


class Amount(_Part):
    """An amount in yuan: one column, or the `product` of several. `default`: a number to use where a cell is empty."""

    column: str | None = None
    product: tuple[str, ...] = Field((), max_length=5)
    rounding: Literal["half_even", "half_up"] = "half_even"
    default: str | None = Field(None, pattern=f"^(?:{DECIMAL.pattern})$")

    @model_validator(mode="after")
    def _either(self) -> Amount:
        if (self.column is None) == (not self.product):
            raise ValueError("an amount is either a column or a product of columns")
        return self

    def factors(self) -> tuple[str, ...]:
        """The columns that are multiplied."""
        return self.product or (self.column or "",)

    def columns(self) -> set[str]:
        return set(self.factors())


class Place(_Part):
    """A province or a city, by code or by either name of the regions file. `aliases`: other spellings -> code or name.
    `default`: what to look up where the cell is empty.
    """

    column: str
    aliases: dict[str, str] = {}
    default: str | None = None

    def columns(self) -> set[str]:
        return {self.column}


class OrderMapping(_Part):
    """A mapping file. Without `city`, each province of the regions file must have one city, which is taken.

    `regions`: file, from the mapping's folder; without it the settings' regions. `delimiter`, `encoding`: of the CSV.
    """

    order_id: Text
    order_time: Instant
    user_id: Text
    amount: Amount
    province: Place
    city: Place | None = None
    ingest_time: Instant | None = None
    regions: Path | None = None
    delimiter: str = Field(",", min_length=1, max_length=1)
    encoding: str = "utf-8-sig"

    @field_validator("encoding")
    @classmethod
    def _codec(cls, name: str) -> str:
        try:
            "".encode(name)
        except LookupError as unknown:
            raise ValueError(f"{name} is not a text encoding") from unknown
        return name

    def columns(self) -> set[str]:
        parts = (self.order_id, self.order_time, self.user_id, self.amount, self.province, self.city, self.ingest_time)
        return set().union(*(part.columns() for part in parts if part is not None))


def load_mapping(path: str | Path) -> OrderMapping:
    """Read and check a mapping file; `regions` comes back as a path from the working folder.

    Raises `UserError` for a missing file or bad TOML, and one that tells each unknown key and impossible value by line.
    """
    file = Path(path)
    text = ""
    try:
        text = file.read_text(encoding="utf-8")
        mapping = OrderMapping.model_validate(tomllib.loads(text))
    except OSError as unread:
        raise UserError(
            f"mapping file {file} cannot be read ({unread.strerror}); name another with --mapping"
        ) from unread
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as bad:
        raise UserError(f"mapping file {file} is not TOML: {bad}; correct that place") from bad
    except ValidationError as bad:
        lines = key_lines(text)
        found = sorted(_mistake(error, lines) for error in bad.errors())
        told = [f"{file}{f':{line}' if line else ''}: {key}: {what}; correct that key" for line, key, what in found]
        count = "a mistake" if len(told) == 1 else f"{len(told)} mistakes"
        raise UserError("\n".join([f"mapping file {file} has {count}", *told])) from bad
    return mapping if mapping.regions is None else mapping.model_copy(update={"regions": file.parent / mapping.regions})


def _mistake(error: ErrorDetails, lines: Mapping[Key, int]) -> tuple[int, str, str]:
    """Line (0: what is missing with its table has none), key and text of one mistake."""
    key = tuple(str(part) for part in error["loc"])
    line = next((lines[key[:depth]] for depth in range(len(key), 0, -1) if key[:depth] in lines), 0)
    return line, ".".join(key), error["msg"].removeprefix("Value error, ")
