-- The orders that count once a backfill has taken others in: accepted and admitted. As accepted_of_days.
CREATE TEMPORARY VIEW counted AS
SELECT order_id, user_id, province, city, amount, accepted_time FROM accepted_of_days
UNION ALL
SELECT order_id, user_id, province, city, amount, accepted_time FROM admitted
