-- Which offsets did a batch of the log bring without a hole? One row per stretch: read_from inclusive, read_until exclusive;
-- last_ingest: the greatest ingest time in it, epoch ms.
--
-- It stands in the row of its record with the least ingest time (udfs/stretches.py).
-- log: as for judged.sql.
CREATE TEMPORARY VIEW ${log}stretches AS
SELECT safe_time, judged.kafka_partition AS kafka_partition, judged.read_from AS read_from, judged.read_until AS read_until,
       judged.last_ingest AS last_ingest
FROM ${log}judged
WHERE judged.read_until >= 0
