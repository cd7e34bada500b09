-- Note the holes that showed when nothing but wrong clocks was behind them: they stand in no time, and no window takes them.
INSERT INTO marker_sink
SELECT put_gaps(${minute_ms}, since, kafka_partition, expected, read_from) FROM gaps
WHERE gap_time < ${no_time} + INTERVAL '1' DAY
