-- The verdicts of the days, which follow from the log alone, and beside them the orders that a backfill takes in: `admitted` on
-- the day of their order time, whatever their record is called in the log. As verdicts_of_days.
CREATE TEMPORARY VIEW verdicts_and_admitted AS
SELECT * FROM verdicts_of_days
UNION ALL
SELECT 'admitted', CAST(NULL AS STRING), ${fields_of_order}, accepted_time
FROM admitted
