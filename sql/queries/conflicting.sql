-- How many order_ids of a business day count under more than one order_time?
--
-- One row per day that has any; the day's last hour is its version in both modes. A shop that changes the time of an
-- order makes two orders of it: both count, and this figure shows that somebody should look.
SELECT window_start AS day_start, window_end AS version_end, window_time AS version_time, SUM(order_ids) AS order_ids
FROM TABLE(TUMBLE(TABLE conflicting_shares, DESCRIPTOR(day_time), INTERVAL '1' DAY))
GROUP BY window_start, window_end, window_time
HAVING SUM(order_ids) > 0
