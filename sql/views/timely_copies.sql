-- Which timely record of a key came first? One row per timely record; copy_number 1 is accepted, the others duplicate.
--
-- The same rows as numbered_copies in a window of their minute, which does two things: the window of the minute can be
-- grouped by, and a condition on copy_number is not pushed into the numbering, which all uses share.
-- o: the record (numbered_copies), amount in yuan. accepted_time: rowtime, the end of the minute.
CREATE TEMPORARY VIEW timely_copies AS
SELECT o, copy_number, window_start, window_end, window_time AS accepted_time
FROM TABLE(TUMBLE(TABLE numbered_copies, DESCRIPTOR(numbered_time), INTERVAL '1' MINUTE))
