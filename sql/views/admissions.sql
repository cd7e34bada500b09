-- Which of them are taken in? One row per admissible record.
--
-- verdict: `late_copy`, if the order counts already (here without a horizon: all accepted orders of the days are at hand);
-- else `admitted` for the first of its key by (ingest time, digest of the payload), as among timely copies, and `duplicate` for
-- the others. Equal in both are the same bytes at the same time: which of them is taken changes no figure.
CREATE TEMPORARY VIEW admissions AS
SELECT CASE WHEN counted.order_id IS NOT NULL THEN 'late_copy' WHEN candidate.copy_number = 1 THEN 'admitted' ELSE 'duplicate' END AS verdict,
       candidate.origin AS origin, candidate.f AS f
FROM (
  SELECT origin, f, order_id, order_time,
         ROW_NUMBER() OVER (PARTITION BY order_id, order_time ORDER BY ingest_ltz, md5, origin, f.kafka_partition, f.kafka_offset) AS copy_number
  FROM admissible) AS candidate
LEFT JOIN accepted AS counted
  ON counted.order_id = candidate.order_id AND counted.order_time = candidate.order_time
