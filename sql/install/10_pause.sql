-- Pausing the moves of partitions (src/lifecycle/pace.c). Before hone.status,
-- which shows it.

-- A row while they are paused. Not dumped: a restored database is not paused.
CREATE TABLE hone._worker_state (
    paused boolean PRIMARY KEY DEFAULT true CHECK (paused),
    paused_at timestamptz NOT NULL DEFAULT now(),
    paused_by text NOT NULL
) USING heap;
COMMENT ON TABLE hone._worker_state IS 'Has a row while the worker is to move no partitions in this database';

CREATE FUNCTION hone.pause_worker() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_pause_worker';
COMMENT ON FUNCTION hone.pause_worker() IS
    'From the commit on, let the worker move no partitions in this database; a move in hand ends after its step';

CREATE FUNCTION hone.resume_worker() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_resume_worker';
COMMENT ON FUNCTION hone.resume_worker() IS 'Let the worker move partitions in this database again';

REVOKE ALL ON FUNCTION hone.pause_worker(), hone.resume_worker() FROM PUBLIC;
