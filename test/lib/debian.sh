# Sourced by scripts that need what this machine does not have installed:
# another version of PostgreSQL, or PostgreSQL's source. Both come from the
# Debian mirror that apt uses here (HONE_DEBIAN_MIRROR names another), are
# checked with Debian's keys, and are kept between runs in HONE_CACHE.
#
#   hone_folder VERSION     a Debian with that PostgreSQL in a folder, made
#                           when it is not there; sets HONE_FOLDER. Needs root
#   hone_in_folder CMD...   run in HONE_FOLDER, with the checkout under
#                           $HONE_INSIDE/main
#   hone_pg_source VERSION  PostgreSQL's source tree, the newest minor release
#                           that the suites have; sets HONE_PG_SOURCE
#   hone_pg_build VERSION KIND
#                           built from it and installed in HONE_CACHE, with
#                           assertions on: KIND 'assert', or 'sanitize' for
#                           the address and undefined-behaviour sanitizers;
#                           sets PG_CONFIG and HONE_PG_BUILD (the build tree)
#   hone_unpack PACKAGE DIR a Debian package of this machine's own release,
#                           unpacked there and not installed
#
# Each returns 1 with the reason in HONE_WHY_NOT, one plain line.

HONE_CACHE=${HONE_CACHE:-$([ "$(id -u)" = 0 ] && echo /var/cache/pg_hone || echo "${XDG_CACHE_HOME:-$HOME/.cache}/pg_hone")}
# Oldest first: a version is taken from the first that has it.
HONE_DEBIAN_SUITES="bookworm trixie forky sid"
# What a folder is made of; another list makes the folders anew.
HONE_FOLDER_PACKAGES="gcc libc6-dev make pkg-config zstd libzstd-dev"
HONE_INSIDE=/mnt/pg_hone

hone_why_not() { HONE_WHY_NOT=$1; return 1; }

hone_mirror() {
    local try mirror
    if [ -n "${HONE_DEBIAN_MIRROR:-}" ]; then echo "$HONE_DEBIAN_MIRROR"; return; fi
    for try in 1 2; do
        mirror=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' 'Created-By: Packages' 2>/dev/null |
            sed -n 's/^Debian Debian //p' | head -1)
        [ -z "$mirror" ] || break
        # a machine whose lists were taken away does not know
        apt-get -qq update >/dev/null 2>&1 || break
    done
    echo "$mirror"
}

# hone_alone CMD...: one process at a time makes something in HONE_CACHE, and
# others find it made. CMD checks for that.
hone_alone() {
    local status
    mkdir -p "$HONE_CACHE" 2>/dev/null && [ -w "$HONE_CACHE" ] ||
        hone_why_not "cannot write to $HONE_CACHE; HONE_CACHE can name another folder" || return 1
    exec {HONE_LOCK}>"$HONE_CACHE/lock"
    flock "$HONE_LOCK"
    # not inherited: the lock would live as long as whatever it started
    "$@" {HONE_LOCK}>&-
    status=$?
    exec {HONE_LOCK}>&-
    return $status
}

# apt with lists of its own: the machine's are left alone. The mirror may be
# a frozen copy, whose lists are signed but past their date.
hone_apt_suites() {
    local tool=$1 dir=$HONE_CACHE/apt
    shift
    "$tool" -o Dir::State="$dir/state" -o Dir::State::status="$dir/status" -o Dir::Cache="$dir/cache" \
        -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none -o APT::Sandbox::User=root \
        -o Acquire::Retries=3 -q "$@"
}

