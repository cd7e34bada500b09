-- Mark a version once all its rows are written: the window closes behind every sink subtask.
INSERT INTO marker_sink
SELECT put_marker(${version_ms}, `rows`, orders, amount)
FROM (
  SELECT window_end AS version_end, SUM(`rows`) AS `rows`, SUM(orders) AS orders, CAST(SUM(amount) AS DECIMAL(38, 2)) AS amount
  FROM TABLE(TUMBLE(TABLE written, DESCRIPTOR(version_time), INTERVAL '1' HOUR))
  GROUP BY window_start, window_end
  HAVING SUM(counted) > 0)
