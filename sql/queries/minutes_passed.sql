-- Which minutes has the watermark passed, orders or not? One row per minute with any record, heartbeats included.
--
-- The condition on the window: as in views/copies_by_key.
SELECT window_start AS minute_start, window_time AS minute_time, COUNT(*) AS records
FROM minute_records
WHERE window_start < window_end
GROUP BY window_start, window_end, window_time
