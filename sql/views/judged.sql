-- What does each record say, and which offsets of the log has the batch brought? One row per record; most are of no further
-- use, for what a batch brought stands in few of its rows (packs.sql, stretches.sql).
--
-- log: empty for the order log, `supply_` for the supply of a backfill, whose records are judged by the same rules.
-- A record whose ingest time cannot be right was read, but stands in no time: as one that is left out (clock_records.sql has it).
CREATE TEMPORARY VIEW ${log}judged AS
SELECT safe_time,
       judge(payload, CASE WHEN safe_time = ${no_time} AND kafka_partition >= 0 THEN -2 - kafka_partition ELSE kafka_partition END,
             kafka_offset, safe_time + ${lateness}) AS judged
FROM ${log}orders
