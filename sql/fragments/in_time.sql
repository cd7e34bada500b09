(ingest_ltz >= TO_TIMESTAMP_LTZ(${ingest_from}, 3) AND ingest_ltz < ${ingest_until})
