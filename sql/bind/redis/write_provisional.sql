-- Show each minute as it grows.
INSERT INTO dashboard_sink
SELECT put_minute(${minute_ms}, province, FALSE, orders, cents) FROM minutes_provisional
