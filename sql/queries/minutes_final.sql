-- How much was ordered in each minute, to the cent, once the watermark has passed it?
--
-- One row per (minute_start, province); 'ALL' is the country; cents: 1/100 yuan. A province whose only records were
-- copies is given with 0, for its provisional figure must be taken back.
SELECT window_start AS minute_start,
       accepted_time AS minute_time,
       COALESCE(province, 'ALL') AS province,
       COUNT(*) FILTER (WHERE copy_number = 1) AS orders,
       CAST(COALESCE(SUM(amount) FILTER (WHERE copy_number = 1), 0) * 100 AS BIGINT) AS cents
FROM (
  SELECT window_start, window_end, accepted_time, copy_number, o.province AS province, o.amount AS amount
  FROM timely_copies)
GROUP BY window_start, window_end, accepted_time, GROUPING SETS ((), (province))