# Fetches the lists of all suites, at most once an hour.
hone_apt_lists() {
    local dir=$HONE_CACHE/apt mirror suite sources key=/usr/share/keyrings/debian-archive-keyring.gpg
    command -v apt-get >/dev/null || hone_why_not "this is not a Debian-like system" || return 1
    mirror=$(hone_mirror)
    [ -n "$mirror" ] || hone_why_not "apt has no Debian mirror here; HONE_DEBIAN_MIRROR can name one" || return 1
    [ -r "$key" ] || hone_why_not "Debian's keys are missing (package debian-archive-keyring)" || return 1
    sources=$(for suite in $HONE_DEBIAN_SUITES; do
        printf '%s [signed-by=%s] %s %s main\n' deb "$key" "$mirror" "$suite" deb-src "$key" "$mirror" "$suite"
    done)
    if [ -n "$(find "$dir/fetched" -mmin -60 2>/dev/null)" ] &&
        [ "$(cat "$dir/sources.list")" = "$sources" ]; then return 0; fi
    mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" 2>/dev/null ||
        hone_why_not "cannot write to $HONE_CACHE; HONE_CACHE can name another folder" || return 1
    touch "$dir/status"
    echo "$sources" >"$dir/sources.list"
    hone_apt_suites apt-get update >"$dir/log" 2>&1 ||
        hone_why_not "the Debian mirror does not answer: $(grep -m1 '^[EW]:' "$dir/log")" || return 1
    touch "$dir/fetched"
}

# First suite that has the server and its headers, or nothing.
hone_suite_of() {
    local suite found
    found=$(hone_apt_suites apt-cache madison "postgresql-server-dev-$1" 2>/dev/null | awk '{ print $(NF - 2) }')
    for suite in $HONE_DEBIAN_SUITES; do
        if grep -q "^$suite/" <<<"$found"; then echo "$suite"; return 0; fi
    done
    return 1
}

# Runs a program with proc, dev and the checkout mounted in the folder, in
# mounts of its own: nothing is left mounted, however it ends. Signals reach
# the program, which keeps its process group. Of the environment it gets what
# says how much is to be tested.
hone_in_folder() {
    local name settings=()
    for name in HONE_JOBS ${!HONE_TWIN_@} ${!HONE_ISOLATION_@} ${!HONE_CONCURRENT_@} HONE_KILLS HONE_CRASH_SEED; do
        [ -z "${!name:-}" ] || settings+=("$name=${!name}")
    done
    mkdir -p "$HONE_FOLDER$HONE_INSIDE"/{main,shared,cache}
    HONE_IN=$HONE_FOLDER HONE_MAIN=$HONE_ROOT HONE_INSIDE=$HONE_INSIDE HONE_CACHE=$HONE_CACHE \
        unshare --mount --propagation private bash -c '
        mount -t proc proc "$HONE_IN/proc" && mount --rbind /dev "$HONE_IN/dev" &&
        mount --bind "$HONE_MAIN" "$HONE_IN$HONE_INSIDE/main" || exit 1
        [ ! -d "$HONE_MAIN/../shared" ] || mount --bind "$HONE_MAIN/../shared" "$HONE_IN$HONE_INSIDE/shared" || exit 1
        [ ! -d "$HONE_CACHE" ] || mount --bind "$HONE_CACHE" "$HONE_IN$HONE_INSIDE/cache" || exit 1
        exec chroot "$HONE_IN" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
            DEBIAN_FRONTEND=noninteractive HONE_CACHE="$HONE_INSIDE/cache" ${CI:+CI="$CI"} "$@"' bash "${settings[@]}" "$@"
}

