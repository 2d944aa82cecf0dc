-- The tiered access method (src/tiered).

-- Codec: what the test suite calls.

CREATE FUNCTION hone._codec_roundtrip(
    "values" anyarray,
    level int,
    OUT "rows" int,
    OUT raw_bytes bigint,
    OUT blob_bytes bigint,
    OUT equal bool)
AS 'MODULE_PATHNAME', 'hone_codec_roundtrip' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION hone._codec_roundtrip(anyarray, int) IS
    'test: encodes the elements as a column of a batch, at that zstd level, and compares what comes back';
REVOKE ALL ON FUNCTION hone._codec_roundtrip(anyarray, int) FROM PUBLIC;

CREATE FUNCTION hone._codec_fuzz(seed int, rounds int) RETURNS bigint
AS 'MODULE_PATHNAME', 'hone_codec_fuzz' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION hone._codec_fuzz(int, int) IS
    'test: decodes that many damaged batches with valid checksums; returns how many were found damaged';
REVOKE ALL ON FUNCTION hone._codec_fuzz(int, int) FROM PUBLIC;

