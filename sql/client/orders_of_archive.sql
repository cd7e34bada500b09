-- The order log out of its archive and, behind the edge, out of Kafka.
\i bind/orders_kafka;
\i bind/archive/archive_files;
\i bind/archive/archived_orders
