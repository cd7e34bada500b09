-- What a place sold on the day and in the spans before it: one row per (level, province, city). Amounts in yuan. A place that
-- sold nothing on a day has no row of that day, so 0 is what it sold; whether the day is known at all is asked elsewhere.
CREATE TEMPORARY VIEW sales_by_place AS
SELECT
  CASE WHEN city <> 'ALL' THEN 'city' WHEN province <> 'ALL' THEN 'province' ELSE 'country' END AS level,
  province, city,
  SUM(CASE WHEN dt = '${day}' THEN orders ELSE 0 END) AS orders,
  CAST(SUM(CASE WHEN dt = '${day}' THEN amount ELSE 0 END) AS DECIMAL(18, 2)) AS amount,
  SUM(CASE WHEN dt = '${day}' THEN users ELSE 0 END) AS users,
  SUM(CASE WHEN dt = '${day_before}' THEN orders ELSE 0 END) AS orders_before,
  CAST(SUM(CASE WHEN dt = '${day_before}' THEN amount ELSE 0 END) AS DECIMAL(18, 2)) AS amount_before,
  CAST(SUM(CASE WHEN dt = '${week_ago}' THEN amount ELSE 0 END) AS DECIMAL(18, 2)) AS week_ago_amount,
  CAST(SUM(CASE WHEN dt >= '${seven_from}' THEN amount ELSE 0 END) AS DECIMAL(18, 2)) AS amount_7,
  SUM(CASE WHEN dt >= '${month_from}' THEN orders ELSE 0 END) AS month_orders,
  CAST(SUM(CASE WHEN dt >= '${month_from}' THEN amount ELSE 0 END) AS DECIMAL(18, 2)) AS month_amount,
  SUM(CASE WHEN dt >= '${year_from}' THEN orders ELSE 0 END) AS year_orders,
  CAST(SUM(CASE WHEN dt >= '${year_from}' THEN amount ELSE 0 END) AS DECIMAL(18, 2)) AS year_amount
FROM sales
GROUP BY province, city
