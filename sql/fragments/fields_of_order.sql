CAST(ROW(CAST(NULL AS BYTES), kafka_partition, kafka_offset, ingest_ltz, CAST(NULL AS STRING), FALSE,
                order_id, order_time, user_id, province, city, CAST(amount AS STRING)) AS ${fields_type})
