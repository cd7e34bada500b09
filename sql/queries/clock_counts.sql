-- How many records of each partition have an ingest time that cannot be right, since the run's start?
--
-- A changelog with one row per partition that has any. offset_*: which they are, as in verdict_counts; ingest_min, ingest_max:
-- what their clocks said (epoch ms).
SELECT kafka_partition, COUNT(*) AS records, MIN(kafka_offset) AS offset_min, MAX(kafka_offset) AS offset_max,
       SUM(kafka_offset) AS offset_sum, MIN(ingest_time) AS ingest_min, MAX(ingest_time) AS ingest_max
FROM clock_records
GROUP BY kafka_partition
