-- How much was ordered on a business day, and by how many users, in each city, each province and the country?
--
-- One row per (day_end, version_time, province, city); 'ALL' stands for the level above. orders: accepted orders.
-- amount: yuan. users: distinct user_id, counted at each level, for they do not add up. In streaming every hour gives
-- a full set of rows (day so far) and the last one is the day; in batch there is only the last one.
-- version_time is the rowtime of the version, its last millisecond.
SELECT window_start AS day_start,
       window_end AS version_end,
       window_time AS version_time,
       COALESCE(province, 'ALL') AS province,
       COALESCE(city, 'ALL') AS city,
       COUNT(*) AS orders,
       SUM(amount) AS amount,
       COUNT(DISTINCT user_id) AS users
FROM day_windows
WHERE window_start >= TIMESTAMP '${from_day} 00:00:00' AND window_start <= TIMESTAMP '${to_day} 00:00:00'
GROUP BY window_start, window_end, window_time, GROUPING SETS ((), (province), (province, city))
