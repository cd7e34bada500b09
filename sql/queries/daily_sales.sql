-- How much was ordered on a business day, and by how many users, in each city, each province and the country?
--
-- One row per (day_end, version_time, province, city); 'ALL' stands for the level above. orders: accepted orders.
-- amount: yuan. users: distinct user_id, counted at each level, for they do not add up. In streaming every hour gives
-- a full set of rows (day so far) and the last one is the day; in batch there is only the last one.
-- version_time is the rowtime of the version, its last millisecond.
-- One aggregate a level, not GROUPING SETS, and no condition on a window's bounds: with either between window and
-- aggregate streaming would copy every row into each of the day's 24 windows.
SELECT window_start AS day_start, window_end AS version_end, window_time AS version_time,
       province AS province, city AS city,
       COUNT(*) AS orders, SUM(amount) AS amount, COUNT(DISTINCT user_id) AS users
FROM day_windows
GROUP BY window_start, window_end, window_time, province, city
UNION ALL
SELECT window_start AS day_start, window_end AS version_end, window_time AS version_time,
       province AS province, 'ALL' AS city,
       COUNT(*) AS orders, SUM(amount) AS amount, COUNT(DISTINCT user_id) AS users
FROM day_windows
GROUP BY window_start, window_end, window_time, province
UNION ALL
SELECT window_start AS day_start, window_end AS version_end, window_time AS version_time,
       'ALL' AS province, 'ALL' AS city,
       COUNT(*) AS orders, SUM(amount) AS amount, COUNT(DISTINCT user_id) AS users
FROM day_windows
GROUP BY window_start, window_end, window_time