hone_make_folder() {
    local version=$1 suite=$2 dir=$HONE_CACHE/pg$1 log=$HONE_CACHE/pg$1.log script=() sid=/usr/share/debootstrap/scripts/sid
    command -v debootstrap >/dev/null || { HONE_APT_LOG=$log; hone_apt update && hone_apt install --no-install-recommends debootstrap; } 2>/dev/null ||
        hone_why_not "debootstrap is not installed" || return 1
    # a suite that is newer than debootstrap itself
    [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=("$sid")
    rm -rf --one-file-system "$dir"
    hone_say "PostgreSQL $version: Debian $suite in $dir (some minutes, 1.5 GB, once)"
    # what it mounts in the folder is gone with it
    unshare --mount --propagation private debootstrap --variant=minbase --include=ca-certificates "$suite" "$dir" "$(hone_mirror)" "${script[@]}" >"$log" 2>&1 ||
        hone_why_not "debootstrap of Debian $suite failed: $(tail -1 "$log")" || return 1
    echo 'Acquire::Check-Valid-Until "false";' >"$dir/etc/apt/apt.conf.d/90frozen-mirror"
    # the package would make and start a cluster, and daemons have no place here
    printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
    chmod +x "$dir/usr/sbin/policy-rc.d"
    mkdir -p "$dir/etc/postgresql-common"
    echo 'create_main_cluster = false' >"$dir/etc/postgresql-common/createcluster.conf"
    HONE_FOLDER=$dir hone_in_folder apt-get install -qq -y --no-install-recommends \
        -o Dpkg::Options::=--force-confold "postgresql-$version" "postgresql-server-dev-$version" \
        $HONE_FOLDER_PACKAGES >>"$log" 2>&1 </dev/null ||
        hone_why_not "installing PostgreSQL $version in $dir failed: $(grep -m1 '^E:' "$log")" || return 1
    HONE_FOLDER=$dir hone_in_folder apt-get clean
    echo "$HONE_FOLDER_PACKAGES" >"$dir/.complete"
}

hone_have_folder() { [ "$(cat "$HONE_FOLDER/.complete" 2>/dev/null)" = "$HONE_FOLDER_PACKAGES" ]; }

hone_get_folder() {
    local version=$1 suite
    if hone_have_folder; then return 0; fi
    hone_apt_lists || return 1
    suite=$(hone_suite_of "$version") ||
        hone_why_not "no Debian suite ($HONE_DEBIAN_SUITES) has PostgreSQL $version" || return 1
    hone_make_folder "$version" "$suite"
}

hone_folder() {
    HONE_FOLDER=$HONE_CACHE/pg$1
    [ "$(id -u)" = 0 ] || hone_why_not "a folder with Debian in it can only be made and entered by root" || return 1
    unshare --mount --propagation private mount -t proc proc /proc 2>/dev/null ||
        hone_why_not "this system does not let root mount anything" || return 1
    hone_have_folder || hone_alone hone_get_folder "$1"
}

# What an earlier run left there, complete; it is used until somebody removes it.
hone_kept() {
    ls -d "$HONE_CACHE/$1/$2".*/.complete 2>/dev/null | sort -V | tail -1 | sed 's|/.complete$||'
}

hone_have_source() {
    HONE_PG_SOURCE=$(hone_kept source "postgresql-$1")
    [ -n "$HONE_PG_SOURCE" ]
}

hone_get_source() {
    local major=$1 dir=$HONE_CACHE/source/partial version versions fetched=
    if hone_have_source "$major"; then return 0; fi
    hone_apt_lists || return 1
    versions=$(hone_apt_suites apt-cache showsrc "postgresql-$major" 2>/dev/null | sed -n 's/^Version: //p' | sort -Vru)
    [ -n "$versions" ] ||
        hone_why_not "no Debian suite ($HONE_DEBIAN_SUITES) has the source of PostgreSQL $major" || return 1
    for version in $versions; do
        rm -rf "$dir"
        mkdir -p "$dir"
        hone_say "source of PostgreSQL: Debian's postgresql-$major $version"
        # a mirror may list what it does not have
        if (cd "$dir" && hone_apt_suites apt-get source --download-only "postgresql-$major=$version" >"$HONE_CACHE/source/log" 2>&1); then
            fetched=yes
            break
        fi
    done
    [ -n "$fetched" ] ||
        hone_why_not "the Debian mirror lists the source of PostgreSQL $major but does not have it" || return 1
    # upstream's own tree: Debian's patches are about the paths of its packages
    tar -xf "$dir"/postgresql-"$major"_*.orig.tar.* -C "$dir" --strip-components=1 --no-same-owner ||
        hone_why_not "the source of PostgreSQL $major cannot be unpacked" || return 1
    rm -f "$dir"/*.orig.tar.* "$dir"/*.debian.tar.* "$dir"/*.dsc
    touch "$dir/.complete"
    HONE_PG_SOURCE=$HONE_CACHE/source/postgresql-${version%%-*}
    rm -rf "$HONE_PG_SOURCE"
    mv "$dir" "$HONE_PG_SOURCE"
}

hone_pg_source() { hone_have_source "$1" || hone_alone hone_get_source "$1"; }

# Programs and flags of the kinds of builds. No library that a test of ours
# does not need: what PostgreSQL can do without is left out.
hone_get_build() {
    local major=$1 kind=$2 build=${HONE_PG_BUILD%/build} log flags without=() package packages=()
    [ ! -e "$build/.complete" ] || return 0
    case $kind in
        assert) flags="-O1 -g" ;;
        # as PostgreSQL's own continuous integration
        sanitize) flags="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" ;;
        *) hone_why_not "no build of PostgreSQL is called $kind" || return 1 ;;
    esac
    for package in bison flex perl; do
        command -v "$package" >/dev/null || packages+=("$package")
    done
    log=$HONE_CACHE/build/$kind-$major.log
    mkdir -p "$HONE_CACHE/build"
    if [ ${#packages[@]} -gt 0 ]; then
        HONE_APT_LOG=$log
        { hone_apt update && hone_apt install --no-install-recommends "${packages[@]}"; } 2>/dev/null ||
            hone_why_not "building PostgreSQL needs ${packages[*]}, which cannot be installed" || return 1
    fi
    [ "$major" -lt 16 ] || without+=(--without-icu)
    rm -rf "$build"
    mkdir -p "$HONE_PG_BUILD"
    hone_say "building PostgreSQL ${HONE_PG_SOURCE##*-} ($kind; some minutes, once)"
    (
        cd "$HONE_PG_BUILD" || exit 1
        export ASAN_OPTIONS=detect_leaks=0
        "$HONE_PG_SOURCE/configure" --prefix="$build" --enable-cassert --enable-debug \
            --without-readline --without-zlib "${without[@]}" CFLAGS="$flags" &&
            make -s -j"$(nproc)" && make -s install &&
            make -s -j"$(nproc)" -C contrib && make -s -C contrib install &&
            make -s -C src/test/regress && make -s -C src/test/isolation && make -s -C src/test/isolation install
    ) >"$log" 2>&1 </dev/null ||
        hone_why_not "building PostgreSQL $major failed: $(grep -m1 -iE 'error' "$log"); see $log" || return 1
    chmod -R a+rX "$build"
    touch "$build/.complete"
}

# Without what it depends on.
hone_unpack() {
    local package=$1 dir=$2 kept=$HONE_CACHE/packages new
    mkdir -p "$kept" 2>/dev/null && [ -w "$kept" ] ||
        hone_why_not "cannot write to $HONE_CACHE; HONE_CACHE can name another folder" || return 1
    if ! ls "$kept/$package"_*.deb >/dev/null 2>&1; then
        command -v apt-get >/dev/null || hone_why_not "this is not a Debian-like system" || return 1
        new=$(mktemp -d "$kept/new.XXXXXX")
        HONE_APT_LOG=$new/log
        (cd "$new" && apt-get -q -o APT::Sandbox::User=root download "$package" ||
            { hone_apt update && apt-get -q -o APT::Sandbox::User=root download "$package"; }) >"$new/log" 2>&1
        mv "$new"/*.deb "$kept/" 2>/dev/null
        rm -rf "$new"
    fi
    ls "$kept/$package"_*.deb >/dev/null 2>&1 || hone_why_not "Debian's $package cannot be had here" || return 1
    dpkg-deb -x "$(ls "$kept/$package"_*.deb | sort -V | tail -1)" "$dir"
}

hone_pg_build() {
    hone_pg_source "$1" || return 1
    HONE_PG_BUILD=$HONE_CACHE/build/$2-${HONE_PG_SOURCE##*postgresql-}/build
    [ -e "${HONE_PG_BUILD%/build}/.complete" ] || hone_alone hone_get_build "$1" "$2" || return 1
    export PG_CONFIG=${HONE_PG_BUILD%/build}/bin/pg_config
}
