-- What does it cost to read the log at all? Every record with its place and its time, the value not looked at.
--
-- Greatest values rather than COUNT(*) alone, for the planner reads no metadata that nobody asks for.
CREATE TEMPORARY TABLE orders (
  payload BYTES,
  kafka_partition INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset BIGINT METADATA FROM 'offset' VIRTUAL,
  ingest_ltz TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
) WITH (
  ${from_kafka},
  'format' = 'raw'
);
SELECT COUNT(*) AS records, MAX(kafka_partition) AS p, MAX(kafka_offset) AS o, MAX(ingest_ltz) AS i
FROM orders;
