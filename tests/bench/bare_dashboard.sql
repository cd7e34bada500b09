-- What does bare Flink SQL cost for the dashboard's question? Orders and amount per minute and province.
SELECT window_start, province, COUNT(*) AS orders, SUM(amount) AS amount
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
WHERE order_id IS NOT NULL
GROUP BY window_start, window_end, province;
