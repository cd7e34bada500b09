-- Which orders of a complete minute count, and what is told of its other records? Several rows per minute, told apart by
-- `kind`: accepted (a pack), keys (a pack of what counted), count, rejected, late (a pack: whether they are copies is
-- looked up in late_orders). Columns: settle in udfs/functions.py.
CREATE TEMPORARY VIEW settled AS
SELECT closed_time, order_minute, share, found.*
FROM complete_minutes,
  LATERAL TABLE(settle(packs)) AS found (
    kind, pack, key_minute, key_share, verdict, kafka_partition, records, offset_min, offset_max, offset_sum,
    reason, kafka_offset, ingest_time, order_id, order_time, user_id, province, city, amount, payload)
