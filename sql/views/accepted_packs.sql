-- The orders that count, of the business days that a run is for: one pack per (order_minute, share,
-- piece): a pack holds a bounded number of orders.
CREATE TEMPORARY VIEW accepted_packs AS
SELECT closed_time, order_minute, share, key_share AS piece, pack
FROM settled
WHERE kind = 'accepted'
  AND closed_time >= TIMESTAMP '${from_day} 00:00:00' AND closed_time < TIMESTAMP '${to_day} 00:00:00' + INTERVAL '1' DAY
