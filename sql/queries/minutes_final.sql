-- How much was ordered in each minute, to the cent, once the watermark has passed it?
--
-- One row per (minute_start, province); 'ALL' is the country; cents: 1/100 yuan. A province whose only records were
-- copies is given with 0, for its provisional figure must be taken back.
SELECT window_start AS minute_start,
       accepted_time AS minute_time,
       COALESCE(province, 'ALL') AS province,
       CAST(SUM(orders) AS BIGINT) AS orders,
       CAST(SUM(amount) * 100 AS BIGINT) AS cents
FROM (
  SELECT window_start, window_end, accepted_time, province, 1 AS orders, amount FROM accepted
  UNION ALL
  SELECT window_start, window_end, accepted_time, province, 0, CAST(0 AS DECIMAL(12, 2)) FROM duplicates)
GROUP BY window_start, window_end, accepted_time, GROUPING SETS ((), (province))
