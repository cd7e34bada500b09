-- Which candidates of the days are taken in? Rows per minute and share, told apart by `kind`: accepted (a pack of those taken
-- in, as settled has it), count (their verdict `admitted`), log and supply (one candidate by its origin, and what became of it:
-- admitted, duplicate or late_copy). Rules: udfs/admit.py. admitted_time: the last millisecond of the minute.
CREATE TEMPORARY VIEW admissions AS
SELECT order_minute, CAST(order_minute + INTERVAL '59.999' SECOND AS TIMESTAMP(3)) AS admitted_time, share, found.*
FROM (
  SELECT order_minute, share, ARRAY_AGG(accepted) AS accepted, ARRAY_AGG(candidates) AS candidates
  FROM (
    SELECT order_minute, share, pack AS accepted, CAST(NULL AS BYTES) AS candidates
    FROM accepted_packs
    UNION ALL
    SELECT key_minute, key_share, CAST(NULL AS BYTES), pack
    FROM candidates
    WHERE kind = 'candidates' AND key_minute >= TIMESTAMP '${from_day} 00:00:00'
      AND key_minute < TIMESTAMP '${to_day} 00:00:00' + INTERVAL '1' DAY)
  GROUP BY order_minute, share
  HAVING COUNT(candidates) > 0) AS minutes${paced},
  LATERAL TABLE(admit(accepted, candidates)) AS found (
    kind, pack, key_minute, key_share, verdict, kafka_partition, records, offset_min, offset_max, offset_sum,
    reason, kafka_offset, ingest_time, order_id, order_time, user_id, province, city, amount, payload)
