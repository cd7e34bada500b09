-- What can be asked: the log by verdict (orders, packs, settled, verdicts, accepted; clock_records: what stands in no time), and
-- what the runs wrote to HDFS.
\i client/orders
\i views/clock_records;
\i views/settled;
\i views/late_packs;
\i views/late_orders;
\i client/verdicts;
\i client/verdicts_of_days;
\i client/accepted;
\i client/accepted_of_days;
\i client/daily_sales_files;
\i client/rejected_files;
