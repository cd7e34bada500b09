-- How much does a pack add to its minute, as it arrives? One row per (pack, province); 'ALL' is the country.
--
-- A count over the packs of a share brings all packs of a key to one worker, which remembers the keys of recent minutes
-- (udfs/arrivals.py), and lets each go on at once. The number stands in the state: a new worker sees by it whether
-- packs of the share were counted before.
CREATE TEMPORARY VIEW arriving AS
SELECT order_minute, province, orders, cents
FROM (
  SELECT order_minute, share, pack, COUNT(*) OVER (PARTITION BY share ORDER BY arrived) AS number
  FROM (SELECT order_minute, share, pack, PROCTIME() AS arrived FROM packs)),
  LATERAL TABLE(arrivals(pack, share, number)) AS sales (province, orders, cents)
