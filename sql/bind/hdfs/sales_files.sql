-- The files of the daily sales of certain runs, for reading; the pattern leaves out all others, and what is not finished.
CREATE TEMPORARY TABLE sales_files (
  version BIGINT, province STRING, city STRING, orders BIGINT, amount DECIMAL(18, 2), users BIGINT,
  path STRING METADATA FROM 'file.path' VIRTUAL,
  dt AS REGEXP_EXTRACT(path, '/dt=([^/]+)/', 1), run AS REGEXP_EXTRACT(path, '/run=([^/]+)/', 1)
) WITH (
  'connector' = 'filesystem', 'path' = '${hdfs_root}/daily_sales', 'format' = 'parquet',
  'source.path.regex-pattern' = '.*/daily_sales/dt=[^/]+/run=(?:${input_runs})/[^/._][^/]*'
)
