(DECODE(payload, 'UTF-8') IS JSON OBJECT
 AND TRY_PARSE_JSON(DECODE(payload, 'UTF-8')) IS NOT NULL
 AND COALESCE(JSON_VALUE('[' || DECODE(payload, 'UTF-8') || ',"' || MD5(DECODE(payload, 'UTF-8')) || '"]', '$[1]'), '')
     = MD5(DECODE(payload, 'UTF-8')))
