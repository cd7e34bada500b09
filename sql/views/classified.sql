-- Which rule does a record meet on its own, without a look at others? One row per record.
--
-- verdict: malformed, heartbeat, invalid, future, late or timely, the first rule that fits (the order contract in
-- README.md). `timely` is divided into accepted and duplicate by
-- copies_by_key, `late` into late and late_copy by late_orders.
CREATE TEMPORARY VIEW ${log}classified AS
SELECT f, event_time, window_start, window_end, window_time,
       CASE
         WHEN f.malformed IS NOT NULL THEN 'malformed'
         WHEN f.heartbeat THEN 'heartbeat'
         WHEN ${invalid_field} IS NOT NULL THEN 'invalid'
         WHEN TO_TIMESTAMP_LTZ(f.order_time, 3) > f.ingest_ltz + ${future} THEN 'future'
         WHEN TO_TIMESTAMP_LTZ(f.order_time, 3) < f.ingest_ltz - ${lateness} THEN 'late'
         ELSE 'timely'
       END AS verdict
FROM ${log}minute_records
