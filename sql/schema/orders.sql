-- The columns of the order log, written once; a binding adds the connector (LIKE orders_schema).
--
-- One row per record. payload: the value as it stands in the log. event_time: `order_time` where the record is
-- one JSON object whose order_time is timely (not later than the lateness, not further ahead than a clock may
-- be; years 2000 to 2099), else the ingest time: it places every record, good or bad, on the business day and never runs behind the
-- watermark. Plain TIMESTAMP(3) in the business zone, because day windows over TIMESTAMP_LTZ lose rows (FLINK-38075).
-- The watermark follows the ingest time, so that it cannot pass an accepted record. The planner writes an expression out
-- wherever it is used: hence the way to a record's order_time is chosen once, around the two comparisons.
CREATE TEMPORARY TABLE orders_schema (
  payload BYTES,
  kafka_partition INT METADATA FROM 'partition' VIRTUAL,
  kafka_offset BIGINT METADATA FROM 'offset' VIRTUAL,
  ingest_ltz TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  event_time AS CAST(${event_ltz} AS TIMESTAMP(3)),
  WATERMARK FOR event_time AS
    FLOOR(CAST(ingest_ltz AS TIMESTAMP(3)) - ${lateness} - ${clock_skew} TO ${watermark_step})
)
