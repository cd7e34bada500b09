-- How much was ordered in each minute, as far as anybody can know now?
--
-- A changelog with one row per (minute_start, province); 'ALL' is the country. The first copy to arrive counts, so a
-- tie or a copy with another amount may be put right by minutes_final. cents: 1/100 yuan. The state of the sums, and no
-- other in the job, expires by the clock.
SELECT /*+ STATE_TTL('arriving' = '${sums_remembered}') */
       order_minute AS minute_start, province, SUM(orders) AS orders, SUM(cents) AS cents
FROM arriving
GROUP BY order_minute, province
