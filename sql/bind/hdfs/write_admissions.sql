-- Write to HDFS what a backfill took in and what it did not.
INSERT INTO admissions_files
SELECT origin, verdict, reason, kafka_partition, kafka_offset, ingest_time,
       order_id, order_time, user_id, province, city, amount, payload, dt, '${run_id}'
FROM admissions_kept
