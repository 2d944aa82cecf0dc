-- Archive files: every type comes back as it was. Needs a server with
-- hone.archive_directory; without one the expected output is the other file.
SET client_min_messages = warning;
SELECT current_setting('hone.archive_directory') <> '' AS archived \gset
\if :archived
CREATE SCHEMA archive_test;
SET search_path = archive_test, public;
SET timezone = 'America/New_York';
SET datestyle = 'German';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = -3;
SET bytea_output = 'escape';

-- twin(table): archive it, load the file into a table made of the manifest's
-- columns alone, and compare rows and texts both ways.
CREATE FUNCTION twin(source regclass, OUT rows bigint, OUT lost bigint, OUT made_up bigint, OUT same_text boolean)
LANGUAGE plpgsql AS $$
DECLARE
    archive text := (hone._archive_write(source)).file;
    listed text;
BEGIN
    SELECT coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attnum), '') INTO listed
    FROM pg_attribute WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND attgenerated = '';
    EXECUTE 'CREATE TABLE twin (' || hone._archive_columns(archive) || ')';
    rows := hone._archive_load(archive, 'twin');
    EXECUTE format('SELECT count(*) FROM (SELECT (t)::text FROM (SELECT %s FROM ONLY %s) t EXCEPT ALL SELECT (t)::text FROM twin t) x', listed, source) INTO lost;
    EXECUTE format('SELECT count(*) FROM (SELECT (t)::text FROM twin t EXCEPT ALL SELECT (t)::text FROM (SELECT %s FROM ONLY %s) t) x', listed, source) INTO made_up;
    EXECUTE format('SELECT (SELECT string_agg(t::text, E''\n'' ORDER BY t::text) FROM twin t) IS NOT DISTINCT FROM (SELECT string_agg(t::text, E''\n'' ORDER BY t::text) FROM (SELECT %s FROM ONLY %s) t)', listed, source) INTO same_text;
    DROP TABLE twin;
    PERFORM hone._archive_remove(archive);
END
$$;

-- texts, and what COPY escapes
CREATE TABLE texts (id int, t text, v varchar(20), c char(8), q "char", n name, j json, jb jsonb);
INSERT INTO texts VALUES
    (1, '', '', '', '', '', '{}', '{}'),
    (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, E'tab\there, line\nend, return\r, back\\slash, \b\f\v\x01\x7f', E'\\N', E'\\.', E'\\', E'a\tb', E'{"a":\n1}', '{"b": "\u0001\n", "a": null}'),
    (4, '\N', '\.', 'pad  ', 'x', 'N', '[1, 2.50]', '[1, 2.50]'),
    (5, 'é€😀 naïve', 'ß', '日本', 'é', 'ö', '"\u00e9"', '"\u00e9"'),
    (6, E'\\', '\\', ' ', ' ', ' ', '1', '1'),
    (7, repeat('long and compressed ', 10000), 'x', 'x', NULL, NULL, NULL, NULL);
INSERT INTO texts SELECT 100, string_agg(md5(i::text), ''), 'out of line' FROM generate_series(1, 3000) i;
SELECT * FROM twin('texts');
-- as far as the server knows XML
CREATE TABLE documents (x xml);
DO $$
BEGIN
    SET LOCAL xmloption = content;
    INSERT INTO documents VALUES ('<!DOCTYPE a><a>é</a>'), (E'text<b/>\n\t<c/>'), (''), (NULL), ('<?xml version="1.0" encoding="UTF-8"?><a/>');
EXCEPTION WHEN feature_not_supported THEN NULL;
END
$$;
SET xmloption = document;
SELECT lost, made_up, same_text FROM twin('documents');
RESET xmloption;

