-- How batch cuts the accepted orders into business days: one window a day: CUMULATE with COUNT(DISTINCT) in batch multiplies every row by the steps.
CREATE TEMPORARY VIEW day_windows AS
SELECT * FROM TABLE(TUMBLE(TABLE accepted_of_days, DESCRIPTOR(accepted_time), INTERVAL '1' DAY))
