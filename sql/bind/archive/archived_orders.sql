-- The order log below the edge of its archive out of files, and from there on out of Kafka; each offset of the range in one of
-- them only. The same columns as the log alone has: what follows from a record follows behind the union, by the same rule.
CREATE TEMPORARY VIEW orders AS
SELECT payload, kafka_partition, kafka_offset, ingest_ltz, CAST(ingest_ltz AS TIMESTAMP(3)) - ${lateness} AS safe_time
FROM (
  SELECT payload, kafka_partition, kafka_offset, TO_TIMESTAMP_LTZ(ingest_time, 3) AS ingest_ltz
  FROM archive_files
  WHERE ${archived_offsets}
  UNION ALL
  SELECT payload, kafka_partition, kafka_offset, ingest_ltz
  FROM orders_behind_the_edge)
