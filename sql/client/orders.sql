-- The order log by complete minutes: what both jobs stand on. Every other script begins with this one.
${options}
${functions}
\i schema/orders;
\i client/orders_of_${source};
\i views/judged;
\i views/packs;
\i views/complete_minutes;
