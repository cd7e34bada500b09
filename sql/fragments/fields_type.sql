ROW<payload BYTES, kafka_partition INT, kafka_offset BIGINT, ingest_ltz TIMESTAMP_LTZ(3),
    malformed STRING, heartbeat BOOLEAN, order_id STRING, order_time BIGINT, user_id STRING,
    province STRING, city STRING, amount STRING>
