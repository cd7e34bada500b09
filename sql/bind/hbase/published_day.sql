-- The published version of the day, scanned out of HBase bucket by bucket, side by side: DISTINCT spreads the buckets.
CREATE TEMPORARY VIEW published_day AS
SELECT '${day}' AS dt, province, city, orders, CAST(amount AS DECIMAL(18, 2)) AS amount, users
FROM (SELECT DISTINCT bucket FROM (VALUES ${buckets}) AS known (bucket)) AS spread,
  LATERAL TABLE(scan_daily_sales(bucket, '${day}', '${day_run}', '${day_family}', ${day_version}))
    AS scanned (province, city, orders, amount, users)
