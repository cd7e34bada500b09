-- The order log in Kafka alone.
\i bind/orders_kafka
