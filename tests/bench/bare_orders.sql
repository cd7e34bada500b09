-- The order log for bare Flink SQL, by its json format. No contract: what is not JSON is dropped in silence, copies count twice,
-- late records fall out of their window.
CREATE TEMPORARY TABLE orders (
  order_id STRING, order_time BIGINT, user_id STRING, province STRING, city STRING, amount DECIMAL(12, 2),
  ingest_ltz TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,
  event_time AS COALESCE(CAST(TO_TIMESTAMP_LTZ(order_time, 3) AS TIMESTAMP(3)), CAST(ingest_ltz AS TIMESTAMP(3))),
  WATERMARK FOR event_time AS FLOOR(CAST(ingest_ltz AS TIMESTAMP(3)) - INTERVAL '330' SECOND(3) TO MINUTE)
) WITH (
  ${from_kafka},
  'format' = 'json',
  'json.ignore-parse-errors' = 'true'
);
