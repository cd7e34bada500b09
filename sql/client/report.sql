-- The daily report, in streaming or in batch: rows, verdicts and markers into HBase, Parquet into HDFS.
\i client/orders
\i views/settled;
\i views/late_packs;
\i views/late_orders;
\i views/accepted_packs;
\i views/verdicts_counted;
\i views/hours;
\i bind/${mode}/day_windows;
\i bind/${mode}/day_windows_of_verdicts;
\i views/day_shares;
\i views/conflicting_shares;
\i views/clock_records;
\i views/stretches;
\i bind/${mode}/reading;
\i bind/${mode}/reading_windows;
CREATE TEMPORARY VIEW daily_sales AS
\i queries/daily_sales;
CREATE TEMPORARY VIEW verdict_counts AS
\i queries/verdict_counts;
CREATE TEMPORARY VIEW conflicting AS
\i queries/conflicting;
CREATE TEMPORARY VIEW rejected AS
\i queries/rejected;
CREATE TEMPORARY VIEW offsets_read AS
\i queries/offsets_read;
CREATE TEMPORARY VIEW gaps AS
\i queries/gaps;
CREATE TEMPORARY VIEW behind AS
\i queries/behind;
CREATE TEMPORARY VIEW clock_counts AS
\i queries/clock_counts;
\i bind/hbase/written;
\i bind/hbase/marker_sink;
\i bind/hdfs/daily_sales_files;
\i bind/hdfs/rejected_files;
EXECUTE STATEMENT SET BEGIN
\i bind/hbase/mark_versions;
\i bind/hbase/note_clock;
\i bind/hbase/note_timeless_gaps;
\i bind/hdfs/write_daily_sales;
\i bind/hdfs/write_rejected;
END;
