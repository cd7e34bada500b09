-- How many records of each partition met which verdict on a business day, and which offsets are they?
--
-- One row per (day, version, partition, verdict). The offsets' least, greatest and sum let an independent reader tell
-- not only how many but which records were counted.
SELECT window_start AS day_start,
       window_end AS version_end,
       window_time AS version_time,
       f.kafka_partition AS kafka_partition,
       verdict,
       COUNT(*) AS records,
       MIN(f.kafka_offset) AS offset_min,
       MAX(f.kafka_offset) AS offset_max,
       SUM(f.kafka_offset) AS offset_sum
FROM day_windows_of_verdicts
GROUP BY window_start, window_end, window_time, f.kafka_partition, verdict
