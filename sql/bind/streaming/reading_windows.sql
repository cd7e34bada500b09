-- How streaming cuts the reading into versions: by the hour. A stretch of nothing but wrong clocks stands in no time.
CREATE TEMPORARY VIEW reading_windows AS
SELECT * FROM TABLE(TUMBLE((SELECT * FROM reading WHERE safe_time > ${no_time}), DESCRIPTOR(safe_time), INTERVAL '1' HOUR))
