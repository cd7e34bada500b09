-- Show each minute as it grows.
INSERT INTO dashboard_sink
SELECT put_provisional_minute(${minute_ms}, province, orders, cents) FROM minutes_provisional
