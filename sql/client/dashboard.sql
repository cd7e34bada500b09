-- The live dashboard: minutes into Redis.
\i client/orders
\i views/minute_shares;
\i views/arriving;
CREATE TEMPORARY VIEW minutes_provisional AS
\i queries/minutes_provisional;
CREATE TEMPORARY VIEW minutes_final AS
\i queries/minutes_final;
\i bind/redis/dashboard_sink;
\i bind/redis/minutes_written;
EXECUTE STATEMENT SET BEGIN
\i bind/redis/write_provisional;
\i bind/redis/close_minutes;
END;
