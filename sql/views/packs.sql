-- What does each record say, and in which order minute does it stand? One row per pack: the records of one order minute and
-- share that one batch of the log brought (udfs/judge.py).
--
-- log: empty for the order log, `supply_` for the supply of a backfill, whose records are judged by the same rules. A pack
-- stands in the row of one of its own records, so that its safe_time is that of a record of the minute.
CREATE TEMPORARY VIEW ${log}packs AS
SELECT safe_time, judged.order_minute AS order_minute, judged.share AS share, judged.pack AS pack
FROM (
  SELECT safe_time, judge(payload, kafka_partition, kafka_offset, CAST(ingest_ltz AS TIMESTAMP(3))) AS judged
  FROM ${log}orders)
WHERE judged.pack IS NOT NULL
