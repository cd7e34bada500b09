-- What did the users order in an hour, and which order ids were there? Rows of (hour, share), one for each piece of
-- its minutes: two packs, one by users, one by ids (udfs/tallies.py). hour_time: rowtime, the last millisecond of the hour.
CREATE TEMPORARY VIEW hours AS
SELECT hour_time, part.share AS share, sales, ids
FROM (
  SELECT window_time AS hour_time, ARRAY_AGG(pack) AS packs
  FROM TABLE(TUMBLE(TABLE ${counting}, DESCRIPTOR(closed_time), INTERVAL '1' HOUR))
  GROUP BY window_start, window_end, window_time, share, piece)${paced},
  LATERAL TABLE(hour_parts(packs)) AS part (share, sales, ids)
