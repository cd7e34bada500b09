CONCAT(order_id, '|', CAST(order_time AS STRING))
