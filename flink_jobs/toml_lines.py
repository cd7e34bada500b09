"""On which line of a TOML file does each key stand?

Reads the text of a file, writes nothing. `tomllib` gives values without places. It is asked again, statement by
statement: whether a newline ends a statement or lies inside an array or a multi-line string is then decided by the
parser itself, not by a second one of ours.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Key = tuple[str, ...]
"""A key with the tables around it: `lateness_ms` of `[time]` is ("time", "lateness_ms")."""


def key_lines(text: str) -> dict[Key, int]:
    """Key -> line (from 1) where its statement begins, for keys and tables alike; an inline table's keys have its line.

    `text` must be TOML. A table that is only named inside other names has the line of the first of them. Elements of
    arrays are not told apart.
    """
    lines: dict[Key, int] = {}
    for line, header, paths in _keys(text):
        if header:
            lines[paths.pop()] = line  # a table's own header is a better place than a longer name before it
        for path in paths:
            lines.setdefault(path, line)
    return lines


def repeated_key(text: str, near: int) -> tuple[int, Key, int]:
    """What the parser calls a second declaration: the line where its statement begins, the key, its first line.

    `near`: a line of that statement, from 1.
    """
    first: dict[Key, int] = {}
    line, paths = near, list[Key]()
    for begin, _, named in _keys(text):
        if begin > near:
            break
        first = {**dict.fromkeys(paths, line), **first}
        line, paths = begin, named
    key = next((path for path in reversed(paths) if path in first), ())
    return line, key, first.get(key, line)


def unfinished_line(text: str) -> int:
    """Line where the statement begins that the end of the text cuts off."""
    after = max((line + statement.count("\n") for line, statement, _ in _statements(text)), default=1)
    rest = text.split("\n")[after - 1 :]
    return after + next((n for n, line in enumerate(rest) if not _is_empty(line)), 0)


def _keys(text: str) -> Iterator[tuple[int, bool, list[Key]]]:
    """Each statement: its line, whether it is the header of a table, and the keys that it names, the table's last."""
    table: Key = ()
    for line, statement, values in _statements(text):
        paths = list(_paths(values))
        header = statement.startswith("[")
        if header:
            table = paths[-1]
        yield line, header, paths if header else [(*table, *path) for path in paths]


def _statements(text: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """Each statement with the line where it begins and what it says by itself."""
    begin, pending = 1, ""
    # Not splitlines(): TOML ends a line at \n only, and strings may hold the other characters that Python breaks at.
    for number, line in enumerate(text.split("\n"), start=1):
        if not pending and _is_empty(line):
            continue
        if not pending:
            begin = number
        pending += line + "\n"
        try:
            values = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue  # it goes on in the next line
        yield begin, pending.lstrip(" \t"), values
        pending = ""


def _is_empty(line: str) -> bool:
    return not line.strip() or line.lstrip(" \t").startswith("#")


def _paths(values: Mapping[str, Any], above: Key = ()) -> Iterator[Key]:
    """All keys below, each table before what it holds."""
    for name, value in values.items():
        path = (*above, name)
        yield path
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from _paths(inner, path)
