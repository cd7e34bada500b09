-- Note what the job did not see of the log, where nothing waits for it: of the dashboard.
INSERT INTO dashboard_sink
SELECT put_gaps(${minute_ms}, since, kafka_partition, expected, read_from) FROM gaps
