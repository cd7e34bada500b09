-- How much was ordered in each minute, as far as anybody can know now?
--
-- A changelog with one row per (minute_start, province); 'ALL' is the country. The first copy to arrive counts, so a
-- tie or a copy with another amount may be put right by minutes_final. cents: 1/100 yuan.
-- What arrives is gathered for 50 ms of processing time first, so that a change is a row per minute and
-- province, not per order. The state of the first copies and of the sums, and no other in the job, expires by the
-- clock (realtime_dashboard.py).
SELECT /*+ STATE_TTL('gathered' = '${sums_remembered}') */
       minute_start, COALESCE(province, 'ALL') AS province, SUM(orders) AS orders, CAST(SUM(amount) * 100 AS BIGINT) AS cents
FROM (
  SELECT minute_start, province, COUNT(*) AS orders, SUM(amount) AS amount
  FROM TABLE(TUMBLE(TABLE first_copies, DESCRIPTOR(arrived), INTERVAL '0.05' SECOND))
  GROUP BY window_start, window_end, minute_start, province) AS gathered
GROUP BY GROUPING SETS ((minute_start), (minute_start, province))
