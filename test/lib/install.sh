# Sourced by prepare.sh: installs what a build and a test need on Debian and
# its kin, and only what is missing. The system's own clusters are left as
# they are, and none is created.
#
#   hone_install_missing    sets PG_CONFIG unless the caller has
#   hone_install_tool PROGRAM PACKAGE
#                           for a check that can be skipped: true if the
#                           program is there now, else prints why not

# A pg_config of PostgreSQL 15 or later that has the server and its headers.
hone_usable_pg_config() {
    local version
    version=$("$1" --version 2>/dev/null | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
    [ -n "$version" ] && [ "$version" -ge 15 ] \
        && [ -x "$("$1" --bindir)/postgres" ] && [ -x "$("$1" --bindir)/initdb" ] \
        && [ -e "$("$1" --includedir-server)/postgres.h" ] && [ -e "$("$1" --pgxs)" ]
}

hone_find_pg_config() {
    local config
    for config in ${PG_CONFIG:-} $(command -v pg_config || true) \
        $(ls -d /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | sort -rV); do
        if hone_usable_pg_config "$config"; then echo "$config"; return 0; fi
    done
    return 1
}

# That of one version, if this machine has it.
hone_pg_config_of() {
    local config
    for config in ${PG_CONFIG:-} "/usr/lib/postgresql/$1/bin/pg_config"; do
        if [[ $("$config" --version 2>/dev/null) =~ ^PostgreSQL\ $1[^0-9] ]] && hone_usable_pg_config "$config"; then
            echo "$config"
            return 0
        fi
    done
    return 1
}

hone_apt() {
    local sudo=
    if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >>"$HONE_APT_LOG" 2>&1 || {
        tail -20 "$HONE_APT_LOG" >&2
        echo "apt-get $1 failed" >&2
        return 1
    }
}

# PostgreSQL's packages create and start a cluster unless this file says no.
# It gets its old content back afterwards.
hone_apt_install_postgresql() {
    local version=$1 conf=/etc/postgresql-common/createcluster.conf sudo=
    if [ "$(id -u)" != 0 ]; then sudo="sudo"; fi
    hone_apt install --no-install-recommends postgresql-common || return 1
    $sudo cp -p "$conf" "$conf.hone"
    echo 'create_main_cluster = false' | $sudo tee -a "$conf" >/dev/null
    local status=0
    hone_apt install --no-install-recommends "postgresql-$version" "postgresql-server-dev-$version" || status=1
    $sudo mv "$conf.hone" "$conf"
    return $status
}

hone_install_missing() {
    local packages=() postgres= version
    HONE_APT_LOG=$(mktemp)
    command -v gcc >/dev/null && [ -e /usr/include/stdio.h ] || packages+=(gcc libc6-dev)
    command -v make >/dev/null || packages+=(make)
    command -v pkg-config >/dev/null || packages+=(pkg-config)
    command -v zstd >/dev/null || packages+=(zstd)
    [ -e /usr/include/zstd.h ] || pkg-config --exists libzstd 2>/dev/null || packages+=(libzstd-dev)
    PG_CONFIG=$(hone_find_pg_config) || postgres=missing
    if [ -n "$postgres" ] || [ ${#packages[@]} -gt 0 ]; then
        hone_say "missing: ${packages[*]}${postgres:+ postgresql}"
        if ! command -v apt-get >/dev/null; then
            echo "install these by hand: this is not a Debian-like system" >&2
            return 1
        fi
        if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null && ! { [ -t 0 ] && command -v sudo >/dev/null; }; then
            echo "installing them needs root or sudo: apt-get install ${packages[*]}${postgres:+ postgresql-15 postgresql-server-dev-15 (or later)}" >&2
            return 1
        fi
        hone_say "installing with apt (some minutes on a bare machine)"
        hone_apt update || return 1
        [ ${#packages[@]} = 0 ] || hone_apt install --no-install-recommends "${packages[@]}" || return 1
        if [ -n "$postgres" ]; then
            version=$(apt-cache search --names-only '^postgresql-server-dev-[0-9]+$' \
                | sed -E 's/^postgresql-server-dev-([0-9]+).*/\1/' | sort -n | awk '$1 >= 15 && $1 <= 18' | tail -1)
            if [ -z "$version" ]; then
                echo "apt offers no PostgreSQL between 15 and 18; see https://apt.postgresql.org" >&2
                return 1
            fi
            hone_apt_install_postgresql "$version" || return 1
            PG_CONFIG=/usr/lib/postgresql/$version/bin/pg_config
        fi
    fi
    rm -f "$HONE_APT_LOG"
    export PG_CONFIG
}

# The package lists may be old or absent, and the package in none of them.
hone_install_tool() {
    local program=$1 package=$2
    command -v "$program" >/dev/null && return 0
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; }; then
        echo "$program is not installed (Debian: $package)"
        return 1
    fi
    HONE_APT_LOG=$(mktemp)
    hone_apt install --no-install-recommends "$package" 2>/dev/null ||
        { hone_apt update && hone_apt install --no-install-recommends "$package"; } 2>/dev/null
    rm -f "$HONE_APT_LOG"
    command -v "$program" >/dev/null && return 0
    echo "$program could not be installed (Debian: $package)"
    return 1
}
