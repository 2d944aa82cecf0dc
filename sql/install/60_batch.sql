-- Batching helpers (src/batch).

-- What each call is doing, and how far named ones are. Written by the
-- procedures only, in the transaction of each batch.
CREATE TABLE hone._batch_job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text UNIQUE,
    owner oid NOT NULL,
    kind text NOT NULL,
    relation oid NOT NULL,
    target oid NOT NULL,
    assignments text,
    condition text NOT NULL,
    run bigint NOT NULL DEFAULT 1,
    rows_done bigint NOT NULL DEFAULT 0,
    rows_skipped bigint NOT NULL DEFAULT 0,
    rows_estimated bigint NOT NULL,
    batches bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    walked bigint NOT NULL DEFAULT 0,
    walked_leaf bigint NOT NULL DEFAULT 0,
    blocks bigint NOT NULL,
    leaf oid NOT NULL DEFAULT 0,
    key text,
    last_key text[],
    upper_key text[],
    last_block bigint NOT NULL DEFAULT -1,
    filenode oid NOT NULL DEFAULT 0,
    rows_before bigint NOT NULL DEFAULT 0,
    walked_before bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    run_started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    finished_at timestamptz
) WITH (fillfactor = 50);
COMMENT ON TABLE hone._batch_job IS 'Calls of the batching procedures; see the view hone.batch_progress';
COMMENT ON COLUMN hone._batch_job.name IS 'NULL: a call that cannot be gone on with; its row goes with it';
COMMENT ON COLUMN hone._batch_job.run IS 'Calls so far: who runs it writes only while this is his';
COMMENT ON COLUMN hone._batch_job.walked IS 'Blocks, of all tables that are walked';
COMMENT ON COLUMN hone._batch_job.leaf IS 'The table in hand; those with lower OIDs are done';
COMMENT ON COLUMN hone._batch_job.walked_leaf IS 'walked, when the table in hand was come to';
COMMENT ON COLUMN hone._batch_job.key IS 'Columns that it is walked by, with their types';
COMMENT ON COLUMN hone._batch_job.upper_key IS 'The last key when the walk of it began';
COMMENT ON COLUMN hone._batch_job.filenode IS 'The file that last_block is one of';
COMMENT ON COLUMN hone._batch_job.rows_before IS 'rows_done when the run began';

CREATE TABLE hone._batch_error (
    job bigint NOT NULL REFERENCES hone._batch_job ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    relation oid NOT NULL,
    rows text NOT NULL,
    sqlstate text NOT NULL,
    error text NOT NULL
);
CREATE INDEX ON hone._batch_error (job);
COMMENT ON TABLE hone._batch_error IS 'Batches that were left out; see the view hone.batch_errors';

-- Who runs a job holds a lock on it, which goes with the session.
CREATE VIEW hone._batch_running AS
SELECT l.objid::bigint AS id, l.pid
FROM pg_catalog.pg_locks l
WHERE l.locktype = 'advisory' AND l.objsubid = 4 AND l.granted
    AND l.classid = 'hone._batch_job'::regclass
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database());
COMMENT ON VIEW hone._batch_running IS 'Numbers of jobs that a session is running';

