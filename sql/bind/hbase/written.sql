-- What has been written to HBase: one row per row put, after the put. rows: 1 for a row of daily_sales, else 0; orders
-- and amount of city rows only, so that they add up. counted: 1 for a row that makes its version one, 0 for what is only told
-- about the reading: a version of which nothing else was written is none.
CREATE TEMPORARY VIEW written AS
SELECT put_daily_sales(${version_ms}, province, city, orders, amount, users) AS `rows`,
       version_time,
       CASE WHEN city <> 'ALL' THEN orders ELSE 0 END AS orders,
       CASE WHEN city <> 'ALL' THEN amount ELSE 0 END AS amount,
       1 AS counted
FROM daily_sales
UNION ALL
SELECT put_verdict_counts(${version_ms}, kafka_partition, verdict, records, offset_min, offset_max, offset_sum),
       version_time, CAST(0 AS BIGINT), CAST(0 AS DECIMAL(38, 2)), 1
FROM verdict_counts
UNION ALL
SELECT put_conflicting(${version_ms}, order_ids),
       version_time, CAST(0 AS BIGINT), CAST(0 AS DECIMAL(38, 2)), 1
FROM conflicting
UNION ALL
SELECT put_offsets_read(${version_ms}, kafka_partition, read_until),
       version_time, CAST(0 AS BIGINT), CAST(0 AS DECIMAL(38, 2)), 0
FROM offsets_read
UNION ALL
SELECT put_gaps(${minute_ms}, since, kafka_partition, expected, read_from),
       gap_time, CAST(0 AS BIGINT), CAST(0 AS DECIMAL(38, 2)), 0
FROM gaps
WHERE gap_time >= ${no_time} + INTERVAL '1' DAY
UNION ALL
SELECT put_behind(${minute_ms}, pack),
       safe_time, CAST(0 AS BIGINT), CAST(0 AS DECIMAL(38, 2)), 0
FROM behind
