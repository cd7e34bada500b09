-- Questions about a range of days, in batch, to be changed at will.
\i client/tables

-- How many records of the log have which verdict?
SELECT CAST(event_time AS DATE) AS `day`, verdict, COUNT(*) AS records
FROM verdicts_of_days
GROUP BY CAST(event_time AS DATE), verdict
ORDER BY `day`, verdict;

-- Who ordered for the most?
SELECT user_id, COUNT(*) AS orders, SUM(amount) AS amount
FROM accepted_of_days
GROUP BY user_id
ORDER BY amount DESC, user_id
LIMIT 10;

-- How did the day grow, version by version, in each run?
SELECT dt, run, TO_TIMESTAMP_LTZ(version, 3) AS version, orders, amount, users
FROM daily_sales_files
WHERE dt BETWEEN '${from_day}' AND '${to_day}' AND province = 'ALL'
ORDER BY dt, run, version;

-- Why did records not count?
SELECT dt, run, verdict, reason, COUNT(*) AS records
FROM rejected_files
WHERE dt BETWEEN '${from_day}' AND '${to_day}'
GROUP BY dt, run, verdict, reason
ORDER BY dt, run, verdict, reason;
