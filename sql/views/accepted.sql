-- The orders that count: the first timely record of each key. One row per key (order_id, order_time).
--
-- accepted_time: rowtime, the end of the minute, whose window the row stands in (so that it can be grouped by).
CREATE TEMPORARY VIEW accepted AS
SELECT o.order_id AS order_id, o.order_time AS order_time, o.ingest_ltz AS ingest_ltz,
       o.kafka_partition AS kafka_partition, o.kafka_offset AS kafka_offset,
       o.user_id AS user_id, o.province AS province, o.city AS city, o.amount AS amount,
       window_start, window_end, window_time AS accepted_time
FROM TABLE(TUMBLE(TABLE copies_by_key, DESCRIPTOR(key_time), INTERVAL '1' MINUTE))
