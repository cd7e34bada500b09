-- The daily sales of all days and runs, for reading. Day and run are taken from the file's path: with PARTITIONED BY, Flink
-- (2.2) stumbles over the `.staging_…` folder of any batch run that is at work or failed ("incomplete partition spec").
CREATE TEMPORARY TABLE daily_sales_files (
  version BIGINT, province STRING, city STRING, orders BIGINT, amount DECIMAL(18, 2), users BIGINT,
  path STRING METADATA FROM 'file.path' VIRTUAL,
  dt AS REGEXP_EXTRACT(path, '/dt=([^/]+)/', 1), run AS REGEXP_EXTRACT(path, '/run=([^/]+)/', 1)
) WITH ('connector' = 'filesystem', 'path' = '${hdfs_root}/daily_sales', 'format' = 'parquet')
