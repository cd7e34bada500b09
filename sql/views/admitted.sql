-- The orders that a backfill takes in, in the form of accepted: each stands in the minute of its order time.
--
-- kafka_partition: of the order log; one of the supply is -1 less the partition, so that no two records share a place.
CREATE TEMPORARY VIEW admitted AS
SELECT f.order_id AS order_id, f.order_time AS order_time, f.ingest_ltz AS ingest_ltz,
       CASE WHEN origin = 'log' THEN f.kafka_partition ELSE -1 - f.kafka_partition END AS kafka_partition,
       f.kafka_offset AS kafka_offset,
       f.user_id AS user_id, f.province AS province, f.city AS city, CAST(f.amount AS DECIMAL(12, 2)) AS amount,
       CAST(TO_TIMESTAMP_LTZ(f.order_time - MOD(f.order_time, 60000) + 59999, 3) AS TIMESTAMP(3)) AS accepted_time
FROM admissions
WHERE verdict = 'admitted'
