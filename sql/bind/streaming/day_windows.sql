-- How streaming cuts the hours into business days: hourly steps: the 24th is the day.
CREATE TEMPORARY VIEW day_windows AS
SELECT * FROM TABLE(CUMULATE(TABLE hours, DESCRIPTOR(hour_time), INTERVAL '1' HOUR, INTERVAL '1' DAY))
