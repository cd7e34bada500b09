CAST(REGEXP_EXTRACT(CAST(payload AS STRING), '"order_time":([0-9]+)', 1) AS BIGINT)
