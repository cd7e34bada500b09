ROW<order_id STRING, order_time BIGINT, ingest_ltz TIMESTAMP_LTZ(3), kafka_partition INT, kafka_offset BIGINT,
    user_id STRING, province STRING, city STRING, amount DECIMAL(12, 2), copies STRING>
