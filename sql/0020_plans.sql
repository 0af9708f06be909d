-- A plan of reserve_sends from when a partition was empty, or had just been analysed so, read the whole of it for each batch
-- with an answer or a retry in it, until the next ANALYZE; by keys it finds them at any size. Nothing else changes.
ALTER FUNCTION reserve_sends SET enable_seqscan = off;
