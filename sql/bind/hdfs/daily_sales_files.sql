-- The daily sales as Parquet, by day and run; in streaming every hourly version, told apart by `version` (epoch ms).
CREATE TEMPORARY TABLE daily_sales_files (
  version BIGINT, province STRING, city STRING, orders BIGINT, amount DECIMAL(18, 2), users BIGINT, dt STRING, run STRING
) PARTITIONED BY (dt, run) WITH (
  'connector' = 'filesystem', 'path' = '${hdfs_root}/daily_sales', 'format' = 'parquet',
  'sink.rolling-policy.rollover-interval' = '1 h', 'sink.rolling-policy.check-interval' = '1 min'
)
