-- Write the daily sales to HDFS.
INSERT INTO daily_sales_files
SELECT ${version_ms}, province, city, orders, CAST(amount AS DECIMAL(18, 2)), users,
       DATE_FORMAT(day_start, 'yyyy-MM-dd'), '${run_id}'
FROM daily_sales
