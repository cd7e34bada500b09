-- What became of each record that a backfill looked at? One row per admissible record of its days, and per record of the supply
-- that is no valid order.
--
-- origin, verdict: as in admissions. dt: the business day of the order, or of the ingest time where there is no valid order.
SELECT origin, verdict, CAST(NULL AS STRING) AS reason,
       f.kafka_partition AS kafka_partition, f.kafka_offset AS kafka_offset, ${epoch_ms_of_ingest} AS ingest_time,
       f.order_id AS order_id, f.order_time AS order_time, f.user_id AS user_id,
       f.province AS province, f.city AS city, f.amount AS amount, f.payload AS payload,
       DATE_FORMAT(CAST(TO_TIMESTAMP_LTZ(f.order_time, 3) AS TIMESTAMP(3)), 'yyyy-MM-dd') AS dt
FROM admissions
UNION ALL
SELECT 'supply', verdict, CASE verdict WHEN 'malformed' THEN f.malformed WHEN 'invalid' THEN ${invalid_field} END,
       f.kafka_partition, f.kafka_offset, ${epoch_ms_of_ingest},
       f.order_id, f.order_time, f.user_id, f.province, f.city, f.amount, f.payload,
       DATE_FORMAT(CAST(f.ingest_ltz AS TIMESTAMP(3)), 'yyyy-MM-dd')
FROM supply_classified
WHERE verdict IN ('malformed', 'invalid', 'future')
