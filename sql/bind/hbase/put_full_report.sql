-- Write the full report to HBase: a cell for each figure that is known.
INSERT INTO full_report_sink
SELECT put_full_report(CAST(${day_end} AS BIGINT), province, city, JSON_OBJECT(
  KEY 'orders' VALUE CAST(orders AS STRING), KEY 'amount' VALUE CAST(amount AS STRING),
  KEY 'users' VALUE CAST(users AS STRING), KEY 'share' VALUE CAST(share AS STRING),
  KEY 'rank' VALUE CAST(`rank` AS STRING), KEY 'rank_change' VALUE CAST(rank_change AS STRING),
  KEY 'week_ago_amount' VALUE CAST(week_ago_amount AS STRING), KEY 'week_change' VALUE CAST(week_change AS STRING),
  KEY 'mean_7' VALUE CAST(mean_7 AS STRING), KEY 'month_orders' VALUE CAST(month_orders AS STRING),
  KEY 'month_amount' VALUE CAST(month_amount AS STRING), KEY 'year_orders' VALUE CAST(year_orders AS STRING),
  KEY 'year_amount' VALUE CAST(year_amount AS STRING) ABSENT ON NULL))
FROM full_report
