-- Is a late record new money, or a copy of an order that was counted? Rows of the kinds count and rejected, as in settled.
--
-- late_time: rowtime, the end of the hour in which it came. The keys that counted in a minute (one pack per minute and share)
-- and the late records of an hour by the minute of their order time run through one OVER window: a late record stands at
-- least the lateness behind its order time, so it finds the keys of its minute before it. The frame bounds what streaming
-- remembers; the rule itself compares with the horizon. ARRAY_AGG, though there is one pack: what LAST_VALUE needs to take a
-- value back it keeps under the value itself.
CREATE TEMPORARY VIEW late_orders AS
SELECT late_time, found.*
FROM (
  SELECT late_time, late, ARRAY_AGG(keys) OVER (PARTITION BY key_minute, key_share ORDER BY late_time ${keys_remembered}) AS keys
  FROM (
    SELECT closed_time AS late_time, order_minute AS key_minute, share AS key_share, CAST(NULL AS ARRAY<BYTES>) AS late, pack AS keys
    FROM settled
    WHERE kind = 'keys'
    UNION ALL
    SELECT window_time, key_minute, key_share, ARRAY_AGG(pack), CAST(NULL AS BYTES)
    FROM TABLE(TUMBLE(TABLE late_packs, DESCRIPTOR(closed_time), INTERVAL '1' HOUR))
    GROUP BY window_start, window_end, window_time, key_minute, key_share)) AS looked_up${paced},
  LATERAL TABLE(tell_copies(late, keys)) AS found (
    kind, pack, key_minute, key_share, verdict, kafka_partition, records, offset_min, offset_max, offset_sum,
    reason, kafka_offset, ingest_time, order_id, order_time, user_id, province, city, amount, payload)
WHERE late IS NOT NULL
