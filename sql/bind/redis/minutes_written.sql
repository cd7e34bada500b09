-- The minutes whose final figures have been written, and those that had none: one row each, after the write.
CREATE TEMPORARY VIEW minutes_written AS
SELECT put_final_minute(${minute_ms}, province, orders, cents) AS written, minute_time FROM minutes_final
UNION ALL
SELECT CAST(0 AS BIGINT), minute_time FROM minutes_passed
