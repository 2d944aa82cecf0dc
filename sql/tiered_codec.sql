-- The column codec: whatever goes into a batch comes out the same, bit for
-- bit, small where it can be small; damage is an error and nothing else.
\set VERBOSITY terse

-- one line per column: is it the same, and is it at least this much smaller
CREATE FUNCTION trip(label text, vals anyarray, at_least float8 DEFAULT 0,
                     OUT label text, OUT "rows" int, OUT equal bool, OUT small bool)
LANGUAGE sql AS $$
    SELECT $1, r.rows, r.equal, r.raw_bytes >= r.blob_bytes * $3
    FROM hone._codec_roundtrip($2, 3) r
$$;

-- integers
SELECT * FROM trip('serial int4', (SELECT array_agg(i) FROM generate_series(1, 10000) i), 200);
SELECT * FROM trip('serial bigint with gaps', (SELECT array_agg(i * 7 + i % 3) FROM generate_series(1, 10000) i), 20);
SELECT * FROM trip('constant', (SELECT array_agg(42) FROM generate_series(1, 16383) i), 300);
SELECT * FROM trip('below 1000', (SELECT array_agg(hashint4(i) & 1023) FROM generate_series(1, 10000) i), 3);
SELECT * FROM trip('bigint, any bits', (SELECT array_agg(hashint8extended(i, 1)) FROM generate_series(1, 5000) i), 0.98);
SELECT * FROM trip('bigint, few wide ones', (SELECT array_agg(hashint8extended(i % 50, 1)) FROM generate_series(1, 10000) i), 8);
SELECT * FROM trip('bigint extremes', ARRAY[-9223372036854775808, 9223372036854775807, 0, -1, 1, 9223372036854775807, -9223372036854775808]);
SELECT * FROM trip('bigint extremes, many', (SELECT array_agg(CASE i % 3 WHEN 0 THEN -9223372036854775808 WHEN 1 THEN 9223372036854775807 ELSE i END) FROM generate_series(1, 3000) i));
SELECT * FROM trip('smallint', (SELECT array_agg((hashint4(i) % 32768)::int2) FROM generate_series(1, 2000) i) || ARRAY[-32768, 32767]::int2[]);
SELECT * FROM trip('int4 extremes', ARRAY[-2147483648, 2147483647, 0]);
SELECT * FROM trip('oid', ARRAY[0, 1, 4294967295, 2147483648]::oid[]);
SELECT bool_and(equal) AS every_bit_width
FROM generate_series(0, 63) w,
     LATERAL hone._codec_roundtrip((SELECT array_agg(hashint8extended(i, 7) >> w) FROM generate_series(1, 700 + w) i), 1);
SELECT bool_and(equal) AS every_small_length
FROM generate_series(1, 70) n,
     LATERAL hone._codec_roundtrip((SELECT array_agg(hashint8extended(i, 7) >> n % 60) FROM generate_series(1, n) i), 1);

-- dates and times
SELECT * FROM trip('date', (SELECT array_agg(date '2024-01-01' + i / 30) FROM generate_series(1, 10000) i), 50);
SELECT * FROM trip('timestamptz, seconds', (SELECT array_agg(timestamptz '2024-01-01 00:00Z' + i * interval '7 s' + (hashint4(i) & 3) * interval '1 s') FROM generate_series(1, 10000) i), 15);
SELECT * FROM trip('timestamptz, microseconds', (SELECT array_agg(timestamptz '2024-01-01 00:00Z' + i * interval '1 s' + (hashint4(i) & 65535) * interval '1 us') FROM generate_series(1, 10000) i), 3);
SELECT * FROM trip('timestamp, infinite', ARRAY['infinity', '-infinity', '2000-01-01', '294276-12-31', NULL]::timestamp[]);
SELECT * FROM trip('time', (SELECT array_agg(time '00:00' + i * interval '1 min') FROM generate_series(1, 2000) i), 20);
SELECT * FROM trip('timetz', (SELECT array_agg((time '00:00' + i * interval '1 min')::timetz) FROM generate_series(1, 2000) i));
SELECT * FROM trip('interval', (SELECT array_agg(make_interval(0, i % 3, 0, i, 0, 0, i * 1.5)) FROM generate_series(1, 3000) i), 4);

