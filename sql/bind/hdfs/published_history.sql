-- The published versions of the earlier days, out of the Parquet files on HDFS. Several runs and versions of a day lie there:
-- `published_inputs` says which one counts.
CREATE TEMPORARY VIEW published_history AS
SELECT files.dt, files.province, files.city, files.orders, files.amount, files.users
FROM sales_files AS files
JOIN published_inputs AS inputs
  ON files.dt = inputs.dt AND files.run = inputs.run AND files.version = inputs.version
