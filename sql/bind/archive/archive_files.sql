-- The archive of the order log on HDFS, for reading: the files of the segments and hours that a run needs. The pattern leaves out
-- all others, and what is not finished. ingest_time: epoch ms.
CREATE TEMPORARY TABLE archive_files (
  payload BYTES, kafka_partition INT, kafka_offset BIGINT, ingest_time BIGINT
) WITH (
  'connector' = 'filesystem', 'path' = '${archive_folder}', 'format' = 'parquet',
  'source.path.regex-pattern' = '${archive_pattern}'
)