-- numbers
CREATE TABLE numbers (s smallint, i int, b bigint, n numeric, p numeric(12, 3), f float4, d float8, m money, bo boolean, o oid, x xid8, l pg_lsn, bi bit(5), vb bit varying);
INSERT INTO numbers VALUES
    (-32768, -2147483648, -9223372036854775808, 'NaN', -123456789.123, '-Infinity', 'Infinity', '-92233720368547758.08', true, 4294967295, '18446744073709551615', 'FFFFFFFF/FFFFFFFF', '10101', ''),
    (32767, 2147483647, 9223372036854775807, 'Infinity', 'NaN', 'NaN', 'NaN', '92233720368547758.07', false, 0, '0', '0/0', '00000', '1'),
    (0, 0, 0, '-Infinity', 0, '-0', '-0', 0, NULL, 1, '1', '1/1', '11111', '0101010101'),
    (1, 1, 1, 1e-100, 1.5, 1.1754944e-38, 2.2250738585072014e-308, 1.01, NULL, NULL, NULL, NULL, NULL, NULL),
    (2, 2, 2, 1.100, 2, 0.1, 0.1, -0.01, NULL, NULL, NULL, NULL, NULL, NULL),
    (3, 3, 3, repeat('9', 2000)::numeric, 3, 3.4028235e38, 1.7976931348623157e308, 1234567.89, NULL, NULL, NULL, NULL, NULL, NULL),
    (4, 4, 4, -0.000, 4, 1e-45, 5e-324, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO numbers (f, d) SELECT sin(i)::float4, exp(sin(i) * 700) FROM generate_series(1, 300) i;
SELECT * FROM twin('numbers');

-- times: of a session with other settings; around a change of the clocks
CREATE TABLE times (d date, t time, tz timetz, ts timestamp(3), tsz timestamptz, i interval, im interval year to month);
INSERT INTO times VALUES
    ('infinity', '24:00', '23:59:59.999999-15:59', 'infinity', 'infinity', '-1 year -2 mons +3 days -04:05:06.789', '1 year'),
    ('-infinity', '00:00', '00:00+15:59:59', '-infinity', '-infinity', '178000000 years', '-11 months'),
    ('4713-01-01 BC', '12:34:56.789', '12:00-03:30', '4713-01-01 00:00:00 BC', '4713-01-01 00:00:00+00 BC', '-178000000 years', NULL),
    ('5874897-12-31', '00:00:00.000001', '01:02:03+04', '294276-12-31 23:59:59.999', '294276-12-31 23:59:59.999999+00', '0', '0'),
    ('2024-03-10', '02:30', '02:30-05', '2024-03-10 02:30', '2024-03-10 02:30 America/New_York', '1 day -24:00', NULL),
    ('2024-11-03', '01:30', '01:30-04', '2024-11-03 01:30', '2024-11-03 01:30-04', '36:00', NULL),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SELECT * FROM twin('times');

-- what is made of other types
CREATE TYPE mood AS ENUM ('ok', 'so so', E'tab\tbed, "quoted"', '');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN short AS varchar(5) COLLATE "C" NOT NULL DEFAULT 'x';
CREATE TYPE pair AS (a int, "B b" text, m mood);
CREATE DOMAIN pairs AS pair[];
CREATE TYPE floats AS RANGE (subtype = float8);
CREATE TABLE made (e mood, dp positive, ds short, p pair, ps pair[], dps pairs, ia int[], ta text[][], fa float8[], ea mood[], ma money[],
    r int4range, tr tstzrange, mr nummultirange, fr floats, by bytea, u uuid, ip inet, ci cidr, mac macaddr, mac8 macaddr8,
    pt point, bx box, pa path, po polygon, ci2 circle, li line, ls lseg, tv tsvector, tq tsquery, jp jsonpath, tid tid, snap pg_snapshot);
INSERT INTO made VALUES ('ok', 1, 'abc', '(1,"a ""b"" \\ c",so so)', ARRAY['(1,x,ok)', NULL]::pair[], ARRAY['(,,)']::pair[], '[0:2]={1,NULL,3}',
    ARRAY[['a', NULL], ['NULL', E'"\\\t']], '{NaN,-Infinity,0.1,-0}', ARRAY['', NULL, E'tab\tbed, "quoted"']::mood[], '{-1.00,"1234567.89"}',
    'empty', '[2024-03-10 01:00-05,infinity)', '{[1,2),(3.5,)}', '(0.1,1e300]', '\x00ff5c0a', '00000000-0000-0000-0000-000000000001', '::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
    '(0.1,-0)', '(1,2),(3,4)', '[(0,0),(1,1e-300)]', '((0,0),(1,1),(0.1,2))', '<(1,2),0.3>', '{1,2,3}', '[(1,2),(3,4)]', 'a:1A ''it''''s'':2 b\\c', 'a & !(b | c:*)', '$.a[*] ? (@ > 1)', '(0,1)', '10:20:10,14'),
    (NULL, NULL, '', NULL, NULL, NULL, '{}', '{}', NULL, '{}', NULL, NULL, '(,)', '{}', '(,)', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '', '', NULL, NULL, NULL);
SELECT * FROM twin('made');

-- names of objects: qualified, whatever the search_path, and odd ones
CREATE TABLE "odd, ""name""	tab" (id int);
CREATE TABLE names (c regclass, t regtype, p regprocedure, f regproc, o regoperator, n regnamespace, r regrole, co regcollation);
INSERT INTO names VALUES ('archive_test.texts', 'archive_test.mood', 'archive_test.twin(regclass)', 'archive_test.twin', 'pg_catalog.+(int4,int4)', 'archive_test', 'pg_monitor', '"C"'),
    ('"odd, ""name""	tab"', 'int4[]', '-', '-', NULL, '-', '-', '"POSIX"'), ('pg_class', '-', 'now()', 'pg_catalog.now', NULL, NULL, NULL, NULL), (12345678, 12345678, 0, 0, 0, 0, 0, 0);
SELECT * FROM twin('names');
SELECT * FROM twin('"odd, ""name""	tab"');

-- dropped, added and generated columns; odd names; other collations
CREATE TABLE changed (gone text, "a ""b"", c" int, wide text COLLATE "C", twice int GENERATED ALWAYS AS ("a ""b"", c" * 2) STORED, id int GENERATED ALWAYS AS IDENTITY, "é" text NOT NULL DEFAULT 'x');
ALTER TABLE changed ALTER wide SET STORAGE EXTERNAL;
INSERT INTO changed (gone, "a ""b"", c", wide) SELECT 'x', i, repeat(i::text, 2000) FROM generate_series(1, 200) i;
ALTER TABLE changed DROP COLUMN gone;
ALTER TABLE changed ADD COLUMN late numeric(5, 1) DEFAULT 4.2;
INSERT INTO changed ("a ""b"", c", late) VALUES (NULL, NULL);
UPDATE changed SET late = 1 WHERE id < 10;
DELETE FROM changed WHERE id % 7 = 0;
SELECT * FROM twin('changed');
SELECT file AS changed FROM hone._archive_write('changed') \gset
SELECT hone._archive_columns(:'changed');

-- none, and rows without columns
CREATE TABLE empty (a int, b text);
SELECT * FROM twin('empty');
CREATE TABLE bare ();
INSERT INTO bare DEFAULT VALUES;
INSERT INTO bare DEFAULT VALUES;
SELECT file AS bare, rows FROM hone._archive_write('bare') \gset
SELECT hone._archive_load(:'bare', 'bare');
SELECT count(*) FROM bare;
CREATE TABLE lone (t text);
INSERT INTO lone VALUES (''), (NULL), ('\.'), (E'\n');
SELECT * FROM twin('lone');

-- compressed rows beside plain ones
CREATE TABLE tiered (LIKE texts);
INSERT INTO tiered SELECT t.* FROM texts t, generate_series(1, 400) i WHERE t.id < 7;
CALL hone.compress('tiered');
DELETE FROM tiered WHERE id = 4;
INSERT INTO tiered SELECT * FROM texts;
SELECT * FROM twin('tiered');

-- one partition only, and where it hangs
CREATE TABLE parts (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01 00:00Z') TO ('2024-02-01 06:30Z');
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2024-02-01 06:30Z') TO (MAXVALUE);
CREATE TABLE heir () INHERITS (lone);
INSERT INTO heir VALUES ('not in the archive of lone');
INSERT INTO parts SELECT timestamptz '2024-01-15Z' + i * interval '1 day', i FROM generate_series(1, 60) i;
SELECT * FROM twin('parts_1');
SELECT * FROM twin('lone');
SELECT file AS first, regexp_replace(file, '\d+\.copy', 'OID.copy') = current_database() || '/archive_test.parts_1.20240101_20240201T063000.OID.copy.zst' AS named,
    rows, bytes > 0 AS bytes, length(sha256) AS sum FROM hone._archive_write('parts_1') \gset
SELECT :'named' AS named, :rows AS rows, :'bytes' AS bytes, :sum AS sum;
SELECT rows, raw_bytes FROM hone._archive_verify(:'first');

-- the manifest
SELECT jsonb_pretty(m - '{pg_hone,postgresql,created_at,database,bytes,sha256,manifest_sha256,encoding}'::text[])
FROM (SELECT pg_read_file(current_setting('hone.archive_directory') || '/' || :'first' || '.json')::jsonb) x(m);
SELECT m ->> 'encoding' = getdatabaseencoding() AS encoding, m ->> 'database' = current_database() AS database,
    (m ->> 'created_at')::timestamptz BETWEEN now() - interval '1 hour' AND clock_timestamp() AS created_at,
    m ->> 'sha256' = encode(sha256(pg_read_binary_file(current_setting('hone.archive_directory') || '/' || :'first')), 'hex') AS sha256
FROM (SELECT pg_read_file(current_setting('hone.archive_directory') || '/' || :'first' || '.json')::jsonb) x(m);

-- an archive is never overwritten
SELECT file AS second FROM hone._archive_write('parts_1') \gset
SELECT :'second' = replace(:'first', '.copy.zst', '-2.copy.zst') AS next_name;
DELETE FROM parts_1;
SELECT file AS third, rows FROM hone._archive_write('parts_1') \gset
SELECT :'third' = replace(:'first', '.copy.zst', '-3.copy.zst') AS next_name, :rows AS rows;
SELECT rows FROM hone._archive_verify(:'first');
SELECT hone._archive_load(:'first', 'parts_1');
SELECT count(*), sum(v) FROM parts;
SELECT count(hone._archive_remove(file)) FROM unnest(ARRAY[:'second', :'third']) file;
SELECT hone._archive_remove(:'third');

-- other tables than that of the archive
\set VERBOSITY terse
CREATE TABLE other (v int, at timestamptz);
SELECT hone._archive_load(:'first', 'other');
SELECT count(*), sum(v) FROM other;
\set fails 'DO $$ BEGIN PERFORM hone._archive_load(current_setting(''archive_test.file''), current_setting(''archive_test.target'')::regclass); EXCEPTION WHEN datatype_mismatch THEN RAISE WARNING ''%'', regexp_replace(sqlerrm, ''".*zst"'', ''NAME''); END $$;'
SET archive_test.file = :'first';
CREATE TABLE other2 (v int, w int, at timestamptz);
SET archive_test.target = 'archive_test.other2';
:fails
ALTER TABLE other ALTER v TYPE bigint;
SET archive_test.target = 'archive_test.other';
:fails
ALTER TABLE other DROP v;
:fails
SELECT hone._archive_write('parts');

-- names that lead elsewhere
SELECT hone._archive_verify(name) FROM unnest(ARRAY['../x.copy.zst']) name;
SELECT hone._archive_verify('/etc/x.copy.zst');
SELECT hone._archive_verify('a/../x.copy.zst');
SELECT hone._archive_verify('a/b/x.copy.zst');
SELECT hone._archive_verify('a/.x.copy.zst');
SELECT hone._archive_verify('-x.copy.zst');
SELECT hone._archive_verify('a//x.copy.zst');
SELECT hone._archive_verify('x y.copy.zst');
SELECT hone._archive_verify('.copy.zst');
SELECT hone._archive_verify('x');
SELECT hone._archive_verify(repeat('x', 250) || '.copy.zst');
SELECT hone._archive_remove('../x.copy.zst');
SELECT hone._archive_load('x/../../x.copy.zst', 'other');
SELECT hone._archive_write('lone', 0);
SELECT hone._archive_write('lone', 23);
SELECT file AS best, rows FROM hone._archive_write('lone', 19) \gset
SELECT :rows AS rows;

-- nobody else's
CREATE ROLE regress_archive;
GRANT ALL ON SCHEMA archive_test TO regress_archive;
SET ROLE regress_archive;
SELECT hone._archive_write('lone');
SELECT hone._archive_verify('x.copy.zst');
SELECT hone._archive_load('x.copy.zst', 'lone');
SELECT hone._archive_columns('x.copy.zst');
SELECT hone._archive_remove('x.copy.zst');
SELECT count(*) FROM pg_settings WHERE name ~ '^hone.(archive_directory|archive_command|restore_command)$';
RESET ROLE;

-- what the session has set is as before
SHOW datestyle;
SHOW search_path;
SELECT count(hone._archive_remove(file)) FROM unnest(ARRAY[:'first', :'changed', :'bare', :'best']) file;
SELECT name FROM pg_ls_dir(current_setting('hone.archive_directory') || '/' || current_database()) name WHERE name LIKE 'archive_test.%';
DROP SCHEMA archive_test CASCADE;
DROP ROLE regress_archive;
\else
SELECT hone._archive_write('pg_class');
SELECT hone._archive_verify('x.copy.zst');
\endif
