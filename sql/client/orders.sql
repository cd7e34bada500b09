-- The order log with its verdicts: the tables and views that both jobs stand on. Every other script begins with this one.
${options}
\i schema/orders;
\i client/orders_of_${source};
\i views/parsed;
\i views/minute_records;
\i views/classified;
\i views/copies_by_key;
\i views/accepted;
\i views/accepted_of_days;
\i views/duplicates;
\i views/keys_of_minutes;
\i views/late_orders;
\i views/verdicts;
\i views/verdicts_of_days;