-- floats
SELECT * FROM trip('prices', (SELECT array_agg((hashint4(i) & 65535) / 100.0::float8) FROM generate_series(1, 10000) i), 3.5);
SELECT * FROM trip('prices, float4', (SELECT array_agg(((hashint4(i) & 16383) / 100.0)::float4) FROM generate_series(1, 10000) i), 2);
SELECT * FROM trip('thirds', (SELECT array_agg(i / 3.0::float8) FROM generate_series(1, 5000) i), 1);
SELECT * FROM trip('any bits', (SELECT array_agg(sin(i)) FROM generate_series(1, 5000) i), 1);
SELECT * FROM trip('float8 specials', ARRAY['-0', '0', 'NaN', 'Infinity', '-Infinity', '5e-324', '-5e-324', '1.7976931348623157e308', '2.2250738585072014e-308', '9007199254740993', '0.1', '1e22', '1e23']::float8[]);
SELECT * FROM trip('float4 specials', ARRAY['-0', '0', 'NaN', 'Infinity', '-Infinity', '1e-45', '3.4028235e38', '1.1754944e-38', '16777217', '0.1']::float4[]);
SELECT * FROM trip('prices with specials', (SELECT array_agg(CASE i % 100 WHEN 7 THEN '-0' WHEN 50 THEN 'NaN' WHEN 99 THEN '-Infinity' ELSE i / 100.0::float8 END) FROM generate_series(1, 5000) i), 5);
SELECT * FROM trip('more specials than prices', (SELECT array_agg(CASE WHEN i % 3 = 0 THEN i / 100.0::float8 ELSE '-0' END) FROM generate_series(1, 5000) i), 1);

-- booleans, enums, "char"
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
SELECT * FROM trip('bool', (SELECT array_agg(hashint4(i) > 0) FROM generate_series(1, 10000) i), 6);
SELECT * FROM trip('bool, mostly true', (SELECT array_agg(i % 1000 <> 0) FROM generate_series(1, 10000) i), 40);
SELECT * FROM trip('enum', (SELECT array_agg((enum_range(NULL::mood))[1 + (hashint4(i) & 1)]) FROM generate_series(1, 10000) i), 20);
SELECT * FROM trip('"char"', (SELECT array_agg(chr(65 + i % 26)::"char") FROM generate_series(1, 2000) i), 5);

-- text and other varlenas
SELECT * FROM trip('status', (SELECT array_agg((ARRAY['new', 'paid', 'shipped', 'returned'])[1 + (hashint4(i) & 3)]) FROM generate_series(1, 10000) i), 25);
SELECT * FROM trip('text, C', (SELECT array_agg(('user' || hashint4(i)) COLLATE "C") FROM generate_series(1, 5000) i), 2);
SELECT * FROM trip('text, unicode', (SELECT array_agg(repeat('žluťoučký kůň ', i % 5) COLLATE "POSIX") FROM generate_series(1, 2000) i), 20);
SELECT * FROM trip('hashes', (SELECT array_agg(md5(i::text)) FROM generate_series(1, 16383) i), 1.8);
SELECT * FROM trip('empty strings', (SELECT array_agg(''::text) FROM generate_series(1, 3000) i));
SELECT * FROM trip('empty or not', ARRAY['', 'a', '', NULL, 'b', '']);
SELECT * FROM trip('long text', (SELECT array_agg(repeat(md5(i::text), 50 + i % 50)) FROM generate_series(1, 1500) i), 20);
SELECT * FROM trip('few long texts', (SELECT array_agg(repeat(md5((i % 20)::text), 300)) FROM generate_series(1, 1500) i), 500);
SELECT * FROM trip('lengths around header sizes', (SELECT array_agg(repeat('x', i)) FROM generate_series(120, 135) i));
SELECT * FROM trip('one value of 20 MB', ARRAY[repeat('0123456789abcdef', 1310720)], 1000);
SELECT * FROM trip('3 MB that do not compress, and small ones', ARRAY['a', NULL, (SELECT string_agg(sha512(i::text::bytea), '') FROM generate_series(1, 50000) i), 'b'], 0.99);
SELECT * FROM trip('varchar', ARRAY['a', 'bc', NULL]::varchar(10)[]);
SELECT * FROM trip('char(n)', ARRAY['a', 'bc', NULL]::char(10)[]);
SELECT * FROM trip('name', (SELECT array_agg(('name_' || i)::name) FROM generate_series(1, 2000) i), 5);
SELECT * FROM trip('bytea', (SELECT array_agg(sha256(i::text::bytea)) || ARRAY['\x', '\x00']::bytea[] FROM generate_series(1, 2000) i));
SELECT * FROM trip('numeric', (SELECT array_agg(((hashint4(i) & 65535) / 100.0)::numeric(10, 2)) FROM generate_series(1, 10000) i), 2);
SELECT * FROM trip('numeric specials', ARRAY['NaN', 'Infinity', '-Infinity', '0', '0.000', '-0.00', '1e-100', '123456789012345678901234567890.123456789']::numeric[]);
SELECT * FROM trip('jsonb', (SELECT array_agg(jsonb_build_object('id', i, 'tags', ARRAY['a', 'b'], 'ok', i % 2 = 0, 'price', i / 100.0)) FROM generate_series(1, 3000) i), 4);
SELECT * FROM trip('json, xml as text', (SELECT array_agg(('{"id": ' || i || '}')::json) FROM generate_series(1, 1000) i), 3);
SELECT * FROM trip('inet', (SELECT array_agg(('10.0.' || i % 256 || '.' || i / 256)::inet) FROM generate_series(1, 3000) i), 2);
SELECT * FROM trip('cidr', ARRAY['::/0', '10.0.0.0/8', NULL, '2001:db8::/32']::cidr[]);
SELECT * FROM trip('int4range', (SELECT array_agg(int4range(i, i + i % 5)) FROM generate_series(1, 2000) i), 2);
SELECT * FROM trip('tstzmultirange', ARRAY['{}', '{[2024-01-01,2024-02-01),[2025-01-01,)}', NULL]::tstzmultirange[]);
SELECT * FROM trip('tsvector', (SELECT array_agg(to_tsvector('simple', 'word' || i || ' and more')) FROM generate_series(1, 1000) i), 2);
SELECT * FROM trip('bit, varbit', ARRAY['', '1', '10101', repeat('10', 500)]::varbit[]);

