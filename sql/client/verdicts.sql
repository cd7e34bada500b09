-- The verdict of every record that stands in time, exactly one each: settled packs as rows, for people who ask. One row per
-- record of the log, but for clock_records.
--
-- reason: why malformed, or the first invalid field. event_time: of a timely record in the minute of its order time, else of its
-- ingest time (a late one: in that hour), always on the business day that it stands on. Fields are NULL where they are not as
-- the contract has them. ingest_time, order_time: epoch ms; amount: yuan, as spelt; payload: NULL of an order that counts
-- and of its copies, where the fields in the canonical spelling are the record.
CREATE TEMPORARY VIEW verdicts AS
SELECT closed_time AS event_time, found.verdict, found.reason, found.kafka_partition, found.kafka_offset, found.ingest_time,
       found.order_id, found.order_time, found.user_id, found.province, found.city, found.amount, found.payload
FROM complete_minutes,
  LATERAL TABLE(rows_of(packs)) AS found (
    kind, pack, key_minute, key_share, verdict, kafka_partition, records, offset_min, offset_max, offset_sum,
    reason, kafka_offset, ingest_time, order_id, order_time, user_id, province, city, amount, payload)
UNION ALL
SELECT late_time, verdict, reason, kafka_partition, kafka_offset, ingest_time, order_id, order_time, user_id, province, city,
       amount, payload
FROM late_orders
WHERE kind = 'rejected'
