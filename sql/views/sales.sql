-- The published sales of the day and of the days before it: one row per (dt, province, city), all levels.
CREATE TEMPORARY VIEW sales AS
SELECT dt, province, city, orders, amount, users FROM published_day
UNION ALL
SELECT dt, province, city, orders, amount, users FROM published_history
