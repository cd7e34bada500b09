-- Where the results of the sink function go: nowhere, they are written.
CREATE TEMPORARY TABLE full_report_sink (written BIGINT) WITH ('connector' = 'blackhole')
