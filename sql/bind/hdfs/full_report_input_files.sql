-- What a full report was made from, as Parquet, by day and run; columns: sql/queries/full_report_inputs.sql.
CREATE TEMPORARY TABLE full_report_input_files (
  input_day STRING, `rows` BIGINT, orders BIGINT, amount DECIMAL(18, 2), dt STRING, run STRING
) PARTITIONED BY (dt, run) WITH (
  'connector' = 'filesystem', 'path' = '${hdfs_root}/full_report_inputs', 'format' = 'parquet', 'sink.parallelism' = '1'
)
