-- The columns of the order log, written once; a binding adds the connector (LIKE orders_schema).
--
-- One row per record. payload: the value as it stands in the log. safe_time: rowtime, the ingest time less the lateness: an
-- order minute that ends by then is complete. Its watermark needs no look into the record, so that the planner pushes it into
-- the source: one watermark per partition, which cannot pass a record whose ingest time runs back by no more than the clock
-- skew. Plain TIMESTAMP(3) in the business zone, because day windows over TIMESTAMP_LTZ lose rows (FLINK-38075).
CREATE TEMPORARY TABLE orders_schema (
  payload BYTES,
  kafka_partition INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  kafka_offset BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL,
  ingest_ltz TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  safe_time AS CAST(ingest_ltz AS TIMESTAMP(3)) - ${lateness},
  WATERMARK FOR safe_time AS FLOOR(CAST(ingest_ltz AS TIMESTAMP(3)) - ${lateness} - ${clock_skew} TO MINUTE)
)
