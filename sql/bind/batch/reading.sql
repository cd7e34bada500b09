-- The stretches side by side, by their offsets. expected: where the one before ended, NULL for the first of a partition, and
-- ingest_before the greatest ingest time in that.
CREATE TEMPORARY VIEW reading AS
SELECT safe_time, kafka_partition, read_from, read_until,
       LAG(read_until) OVER (PARTITION BY kafka_partition ORDER BY read_from) AS expected,
       LAG(last_ingest) OVER (PARTITION BY kafka_partition ORDER BY read_from) AS ingest_before
FROM ${stretches}
