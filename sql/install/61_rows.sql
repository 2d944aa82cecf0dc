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
