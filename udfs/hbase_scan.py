"""What does HBase hold of one version of a run's day, bucket by bucket?

Called by SQL through udfs/bodies.py: buckets are scanned side by side, each by one worker. Reads the table
`daily_sales` (keys and cells: flink_jobs/stores.py, which a unit test holds against this file); writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import happybase

from udfs.hbase_client import HBaseClient


class SalesRow(NamedTuple):
    """One row of the report; `amount`: yuan, as stored."""

    province: str
    city: str
    orders: int
    amount: str
    users: int


def scan_daily_sales(
    client: HBaseClient, bucket: int, day: str, run_id: str, family: str, version: int
) -> list[SalesRow]:
    """The rows of exactly this version (epoch ms); family `s` (streaming) or `b` (batch).

    Raises KeyError or ValueError for a row with a cell that is missing or spoilt.
    """

    return client.call(
        lambda connection: [
            _sales_row(place, fields)
            for place, fields in rows_of_version(connection, bucket, day, run_id, family, version)
        ]
    )


def _sales_row(place: str, fields: dict[str, str]) -> SalesRow:
    province, _, city = place.partition("|")
    return SalesRow(province, city, int(fields["orders"]), fields["amount"], int(fields["users"]))


def rows_of_version(
    connection: happybase.Connection, bucket: int, day: str, run_id: str, family: str, version: int
) -> Iterator[tuple[str, dict[str, str]]]:
    """`{province}|{city}` and its cells, of exactly this version."""
    prefix = f"{bucket}|{day}|{run_id}|"
    # The scan's bound is exclusive and gives the newest cell before it, which may be older than the version.
    rows = connection.table("daily_sales").scan(
        row_prefix=prefix.encode(), columns=[family.encode()], timestamp=version + 1, include_timestamp=True
    )
    for key, cells in rows:
        fields = {
            name.decode().partition(":")[2]: value.decode() for name, (value, at) in cells.items() if at == version
        }
        if fields:
            yield key.decode()[len(prefix) :], fields
