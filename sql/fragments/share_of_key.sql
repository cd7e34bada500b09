MOD(HASH_CODE(order_id), 128)
