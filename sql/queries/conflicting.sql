-- How many order_ids of a business day count under more than one order_time?
--
-- counting: the orders that count: accepted_of_days, or in a backfill counted.
-- One row per day that has any; the day's last hour is its version in both modes. A shop that changes the time of an
-- order makes two orders of it: both count, and this figure shows that somebody should look.
-- The ids of a day come in shares, by their hash, one text each: at the day's end a few thousand texts are looked at, and
-- taken apart only where an id stands twice. A key for each id took longer, of 7.6 million, than a checkpoint may.
SELECT window_start AS day_start, window_end AS version_end, window_time AS version_time, COUNT(*) AS order_ids
FROM (
  SELECT window_start, window_end, window_time, order_id
  FROM (
    SELECT window_start, window_end, window_time, SPLIT(LISTAGG(order_id), ',') AS order_ids
    FROM (
      SELECT window_start, window_end, window_time, order_id, MOD(HASH_CODE(order_id), 16384) AS share
      FROM TABLE(TUMBLE(TABLE ${counting}, DESCRIPTOR(accepted_time), INTERVAL '1' DAY)))
    GROUP BY window_start, window_end, window_time, share) AS shares
  CROSS JOIN UNNEST(order_ids) AS of_share (order_id)
  WHERE CARDINALITY(order_ids) > CARDINALITY(ARRAY_DISTINCT(order_ids))
  GROUP BY window_start, window_end, window_time, order_id
  HAVING COUNT(*) > 1)
GROUP BY window_start, window_end, window_time
