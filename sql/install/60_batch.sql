-- Batching helpers (src/batch).

CREATE PROCEDURE hone.batch_delete(rel regclass, condition text, batch_size integer DEFAULT 10000, INOUT rows_deleted bigint DEFAULT NULL)
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_batch_delete';
COMMENT ON PROCEDURE hone.batch_delete(regclass, text, integer, bigint) IS
    'Delete the rows for which the condition holds, committing after each batch of batch_size rows';
