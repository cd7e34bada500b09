-- Which packs came when their order minute was over? No window takes them, so their records are in no figure.
--
-- None, as long as ingest times run back by no more than the clock skew. Asked before the records are dealt out to subtasks:
-- of several, one that is ahead tells also what another still holds open for. minute_start: the order minute.
SELECT safe_time, order_minute AS minute_start, pack
FROM packs
WHERE order_minute + INTERVAL '1' MINUTE <= ${watermark}
