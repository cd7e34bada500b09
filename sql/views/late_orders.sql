-- Is a late record new money, or a copy of an order that was counted? One row per late record.
--
-- The late records and the accepted keys run through one OVER window by key. A late record finds the accepted one of
-- its key before it, because an accepted order is emitted at its minute's end and a late one stands at its ingest time,
-- at least the lateness after its order_time. The frame only bounds what streaming remembers: the rule itself compares
-- with the horizon.
CREATE TEMPORARY VIEW late_orders AS
SELECT f, event_time,
       CASE WHEN accepted_before > 0 AND TO_TIMESTAMP_LTZ(order_time, 3) >= f.ingest_ltz - ${late_copy_horizon}
            THEN 'late_copy' ELSE 'late' END AS verdict
FROM (
  SELECT *, SUM(is_accepted) OVER (PARTITION BY order_id, order_time ORDER BY event_time ${keys_remembered})
            AS accepted_before
  FROM (
    SELECT f.order_id AS order_id, f.order_time AS order_time, event_time, f, 0 AS is_accepted
    FROM classified
    WHERE verdict = 'late'
    UNION ALL
    SELECT o.order_id, o.order_time, accepted_time, CAST(NULL AS ${fields_type}), 1
    FROM timely_copies
    WHERE copy_number = 1))
WHERE is_accepted = 0
