-- Which run and version (epoch ms) is the published one of each earlier day.
CREATE TEMPORARY VIEW published_inputs AS
SELECT dt, run, CAST(version AS BIGINT) AS version FROM (VALUES ${inputs}) AS inputs (dt, run, version)