-- fixed lengths by reference
SELECT * FROM trip('uuid', (SELECT array_agg(md5(i::text)::uuid) FROM generate_series(1, 5000) i), 0.99);
SELECT * FROM trip('uuid, few', (SELECT array_agg(md5((i % 10)::text)::uuid) FROM generate_series(1, 5000) i), 30);
SELECT * FROM trip('macaddr', (SELECT array_agg(('08:00:2b:00:' || lpad(to_hex(i / 256), 2, '0') || ':' || lpad(to_hex(i % 256), 2, '0'))::macaddr) FROM generate_series(1, 2000) i), 3);
SELECT * FROM trip('point', (SELECT array_agg(point(i, -i / 2.0)) FROM generate_series(1, 2000) i), 2);
SELECT * FROM trip('box, lseg of odd length arrays', (SELECT array_agg(box(point(i, i), point(0, -0.0))) FROM generate_series(1, 100) i), 2);
SELECT * FROM trip('tid', ARRAY['(0,1)', '(4294967295,65535)', NULL]::tid[]);

-- composites, domains, arrays in composites, cstring
CREATE TYPE pair AS (a int, b text, c numeric[]);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
SELECT * FROM trip('composite', (SELECT array_agg(ROW(i, 'text ' || i % 7, ARRAY[i, NULL, 1.5])::pair) FROM generate_series(1, 1500) i), 5);
SELECT * FROM trip('domain', (SELECT array_agg(i::positive) FROM generate_series(1, 3000) i), 50);
SELECT * FROM trip('cstring', ARRAY['', 'a', NULL, 'longer than that']::cstring[]);

-- nulls
SELECT * FROM trip('all null', (SELECT array_agg(NULL::int) FROM generate_series(1, 16383) i));
SELECT blob_bytes < 40 AS all_null_is_tiny FROM hone._codec_roundtrip((SELECT array_agg(NULL::text) FROM generate_series(1, 16383) i), 3);
SELECT * FROM trip('mostly null', (SELECT array_agg(CASE WHEN i % 3000 = 0 THEN i END) FROM generate_series(1, 16383) i), 0.1);
SELECT * FROM trip('every other null', (SELECT array_agg(CASE WHEN i % 2 = 0 THEN md5(i::text) END) FROM generate_series(1, 5000) i), 1.5);
SELECT * FROM trip('a vector of nulls between', (SELECT array_agg(CASE WHEN i NOT BETWEEN 1025 AND 2048 THEN i * 1.5::float8 END) FROM generate_series(1, 4000) i), 10);
SELECT * FROM trip('one row', ARRAY[7]);
SELECT * FROM trip('one row, null', ARRAY[NULL::uuid]);

-- sizes of a batch
SELECT bool_and(equal) AS every_edge
FROM unnest(ARRAY[1, 7, 8, 9, 1023, 1024, 1025, 2047, 2048, 2049, 16382, 16383]) n,
     LATERAL hone._codec_roundtrip((SELECT array_agg(hashint4(i)) FROM generate_series(1, n) i), 1);
SELECT hone._codec_roundtrip((SELECT array_agg(i) FROM generate_series(1, 16384) i), 3);
SELECT hone._codec_roundtrip('{}'::int[], 3);

-- a higher level is no larger, and comes back too
SELECT c.equal AS equal, c.blob_bytes <= w.blob_bytes AS smaller
FROM (SELECT array_agg('user ' || hashint4(i % 3000) || ' did ' || md5((i % 7)::text)) AS v FROM generate_series(1, 3000) i) x,
     LATERAL hone._codec_roundtrip(v, 1) w, LATERAL hone._codec_roundtrip(v, 19) c;

-- damage with checksums that are right: every round decodes or is rejected
SELECT hone._codec_fuzz(1, 4000) BETWEEN 1000 AND 3999 AS most_rejected;
SELECT hone._codec_fuzz(20240611, 2000) BETWEEN 500 AND 1999 AS most_rejected;

-- nobody but the owner may call these
SELECT p.proname, has_function_privilege('public', p.oid, 'execute') AS by_public
FROM pg_proc p WHERE p.pronamespace = 'hone'::regnamespace AND p.proname IN ('_codec_roundtrip', '_codec_fuzz')
ORDER BY 1;

DROP FUNCTION trip(text, anyarray, float8);
DROP TYPE pair;
DROP TYPE mood;
DROP DOMAIN positive;
