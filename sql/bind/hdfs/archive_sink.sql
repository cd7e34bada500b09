-- The archive of the order log as Parquet, for writing; by run, and below it by ingest hour in the business zone. payload: the
-- value byte by byte, NULL for a tombstone. ingest_time: epoch ms, the record's timestamp.
CREATE TEMPORARY TABLE archive_sink (
  payload BYTES, kafka_partition INT, kafka_offset BIGINT, ingest_time BIGINT,
  run STRING, ingest_day STRING, ingest_hour STRING
) PARTITIONED BY (run, ingest_day, ingest_hour) WITH (
  'connector' = 'filesystem', 'path' = '${archive_folder}', 'format' = 'parquet'
)
