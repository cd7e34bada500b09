-- How streaming cuts the verdicts into business days (see day_windows).
CREATE TEMPORARY VIEW day_windows_of_verdicts AS
SELECT * FROM TABLE(CUMULATE(TABLE ${verdicts}, DESCRIPTOR(counted_time), INTERVAL '1' HOUR, INTERVAL '1' DAY))
