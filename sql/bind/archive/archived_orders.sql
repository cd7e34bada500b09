-- The order log below the edge of its archive out of files, and from there on out of Kafka; each offset of the range in one of
-- them only. The same columns as the log alone has: what follows from a record follows behind the union, by the same rule.
-- A record of the files that is outside the range has the partition -1, and no WHERE: the planner puts a condition behind a
-- function that the records go through, and one that takes many at once (judge) would have taken it all the same.
CREATE TEMPORARY VIEW orders AS
SELECT payload, kafka_partition, kafka_offset, ingest_ltz, ingest_time, ${safe_time} AS safe_time
FROM (
  SELECT payload, CASE WHEN ${archived_offsets} THEN kafka_partition ELSE -1 END AS kafka_partition, kafka_offset,
         TO_TIMESTAMP_LTZ(ingest_time, 3) AS ingest_ltz, ingest_time
  FROM archive_files
  UNION ALL
  SELECT payload, kafka_partition, kafka_offset, ingest_ltz, ingest_time
  FROM orders_behind_the_edge)
