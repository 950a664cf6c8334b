-- Deliveries come and go: between two vacuums there may be thousands of dead ones to each that lives. An index scan marks
-- the dead in the index and is spared them from then on; a bitmap scan reads all of them each time, and so does a scan of
-- the table, which the planner takes when a vacuum found it empty. After 14,000 events that nobody vacuumed a pull of one
-- event took 9.5 ms; it takes 0.7 ms this way, also after 17,000.
alter function kernel.pull(uuid, uuid, integer) set enable_bitmapscan = off;
alter function kernel.pull(uuid, uuid, integer) set enable_seqscan = off;
