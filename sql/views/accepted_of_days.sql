-- The orders that count, of the business days that a run is for. As accepted.
CREATE TEMPORARY VIEW accepted_of_days AS
SELECT order_id, user_id, province, city, amount, accepted_time
FROM accepted
WHERE accepted_time >= TIMESTAMP '${from_day} 00:00:00' AND accepted_time < TIMESTAMP '${to_day} 00:00:00' + INTERVAL '1' DAY
