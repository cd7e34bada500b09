-- What does each record say? One row per record: its event time, and the record with its fields.
--
-- Two ways in, one answer: a record in the canonical spelling is split at its quotes; any other spelling is read by the
-- JSON functions, field by field (slow, and rare). A field is NULL where it is not as the contract has it; regions are
-- looked for in one string, because the planner takes minutes to simplify an IN list of 340 codes. malformed:
-- NULL, or why (empty, encoding, json). A field taken WITH WRAPPER keeps its quotes, so that "12" is not taken for 12.
-- All fields stand in one ROW, so that every use of this view is the same plan to the planner, which then parses once.
CREATE TEMPORARY VIEW parsed AS
SELECT event_time,
       CAST(
         CASE
           WHEN payload IS NULL OR DECODE(payload, 'UTF-8') = ''
           THEN ROW(${place}, 'empty', FALSE, ${no_fields})
           WHEN DECODE(payload, 'UTF-8') = '{"heartbeat":true}'
           THEN ROW(${place}, CAST(NULL AS STRING), TRUE, ${no_fields})
           WHEN REGEXP(DECODE(payload, 'UTF-8'), ${canonical_order})
           THEN ROW(${place}, CAST(NULL AS STRING), FALSE,
                    SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 3),
                    CAST(REGEXP_EXTRACT(DECODE(payload, 'UTF-8'), '"order_time":([0-9]+)', 1) AS BIGINT),
                    SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 9),
                    CASE WHEN LOCATE(CONCAT('|', SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 13), '|'), ${provinces}) > 0
                         THEN SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 13) END,
                    CASE WHEN LOCATE(CONCAT('|', SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 13), '/', SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 17), '|'), ${cities}) > 0
                         THEN SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 17) END,
                    SPLIT_INDEX(DECODE(payload, 'UTF-8'), '"', 21))
           WHEN DECODE(payload, 'UTF-8') LIKE '%�%'
           THEN ROW(${place}, 'encoding', FALSE, ${no_fields})
           WHEN NOT ${is_one_json_object}
           THEN ROW(${place}, 'json', FALSE, ${no_fields})
           ELSE ROW(${place}, CAST(NULL AS STRING), FALSE,
                    REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.order_id' WITH WRAPPER), '^\["([A-Za-z0-9._:-]{1,64})"\]$', 1),
                    CAST(REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.order_time' WITH WRAPPER), '^\[([1-9][0-9]{11,12})\]$', 1) AS BIGINT),
                    REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.user_id' WITH WRAPPER), '^\["([A-Za-z0-9._:-]{1,64})"\]$', 1),
                    CASE WHEN LOCATE(CONCAT('|', REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.province' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1), '|'), ${provinces}) > 0
                         THEN REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.province' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1) END,
                    CASE WHEN LOCATE(CONCAT('|', REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.province' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1), '/', REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.city' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1), '|'), ${cities}) > 0
                         THEN REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.city' WITH WRAPPER), '^\["([A-Za-z0-9._-]{1,32})"\]$', 1) END,
                    REGEXP_EXTRACT(JSON_QUERY(DECODE(payload, 'UTF-8'), '$.amount' WITH WRAPPER), '^\["(-?(?:0|[1-9][0-9]{0,9})(?:\.[0-9]{1,2})?)"\]$', 1))
         END
         AS ${fields_type}) AS f
FROM orders
