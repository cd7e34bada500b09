CASE WHEN ${in_time} THEN CAST(ingest_ltz AS TIMESTAMP(3)) - ${lateness} ELSE ${no_time} END
