-- What was read of each day that went into a full report?
--
-- One row per input_day: rows of all levels; orders and amount (yuan) of its cities, which add up. They must be what the
-- marker of the published version says.
SELECT dt AS input_day, COUNT(*) AS `rows`,
       SUM(CASE WHEN city <> 'ALL' THEN orders ELSE 0 END) AS orders,
       CAST(SUM(CASE WHEN city <> 'ALL' THEN amount ELSE 0 END) AS DECIMAL(18, 2)) AS amount
FROM sales
GROUP BY dt
