-- How many records met which verdict, in parts that add up? One row per (minute or hour, partition, verdict) and part, of the
-- business days that a run is for. counted_time: rowtime; on the day that the records stand on.
CREATE TEMPORARY VIEW verdicts_counted AS
SELECT counted_time, kafka_partition, verdict, records, offset_min, offset_max, offset_sum
FROM (
  SELECT closed_time AS counted_time, kafka_partition, verdict, records, offset_min, offset_max, offset_sum
  FROM settled
  WHERE kind = 'count'
  UNION ALL
  SELECT late_time, kafka_partition, verdict, records, offset_min, offset_max, offset_sum
  FROM late_orders
  WHERE kind = 'count')
WHERE counted_time >= TIMESTAMP '${from_day} 00:00:00' AND counted_time < TIMESTAMP '${to_day} 00:00:00' + INTERVAL '1' DAY
