-- How batch cuts the hours into business days: one window a day.
CREATE TEMPORARY VIEW day_windows AS
SELECT * FROM TABLE(TUMBLE(TABLE hours, DESCRIPTOR(hour_time), INTERVAL '1' DAY))
