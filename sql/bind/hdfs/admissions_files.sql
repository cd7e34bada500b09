-- What a backfill took in and what it did not, as Parquet, by business day and run. ingest_time, order_time: epoch ms.
CREATE TEMPORARY TABLE admissions_files (
  origin STRING, verdict STRING, reason STRING, kafka_partition INT, kafka_offset BIGINT, ingest_time BIGINT,
  order_id STRING, order_time BIGINT, user_id STRING, province STRING, city STRING, amount STRING, payload BYTES,
  dt STRING, run STRING
) PARTITIONED BY (dt, run) WITH (
  'connector' = 'filesystem', 'path' = '${hdfs_root}/admissions', 'format' = 'parquet'
)
