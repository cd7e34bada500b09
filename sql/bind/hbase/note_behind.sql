-- Note what came when its minute was over, where nothing waits for it: of the dashboard.
INSERT INTO dashboard_sink
SELECT put_behind(${minute_ms}, pack) FROM behind
