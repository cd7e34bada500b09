-- Write to HDFS what was read of each day.
INSERT INTO full_report_input_files
SELECT input_day, `rows`, orders, amount, '${day}', '${run_id}'
FROM full_report_inputs
ORDER BY input_day
