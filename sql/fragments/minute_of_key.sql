order_time - MOD(order_time, 60000)
