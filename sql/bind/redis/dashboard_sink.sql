-- Where the results of the sink functions go: nowhere, they are written.
CREATE TEMPORARY TABLE dashboard_sink (written BIGINT) WITH ('connector' = 'blackhole')
