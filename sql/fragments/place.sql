payload, kafka_partition, kafka_offset, ingest_ltz
