-- The live dashboard: minutes into Redis.
\i client/orders
\i views/minute_shares;
\i views/arriving;
\i views/clock_records;
\i views/stretches;
\i bind/streaming/reading;
CREATE TEMPORARY VIEW minutes_provisional AS
\i queries/minutes_provisional;
CREATE TEMPORARY VIEW minutes_final AS
\i queries/minutes_final;
CREATE TEMPORARY VIEW gaps AS
\i queries/gaps;
CREATE TEMPORARY VIEW clock_counts AS
\i queries/clock_counts;
\i bind/redis/dashboard_sink;
\i bind/redis/minutes_written;
EXECUTE STATEMENT SET BEGIN
\i bind/redis/write_provisional;
\i bind/redis/close_minutes;
\i bind/hbase/note_gaps;
\i bind/hbase/note_clock;
END;
