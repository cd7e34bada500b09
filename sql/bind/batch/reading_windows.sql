-- How batch cuts the reading into versions: by the day. A stretch of nothing but wrong clocks stands on a day of 1970, which
-- has no version; but that it was read counts at the end.
CREATE TEMPORARY VIEW reading_windows AS
SELECT * FROM TABLE(TUMBLE(TABLE reading, DESCRIPTOR(safe_time), INTERVAL '1' DAY))
