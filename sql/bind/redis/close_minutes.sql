-- Say up to where the minutes are final: the window closes behind every sink subtask.
INSERT INTO dashboard_sink
SELECT put_progress(${minute_ms} + 60000, written)
FROM (
  SELECT window_start AS minute_start, SUM(written) AS written
  FROM TABLE(TUMBLE(TABLE minutes_written, DESCRIPTOR(minute_time), INTERVAL '1' MINUTE))
  GROUP BY window_start, window_end)
