-- How much was ordered in each minute, to the cent, once the watermark has passed it?
--
-- One row per (minute_start, province); 'ALL' is the country; cents: 1/100 yuan. A province whose only records were
-- copies is given with 0, for its provisional figure must be taken back. A minute with any record, if only heartbeats, has a
-- row without province: it has passed. minute_time: rowtime, its last millisecond.
SELECT window_start AS minute_start, window_time AS minute_time, province, SUM(orders) AS orders, SUM(cents) AS cents
FROM TABLE(TUMBLE(TABLE minute_shares, DESCRIPTOR(closed_time), INTERVAL '1' MINUTE))
GROUP BY window_start, window_end, window_time, province
