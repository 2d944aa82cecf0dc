#!/usr/bin/env bash
# ActiveRecord, as Debian has it: see README.md.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/debian.sh"
. "$HONE_ROOT/test/orm/lib/install.sh"
. "$HONE_ROOT/test/orm/lib/checks.sh"
hone_prepare
# Debian's own: its packages are not another Ruby's
ruby=/usr/bin/ruby
have_activerecord() { $ruby -e 'require "logger"; require "active_record"; require "pg"'; }

if ! orm_debian have_activerecord ruby-activerecord ruby-pg; then
    orm_missing activerecord
    hone_done
fi
orm_server ruby || exit 1
orm_scenarios activerecord $ruby "$HONE_SRC/test/orm/ruby/activerecord.rb"
hone_done
