-- Which records did not count, and why? One row per record with its place in the log and its payload as it was (a
-- duplicate without: its fields say it all).
SELECT verdict, reason, f.kafka_partition AS kafka_partition, f.kafka_offset AS kafka_offset,
       ${epoch_ms_of_ingest} AS ingest_time,
       f.order_id AS order_id, f.order_time AS order_time, f.user_id AS user_id,
       f.province AS province, f.city AS city, f.amount AS amount, f.payload AS payload,
       DATE_FORMAT(event_time, 'yyyy-MM-dd') AS dt
FROM verdicts_of_days
WHERE verdict NOT IN ('accepted', 'heartbeat')
