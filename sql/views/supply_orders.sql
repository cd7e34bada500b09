-- The records of the supply that a backfill reads. Those of the files that it was told to leave out have the partition -2 less
-- their own: judge takes no such record, but they were read (why there is no WHERE: archived_orders.sql).
CREATE TEMPORARY VIEW supply_orders AS
SELECT payload, CASE WHEN ${supply_taken} THEN kafka_partition ELSE -2 - kafka_partition END AS kafka_partition, kafka_offset,
       ingest_ltz, ingest_time, safe_time
FROM supply_log
