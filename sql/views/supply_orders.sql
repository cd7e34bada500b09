-- The records of the supply that a backfill reads: those of the files that it was told to leave out have the partition -1, for
-- judge takes no such record (why there is no WHERE: archived_orders.sql).
CREATE TEMPORARY VIEW supply_orders AS
SELECT payload, CASE WHEN ${supply_taken} THEN kafka_partition ELSE -1 END AS kafka_partition, kafka_offset, ingest_ltz, safe_time
FROM supply_log
