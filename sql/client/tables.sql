-- What can be asked: the log by verdict (orders, classified, accepted, verdicts), and what the runs wrote to HDFS.
\i client/orders
\i bind/hdfs/daily_sales_files;
\i bind/hdfs/rejected_files;
