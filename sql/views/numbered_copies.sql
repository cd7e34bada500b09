-- In which order did the timely records of a key come? One row per timely record, numbered from 1 within its key.
--
-- Key: (order_id, order_time); order_time fixes the minute, so no two records of a key stand in different windows.
-- The order is total and survives a replay: ingest time, then the digest of the payload. Partition and offset, which
-- change when a log is copied, come last: they only say which of two equal records is the duplicate.
-- The bound on the number is a formality: streaming wants one, none is meant.
-- All that is known of the record stands in one ROW, so that every use of this view is the same plan to the planner,
-- which then numbers once.
CREATE TEMPORARY VIEW numbered_copies AS
SELECT o, copy_number, window_time AS numbered_time
FROM (
  SELECT window_start, window_end, window_time, o,
         ROW_NUMBER() OVER (PARTITION BY window_start, window_end, order_id, order_time
                            ORDER BY ingest_ltz, payload_digest, kafka_partition, kafka_offset) AS copy_number
  FROM (
    SELECT window_start, window_end, window_time,
           f.order_id AS order_id, f.order_time AS order_time, f.ingest_ltz AS ingest_ltz,
           f.kafka_partition AS kafka_partition, f.kafka_offset AS kafka_offset,
           MD5(CAST(f.payload AS STRING)) AS payload_digest,
           CAST(ROW(f.order_id, f.order_time, f.ingest_ltz, f.kafka_partition, f.kafka_offset,
                    f.user_id, f.province, f.city, f.amount)
                AS ROW<order_id STRING, order_time BIGINT, ingest_ltz TIMESTAMP_LTZ(3), kafka_partition INT, kafka_offset BIGINT,
                       user_id STRING, province STRING, city STRING, amount DECIMAL(12, 2)>) AS o
    FROM classified
    WHERE verdict = 'timely'))
WHERE copy_number <= 1000000
