-- The columns of the order log, written once; a binding adds the connector (LIKE orders_schema).
--
-- One row per record. payload: the value as it stands in the log. ingest_time: epoch ms. safe_time: rowtime, the ingest time less the lateness: an
-- order minute that ends by then is complete. Its watermark needs no look into the record, so that the planner pushes it into
-- the source: one watermark per partition, which cannot pass a record whose ingest time runs back by no more than the clock
-- skew. Plain TIMESTAMP(3) in the business zone, because day windows over TIMESTAMP_LTZ lose rows (FLINK-38075).
-- An ingest time that cannot be right (verdict clock) has the safe_time ${no_time} and says nothing of the watermark: Flink
-- takes what the last record says, not the greatest.
CREATE TEMPORARY TABLE orders_schema (
  payload BYTES,
  kafka_partition INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  kafka_offset BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL,
  ingest_ltz TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  ingest_time AS EXTRACT(EPOCH FROM CAST(ingest_ltz AS TIMESTAMP(3))) * 1000
                 + EXTRACT(MILLISECOND FROM CAST(ingest_ltz AS TIMESTAMP(3))) - ${zone_offset_ms},
  safe_time AS ${safe_time},
  WATERMARK FOR safe_time AS
    CASE WHEN ${in_time} THEN FLOOR(CAST(ingest_ltz AS TIMESTAMP(3)) - ${lateness} - ${clock_skew} TO MINUTE) END
)
