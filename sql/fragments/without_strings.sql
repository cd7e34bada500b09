REGEXP_REPLACE(REGEXP_REPLACE(CAST(payload AS STRING), '\\.', ''), '"[^"]*"', '')
