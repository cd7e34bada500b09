-- The live dashboard: minutes into Redis.
\i client/orders
${functions}
\i views/first_copies;
CREATE TEMPORARY VIEW minutes_provisional AS
\i queries/minutes_provisional;
CREATE TEMPORARY VIEW minutes_final AS
\i queries/minutes_final;
CREATE TEMPORARY VIEW minutes_passed AS
\i queries/minutes_passed;
\i bind/redis/dashboard_sink;
\i bind/redis/minutes_written;
EXECUTE STATEMENT SET BEGIN
\i bind/redis/write_provisional;
\i bind/redis/close_minutes;
END;
