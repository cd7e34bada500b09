(CAST(payload AS STRING) IS JSON OBJECT
 AND TRY_PARSE_JSON(CAST(payload AS STRING)) IS NOT NULL
 AND COALESCE(JSON_VALUE('[' || CAST(payload AS STRING) || ',"' || MD5(CAST(payload AS STRING)) || '"]', '$[1]'), '')
     = MD5(CAST(payload AS STRING)))
