-- How a backfill cuts the orders that count into business days: as batch does, the admitted ones among them.
CREATE TEMPORARY VIEW day_windows AS
SELECT * FROM TABLE(TUMBLE(TABLE counted, DESCRIPTOR(accepted_time), INTERVAL '1' DAY))
