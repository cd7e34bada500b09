-- The verdict of every record, exactly one each. One row per record of the log.
--
-- f: the record and its fields (parsed); of an accepted or duplicate one without payload. reason: why malformed, or the
-- first invalid field. event_time: rowtime; of a timely record the end of its minute, which lies on the same day.
CREATE TEMPORARY VIEW verdicts AS
SELECT verdict,
       CASE verdict WHEN 'malformed' THEN f.malformed WHEN 'invalid' THEN ${invalid_field} END AS reason,
       f, event_time
FROM classified
WHERE verdict <> 'late' AND verdict <> 'timely'
UNION ALL
SELECT verdict, CAST(NULL AS STRING), f, event_time
FROM late_orders
UNION ALL
SELECT CASE WHEN copy_number = 1 THEN 'accepted' ELSE 'duplicate' END, CAST(NULL AS STRING),
       CAST(ROW(CAST(NULL AS BYTES), o.kafka_partition, o.kafka_offset, o.ingest_ltz, CAST(NULL AS STRING), FALSE,
                o.order_id, o.order_time, o.user_id, o.province, o.city, CAST(o.amount AS STRING)) AS ${fields_type}),
       accepted_time
FROM timely_copies
