-- Is a late record new money, or a copy of an order that was counted? One row per late record.
--
-- The late records and the keys accepted before them run through one OVER window. A late record finds the accepted keys of
-- its minute before it, because they are emitted at their minute's end and a late one stands at its ingest time, at least
-- the lateness after its order_time. The keys of a minute come in 255 shares, one text each: streaming remembers a text,
-- not thousands of keys, and looks into few of them. The frame only bounds what streaming remembers: the rule itself
-- compares with the horizon.
CREATE TEMPORARY VIEW late_orders AS
SELECT f, event_time,
       CASE WHEN LOCATE(CONCAT(',', ${key_as_text}, ','), CONCAT(',', accepted_keys, ',')) > 0
             AND TO_TIMESTAMP_LTZ(f.order_time, 3) >= f.ingest_ltz - ${late_copy_horizon}
            THEN 'late_copy' ELSE 'late' END AS verdict
FROM (
  SELECT f, event_time, order_id, order_time, MAX(keys) OVER (PARTITION BY key_minute, share ORDER BY event_time ${keys_remembered}) AS accepted_keys
  FROM (
    SELECT ${minute_of_key} AS key_minute, ${share_of_key} AS share, event_time, order_id, order_time, f, CAST(NULL AS STRING) AS keys
    FROM (SELECT f, event_time, f.order_id AS order_id, f.order_time AS order_time FROM classified WHERE verdict = 'late')
    UNION ALL
    SELECT key_minute, share, accepted_time, CAST(NULL AS STRING), CAST(NULL AS BIGINT), CAST(NULL AS ${fields_type}), keys
    FROM keys_of_minutes))
WHERE f IS NOT NULL
