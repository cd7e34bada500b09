-- Which records have an ingest time that cannot be right (verdict clock)? One row per record. ingest_time: epoch ms, as it stands
-- in the log. They belong to no day and no window waits for them.
-- log: as for judged.sql.
CREATE TEMPORARY VIEW ${log}clock_records AS
SELECT payload, kafka_partition, kafka_offset, ingest_time
FROM ${log}orders
WHERE safe_time = ${no_time} AND kafka_partition >= 0
