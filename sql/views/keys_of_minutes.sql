-- Which keys were accepted in each minute, by shares? One row per (key_minute, share), at the minute's end.
--
-- key_minute: epoch ms of its begin. share: which of the minute's keys, by their hash. keys: `order_id|order_time`, joined by
-- commas. The condition on the window: as in copies_by_key.
CREATE TEMPORARY VIEW keys_of_minutes AS
SELECT accepted_time, key_minute, share, LISTAGG(order_key) AS keys
FROM (
  SELECT window_start, window_end, accepted_time,
         ${minute_of_key} AS key_minute, ${share_of_key} AS share, ${key_as_text} AS order_key
  FROM accepted
  WHERE window_start < window_end)
GROUP BY window_start, window_end, accepted_time, key_minute, share
