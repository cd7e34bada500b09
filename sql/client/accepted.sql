-- The orders that count: the first timely record of each key (order_id, order_time). One row per key; amount in yuan.
CREATE TEMPORARY VIEW accepted AS
SELECT order_id, order_time, ingest_time, kafka_partition, kafka_offset, user_id, province, city,
       CAST(amount AS DECIMAL(12, 2)) AS amount, event_time AS accepted_time
FROM verdicts
WHERE verdict = 'accepted'
