-- What does bare Flink SQL cost for the report's question? Orders, amount and distinct users of the day so far, each hour, in each city,
-- each province and the country.
SELECT window_start, window_end, province, city, COUNT(*) AS orders, SUM(amount) AS amount, COUNT(DISTINCT user_id) AS users
FROM TABLE(CUMULATE(TABLE orders, DESCRIPTOR(event_time), INTERVAL '1' HOUR, INTERVAL '1' DAY))
WHERE order_id IS NOT NULL
GROUP BY window_start, window_end, GROUPING SETS ((province, city), (province), ());
