-- The orders that count: the first timely record of each key. One row per key (order_id, order_time).
CREATE TEMPORARY VIEW accepted AS
SELECT o.order_id AS order_id, o.order_time AS order_time, o.user_id AS user_id, o.province AS province, o.city AS city, o.amount AS amount, accepted_time
FROM timely_copies
WHERE copy_number = 1
