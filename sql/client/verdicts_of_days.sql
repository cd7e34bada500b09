-- The verdicts on the business days that were asked for. As verdicts.
CREATE TEMPORARY VIEW verdicts_of_days AS
SELECT *
FROM verdicts
WHERE event_time >= TIMESTAMP '${from_day} 00:00:00' AND event_time < TIMESTAMP '${to_day} 00:00:00' + INTERVAL '1' DAY
