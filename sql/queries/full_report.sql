-- How did a day go in each city, each province and the country, held against the days before it?
--
-- One row per (province, city); 'ALL' stands for the level above. orders, amount (yuan), users (distinct) of the day.
-- share: of the amount of the level above. rank: by amount among the places of the level that had orders;
-- rank_change: places won since the day before. week_ago_amount, week_change: the same day last week, and (day - then) / then.
-- mean_7: mean amount of the ${days_of_seven} published days of the seven that end with the day. month_, year_: to date, over
-- the days that are published. NULL: not known, because the day is not published, or nothing can be divided by.
SELECT place.province, place.city, place.orders, place.amount, place.users,
       CASE WHEN above.amount <> 0 THEN CAST(place.amount / above.amount AS DECIMAL(18, 4)) END AS share,
       place.`rank`, place.rank_before - place.`rank` AS rank_change,
       CASE WHEN ${week_ago_known} THEN place.week_ago_amount END AS week_ago_amount,
       CASE WHEN ${week_ago_known} AND place.week_ago_amount <> 0
            THEN CAST((place.amount - place.week_ago_amount) / place.week_ago_amount AS DECIMAL(18, 4)) END AS week_change,
       CAST(place.amount_7 / ${days_of_seven} AS DECIMAL(18, 2)) AS mean_7,
       place.month_orders, place.month_amount, place.year_orders, place.year_amount
FROM (
  SELECT *,
         CASE WHEN orders > 0 THEN RANK() OVER (PARTITION BY level, orders > 0 ORDER BY amount DESC) END AS `rank`,
         CASE WHEN orders_before > 0
              THEN RANK() OVER (PARTITION BY level, orders_before > 0 ORDER BY amount_before DESC) END AS rank_before
  FROM sales_by_place) AS place
JOIN sales_by_place AS above
  ON above.city = 'ALL' AND above.province = CASE WHEN place.city <> 'ALL' THEN place.province ELSE 'ALL' END
