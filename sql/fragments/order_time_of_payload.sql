CASE WHEN CAST(payload AS STRING) = '{"heartbeat":true}' THEN CAST(NULL AS BIGINT)
     WHEN REGEXP(CAST(payload AS STRING), ${canonical_order})
     THEN CAST(REGEXP_EXTRACT(CAST(payload AS STRING), '"order_time":([0-9]+)', 1) AS BIGINT)
     WHEN CAST(payload AS STRING) NOT LIKE '%�%' AND ${is_one_json_object}
     THEN ${order_time_by_json}
END
