-- The records of the supply that a backfill reads: all but those of the files that it was told to leave out.
CREATE TEMPORARY VIEW supply_orders AS
SELECT payload, kafka_partition, kafka_offset, ingest_ltz, safe_time
FROM supply_log
WHERE ${supply_taken}
