#!/bin/bash
# Fuzzes the codec alone under the address and undefined-behaviour sanitizers.
#
#   bash test/fuzz/codec.sh [SEED [ROUNDS]]
#   HONE_FUZZ_SECONDS=60 bash test/fuzz/codec.sh     # also coverage-guided, if clang has libFuzzer
#
# No server is needed, only its headers and the libraries libpgport and
# libpgcommon that come with them.
set -eu
cd "$(dirname "$0")/../.."
seed=${1:-1} rounds=${2:-100000}
pg_config=${PG_CONFIG:-pg_config}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

sources="src/tiered/codec_bits.c src/tiered/codec_bytes.c src/tiered/codec_dict.c
    src/tiered/codec_encode.c src/tiered/codec_float.c src/tiered/codec_frame.c
    src/tiered/codec_fuzz.c src/tiered/codec_int.c src/tiered/codec_read.c
    test/fuzz/codec_shim.c"
lib=$("$pg_config" --pkglibdir)
[ -e "$lib/libpgport.a" ] || lib=$("$pg_config" --libdir)
flags="-g -O1 -fno-omit-frame-pointer -Isrc -I$("$pg_config" --includedir-server)
    $(pkg-config --cflags libzstd)"
libs="$lib/libpgcommon.a $lib/libpgport.a $(pkg-config --libs libzstd) -lm"

# shellcheck disable=SC2086
${CC:-gcc} $flags -fsanitize=address,undefined -fno-sanitize-recover=all \
    $sources $libs -o "$build/fuzz"
ASAN_OPTIONS=detect_leaks=0 "$build/fuzz" "$seed" "$rounds"

if [ -n "${HONE_FUZZ_SECONDS:-}" ] && command -v clang >/dev/null; then
    # shellcheck disable=SC2086
    clang $flags -Wno-ignored-attributes -DHONE_LIBFUZZER -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=all $sources $libs -o "$build/guided"
    mkdir "$build/corpus"
    ASAN_OPTIONS=detect_leaks=0 "$build/guided" -max_total_time="$HONE_FUZZ_SECONDS" \
        -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$build/" -print_final_stats=1 "$build/corpus" 2>&1 | tail -15
fi
