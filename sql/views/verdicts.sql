-- The verdict of every record, exactly one each. One row per record of the log.
--
-- f: the record and its fields (parsed); of an accepted or duplicate one without payload. reason: why malformed, or the
-- first invalid field. event_time: rowtime; of a timely record the end of its minute, which lies on the same day.
CREATE TEMPORARY VIEW verdicts AS
SELECT verdict,
       CASE verdict WHEN 'malformed' THEN f.malformed WHEN 'invalid' THEN ${invalid_field} END AS reason,
       f, event_time
FROM classified
WHERE verdict <> 'late' AND verdict <> 'timely'
UNION ALL
SELECT verdict, CAST(NULL AS STRING), f, event_time
FROM late_orders
UNION ALL
SELECT 'accepted', CAST(NULL AS STRING), ${fields_of_order}, accepted_time
FROM accepted
UNION ALL
SELECT 'duplicate', CAST(NULL AS STRING), ${fields_of_order}, accepted_time
FROM duplicates
