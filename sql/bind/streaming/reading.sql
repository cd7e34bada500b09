-- The stretches side by side, in the order in which the job read them. expected: where the one before ended, NULL for the
-- first of a partition, and ingest_before the greatest ingest time in that. Both are part of the state, so that a restart
-- leaves no hole between what was read before it and after.
CREATE TEMPORARY VIEW reading AS
SELECT safe_time, kafka_partition, read_from, read_until,
       LAG(read_until) OVER (PARTITION BY kafka_partition ORDER BY read_at) AS expected,
       LAG(last_ingest) OVER (PARTITION BY kafka_partition ORDER BY read_at) AS ingest_before
FROM (SELECT safe_time, kafka_partition, read_from, read_until, last_ingest, PROCTIME() AS read_at FROM ${stretches})
