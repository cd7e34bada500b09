-- The late records of complete minutes: one row per pack, which holds one minute of order time and share.
CREATE TEMPORARY VIEW late_packs AS
SELECT closed_time, key_minute, key_share, pack
FROM settled
WHERE kind = 'late'
