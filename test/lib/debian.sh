# Sourced by scripts that need what this machine does not have installed:
# another version of PostgreSQL, or PostgreSQL's source. Both come from the
# Debian mirror that apt uses here (HONE_DEBIAN_MIRROR names another), are
# checked with Debian's keys, and are kept between runs in HONE_CACHE.
#
#   hone_folder VERSION     a Debian with that PostgreSQL in a folder, made
#                           when it is not there; sets HONE_FOLDER. Needs root
#   hone_in_folder CMD...   run in HONE_FOLDER, with the checkout under
#                           $HONE_INSIDE/main
#   hone_pg_source MAJOR [MINOR]
#                           PostgreSQL's source tree, of that minor release or
#                           of the newest there is; sets HONE_PG_SOURCE
#
# Each returns 1 with the reason in HONE_WHY_NOT, one plain line.

HONE_CACHE=${HONE_CACHE:-$([ "$(id -u)" = 0 ] && echo /var/cache/pg_hone || echo "${XDG_CACHE_HOME:-$HOME/.cache}/pg_hone")}
# Oldest first: a version is taken from the first that has it.
HONE_DEBIAN_SUITES="bookworm trixie forky sid"
# What a folder is made of; another list makes the folders anew.
HONE_FOLDER_PACKAGES="gcc libc6-dev make pkg-config zstd libzstd-dev"
HONE_INSIDE=/mnt/pg_hone

hone_why_not() { HONE_WHY_NOT=$1; return 1; }

# The mirror that apt uses here for archives of this label.
hone_mirror_of() {
    apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' 'Created-By: Packages' 2>/dev/null |
        sed -n "s/^Debian $1 //p" | head -1
}

hone_mirror() { echo "${HONE_DEBIAN_MIRROR:-$(hone_mirror_of Debian)}"; }

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
    local dir=$HONE_CACHE/apt mirror security suite key=/usr/share/keyrings/debian-archive-keyring.gpg
    command -v apt-get >/dev/null || hone_why_not "this is not a Debian-like system" || return 1
    [ -z "$(find "$dir/fetched" -mmin -60 2>/dev/null)" ] || return 0
    mirror=$(hone_mirror)
    [ -n "$mirror" ] || hone_why_not "apt has no Debian mirror here; HONE_DEBIAN_MIRROR can name one" || return 1
    [ -r "$key" ] || hone_why_not "Debian's keys are missing (package debian-archive-keyring)" || return 1
    mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" 2>/dev/null ||
        hone_why_not "cannot write to $HONE_CACHE; HONE_CACHE can name another folder" || return 1
    touch "$dir/status"
    for suite in $HONE_DEBIAN_SUITES; do
        echo "deb [signed-by=$key] $mirror $suite main"
        echo "deb-src [signed-by=$key] $mirror $suite main"
    done >"$dir/sources.list"
    # sources of what the machine itself may have from the security archive
    security=$(hone_mirror_of Debian-Security)
    suite=$(. /etc/os-release 2>/dev/null && echo "${VERSION_CODENAME:-}")
    if [ -n "$security" ]; then
        echo "deb-src [signed-by=$key] $security $suite-security main" >>"$dir/sources.list"
    fi
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
# the program, which keeps its process group.
hone_in_folder() {
    mkdir -p "$HONE_FOLDER$HONE_INSIDE"/{main,shared,cache}
    HONE_IN=$HONE_FOLDER HONE_MAIN=$HONE_ROOT HONE_INSIDE=$HONE_INSIDE HONE_CACHE=$HONE_CACHE \
        unshare --mount --propagation private bash -c '
        mount -t proc proc "$HONE_IN/proc" && mount --rbind /dev "$HONE_IN/dev" &&
        mount --bind "$HONE_MAIN" "$HONE_IN$HONE_INSIDE/main" || exit 1
        [ ! -d "$HONE_MAIN/../shared" ] || mount --bind "$HONE_MAIN/../shared" "$HONE_IN$HONE_INSIDE/shared" || exit 1
        [ ! -d "$HONE_CACHE" ] || mount --bind "$HONE_CACHE" "$HONE_IN$HONE_INSIDE/cache" || exit 1
        exec chroot "$HONE_IN" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
            DEBIAN_FRONTEND=noninteractive HONE_CACHE="$HONE_INSIDE/cache" ${CI:+CI="$CI"} \
            ${HONE_PG_SOURCE:+HONE_PG_SOURCE="$HONE_INSIDE/cache${HONE_PG_SOURCE#"$HONE_CACHE"}"} "$@"' bash "$@"
}

