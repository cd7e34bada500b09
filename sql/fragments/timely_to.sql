LEAST(ingest_ltz + ${future}, TO_TIMESTAMP_LTZ(4102444799999, 3))
