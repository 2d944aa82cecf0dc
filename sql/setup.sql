CREATE EXTENSION pg_hone;
SELECT extname FROM pg_extension WHERE extname = 'pg_hone';
