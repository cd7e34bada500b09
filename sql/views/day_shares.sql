-- What did one share of the users order on a day so far, in each city, each province and the country? One row per (part_time,
-- share, province, city). part_time: rowtime, the last millisecond of the version.
CREATE TEMPORARY VIEW day_shares AS
SELECT part_time, share, province, city, orders, cents, users
FROM (
  SELECT window_time AS part_time, share, ARRAY_AGG(sales) AS sales
  FROM day_windows
  GROUP BY window_start, window_end, window_time, share)${paced},
  LATERAL TABLE(place_sales(sales)) AS place (province, city, orders, cents, users)
