-- Which timely records does each key have, and which of them came first? One row per key (order_id, order_time), at the
-- end of its minute.
--
-- Key: order_time fixes the minute, so no two records of a key stand in different windows. copy: a record as one text, whose
-- place among the other texts of its key says when it came: ingest time, then the digest of the payload. Partition and
-- offset, which change when a log is copied, come last: they only say which of two equal records is the duplicate. A
-- constant added to each number makes all as long (copy_fields takes it away). The order is total and survives a replay.
-- o: the first record; amount in yuan. copies: all of them, joined by commas, which no field of a valid order holds.
-- An aggregate, not a ranking of rows: streaming keeps one value a key, where a ranking keeps a map whose end RocksDB has to
-- look for among all that was deleted nearby. And one text, in which the first copy is looked up at the end: MIN(copy) beside
-- it would keep nearly every record twice. The condition on the window always holds: with it the window stands on its own
-- in the plan, and what is below it is shared with the other uses of classified.
CREATE TEMPORARY VIEW copies_by_key AS
SELECT key_time,
       CAST(ROW(order_id, order_time, ingest_ltz, kafka_partition, kafka_offset, user_id, province, city, amount, copies)
            AS ${order_type}) AS o
FROM (
  SELECT key_time, order_id, order_time, ${copy_fields}, copies
  FROM (
    SELECT key_time, order_id, order_time, copies,
           CASE WHEN copies LIKE '%,%' THEN ARRAY_MIN(SPLIT(copies, ',')) ELSE copies END AS copy
    FROM (
      SELECT window_time AS key_time, order_id, order_time, LISTAGG(copy) AS copies
      FROM (
        SELECT window_start, window_end, window_time, f.order_id AS order_id, f.order_time AS order_time,
               CONCAT(CAST(${epoch_ms_of_ingest} + 20000000000000 AS STRING), MD5(CAST(f.payload AS STRING)),
                      CAST(f.kafka_partition + 1000000000 AS STRING), CAST(f.kafka_offset + 1000000000000000000 AS STRING),
                      '|', f.user_id, '|', f.province, '|', f.city, '|', f.amount) AS copy
        FROM classified
        WHERE verdict = 'timely' AND window_start < window_end)
      GROUP BY window_start, window_end, window_time, order_id, order_time)))
