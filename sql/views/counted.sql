-- The orders that count once a backfill has taken others in: accepted and admitted. As accepted_packs.
CREATE TEMPORARY VIEW counted AS
SELECT closed_time, order_minute, share, piece, pack FROM accepted_packs
UNION ALL
SELECT admitted_time, order_minute, share, 0, pack FROM admissions WHERE kind = 'accepted'
