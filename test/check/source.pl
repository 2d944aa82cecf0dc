#!/usr/bin/perl
# Reads the files it is given, C sources and install scripts, and prints what
# breaks a rule, one a line:
#
#   CHECK: FILE:LINE: WHAT
#
# and at the end how many files it read. Run by source.sh in the directory
# that holds src/.
use strict;
use warnings;

# An area includes headers of its own and of these areas.
my %ladder = (
    compat => [],
    common => [qw(compat)],
    stats => [qw(common compat)],
    tiered => [qw(common compat)],
    capture => [qw(common compat)],
    index => [qw(common compat)],
    advise => [qw(index capture stats common compat)],
    lifecycle => [qw(tiered common compat)],
    batch => [qw(lifecycle common compat)],
    cache => [qw(common compat)],
);

# Conditional compilation outside compat/, besides include guards.
my @conditional = (
    'src/tiered/codec_bits.c: WORDS_BIGENDIAN',
);

# Files outside compat/ that may name PostgreSQL's version.
my @version = ();

# What a database with another version's objects must still offer: its tables
# read and written, made ordinary ones, and a DROP EXTENSION that loses none of
# them. Their parameters never change.
my %always = map { $_ => 1 } qw(hone_tiered_handler hone_decompress hone_decompress_all hone_guard_drop hone_require_library hone_cache_trigger
    hone_histogram_accumulate hone_histogram_result hone_history_begin);

my $version_names = qr/\b(?:PG_VERSION(?:_NUM|_STR)?|PG_(?:MAJOR|MINOR)VERSION(?:_NUM)?|PG_CONTROL_VERSION|CATALOG_VERSION_NO|server_version(?:_num)?)\b/;

# Levels that do not end the statement.
my %harmless = map { $_ => 1 } qw(DEBUG1 DEBUG2 DEBUG3 DEBUG4 DEBUG5 LOG LOG_SERVER_ONLY COMMERROR INFO NOTICE WARNING WARNING_CLIENT_ONLY);

my %used;

