-- How much was ordered in each minute, once a backfill has taken orders in?
--
-- One row per (minute_start, province); 'ALL' is the country; cents: 1/100 yuan.
SELECT order_minute AS minute_start, province, orders, cents
FROM (SELECT order_minute, ARRAY_AGG(pack) AS packs FROM counted GROUP BY order_minute)${paced},
  LATERAL TABLE(counted_sales(packs)) AS sales (province, orders, cents)
