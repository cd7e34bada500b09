-- Which records may a backfill take in? Rows told apart by `kind`: candidates (a pack of valid orders of one minute and share,
-- which do not count by themselves: late ones of the log, and those of the supply, timely or late by the ingest time that they
-- have), and supply (one record that is no order which could count, and why). Columns: as in settled.
CREATE TEMPORARY VIEW candidates AS
SELECT found.*
FROM late_packs AS late,
  LATERAL TABLE(late_candidates(late.pack)) AS found (
    kind, pack, key_minute, key_share, verdict, kafka_partition, records, offset_min, offset_max, offset_sum,
    reason, kafka_offset, ingest_time, order_id, order_time, user_id, province, city, amount, payload)
WHERE ${late_taken}
UNION ALL
SELECT found.*
FROM supply_packs AS sent,
  LATERAL TABLE(supply_candidates(sent.pack)) AS found (
    kind, pack, key_minute, key_share, verdict, kafka_partition, records, offset_min, offset_max, offset_sum,
    reason, kafka_offset, ingest_time, order_id, order_time, user_id, province, city, amount, payload)
