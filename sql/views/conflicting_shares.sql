-- How many order_ids of a business day count under more than one order_time, in one share of the ids? One row per (day, share).
CREATE TEMPORARY VIEW conflicting_shares AS
SELECT day_time, conflicting_ids(packs) AS order_ids
FROM (
  SELECT window_time AS day_time, ARRAY_AGG(ids) AS packs
  FROM TABLE(TUMBLE(TABLE hours, DESCRIPTOR(hour_time), INTERVAL '1' DAY))
  GROUP BY window_start, window_end, window_time, share)${paced}
