-- The timely records that do not count: all of a key but the first. One row per record; columns as in accepted.
CREATE TEMPORARY VIEW duplicates AS
SELECT order_id, order_time, ${copy_fields}, window_start, window_end, accepted_time
FROM (
  SELECT o.order_id AS order_id, o.order_time AS order_time, o.copies AS copies,
         window_start, window_end, window_time AS accepted_time
  FROM TABLE(TUMBLE(TABLE copies_by_key, DESCRIPTOR(key_time), INTERVAL '1' MINUTE)))
CROSS JOIN UNNEST(ARRAY_SORT(SPLIT(copies, ','))) WITH ORDINALITY AS one_copy (copy, copy_number)
WHERE copies LIKE '%,%' AND copy_number > 1
