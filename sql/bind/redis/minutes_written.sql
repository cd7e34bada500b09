-- The minutes whose final figures have been written: one row each, after the write; what has no province is only counted.
CREATE TEMPORARY VIEW minutes_written AS
SELECT put_final_minute(${minute_ms}, province, orders, cents) AS written, minute_time FROM minutes_final
