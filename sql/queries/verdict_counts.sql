-- How many records of each partition met which verdict on a business day, and which offsets are they?
--
-- One row per (day, version, partition, verdict). The offsets' least, greatest and sum let an independent reader tell
-- not only how many but which records were counted.
SELECT window_start AS day_start, window_end AS version_end, window_time AS version_time,
       kafka_partition, verdict, SUM(records) AS records,
       MIN(offset_min) AS offset_min, MAX(offset_max) AS offset_max, SUM(offset_sum) AS offset_sum
FROM day_windows_of_verdicts
GROUP BY window_start, window_end, window_time, kafka_partition, verdict
