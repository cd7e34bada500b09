-- The full report as Parquet, by day and run; columns: sql/queries/full_report.sql.
CREATE TEMPORARY TABLE full_report_files (
  province STRING, city STRING, orders BIGINT, amount DECIMAL(18, 2), users BIGINT,
  share DECIMAL(18, 4), `rank` BIGINT, rank_change BIGINT, week_ago_amount DECIMAL(18, 2), week_change DECIMAL(18, 4),
  mean_7 DECIMAL(18, 2), month_orders BIGINT, month_amount DECIMAL(18, 2), year_orders BIGINT, year_amount DECIMAL(18, 2),
  dt STRING, run STRING
) PARTITIONED BY (dt, run) WITH (
  'connector' = 'filesystem', 'path' = '${hdfs_root}/full_report', 'format' = 'parquet', 'sink.parallelism' = '1'
)
