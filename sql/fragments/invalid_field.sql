CASE
  WHEN f.order_id IS NULL THEN 'order_id'
  WHEN f.order_time IS NULL OR f.order_time < 946684800000 OR f.order_time >= 4102444800000 THEN 'order_time'
  WHEN f.user_id IS NULL THEN 'user_id'
  WHEN f.province IS NULL THEN 'province'
  WHEN f.city IS NULL THEN 'city'
  WHEN f.amount IS NULL THEN 'amount'
END
