-- What does each record say, and which offsets of the log has the batch brought? One row per record; most are of no further
-- use, for what a batch brought stands in few of its rows (packs.sql, stretches.sql).
--
-- log: empty for the order log, `supply_` for the supply of a backfill, whose records are judged by the same rules.
CREATE TEMPORARY VIEW ${log}judged AS
SELECT safe_time, judge(payload, kafka_partition, kafka_offset, CAST(ingest_ltz AS TIMESTAMP(3))) AS judged
FROM ${log}orders
