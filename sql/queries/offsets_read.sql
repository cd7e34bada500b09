-- How far has the job read each partition of the log?
--
-- One row per (version, partition) that was read from. read_until: exclusive, behind all that the version counts.
SELECT window_start AS hour_start, window_end AS version_end, window_time AS version_time, kafka_partition,
       MAX(read_until) AS read_until
FROM reading_windows
GROUP BY window_start, window_end, window_time, kafka_partition
