-- How streaming cuts the accepted orders into business days: hourly steps: the 24th is the day.
CREATE TEMPORARY VIEW day_windows AS
SELECT * FROM TABLE(CUMULATE(TABLE accepted_of_days, DESCRIPTOR(accepted_time), INTERVAL '1' HOUR, INTERVAL '1' DAY))
