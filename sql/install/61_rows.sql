-- Many rows in one round trip (src/batch/ROWS.md).

CREATE FUNCTION hone.fetch_batch(rel anyelement, key_column name, keys anycompatiblearray) RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_fetch_batch';
COMMENT ON FUNCTION hone.fetch_batch(anyelement, name, anycompatiblearray) IS
    'The rows of many keys in the order of the keys, NULLs where there is none: SELECT * FROM hone.fetch_batch(NULL::orders, ''id'', ARRAY[7, 3, 9])';

CREATE FUNCTION hone.fetch_batch(rel anyelement, key_columns name[], keys anycompatiblearray) RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_fetch_batch_composite';
COMMENT ON FUNCTION hone.fetch_batch(anyelement, name[], anycompatiblearray) IS
    'The same for keys of several columns: SELECT * FROM hone.fetch_batch(NULL::stock, ''{shop,item}''::name[], ARRAY[[1, 7], [2, 7]])';

-- Which row of a batch the executor has in hand; only its statement calls it.
CREATE FUNCTION hone._batch_mark(what integer, number bigint) RETURNS boolean
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE COST 0.1
AS 'MODULE_PATHNAME', 'hone_batch_mark';
COMMENT ON FUNCTION hone._batch_mark(integer, bigint) IS
    'Notes which row of a batch hone.insert_batch has in hand; true';

CREATE FUNCTION hone.insert_batch(rel regclass, rows jsonb, on_conflict text DEFAULT 'error',
    conflict_columns name[] DEFAULT NULL, returned name[] DEFAULT NULL,
    OUT n bigint, OUT inserted boolean, OUT key jsonb) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_insert_batch';
COMMENT ON FUNCTION hone.insert_batch(regclass, jsonb, text, name[], name[]) IS
    'Inserts many rows in one statement, and returns what became of each: SELECT * FROM hone.insert_batch(''items'', ''[{"name": "a"}, {"name": "b"}]'', on_conflict => ''nothing'')';
