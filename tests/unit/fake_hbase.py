"""As much of happybase as the runs and readers use, in memory: rows, prefix scans, versions, check-and-put."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flink_jobs import stores

Cells = dict[bytes, dict[int, bytes]]


def marker_column(family: str, version: int) -> bytes:
    """Column in `versions` that marks a version (epoch ms), as the sink writes it."""
    return f"m:{family}{version:013}".encode()


class FakeTable:
    """Row key -> column -> timestamp -> value."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.rows: dict[bytes, Cells] = {}
        self.clock = 0
        self.after_read: list[Callable[[], object]] = []  # what a rival does once a row has been looked at

    def put(self, row: bytes, data: dict[bytes, bytes], timestamp: int | None = None) -> None:
        self.clock += 1
        timestamp = self.clock if timestamp is None else timestamp
        for column, value in data.items():
            self.rows.setdefault(row, {}).setdefault(column, {})[timestamp] = value

    @contextmanager
    def batch(self, timestamp: int | None = None, batch_size: int | None = None) -> Iterator[Any]:
        yield SimpleNamespace(
            put=lambda row, data: self.put(row, data, timestamp),
            delete=lambda row, columns: self.delete(row, columns, 2**63 if timestamp is None else timestamp),
        )

    def delete(self, row: bytes, columns: list[bytes], timestamp: int) -> None:
        """What is not newer goes, of all columns of these families."""
        for column, versions in self.rows[row].items():
            if column.partition(b":")[0] in columns:
                self.rows[row][column] = {at: value for at, value in versions.items() if at > timestamp}

    def row(self, row: bytes, columns: list[bytes]) -> dict[bytes, Any]:
        found = dict(self.scan(row, columns)).get(row, {})
        while self.after_read:
            self.after_read.pop()()
        return found

    def cells(
        self, row: bytes, column: bytes, versions: int, timestamp: int = 2**63, include_timestamp: bool = False
    ) -> list[Any]:
        found = self.rows.get(row, {}).get(column, {})
        newest = [at for at in sorted(found, reverse=True) if at < timestamp][:versions]
        return [(found[at], at) if include_timestamp else found[at] for at in newest]

    def scan(
        self,
        row_prefix: bytes = b"",
        columns: list[bytes] | None = None,
        timestamp: int = 2**63,
        include_timestamp: bool = False,
        row_start: bytes = b"",
        row_stop: bytes = b"\xff",
        limit: int | None = None,
    ) -> Iterator[tuple[bytes, dict[bytes, Any]]]:
        found = self._scan(row_prefix, columns, timestamp, include_timestamp)
        return islice(((key, cells) for key, cells in found if row_start <= key < row_stop), limit)

    def _scan(
        self, row_prefix: bytes, columns: list[bytes] | None, timestamp: int, include_timestamp: bool
    ) -> Iterator[tuple[bytes, dict[bytes, Any]]]:
        for key in sorted(key for key in self.rows if key.startswith(row_prefix)):
            found = {}
            for column, versions in self.rows[key].items():
                seen = [at for at in versions if at < timestamp]
                fits = columns is None or any(column == c or column.startswith(c + b":") for c in columns)
                if seen and fits:
                    at = max(seen)
                    found[column] = (versions[at], at) if include_timestamp else versions[at]
            if found:
                yield key, found


class FakeHBase:
    """A connection. `client` is itself, for `checkAndPut`."""

    def __init__(self) -> None:
        self.tables: dict[str, FakeTable] = defaultdict(lambda: FakeTable("?"))
        self.client = self

    def table(self, name: str) -> FakeTable:
        return self.tables.setdefault(name, FakeTable(name))

    def checkAndPut(
        self, table: bytes, row: bytes, column: bytes, old: bytes | None, mutation: Any, attributes: dict[str, str]
    ) -> bool:
        there = self.table(table.decode())
        # To HBase an empty cell is one that is not there.
        if (there.row(row, [column]).get(column) or None) != (old or None):
            return False
        there.put(row, {column: mutation.value})
        return True


def put_in_place(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A fake that everything opens as HBase."""
    fake: Any = FakeHBase()

    @contextmanager
    def opened(_: object) -> Iterator[Any]:
        yield fake

    monkeypatch.setattr(stores, "hbase", opened)
    return fake


class FakeRedis(dict[str, Any]):
    """The calls that the pointers need."""

    def set(self, key: str, value: str) -> None:
        self[key] = value

    def close(self) -> None:
        pass

    def scan_iter(self, match: str, count: int) -> list[str]:
        return [key for key in self if key.startswith(match.removesuffix("*"))]

    def unlink(self, key: str) -> None:
        del self[key]

    def hget(self, key: str, name: str) -> str | None:
        return cast(str | None, self.get(key, {}).get(name))

    def hset(self, key: str, name: str, value: str) -> None:
        self.setdefault(key, {})[name] = value

    def hkeys(self, key: str) -> list[str]:
        return list(self.get(key, {}))

    def hdel(self, key: str, name: str) -> None:
        self.get(key, {}).pop(name, None)
