-- How streaming cuts the reading into versions: by the hour.
CREATE TEMPORARY VIEW reading_windows AS
SELECT * FROM TABLE(TUMBLE(TABLE reading, DESCRIPTOR(safe_time), INTERVAL '1' HOUR))
