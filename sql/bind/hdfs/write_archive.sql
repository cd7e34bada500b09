-- Write every record of the log to HDFS, heartbeats and malformed ones too.
INSERT INTO archive_sink
SELECT f.payload, f.kafka_partition, f.kafka_offset, f.ingest_time, '${run_id}',
       DATE_FORMAT(CAST(f.ingest_ltz AS TIMESTAMP(3)), 'yyyy-MM-dd'), DATE_FORMAT(CAST(f.ingest_ltz AS TIMESTAMP(3)), 'HH')
FROM orders AS f
