#!/usr/bin/env bash
# A build that cannot succeed says in one plain line what is missing.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
tree=$HONE_WORK/messages
rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/src"
cp -r "$HONE_SRC/." "$tree/src"

# A pg_config that answers as the real one does but for some options.
fake() {
    { echo '#!/bin/sh'; printf '%s\n' "$1"; echo "exec $PG_CONFIG \"\$@\""; } >"$tree/bin/pg_config"
    chmod +x "$tree/bin/pg_config"
}
# message NAME REGEX MAKE-ARGS...
message() {
    local name=$1 pattern=$2 out
    shift 2
    if out=$(make -C "$tree/src" "$@" 2>&1); then
        not_ok "$name" "the build succeeded"
    else
        like "$name" "$out" "Makefile.check:.*$pattern"
    fi
}

message "no pg_config" "pg_config not found.*postgresql-server-dev" PG_CONFIG="$tree/nowhere"
fake 'case $1 in --version) echo "PostgreSQL 14.9"; exit;; esac'
message "PostgreSQL 14" "needs PostgreSQL 15 or later" PG_CONFIG="$tree/bin/pg_config"
fake 'case $1 in --version) echo "PostgreSQL 9.6.1"; exit;; esac'
message "PostgreSQL 9.6" "needs PostgreSQL 15 or later" PG_CONFIG="$tree/bin/pg_config"
fake 'case $1 in --pgxs) echo /nonexistent/pgxs.mk; exit;; esac'
message "no PGXS" "PGXS.*development package" PG_CONFIG="$tree/bin/pg_config"
fake 'case $1 in --includedir-server) echo /nonexistent; exit;; esac'
message "no server headers" "postgres.h is missing.*development package" PG_CONFIG="$tree/bin/pg_config"
export PKG_CONFIG_LIBDIR=$tree PKG_CONFIG_PATH=
message "no zstd" "zstd.*libzstd-dev" PG_CONFIG="$PG_CONFIG"
unset PKG_CONFIG_LIBDIR
rm -rf "$tree"
hone_done