sub offence {
    my ($check, $file, $text, $at, $what) = @_;
    my $line = 1 + (substr($text, 0, $at) =~ tr/\n//);
    print "$check: $file:$line: $what\n";
}

# Without comments; lines stay where they are.
sub without_comments {
    my ($text) = @_;
    $text =~ s{("(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')|(/\*.*?\*/|//[^\n]*)}{
        defined $1 ? $1 : $2 =~ tr/\n/ /cr }gse;
    return $text;
}

# What is between quotes becomes blanks.
sub without_strings {
    my ($text) = @_;
    $text =~ s{(["'])((?:(?!\1)[^\\\n]|\\.)*+)\1}{$1 . ($2 =~ tr/\n/ /cr) . $1}gse;
    return $text;
}

sub area_of { return $_[0] =~ m{^src/([^/]+)/} ? $1 : '' }

# The file that an include names, if it is one of this directory.
sub resolve {
    my ($file, $name, $quoted) = @_;
    my ($dir) = $file =~ m{^(.*)/};
    for my $candidate ($quoted ? "$dir/$name" : (), "src/$name") {
        next unless -e $candidate;
        my @parts;
        for my $part (split m{/+}, $candidate) {
            next if $part eq '.';
            if ($part eq '..' && @parts && $parts[-1] ne '..') { pop @parts; next; }
            push @parts, $part;
        }
        return join '/', @parts;
    }
    return undef;
}

sub check_includes {
    my ($file, $code) = @_;
    my $area = area_of($file);
    my %allowed;
    if ($file eq 'src/pg_hone.c') {
        # its own rule, below
    } elsif (!$ladder{$area}) {
        print "ladder: $file:1: lies in no area of the ladder\n";
        return;
    } else {
        %allowed = map { $_ => 1 } $area, @{ $ladder{$area} };
    }
    while ($code =~ /^[ \t]*#[ \t]*(?:include|include_next|import)\b[ \t]*([^\n]*?)[ \t]*$/mg) {
        my ($at, $what) = ($-[0], $1);
        unless ($what =~ /^(?:"([^"]+)"|<([^>]+)>)$/) {
            offence('ladder', $file, $code, $at, "computed include of $what");
            next;
        }
        my $target = resolve($file, defined $1 ? ($1, 1) : ($2, 0));
        next unless defined $target;
        my $other = area_of($target);
        if ($target !~ /\.h$/) {
            offence('ladder', $file, $code, $at, "$target is no header");
        } elsif ($file eq 'src/pg_hone.c') {
            offence('areas', $file, $code, $at, "includes $target")
                unless $target eq 'src/common/hone.h' || $target eq "src/$other/$other.h";
        } elsif (!$allowed{$other}) {
            offence('ladder', $file, $code, $at, "includes $target");
        }
    }
}

sub check_conditionals {
    my ($file, $code, $bare) = @_;
    return if area_of($file) eq 'compat';
    while ($code =~ /$version_names/g) {
        if (grep { $_ eq $file } @version) { $used{$file} = 1; next; }
        offence('version', $file, $code, $-[0], "names $&");
    }
    my ($guard) = $bare =~ /\A\s*#ifndef\s+(\w+)\s*\n\s*#define\s+\1\s*\n/;
    while ($bare =~ /^[ \t]*#[ \t]*(?:if|ifdef|ifndef|elif|elifdef|elifndef)\b[ \t]*((?:[^\n\\]|\\.)*)/msg) {
        my ($at, $condition) = ($-[0], $1 =~ s/[\s\\]+/ /gr =~ s/ $//r);
        if (defined $guard && $condition eq $guard) { undef $guard; next; }
        my $entry = "$file: $condition";
        if (grep { $_ eq $entry } @conditional) { $used{$entry} = 1; next; }
        offence('conditional', $file, $bare, $at, "depends on $condition");
    }
}

sub only_harmless {
    my ($level) = @_;
    $level =~ s/^.*?\?//s;    # CONDITION ? LEVEL : LEVEL
    my @names = $level =~ /([A-Za-z_]\w*)/g;
    return @names && !grep { !$harmless{$_} } @names;
}

# Whoever hands a variable as level has to think of its being ERROR.
sub check_errcodes {
    my ($file, $bare) = @_;
    while ($bare =~ /\b(ereport|ereport_domain|errsave|errsave_domain|ereturn|ereturn_domain|errstart|errstart_cold)\s*(?=\()/g) {
        my ($at, $function, $from) = ($-[0], $1, $+[0]);
        if ($function =~ /^errstart/) {
            offence('errcode', $file, $bare, $at, "calls $function");
            next;
        }
        unless (substr($bare, $from) =~ /^(\((?:[^()]++|(?1))*\))/) {
            offence('errcode', $file, $bare, $at, "parentheses do not match");
            next;
        }
        my $arguments = $1;
        next if $arguments =~ /\berrcode(?:_for_\w+)?\s*\(/;
        my ($level) = $arguments =~ /^\(([^,]*)/;
        next if $function =~ /^ereport/ && only_harmless($level);
        offence('errcode', $file, $bare, $at, "no errcode in $function($level, ...)");
    }
}

# A function that SQL calls compares its script with the library's first.
sub check_scripts {
    my ($file, $bare) = @_;
    while ($bare =~ /^PG_FUNCTION_INFO_V1\((\w+)\)/mg) {
        my ($at, $name) = ($-[0], $1);
        if ($always{$name}) { $used{$name} = 1; next; }
        my ($body) = $bare =~ /^Datum\n\Q$name\E\(PG_FUNCTION_ARGS\)\n\{\n(.*?)^\}/ms;
        my ($first) = ($body // '') =~ /^(.*?)^\thone_require_script\(\);$/ms;
        offence('script', $file, $bare, $at, $name) if !defined $first || $first =~ /PG_(?:GETARG|ARGISNULL|NARGS)/;
    }
}

# Their type differs between versions: signed since 18.
sub check_queryids {
    my ($file, $bare) = @_;
    return if area_of($file) eq 'compat';
    offence('queryid', $file, $bare, $-[0], "reads $&") while $bare =~ /(?:->|\.)queryId\b/g;
}

# RAISE without a level, and RAISE EXCEPTION.
sub check_raise {
    my ($file, $sql) = @_;
    $sql =~ s/--[^\n]*//g;
    while ($sql =~ /(?:\bRAISE\b|(?i:\braise\s+exception\b))((?:[^';]|'[^']*')*);/g) {
        my ($at, $rest) = ($-[0], $1 =~ s/'[^']*'/''/gr);
        next if $rest =~ /^\s*(?:DEBUG|LOG|INFO|NOTICE|WARNING)\b/i || $rest !~ /\S/;
        offence('raise', $file, $sql, $at, 'no ERRCODE in RAISE') unless $rest =~ /\bERRCODE\s*=/i;
    }
}

my $read = 0;
for my $file (@ARGV) {
    open my $handle, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$handle> } // '';
    close $handle;
    $read++;
    if ($file =~ /\.sql$/) { check_raise($file, $text); next; }
    my $code = without_comments($text);
    my $bare = without_strings($code);
    check_includes($file, $code);
    check_conditionals($file, $code, $bare);
    check_errcodes($file, $bare);
    check_scripts($file, $bare);
    check_queryids($file, $bare);
}
print "script: $_: is listed in source.pl but not there\n" for grep { !$used{$_} } sort keys %always;
print "conditional: $_: is listed in source.pl but not there\n" for grep { !$used{$_} } @conditional;
print "version: $_: is listed in source.pl but not there\n" for grep { !$used{$_} } @version;
print "read: $read\n";
