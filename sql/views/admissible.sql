-- Which orders of the days may a backfill take in? One row per record of an order that does not count by itself.
--
-- origin: `log`, a late record of the order log; `supply`, any valid order of the supply, timely or late by the ingest time that
-- it has. f: the record and its fields (parsed).
CREATE TEMPORARY VIEW admissible AS
SELECT origin, f, order_id, order_time, ingest_ltz, md5
FROM (
  SELECT 'log' AS origin, f, f.order_id AS order_id, f.order_time AS order_time, f.ingest_ltz AS ingest_ltz,
         MD5(CAST(f.payload AS STRING)) AS md5
  FROM classified
  WHERE verdict = 'late' AND ${late_taken}
  UNION ALL
  SELECT 'supply', f, f.order_id, f.order_time, f.ingest_ltz, MD5(CAST(f.payload AS STRING))
  FROM supply_classified
  WHERE verdict IN ('timely', 'late'))
WHERE order_time >= ${from_ms} AND order_time < ${to_ms}
