"""The same day's sales by city from the same Parquet files, by DuckDB and by Spark, each with two threads.

What is not in the canonical spelling goes to the oracle's strict parser, as in the hand-written loop. Runs in an
environment of its own (rivals.lock), for Spark and Flink want different versions of py4j; hence it imports nothing
of the suite but the oracle, and what it has to know comes as JSON. The query runs twice, and the second time counts:
neither starting nor compiling is measured.

    python -m tests.bench.rivals duckdb RULES.json      # JSON: seconds, {place: [orders, cents, users]}
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from flink_jobs import oracle

Rows = list[tuple[str, int, int, int]]
PATTERN = (
    r'^\{"order_id":"([A-Za-z0-9._:-]{1,64})","order_time":([1-9][0-9]{11,12}),"user_id":"([A-Za-z0-9._:-]{1,64})",'
    r'"province":"([A-Za-z0-9._-]{1,32})","city":"([A-Za-z0-9._-]{1,32})",'
    r'"amount":"(-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,2})?)"\}$'
)
HEARTBEAT = '{"heartbeat":true}'
FIELDS = {
    "order_id": "STRING",
    "order_time": "BIGINT",
    "user_id": "STRING",
    "province": "STRING",
    "city": "STRING",
    "amount": "STRING",
}
ORDERS = {
    "ingest": "BIGINT",
    "digest": "STRING",
    "order_id": "STRING",
    "order_time": "BIGINT",
    "user_id": "STRING",
    "place": "STRING",
    "cents": "BIGINT",
}
"""Columns of the view `orders`, from which both engines take the sales; ingest and order_time in epoch ms."""


def sales_query(first: str, rules: dict[str, Any]) -> str:
    """`first`: an aggregate that gives place, cents and user_id of a key's first record."""
    return f"""
    SELECT first.place AS place, count(*) AS orders, sum(first.cents) AS cents, count(DISTINCT first.user_id) AS users
    FROM (
      SELECT {first} AS first
      FROM orders
      WHERE order_time >= {rules["start"]} AND order_time < {rules["end"]}
        AND order_time BETWEEN ingest - {rules["lateness"]} AND ingest + {rules["future"]}
      GROUP BY order_id, order_time)
    GROUP BY first.place"""


def places_of(rules: dict[str, Any]) -> list[str]:
    """`province|city` of all regions."""
    return [f"{province}|{city}" for province, cities in rules["provinces"].items() for city in cities]


def odd_orders(rows: Iterable[tuple[int, str, bytes | None]], rules: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows of ORDERS from (ingest, digest, payload) in another spelling than the canonical one."""
    found = []
    for ingest, digest, payload in rows:
        order = oracle.parse(None if payload is None else bytes(payload), rules["provinces"])
        if not isinstance(order, oracle.Verdict):
            order_id, at, user, province, city, cents = order
            found.append((ingest, digest, order_id, at, user, f"{province}|{city}", cents))
    return found


def duckdb(rules: dict[str, Any]) -> Callable[[], Rows]:
    """The query in DuckDB."""
    engine = import_module("duckdb")
    connection = engine.connect(config={"threads": 2})
    connection.execute("CREATE TABLE places AS SELECT unnest(?) AS place", [places_of(rules)])
    columns = ", ".join(f"{name} {type_}" for name, type_ in ORDERS.items())
    sales = sales_query(
        "arg_min({'place': place, 'cents': cents, 'user_id': user_id}, {'ingest': ingest, 'digest': digest})", rules
    )

    def query() -> Rows:
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE records AS
            SELECT ingest, digest, f, canonical, CASE WHEN NOT canonical THEN payload END AS payload
            FROM (
              SELECT epoch_ms(ingest_ltz) AS ingest, md5(payload) AS digest, payload, f,
                     coalesce(f.order_id <> '', false) AS canonical
              FROM (
                SELECT ingest_ltz, payload, regexp_extract(TRY(decode(payload)), '{PATTERN}', {list(FIELDS)}) AS f
                FROM read_parquet('{rules["folder"]}/*.parquet')
                WHERE payload IS NULL OR payload <> '{HEARTBEAT}'::BLOB))"""
        )
        rows = connection.execute("SELECT ingest, digest, payload FROM records WHERE NOT canonical").fetchall()
        odd = [list(column) for column in zip(*odd_orders(rows, rules), strict=True)]
        connection.execute(f"CREATE OR REPLACE TEMP TABLE odd_orders ({columns})")
        if odd:
            connection.execute(f"INSERT INTO odd_orders SELECT {', '.join(['unnest(?)'] * len(odd))}", odd)
        connection.execute(
            """CREATE OR REPLACE TEMP VIEW orders AS
            SELECT ingest, digest, f.order_id, f.order_time::BIGINT AS order_time, f.user_id,
                   place, CAST(f.amount::DECIMAL(12, 2) * 100 AS BIGINT) AS cents
            FROM records JOIN places ON place = f.province || '|' || f.city
            WHERE canonical
            UNION ALL
            SELECT * FROM odd_orders"""
        )
        found: Rows = connection.execute(sales).fetchall()
        return found

    return query


def spark(rules: dict[str, Any]) -> Callable[[], Rows]:
    """The query in Spark."""
    session = (
        import_module("pyspark.sql")
        .SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.createDataFrame([(place,) for place in places_of(rules)], "place STRING").createOrReplaceTempView("places")
    fields = ", ".join(f"{name} {type_}" for name, type_ in FIELDS.items())
    columns = ", ".join(f"{name} {type_}" for name, type_ in ORDERS.items())
    pattern = PATTERN.replace("\\", "\\\\")
    first = "named_struct('place', place, 'cents', cents, 'user_id', user_id)"
    sales = sales_query(f"min_by({first}, named_struct('ingest', ingest, 'digest', digest))", rules)

    def query() -> Rows:
        session.read.parquet(rules["folder"]).createOrReplaceTempView("files")
        session.sql(
            f"""SELECT unix_millis(ingest_ltz) AS ingest, md5(payload) AS digest, payload,
                       decode(payload, 'ISO-8859-1') AS text,
                       coalesce(decode(payload, 'ISO-8859-1') RLIKE '{pattern}', false) AS canonical
            FROM files
            WHERE payload IS NULL OR payload <> CAST('{HEARTBEAT}' AS BINARY)"""
        ).createOrReplaceTempView("records")
        rows = session.sql("SELECT ingest, digest, payload FROM records WHERE NOT canonical").collect()
        session.createDataFrame(odd_orders(rows, rules), columns).createOrReplaceTempView("odd_orders")
        session.sql(
            f"""SELECT ingest, digest, f.order_id, f.order_time, f.user_id, place,
                       CAST(CAST(f.amount AS DECIMAL(12, 2)) * 100 AS BIGINT) AS cents
            FROM (SELECT ingest, digest, from_json(text, '{fields}') AS f FROM records WHERE canonical)
            JOIN places ON place = concat(f.province, '|', f.city)
            UNION ALL
            SELECT * FROM odd_orders"""
        ).createOrReplaceTempView("orders")
        return [tuple(row) for row in session.sql(sales).collect()]

    return query


def main() -> None:
    """Write the answer of one engine to the standard output."""
    rules = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    query = {"duckdb": duckdb, "spark": spark}[sys.argv[1]](rules)
    query()
    begin = time.monotonic()
    rows = query()
    json.dump(
        {
            "seconds": time.monotonic() - begin,
            "sales": {place: (orders, int(cents), users) for place, orders, cents, users in rows},
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
