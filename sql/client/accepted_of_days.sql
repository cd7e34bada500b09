-- The orders that count, of the business days that were asked for. As accepted.
CREATE TEMPORARY VIEW accepted_of_days AS
SELECT *
FROM accepted
WHERE accepted_time >= TIMESTAMP '${from_day} 00:00:00' AND accepted_time < TIMESTAMP '${to_day} 00:00:00' + INTERVAL '1' DAY
