(CAST(payload AS STRING) IS JSON OBJECT
 AND COALESCE(JSON_VALUE('[' || CAST(payload AS STRING) || ',"' || MD5(CAST(payload AS STRING)) || '"]', '$[1]'), '')
     = MD5(CAST(payload AS STRING))
 AND NOT REGEXP(${without_strings}, '(?<![0-9.eE+-])[0-9.eE+-]{1001}|[eE][+-]?[0-9]{10}')
 AND CHAR_LENGTH(REGEXP_REPLACE(${without_strings}, '[^:]', ''))
     = CHAR_LENGTH(REGEXP_REPLACE(REGEXP_REPLACE(REGEXP_REPLACE(JSON_QUERY(CAST(payload AS STRING), '$'), '\\.', ''), '"[^"]*"', ''), '[^:]', '')))
