-- The order log in Kafka. Offsets are given for every partition and recorded with the run, so that a run can be repeated.
CREATE TEMPORARY TABLE ${log_table} WITH (
  'connector' = 'kafka',
  'topic' = '${topic}',
  'properties.bootstrap.servers' = '${bootstrap}',
  'properties.group.id' = '${run_id}',
  'properties.isolation.level' = 'read_committed',
  'format' = 'raw',
  'scan.startup.mode' = 'specific-offsets',
  'scan.startup.specific-offsets' = '${start_offsets}',
  ${scan_end}
) LIKE orders_schema
