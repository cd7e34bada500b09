-- Which packs belong to an order minute, once no timely record of it can come any more? One row per (order_minute, share).
--
-- A record of the minute M comes with a safe_time from M less lateness and less how far a clock may be ahead, up to the end
-- of M: all of them lie in the window of that size that ends with M, and in no other is it asked for. The condition stands
-- before the aggregate in the plan, so that each pack is kept once. No window has an OFFSET: it would lose rows in silence
-- (FLINK-36664). closed_time: rowtime, the last millisecond of the minute.
CREATE TEMPORARY VIEW complete_minutes AS
SELECT closed_time, order_minute, share, packs
FROM (
  SELECT window_end, window_time AS closed_time, order_minute, share, ARRAY_AGG(pack) AS packs
  FROM TABLE(HOP(TABLE packs, DESCRIPTOR(safe_time), INTERVAL '1' MINUTE, ${gathering}))
  GROUP BY window_start, window_end, window_time, order_minute, share)${paced}
WHERE order_minute = window_end - INTERVAL '1' MINUTE
