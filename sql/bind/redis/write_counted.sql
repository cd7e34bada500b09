-- Write the minutes of a backfill to Redis.
INSERT INTO dashboard_sink
SELECT put_final_minute(${minute_ms}, province, orders, cents) FROM minutes_counted
