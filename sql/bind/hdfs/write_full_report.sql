-- Write the full report to HDFS, in order, so that a second run writes the same bytes.
INSERT INTO full_report_files
SELECT province, city, orders, amount, users, share, `rank`, rank_change, week_ago_amount, week_change,
       mean_7, month_orders, month_amount, year_orders, year_amount, '${day}', '${run_id}'
FROM full_report
ORDER BY province, city