hone_make_folder() {
    local version=$1 suite=$2 dir=$HONE_CACHE/pg$1 log=$HONE_CACHE/pg$1.log script=() sid=/usr/share/debootstrap/scripts/sid
    command -v debootstrap >/dev/null || { HONE_APT_LOG=$log; hone_apt update && hone_apt install --no-install-recommends debootstrap; } 2>/dev/null ||
        hone_why_not "debootstrap is not installed" || return 1
    # a suite that is newer than debootstrap itself
    [ -e "/usr/share/debootstrap/scripts/$suite" ] || script=("$sid")
    rm -rf "$dir"
    hone_say "PostgreSQL $version: Debian $suite in $dir (some minutes, 1.5 GB, once)"
    debootstrap --variant=minbase --include=ca-certificates "$suite" "$dir" "$(hone_mirror)" "${script[@]}" >"$log" 2>&1 ||
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

hone_folder() {
    local version=$1 suite
    HONE_FOLDER=$HONE_CACHE/pg$version
    [ "$(id -u)" = 0 ] || hone_why_not "a folder with Debian in it can only be made and entered by root" || return 1
    unshare --mount --propagation private true 2>/dev/null ||
        hone_why_not "this system does not let root mount anything" || return 1
    if [ "$(cat "$HONE_FOLDER/.complete" 2>/dev/null)" = "$HONE_FOLDER_PACKAGES" ]; then return 0; fi
    hone_apt_lists || return 1
    suite=$(hone_suite_of "$version") ||
        hone_why_not "no Debian suite ($HONE_DEBIAN_SUITES) has PostgreSQL $version" || return 1
    (
        flock 9
        if [ "$(cat "$HONE_FOLDER/.complete" 2>/dev/null)" != "$HONE_FOLDER_PACKAGES" ]; then
            hone_make_folder "$version" "$suite" || { echo "$HONE_WHY_NOT" >"$HONE_CACHE/pg$version.why"; exit 1; }
        fi
    ) 9>"$HONE_CACHE/pg$version.lock" || hone_why_not "$(cat "$HONE_CACHE/pg$version.why")"
}

hone_pg_source() {
    local major=$1 minor=${2:-} dir versions wanted
    if [ -n "${HONE_PG_SOURCE:-}" ] && [ -x "$HONE_PG_SOURCE/configure" ]; then return 0; fi
    HONE_PG_SOURCE=$HONE_CACHE/source/postgresql-$major${minor:+.$minor}
    [ ! -e "$HONE_PG_SOURCE/.complete" ] || return 0
    hone_apt_lists || return 1
    versions=$(hone_apt_suites apt-cache showsrc "postgresql-$major" 2>/dev/null | sed -n 's/^Version: //p' | sort -Vu)
    wanted=$(grep -E "^$major\.${minor:-[0-9]+}-" <<<"$versions" | tail -1)
    [ -n "$wanted" ] ||
        hone_why_not "no Debian suite ($HONE_DEBIAN_SUITES) has the source of PostgreSQL $major${minor:+.$minor}" || return 1
    dir=$HONE_PG_SOURCE.partial
    rm -rf "$dir" "$HONE_PG_SOURCE"
    mkdir -p "$dir"
    hone_say "source of PostgreSQL: Debian's postgresql-$major $wanted"
    (cd "$dir" && hone_apt_suites apt-get source --download-only "postgresql-$major=$wanted" >"$HONE_CACHE/source/log" 2>&1) ||
        hone_why_not "the source of PostgreSQL $major cannot be fetched: $(grep -m1 '^E:' "$HONE_CACHE/source/log")" || return 1
    # upstream's own tree: Debian's patches are about paths of packages
    tar -xf "$dir"/postgresql-"$major"_*.orig.tar.* -C "$dir" --strip-components=1 --no-same-owner ||
        hone_why_not "the source of PostgreSQL $major cannot be unpacked" || return 1
    rm -f "$dir"/*.orig.tar.* "$dir"/*.debian.tar.* "$dir"/*.dsc
    chmod -R a+rX "$dir"
    touch "$dir/.complete"
    mv "$dir" "$HONE_PG_SOURCE"
}
