-- Note how many records had an ingest time that cannot be right.
INSERT INTO ${told}_sink
SELECT put_clock(kafka_partition, records, offset_min, offset_max, offset_sum, ingest_min, ingest_max) FROM clock_counts
