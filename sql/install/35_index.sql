-- Hypothetical indexes (src/index).

CREATE FUNCTION hone.hypothetical_index(ddl text)
RETURNS text
LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_hypothetical_index';
COMMENT ON FUNCTION hone.hypothetical_index(text) IS
    'Let EXPLAIN in this session plan as if CREATE INDEX had been run; returns the name it shows';

CREATE FUNCTION hone._hypothetical_indexes(
    OUT name text,
    OUT relation regclass,
    OUT definition text,
    OUT rows float8,
    OUT bytes bigint)
RETURNS SETOF record
LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_hypothetical_indexes';
COMMENT ON FUNCTION hone._hypothetical_indexes() IS
    'The session''s hypothetical indexes';

CREATE VIEW hone.hypothetical_indexes AS
SELECT name, relation, definition, rows, bytes FROM hone._hypothetical_indexes();
COMMENT ON VIEW hone.hypothetical_indexes IS
    'The hypothetical indexes of this session, one row for each leaf of a partitioned table';
COMMENT ON COLUMN hone.hypothetical_indexes.name IS 'As EXPLAIN shows it';
COMMENT ON COLUMN hone.hypothetical_indexes.relation IS 'The table it would be on';
COMMENT ON COLUMN hone.hypothetical_indexes.definition IS 'The statement it was made with';
COMMENT ON COLUMN hone.hypothetical_indexes.rows IS 'Rows it would have, estimated';
COMMENT ON COLUMN hone.hypothetical_indexes.bytes IS 'Size it would have once built, estimated';

CREATE FUNCTION hone.drop_hypothetical_indexes()
RETURNS integer
LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_drop_hypothetical_indexes';
COMMENT ON FUNCTION hone.drop_hypothetical_indexes() IS
    'Forget the hypothetical indexes of this session; returns how many there were';

CREATE FUNCTION hone.explain_with(query text, ddl text[])
RETURNS SETOF text
LANGUAGE c STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_explain_with';
COMMENT ON FUNCTION hone.explain_with(text, text[]) IS
    'The plan the statement would have if these CREATE INDEX statements had been run; nothing is run';
