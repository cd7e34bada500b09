-- The records that did not count, of all days and runs, for reading; as daily_sales_files.
CREATE TEMPORARY TABLE rejected_files (
  verdict STRING, reason STRING, kafka_partition INT, kafka_offset BIGINT, ingest_time BIGINT,
  order_id STRING, order_time BIGINT, user_id STRING, province STRING, city STRING, amount STRING, payload BYTES,
  path STRING METADATA FROM 'file.path' VIRTUAL,
  dt AS REGEXP_EXTRACT(path, '/dt=([^/]+)/', 1), run AS REGEXP_EXTRACT(path, '/run=([^/]+)/', 1)
) WITH ('connector' = 'filesystem', 'path' = '${hdfs_root}/rejected', 'format' = 'parquet')
