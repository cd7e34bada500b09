-- The verdicts of the days, which follow from the log alone, and beside them the orders that a backfill takes in: `admitted` on
-- the day of their order time, whatever their record is called in the log. As verdicts_counted.
CREATE TEMPORARY VIEW verdicts_and_admitted AS
SELECT counted_time, kafka_partition, verdict, records, offset_min, offset_max, offset_sum FROM verdicts_counted
UNION ALL
SELECT admitted_time, kafka_partition, verdict, records, offset_min, offset_max, offset_sum FROM admissions WHERE kind = 'count'
