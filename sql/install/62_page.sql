-- Pages of a query (src/batch/ROWS.md).

-- Signs the cursors of this database. Two random UUIDs are 244 random bits.
CREATE TABLE hone._page_secret (
    secret bytea NOT NULL DEFAULT decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);
COMMENT ON TABLE hone._page_secret IS 'What signs the cursors of hone.page; for its owner only';
INSERT INTO hone._page_secret DEFAULT VALUES;

CREATE FUNCTION hone.page(query text, order_by text, after text DEFAULT NULL, size integer DEFAULT 20,
    before text DEFAULT NULL, params jsonb DEFAULT NULL,
    OUT rows jsonb, OUT next text, OUT previous text, OUT has_next boolean, OUT has_previous boolean,
    OUT total_order text, OUT added text[])
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_page';
COMMENT ON FUNCTION hone.page(text, text, text, integer, text, jsonb) IS
    'One page of a query, from where another one ended, at any depth for the same cost: SELECT * FROM hone.page(''SELECT id, name FROM items'', ''name DESC'', after => $1, size => 20)';
