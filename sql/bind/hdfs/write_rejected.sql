-- Write the records that did not count to HDFS.
INSERT INTO rejected_files
SELECT verdict, reason, kafka_partition, kafka_offset, ingest_time,
       order_id, order_time, user_id, province, city, amount, payload, dt, '${run_id}'
FROM rejected
