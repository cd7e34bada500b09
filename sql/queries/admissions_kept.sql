-- What became of each record that a backfill looked at? One row per candidate of its days, and per record of the supply that is
-- no order which could count, or whose ingest time cannot be right.
--
-- origin: log or supply. verdict: admitted, duplicate, late_copy; or malformed, invalid, future, with its reason; or
-- clock. dt: the business day of the order, or of the ingest time where there is no valid order; or `clock`. ingest_time,
-- order_time: epoch ms.
SELECT kind AS origin, verdict, reason, kafka_partition, kafka_offset, ingest_time, order_id, order_time, user_id,
       province, city, amount, payload, DATE_FORMAT(order_minute, 'yyyy-MM-dd') AS dt
FROM admissions
WHERE kind = 'log' OR kind = 'supply'
UNION ALL
SELECT kind, verdict, reason, kafka_partition, kafka_offset, ingest_time, order_id, order_time, user_id,
       province, city, amount, payload, DATE_FORMAT(CAST(TO_TIMESTAMP_LTZ(ingest_time, 3) AS TIMESTAMP(3)), 'yyyy-MM-dd')
FROM candidates
WHERE kind = 'supply'
UNION ALL
SELECT 'supply', 'clock', CAST(NULL AS STRING), kafka_partition, kafka_offset, ingest_time, CAST(NULL AS STRING), CAST(NULL AS BIGINT),
       CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), payload, 'clock'
FROM supply_clock_records
