-- The stretches of the order log and of the supply that a backfill reads: a partition of the supply is -1 less its own.
CREATE TEMPORARY VIEW all_stretches AS
SELECT safe_time, kafka_partition, read_from, read_until, last_ingest FROM stretches
UNION ALL
SELECT safe_time, -1 - kafka_partition, read_from, read_until, last_ingest FROM supply_stretches
