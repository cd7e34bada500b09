-- In which minute does each record stand? One row per record, with the 1-minute window of its event time.
CREATE TEMPORARY VIEW ${log}minute_records AS
SELECT * FROM TABLE(TUMBLE(TABLE ${log}parsed, DESCRIPTOR(event_time), INTERVAL '1' MINUTE))
