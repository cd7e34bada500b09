GREATEST(ingest_ltz - ${lateness}, TO_TIMESTAMP_LTZ(946684800000, 3))
