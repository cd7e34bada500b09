-- Which records of one order minute and share did a batch of the log bring? One row per pack (udfs/judge.py).
--
-- A pack stands in the row of one of its own records, so that its safe_time is that of a record of the minute.
CREATE TEMPORARY VIEW ${log}packs AS
SELECT safe_time, judged.order_minute AS order_minute, judged.share AS share, judged.pack AS pack
FROM ${log}judged
WHERE judged.pack IS NOT NULL
