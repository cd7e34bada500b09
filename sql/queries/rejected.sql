-- Which records did not count, and why? One row per record with its place in the log and its payload as it was (a
-- duplicate in the canonical spelling without: its fields say it all). ingest_time, order_time: epoch ms. dt: the business
-- day; `clock` for a record whose ingest time cannot be right, which belongs to none.
SELECT verdict, reason, kafka_partition, kafka_offset, ingest_time, order_id, order_time, user_id, province, city, amount, payload,
       DATE_FORMAT(rejected_time, 'yyyy-MM-dd') AS dt
FROM (
  SELECT closed_time AS rejected_time, verdict, reason, kafka_partition, kafka_offset, ingest_time,
         order_id, order_time, user_id, province, city, amount, payload
  FROM settled
  WHERE kind = 'rejected'
  UNION ALL
  SELECT late_time, verdict, reason, kafka_partition, kafka_offset, ingest_time,
         order_id, order_time, user_id, province, city, amount, payload
  FROM late_orders
  WHERE kind = 'rejected')
WHERE rejected_time >= TIMESTAMP '${from_day} 00:00:00' AND rejected_time < TIMESTAMP '${to_day} 00:00:00' + INTERVAL '1' DAY
UNION ALL
SELECT 'clock', CAST(NULL AS STRING), kafka_partition, kafka_offset, ingest_time, CAST(NULL AS STRING), CAST(NULL AS BIGINT),
       CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), CAST(NULL AS STRING), payload, 'clock'
FROM clock_records
