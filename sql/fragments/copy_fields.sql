TO_TIMESTAMP_LTZ(CAST(SUBSTRING(copy, 1, 14) AS BIGINT) - 20000000000000, 3) AS ingest_ltz,
       CAST(SUBSTRING(copy, 47, 10) AS INT) - 1000000000 AS kafka_partition,
       CAST(SUBSTRING(copy, 57, 19) AS BIGINT) - 1000000000000000000 AS kafka_offset,
       SPLIT_INDEX(copy, '|', 1) AS user_id, SPLIT_INDEX(copy, '|', 2) AS province, SPLIT_INDEX(copy, '|', 3) AS city,
       CAST(SPLIT_INDEX(copy, '|', 4) AS DECIMAL(12, 2)) AS amount
