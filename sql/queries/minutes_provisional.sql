-- How much was ordered in each minute, as far as anybody can know now?
--
-- A changelog with one row per (minute_start, province); 'ALL' is the country. The first copy to arrive counts, so a
-- tie or a copy with another amount may be put right by minutes_final. cents: 1/100 yuan. The state of this query, and
-- of no other in the job, expires (realtime_dashboard.py).
SELECT minute_start, COALESCE(province, 'ALL') AS province, COUNT(*) AS orders, CAST(SUM(amount) * 100 AS BIGINT) AS cents
FROM (
  SELECT window_start AS minute_start, f.province AS province, CAST(f.amount AS DECIMAL(12, 2)) AS amount,
         ROW_NUMBER() OVER (PARTITION BY f.order_id, f.order_time ORDER BY PROCTIME()) AS arrival
  FROM classified
  WHERE verdict = 'timely')
WHERE arrival = 1
GROUP BY GROUPING SETS ((minute_start), (minute_start, province))
