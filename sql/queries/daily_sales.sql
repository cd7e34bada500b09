-- How much was ordered on a business day, and by how many users, in each city, each province and the country?
--
-- One row per (day_end, version_time, province, city); 'ALL' stands for the level above. orders: accepted orders.
-- amount: yuan. users: distinct user_id, counted at each level, for they do not add up. In streaming every hour gives
-- a full set of rows (day so far) and the last one is the day; in batch there is only the last one.
-- version_time is the rowtime of the version, its last millisecond. A user's orders all stand in one share, so that the
-- figures of the shares add up.
SELECT FLOOR(window_time TO DAY) AS day_start, window_end AS version_end, window_time AS version_time,
       province, city, SUM(orders) AS orders,
       CAST(SUM(CAST(cents AS DECIMAL(19, 0))) * 0.01 AS DECIMAL(38, 2)) AS amount, SUM(users) AS users
FROM TABLE(TUMBLE(TABLE day_shares, DESCRIPTOR(part_time), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, window_time, province, city
