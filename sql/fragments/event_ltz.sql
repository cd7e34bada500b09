CASE
  WHEN REGEXP(CAST(payload AS STRING), ${canonical_order})
  THEN CASE WHEN TO_TIMESTAMP_LTZ(${order_time_if_canonical}, 3) BETWEEN ${timely_from} AND ${timely_to}
            THEN TO_TIMESTAMP_LTZ(${order_time_if_canonical}, 3) ELSE ingest_ltz END
  WHEN CAST(payload AS STRING) <> '{"heartbeat":true}' AND CAST(payload AS STRING) NOT LIKE '%�%' AND ${is_one_json_object}
  THEN CASE WHEN TO_TIMESTAMP_LTZ(${order_time_by_json}, 3) BETWEEN ${timely_from} AND ${timely_to}
            THEN TO_TIMESTAMP_LTZ(${order_time_by_json}, 3) ELSE ingest_ltz END
  ELSE ingest_ltz
END
