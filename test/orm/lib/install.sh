# Sourced after prepare.sh and debian.sh by the scripts of test/orm: what the
# programs need. Where it cannot be had its tests are skipped, in CI they fail.
#
#   orm_node DIR            copies the programs of node/ to DIR, beside the
#                           packages that package-lock.json pins. These are
#                           installed once and kept in HONE_CACHE
#   orm_debian TEST PACKAGE...
#                           installs the packages unless command TEST succeeds,
#                           which then has to
#   orm_missing NAME        says why NAME is not tested
#
# The first two return 1 with the reason in HONE_WHY_NOT.

orm_missing() {
    if [ "${CI:-}" = true ]; then not_ok "$1" "$HONE_WHY_NOT"; else skip "$1" "$HONE_WHY_NOT"; fi
}

orm_get_debian() {
    local test=$1 try
    shift
    if $test >/dev/null 2>&1; then return 0; fi
    command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; } ||
        hone_why_not "Debian's $* cannot be installed here" || return 1
    HONE_APT_LOG=$(mktemp)
    for try in install update install; do
        case $try in
            install) hone_apt install -o DPkg::Lock::Timeout=120 --no-install-recommends "$@" 2>/dev/null && break ;;
            update) hone_apt update 2>/dev/null ;;
        esac
    done
    rm -f "$HONE_APT_LOG"
    $test >/dev/null 2>&1 || hone_why_not "Debian's $* could not be installed"
}

# One script at a time.
orm_debian() {
    if $1 >/dev/null 2>&1; then return 0; fi
    hone_alone orm_get_debian "$@"
}

orm_get_node() {
    local dir=$1 source=$HONE_SRC/test/orm/node new
    [ ! -e "$dir/.complete" ] || return 0
    # what an earlier one left that was interrupted
    rm -rf "${dir%/*}"/new.*
    new=$(mktemp -d "${dir%/*}/new.XXXXXX")
    cp "$source/package.json" "$source/package-lock.json" "$new/"
    hone_say "the packages of test/orm/node, with npm (once)"
    if ! (cd "$new" && npm ci --ignore-scripts --omit=optional --no-audit --no-fund --loglevel=error) >"$dir.log" 2>&1 </dev/null; then
        rm -rf "$new"
        hone_why_not "npm ci failed: $(grep -m1 -i error "$dir.log")"
        return 1
    fi
    chmod -R a+rX "$new"
    touch "$new/.complete"
    mv "$new" "$dir"
}

orm_node() {
    local source=$HONE_SRC/test/orm/node kept program
    for program in node npm; do
        orm_debian "command -v $program" nodejs npm || hone_why_not "$program is not there: $HONE_WHY_NOT" || return 1
    done
    [[ $(node --version) =~ ^v([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 20 ] ||
        hone_why_not "node is $(node --version), and the packages need 20 or later" || return 1
    kept=$HONE_CACHE/orm/node-$(sha256sum <"$source/package-lock.json" | cut -c1-16)
    if [ ! -e "$kept/.complete" ]; then
        mkdir -p "$HONE_CACHE/orm" 2>/dev/null && [ -w "$HONE_CACHE/orm" ] ||
            hone_why_not "cannot write to $HONE_CACHE; HONE_CACHE can name another folder" || return 1
        hone_alone orm_get_node "$kept" || return 1
    fi
    rm -rf "$1"
    mkdir -p "$1"
    cp "$source"/*.js "$1/"
    ln -s "$kept/node_modules" "$1/node_modules"
}
