-- The supply of a backfill in Kafka: orders that shops send afterwards. Its records are the order contract's, with the ingest
-- time that they had, or that of their sending. supply: the name under which a file was sent.
CREATE TEMPORARY TABLE supply_log (
  headers MAP<STRING NOT NULL, BYTES> METADATA VIRTUAL,
  supply AS CAST(headers['supply'] AS STRING)
) WITH (
  'connector' = 'kafka',
  'topic' = '${supply_topic}',
  'properties.bootstrap.servers' = '${bootstrap}',
  'properties.group.id' = '${run_id}',
  'properties.isolation.level' = 'read_committed',
  'format' = 'raw',
  'scan.startup.mode' = 'specific-offsets',
  'scan.startup.specific-offsets' = '${supply_start_offsets}',
  'scan.bounded.mode' = 'specific-offsets',
  'scan.bounded.specific-offsets' = '${supply_end_offsets}'
) LIKE orders_schema
