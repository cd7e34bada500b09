-- What does each record say? One row per record: its event time, and the record with its fields.
--
-- log: empty for the order log, `supply_` for the supply of a backfill, whose records are read by the same rules.
-- Two ways in, one answer: a record in the canonical spelling is split at its quotes; any other spelling is read by the
-- JSON functions, field by field (slow, and rare). A field is NULL where it is not as the contract has it; regions are
-- looked for in one string or pattern, because the planner takes minutes to simplify an IN list of 340 codes. malformed:
-- NULL, or why (empty, encoding, json). A field taken WITH WRAPPER keeps its quotes, so that "12" is not taken for 12.
-- All fields stand in one ROW, so that every use of this view is the same plan to the planner, which then parses once.
CREATE TEMPORARY VIEW ${log}parsed AS
SELECT event_time,
       CAST(
         CASE
           WHEN payload IS NULL OR CAST(payload AS STRING) = ''
           THEN ROW(${place}, 'empty', FALSE, ${no_fields})
           WHEN CAST(payload AS STRING) = '{"heartbeat":true}'
           THEN ROW(${place}, CAST(NULL AS STRING), TRUE, ${no_fields})
           WHEN REGEXP(CAST(payload AS STRING), ${canonical_order})
           THEN ROW(${place}, CAST(NULL AS STRING), FALSE,
                    SPLIT_INDEX(CAST(payload AS STRING), '"', 3),
                    ${order_time_if_canonical},
                    SPLIT_INDEX(CAST(payload AS STRING), '"', 9),
                    CASE WHEN LOCATE(CONCAT('|', SPLIT_INDEX(CAST(payload AS STRING), '"', 13), '|'), ${provinces}) > 0
                         THEN SPLIT_INDEX(CAST(payload AS STRING), '"', 13) END,
                    CASE WHEN REGEXP(CAST(payload AS STRING), ${place_in_canonical_order})
                         THEN SPLIT_INDEX(CAST(payload AS STRING), '"', 17) END,
                    SPLIT_INDEX(CAST(payload AS STRING), '"', 21))
           WHEN CAST(payload AS STRING) LIKE '%�%'
           THEN ROW(${place}, 'encoding', FALSE, ${no_fields})
           WHEN NOT ${is_one_json_object}
           THEN ROW(${place}, 'json', FALSE, ${no_fields})
           ELSE ROW(${place}, CAST(NULL AS STRING), FALSE,
                    REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.order_id' WITH WRAPPER), '^\["([A-Za-z0-9._:-]{1,64})"\]$', 1),
                    ${order_time_by_json},
                    REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.user_id' WITH WRAPPER), '^\["([A-Za-z0-9._:-]{1,64})"\]$', 1),
                    CASE WHEN LOCATE(CONCAT('|', REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.province' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1), '|'), ${provinces}) > 0
                         THEN REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.province' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1) END,
                    CASE WHEN LOCATE(CONCAT('|', REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.province' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1), '/', REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.city' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1), '|'), ${cities}) > 0
                         THEN REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.city' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1) END,
                    REGEXP_EXTRACT(JSON_QUERY(CAST(payload AS STRING), '$.amount' WITH WRAPPER), '^\["(-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,2})?)"\]$', 1))
         END
         AS ${fields_type}) AS f
FROM ${log}orders
