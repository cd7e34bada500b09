-- What can be asked: the log by verdict (orders, classified, accepted, verdicts), and what the runs wrote to HDFS.
\i client/orders
\i client/daily_sales_files;
\i client/rejected_files;
