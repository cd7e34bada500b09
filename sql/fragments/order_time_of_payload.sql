CASE WHEN DECODE(payload, 'UTF-8') = '{"heartbeat":true}' THEN CAST(NULL AS BIGINT)
     WHEN REGEXP(DECODE(payload, 'UTF-8'), ${canonical_order})
     THEN CAST(REGEXP_EXTRACT(DECODE(payload, 'UTF-8'), '"order_time":([0-9]+)', 1) AS BIGINT)
     WHEN DECODE(payload, 'UTF-8') NOT LIKE '%�%' AND ${is_one_json_object}
     THEN CAST(REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.order_time' WITH WRAPPER), '^\[([1-9][0-9]{11,12})\]$', 1) AS BIGINT)
END
