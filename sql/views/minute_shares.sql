-- How much was ordered in one share of a complete minute? One row per (order_minute, share, province); 'ALL' is the country;
-- a minute without orders has one row without province. closed_time: rowtime.
CREATE TEMPORARY VIEW minute_shares AS
SELECT closed_time, order_minute, province, orders, cents
FROM complete_minutes,
  LATERAL TABLE(minute_sales(packs)) AS sales (province, orders, cents)
