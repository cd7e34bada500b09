-- Which offsets did the job not see between those that it did?
--
-- One row per hole, and one for the first offset of each partition. expected: the offset that should have come, -1 for the
-- first; read_from: the one that came. gap_time: rowtime, of what came; minute_start: its minute; since: the greatest ingest
-- time before the hole less the lateness (epoch ms), 0 if nothing was read before.
SELECT safe_time AS gap_time, FLOOR(safe_time TO MINUTE) AS minute_start,
       COALESCE(ingest_before - ${lateness_ms}, CAST(0 AS BIGINT)) AS since,
       kafka_partition, COALESCE(expected, CAST(-1 AS BIGINT)) AS expected, read_from
FROM reading
WHERE expected IS NULL OR expected <> read_from