CREATE VIEW hone.batch_progress WITH (security_barrier) AS
SELECT j.name AS job, j.kind, j.owner::regrole AS role, j.relation::regclass AS relation, nullif(j.target, 0)::regclass AS target,
    r.pid,
    CASE WHEN j.finished_at IS NOT NULL THEN 'done' WHEN r.pid IS NOT NULL THEN 'running' ELSE 'stopped' END AS state,
    j.rows_done,
    CASE WHEN j.finished_at IS NOT NULL THEN j.rows_done
         WHEN s.share >= 0.05 THEN (j.rows_done / s.share)::bigint
         ELSE greatest(j.rows_estimated, j.rows_done) END AS rows_estimated,
    j.rows_skipped,
    j.batches,
    pg_catalog.round((100 * s.share)::numeric, 1) AS percent,
    pg_catalog.round(((j.rows_done - j.rows_before) / nullif(s.seconds, 0))::numeric) AS rows_per_s,
    CASE WHEN r.pid IS NOT NULL AND j.finished_at IS NULL AND j.walked > j.walked_before
         THEN pg_catalog.make_interval(secs => pg_catalog.round((s.seconds * greatest(j.blocks - j.walked, 0) / (j.walked - j.walked_before))::numeric)::float8) END AS time_left,
    CASE WHEN j.last_key IS NULL THEN CASE WHEN j.last_block >= 0 THEN 'block ' || j.last_block END
         -- values of a table
         WHEN pg_catalog.pg_has_role(j.owner, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE')
         THEN '(' || pg_catalog.array_to_string(j.last_key, ', ') || ')' END AS last_key,
    j.errors,
    j.started_at, j.updated_at, j.finished_at
FROM hone._batch_job j
LEFT JOIN hone._batch_running r ON r.id = j.id
CROSS JOIN LATERAL (
    SELECT CASE WHEN j.finished_at IS NOT NULL THEN 1 ELSE least(j.walked::float8 / nullif(j.blocks, 0), 1) END AS share,
        extract(epoch FROM j.updated_at - j.run_started_at)::float8 AS seconds) s
WHERE (r.pid IS NOT NULL OR j.name IS NOT NULL OR j.errors > 0)
    AND (pg_catalog.pg_has_role(j.owner, 'USAGE') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON VIEW hone.batch_progress IS
    'Calls of the batching procedures that are running, and named jobs, of one''s own roles: SELECT job, percent, rows_per_s, time_left FROM hone.batch_progress';

CREATE VIEW hone.batch_errors WITH (security_barrier) AS
SELECT j.name AS job, e.at, e.relation::regclass AS relation,
    CASE WHEN v.may_see THEN e.rows END AS rows, e.sqlstate, CASE WHEN v.may_see THEN e.error END AS error
FROM hone._batch_error e
JOIN hone._batch_job j ON j.id = e.job
-- they have values of the table in them
CROSS JOIN LATERAL (
    SELECT pg_catalog.pg_has_role(j.owner, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_data', 'USAGE') AS may_see) v
WHERE pg_catalog.pg_has_role(j.owner, 'USAGE') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE');
COMMENT ON VIEW hone.batch_errors IS
    'Batches that on_error => ''skip'' left as they were: SELECT relation, rows, error FROM hone.batch_errors WHERE job = ''backfill''';
GRANT SELECT ON hone.batch_progress, hone.batch_errors TO PUBLIC;

CREATE FUNCTION hone.forget_batch_job(name text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_forget_batch_job';
COMMENT ON FUNCTION hone.forget_batch_job(text) IS
    'Remove a job that is not running, so that its name is free: SELECT hone.forget_batch_job(''backfill'')';

CREATE PROCEDURE hone.batch_delete(
    rel regclass,
    condition text,
    batch_size anycompatible DEFAULT 10000,
    INOUT rows_deleted bigint DEFAULT NULL,
    pause interval DEFAULT NULL,
    max_runtime interval DEFAULT NULL,
    skip_locked boolean DEFAULT false,
    max_replica_lag interval DEFAULT NULL,
    lock_timeout interval DEFAULT NULL,
    lock_retries integer DEFAULT 10,
    dry_run boolean DEFAULT false,
    job text DEFAULT NULL,
    resume text DEFAULT NULL,
    on_error text DEFAULT 'stop')
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_batch_delete';
COMMENT ON PROCEDURE hone.batch_delete(regclass, text, anycompatible, bigint, interval, interval, boolean, interval, interval, integer, boolean, text, text, text) IS
    'Delete the rows for which the condition holds, committing after each batch of batch_size rows: CALL hone.batch_delete(''events'', $$created_at < now() - interval ''1 year''$$)';

CREATE PROCEDURE hone.batch_update(
    rel regclass,
    set_clause text,
    condition text,
    batch_size anycompatible DEFAULT 10000,
    INOUT rows_updated bigint DEFAULT NULL,
    pause interval DEFAULT NULL,
    max_runtime interval DEFAULT NULL,
    skip_locked boolean DEFAULT false,
    max_replica_lag interval DEFAULT NULL,
    lock_timeout interval DEFAULT NULL,
    lock_retries integer DEFAULT 10,
    dry_run boolean DEFAULT false,
    job text DEFAULT NULL,
    resume text DEFAULT NULL,
    on_error text DEFAULT 'stop')
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_batch_update';
COMMENT ON PROCEDURE hone.batch_update(regclass, text, text, anycompatible, bigint, interval, interval, boolean, interval, interval, integer, boolean, text, text, text) IS
    'Update the rows for which the condition holds, each once, committing after each batch of batch_size rows: CALL hone.batch_update(''orders'', ''total = total * 1.1'', ''region = 7'', job => ''raise'')';

CREATE PROCEDURE hone.batch_move(
    source regclass,
    target regclass,
    condition text,
    batch_size anycompatible DEFAULT 10000,
    INOUT rows_moved bigint DEFAULT NULL,
    pause interval DEFAULT NULL,
    max_runtime interval DEFAULT NULL,
    skip_locked boolean DEFAULT false,
    max_replica_lag interval DEFAULT NULL,
    lock_timeout interval DEFAULT NULL,
    lock_retries integer DEFAULT 10,
    dry_run boolean DEFAULT false,
    job text DEFAULT NULL,
    resume text DEFAULT NULL,
    on_error text DEFAULT 'stop')
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_batch_move';
COMMENT ON PROCEDURE hone.batch_move(regclass, regclass, text, anycompatible, bigint, interval, interval, boolean, interval, interval, integer, boolean, text, text, text) IS
    'Move the rows for which the condition holds to another table, each in exactly one of them at any moment, committing after each batch of batch_size rows: CALL hone.batch_move(''events'', ''events_by_month'', ''true'')';
