-- Which record of each key arrived first? One row per key (order_id, order_time), as soon as it is there.
--
-- arrived: processing time. A record that arrives later may yet be the accepted one (copies_by_key): this is for
-- provisional figures.
CREATE TEMPORARY VIEW first_copies AS
SELECT minute_start, province, amount, PROCTIME() AS arrived
FROM (
  SELECT window_start AS minute_start, f.province AS province, CAST(f.amount AS DECIMAL(12, 2)) AS amount,
         ROW_NUMBER() OVER (PARTITION BY f.order_id, f.order_time ORDER BY PROCTIME()) AS arrival
  FROM classified
  WHERE verdict = 'timely')
WHERE arrival = 1
