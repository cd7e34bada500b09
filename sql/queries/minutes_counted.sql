-- How much was ordered in each minute, once a backfill has taken orders in?
--
-- One row per (minute_start, province); 'ALL' is the country; cents: 1/100 yuan. As minutes_final.
SELECT window_start AS minute_start,
       COALESCE(province, 'ALL') AS province,
       COUNT(*) AS orders,
       CAST(SUM(amount) * 100 AS BIGINT) AS cents
FROM TABLE(TUMBLE(TABLE counted, DESCRIPTOR(accepted_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, GROUPING SETS ((), (province))
