-- Where the results of the last sink function go: nowhere, they are written.
CREATE TEMPORARY TABLE marker_sink (marked BIGINT) WITH ('connector' = 'blackhole')
