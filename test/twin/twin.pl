#!/usr/bin/perl
# Runs every statement on heap tables and on compressed twins, and compares all
# that comes back. See ../shell/twin.sh, which starts it, for the settings.
use strict;
use warnings;
use File::Basename;
use lib dirname(__FILE__);
use Wire;
use Values;
use Tables;
use Queries;
use Changes;

my %set = (
    seed => $ENV{HONE_TWIN_SEED} || int(rand(1_000_000)),
    statements => $ENV{HONE_TWIN_STATEMENTS} // 2400,
    round => $ENV{HONE_TWIN_ROUND} || 1200,
    big => $ENV{HONE_TWIN_BIG} || 300_000,
    save => $ENV{HONE_TWIN_SAVE},
    only_heap => $ENV{HONE_TWIN_HEAP},
    without => { map { $_ => 1 } split /[\s,]+/, $ENV{HONE_TWIN_WITHOUT} // '' },
    tables => { map { $_ => 1 } split /[\s,]+/, $ENV{HONE_TWIN_TABLES} // '' },
    verbose => $ENV{HONE_TWIN_VERBOSE},
);
$Tables::SIZE = $ENV{HONE_TWIN_SIZE} if $ENV{HONE_TWIN_SIZE};
$Changes::BIG = $set{big};
$| = 1;

my %name = (a => 'heap', b => 'tiered');
my (%on, @history, $seed, $done, $tables, %stats, $old_reader);

sub session {
    my ($side, $what) = @_;
    my $c = Wire->connect(host => $ENV{PGHOST}, port => $ENV{PGPORT}, user => $ENV{PGUSER}, database => $ENV{HONE_DB} // 'postgres', name => "twin $name{$side} $what");
    $c->must("SET search_path = twin_$side, shared, public");
    $c->must("SET client_min_messages = warning");
    # a switched-off path costs so much that everything would be compiled
    $c->must("SET jit = off");
    return $c;
}

# The first difference ends the run.
sub differ {
    my ($statement, $what, $a, $b) = @_;
    my $text = $statement->{sql};
    $text = substr($text, 0, 4000) . ' ...' if length $text > 4000;
    print "not ok - heap and tiered agree (seed $seed)\n";
    my $say = sub { my $s = join '', @_; $s =~ s/^/#   /mg; print "$s\n" };
    $say->("statement $done of seed $seed" . ($statement->{name} ? " ($statement->{name})" : '') . ": $what");
    $say->($text);
    $say->(map { "  | $_\n" } (split /\n/, $statement->{copy})[0 .. 3]) if $statement->{copy} && $statement->{copy} =~ /\n.*\n.*\n.*\n/;
    $say->($statement->{copy}) if $statement->{copy} && $statement->{copy} !~ /\n.*\n.*\n.*\n/;
    my ($only_a, $only_b) = only($a, $b);
    $say->("heap ($name{a}), " . scalar(@$a) . ' lines; not in the other:');
    $say->(map { '  ' . substr($_, 0, 600) . "\n" } @$only_a[0 .. ($#$only_a > 9 ? 9 : $#$only_a)]);
    $say->('tiered, ' . scalar(@$b) . ' lines; not in the other:');
    $say->(map { '  ' . substr($_, 0, 600) . "\n" } @$only_b[0 .. ($#$only_b > 9 ? 9 : $#$only_b)]);
    $say->('the same lines in another order') if !@$only_a && !@$only_b;
    $say->("again: HONE_TWIN_SEED=$seed" . join('', map { defined $ENV{$_} && length $ENV{$_} ? " $_='$ENV{$_}'" : '' } qw(HONE_TWIN_SIZE HONE_TWIN_BIG HONE_TWIN_WITHOUT HONE_TWIN_TABLES HONE_TWIN_ROUND)) . ' bash test/shell/twin.sh');
    save($set{save}) if $set{save};
    exit 1;
}

sub only {
    my ($a, $b) = @_;
    my (%a, %b);
    $a{$_}++ for @$a;
    $b{$_}++ for @$b;
    return ([ grep { ($b{$_} // 0) < $a{$_} } sort keys %a ], [ grep { ($a{$_} // 0) < $b{$_} } sort keys %b ]);
}

# All statements so far, as a script for psql.
sub save {
    my ($file) = @_;
    open my $out, '>', $file or return;
    print $out "-- seed $seed; for psql, one schema; lines that begin with --side ran in a session of their own\n";
    print $out "SET search_path = twin_b, shared, public;\n";
    for my $h (@history) {
        my ($where, $sql, $copy) = @$h;
        next if $where eq 'a';
        print $out $where eq 'side' ? '--side ' . ($sql =~ s/\n/ /gr) . "\n" : "$sql;\n" . (defined $copy ? "$copy\\.\n" : '');
    }
    close $out;
}

sub error_text {
    my ($e) = @_;
    my $text = join ' / ', map { defined $e->{$_} ? "$_: $e->{$_}" : () } qw(sqlstate message detail hint constraint table column schema context);
    $text =~ s/twin_b/twin_a/g;
    return $text;
}

sub lines_of {
    my ($r, $ordered) = @_;
    my @lines = map { join '|', map { defined $_ ? $_ : '\N' } @$_ } @{ $r->{rows} };
    push @lines, map { s/\n$//r } @{ $r->{copied} };
    @lines = sort @lines if !$ordered;
    push @lines, map { "tag: $_" } @{ $r->{tags} };
    push @lines, error_text($r->{error}) if $r->{error};
    return \@lines;
}

sub near { my ($x, $y) = @_; return 1 if $x eq $y; return 0 if $x !~ /^-?[\d.]+(?:e[-+]?\d+)?$/ || $y !~ /^-?[\d.]+(?:e[-+]?\d+)?$/; my $d = abs($x - $y); return $d <= 1e-12 * (abs($x) > abs($y) ? abs $x : abs $y) || $d <= 1e-12 }

sub nearly_equal {
    my ($a, $b) = @_;
    return 0 if @$a != @$b;
    for my $i (0 .. $#$a) {
        my ($x, $y) = ([ split /\|/, $a->[$i], -1 ], [ split /\|/, $b->[$i], -1 ]);
        return 0 if @$x != @$y;
        for my $j (0 .. $#$x) { return 0 if !near($x->[$j], $y->[$j]) }
    }
    return 1;
}

# Errors that depend on the data only.
sub of_data { my ($e) = @_; return $e->{sqlstate} =~ /^(?:21|22|23|27|44)/ }

sub compare {
    my ($statement, $a, $b) = @_;
    my ($x, $y) = (lines_of($a, $statement->{ordered}), lines_of($b, $statement->{ordered}));
    for my $r ($a, $b) { differ($statement, $r->{error}{lost}, $x, $y) if $r->{error} && $r->{error}{lost} }
    $stats{errors}++ if $a->{error};
    $stats{ $a->{error}{sqlstate} }++ if $a->{error};
    if ("@$x" ne "@$y" || @$x != @$y) {
        return if $statement->{loose} && $a->{error} && $b->{error} && of_data($a->{error}) && of_data($b->{error});
        return if $statement->{float} && nearly_equal($x, $y);
        differ($statement, $a->{error} || $b->{error} ? 'not the same error' : 'not the same result', $x, $y);
    }
}

# A statement on both sides at once.
sub both {
    my ($statement) = @_;
    push @history, [ 'both', $statement->{sql}, $statement->{copy} ];
    print "-- $statement->{sql}\n" if $set{verbose};
    $on{$_}->send($statement->{sql}, $statement->{copy}) for 'a', 'b';
    my $a = $on{a}->receive;
    my $b = $on{b}->receive;
    print "-- ", error_text($a->{error}), "\n" if $set{verbose} && $a->{error};
    compare($statement, $a, $b);
    differ($statement, 'not the same state of the transaction', [ $on{a}{status} ], [ $on{b}{status} ]) if $on{a}{status} ne $on{b}{status};
    $stats{rows} += @{ $a->{rows} };
    $stats{ $statement->{name} . ($a->{error} ? ' failed' : '') }++ if $statement->{name};
    return $a;
}

sub both_sql { my ($sql, %more) = @_; return both({ sql => $sql, %more }) }

# On the tiered side alone; it must not fail, but with an error like $allowed.
sub tiered {
    my ($sql, $who, $allowed) = @_;
    $who //= 'b';
    push @history, [ $who, $sql ];
    print "-- $who: $sql\n" if $set{verbose};
    my $r = $on{$who}->query($sql);
    if ($r->{error} && !($allowed && error_text($r->{error}) =~ /$allowed/)) { differ({ sql => $sql, name => 'tiered only' }, 'failed', [], lines_of($r)) }
    return $r;
}

# Stands in for compressing where heap is compared with heap: the rows get
# another order. Finds statements whose result depends on that.
sub shuffle_heap {
    my ($t, $who) = @_;
    my $c = join ', ', map { $_->{name} } writable($t);
    my $q = $on{$who};
    $q->must("BEGIN");
    $q->must("SET LOCAL session_replication_role = replica");
    $q->must("CREATE TEMP TABLE shuffled ON COMMIT DROP AS SELECT $c FROM $t->{name} ORDER BY random()");
    $q->must("SET CONSTRAINTS ALL DEFERRED");
    $q->must("DELETE FROM $t->{name}");
    $q->must("INSERT INTO $t->{name} ($c) SELECT $c FROM shuffled");
    $q->must("COMMIT");
}

sub compress {
    my ($t, $who, $allowed) = @_;
    if ($set{only_heap}) { return shuffle_heap($t, $who) }
    $stats{compress}++;
    tiered('SET hone.compress_rewrite = ' . (chance(60) ? 'on' : 'off'), $who);
    tiered("CALL hone.compress('$t->{name}')", $who, $allowed);
}

sub rewrite {
    my ($sql) = @_;
    end_old_reader();
    tiered($sql, 'b');
    $on{a}->must($sql);
    $stats{rewrite}++;
}

# Whole tables, by what their rows look like.
sub table_query {
    my ($t) = @_;
    my $row = $t->{big} ? 'ROW(' . row_output('t', $t) . ')' : 't';
    return "SELECT count(*), sum(hashtextextended($row\::text, 0)) FROM $t->{name} t";
}

sub compare_tables {
    my ($a, $b, $what) = @_;
    for my $t (@$tables, { name => 'log' }) {
        my $sql = table_query($t);
        $_->send($sql) for $a, $b;
        my ($x, $y) = ($a->receive, $b->receive);
        next if join('|', @{ lines_of($x) }) eq join('|', @{ lines_of($y) });
        differ({ sql => $sql, name => $what }, 'lost', lines_of($x), lines_of($y)) if $x->{error} || $y->{error};
        $sql = "SELECT " . row_output('t', $t) . " FROM $t->{name} t";
        ($x, $y) = (lines_of($a->query($sql)), lines_of($b->query($sql)));
        differ({ sql => $sql, name => $what }, 'the tables differ', $x, $y);
    }
}

# Each row by its key, through the index where there is one.
sub compare_keys {
    for my $t (grep { $_->{key} } @$tables) {
        my $k = join ', ', @{ $t->{key} };
        both_sql("SELECT count(*) FROM $t->{name} x WHERE EXISTS (SELECT FROM $t->{name} y WHERE (" . join(', ', map { "x.$_" } @{ $t->{key} }) . ') = (' . join(', ', map { "y.$_" } @{ $t->{key} }) . '))', name => 'keys') if !$t->{many};
        both_sql("SELECT count(*), count(DISTINCT ($k)) FROM $t->{name}", name => 'keys');
    }
}

sub idle { return $on{a}{status} eq 'I' }

sub end_old_reader {
    return if !$old_reader;
    compare_tables($on{old_a}, $on{old_b}, 'old snapshot');
    $on{$_}->must('COMMIT') for 'old_a', 'old_b';
    $old_reader = 0;
    $stats{'old snapshot'}++;
}

my @switches = qw(enable_seqscan enable_indexscan enable_bitmapscan enable_indexonlyscan enable_hashjoin enable_mergejoin enable_nestloop enable_hashagg enable_sort enable_material enable_memoize);

# Between statements, outside of transactions.
my %upkeep = (
    compress => [ 6, sub { compress(pick(@$tables), chance(50) ? 'b' : 'side') } ],
    compress_all => [ 1, sub { compress($_, 'side') for @$tables } ],
    decompress => [ 2, sub { return if $set{only_heap}; end_old_reader(); my $t = pick(@$tables); tiered("CALL hone.decompress('$t->{name}')"); $stats{decompress}++ } ],
    vacuum => [ 5, sub { my $t = pick(@$tables); both_sql('VACUUM' . pick('', ' (FREEZE)', ' (ANALYZE)', ' (INDEX_CLEANUP off)', ' (DISABLE_PAGE_SKIPPING)') . " $t->{name}") } ],
    analyze => [ 3, sub { both_sql('ANALYZE' . (chance(30) ? '' : ' ' . pick(@$tables)->{name})) } ],
    full => [ 1, sub { rewrite('VACUUM FULL ' . pick(@$tables)->{name}) } ],
    cluster => [ 1, sub { my $t = table_with($tables, sub { $_[0]{key} && !$_[0]{partitioned} }) or return; rewrite("CLUSTER $t->{name} USING $t->{name}_pkey") } ],
    concurrently => [ 2, sub {
        my $t = table_with($tables, sub { !$_[0]{partitioned} }) or return;
        my ($c) = grep { type_of($_->{type})->{ord} } @{ $t->{columns} };
        end_old_reader();
        if (chance(50)) { both_sql("REINDEX TABLE CONCURRENTLY $t->{name}", loose => 1) }
        else { both_sql("CREATE INDEX CONCURRENTLY extra_$done ON $t->{name} ($c->{name})"); push @{ $t->{extra} }, "extra_$done" }
    } ],
    # constraints that go and come back
    constraint => [ 2, sub {
        my ($t) = grep { $_->{name} eq pick(qw(parent uuids late)) } @$tables or return;
        my ($name, $columns) = @{ { parent => [ 'parent_code', 'code' ], uuids => [ 'uuids_a_b_key', 'a, b' ], late => [ 'late_n_key', 'n' ] }->{ $t->{name} } };
        both_sql("ALTER TABLE $t->{name} DROP CONSTRAINT $name, ADD CONSTRAINT $name UNIQUE " . ($t->{name} eq 'late' ? 'NULLS NOT DISTINCT ' : '') . "($columns)");
    } ],
    partition => [ 2, sub {
        my ($t) = grep { $_->{partitioned} } @$tables or return;
        my $p = 1 + R(scalar @{ $t->{partitions} });
        return if grep { $_->{name} eq 'notes' } @$tables and !chance(30);
        both_sql('BEGIN');
        my $r = both_sql("ALTER TABLE $t->{name} DETACH PARTITION $t->{name}_$p", loose => 1);
        $r = both_sql("ALTER TABLE $t->{name} ATTACH PARTITION $t->{name}_$p $t->{partitions}[$p - 1]") if !$r->{error};
        both_sql($r->{error} ? 'ROLLBACK' : 'COMMIT');
    } ],
    reindex => [ 2, sub { my $t = pick(@$tables); both_sql("REINDEX TABLE $t->{name}") } ],
    create_index => [ 4, sub {
        my $t = pick(@$tables);
        my @c = grep { type_of($_->{type})->{ord} && !$t->{big} } @{ $t->{columns} };
        return if !@c;
        my $c = pick(@c);
        my $i = "extra_$done";
        both_sql("CREATE INDEX $i ON $t->{name} (" . pick($c->{name}, "$c->{name} DESC", "$c->{name}, " . pick(@c)->{name}) . ')' . (chance(20) ? ' WHERE ' . column_named($t, $c->{name})->{name} . ' IS NOT NULL' : ''));
        push @{ $t->{extra} }, $i;
    } ],
    create_unique => [ 2, sub {
        my $t = pick(@$tables);
        my @c = grep { type_of($_->{type})->{ord} && !$t->{big} && !$t->{many} && !$t->{partitioned} } @{ $t->{columns} };
        return if !@c;
        my $c = pick(@c);
        my @i = ($c->{name}, chance(50) && $t->{key} ? @{ $t->{key} } : ());
        my $r = both_sql("CREATE UNIQUE INDEX unique_$done ON $t->{name} (" . join(', ', @i) . ')', loose => 1, name => 'create unique');
        if (!$r->{error}) { push @{ $t->{extra} }, "unique_$done"; $c->{keyish} = 1; }
    } ],
    drop_index => [ 3, sub { my $t = pick(@$tables); my $i = shift @{ $t->{extra} // [] } or return; both_sql("DROP INDEX IF EXISTS $i") } ],
    add_column => [ 3, sub {
        my $t = pick(@$tables);
        return if @{ $t->{columns} } > 14 && $t->{name} ne 'every' || $t->{big};
        my $c = { name => "added_$done", type => pick(qw(int4 text numeric bool timestamptz jsonb int8 text_c float8)), };
        $c->{default} = literal(Values::fine($c), type_of($c->{type})) if chance(60);
        $c->{notnull} = 1 if $c->{default} && chance(40);
        both_sql("ALTER TABLE $t->{name} ADD COLUMN " . Tables::definition($c));
        push @{ $t->{columns} }, $c;
    } ],
    drop_column => [ 2, sub {
        my $t = pick(@$tables);
        my @c = grep { $_->{name} =~ /^(?:x\d|added)/ && !$_->{keyish} } @{ $t->{columns} };
        return if @c < 2;
        my $c = pick(@c);
        both_sql("ALTER TABLE $t->{name} DROP COLUMN $c->{name}");
        $t->{columns} = [ grep { $_ != $c } @{ $t->{columns} } ];
    } ],
    alter_column => [ 1, sub {
        my $t = pick(@$tables);
        my @c = grep { $_->{name} =~ /^(?:x\d|added)/ && !$_->{keyish} && $_->{type} =~ /^(?:int2|int4|price|varchar)$/ } @{ $t->{columns} };
        return if !@c;
        end_old_reader();
        my $c = pick(@c);
        my $to = { int2 => 'int4', int4 => 'int8', price => 'numeric', varchar => 'text' }->{ $c->{type} };
        my $r = both_sql("ALTER TABLE $t->{name} ALTER COLUMN $c->{name} TYPE " . type_of($to)->{sql}, name => 'alter type', loose => 1);
        $c->{type} = $to if !$r->{error};
    } ],
    not_null => [ 1, sub {
        my $t = pick(@$tables);
        my $c = pick(plain_columns($t));
        my $r = both_sql("ALTER TABLE $t->{name} ALTER COLUMN $c->{name} SET NOT NULL", loose => 1);
        $c->{notnull} = 1 if !$r->{error};
    } ],
    check => [ 1, sub {
        my $t = pick(@$tables);
        both_sql("ALTER TABLE $t->{name} ADD CONSTRAINT check_$done CHECK (" . condition_on($t->{name}, pick(plain_columns($t))) =~ s/\Q$t->{name}\E\.//gr . ') NOT VALID', name => 'check') if chance(30) && !$t->{refs};
        both_sql("ALTER TABLE $t->{name} DROP CONSTRAINT IF EXISTS check_$done");
    } ],
    old_reader => [ 5, sub {
        if ($old_reader) { end_old_reader() }
        else { for ('old_a', 'old_b') { $on{$_}->must('BEGIN ISOLATION LEVEL REPEATABLE READ'); $on{$_}->must('SELECT 1') } $old_reader = 1 }
    } ],
    settings => [ 10, sub {
        both_sql('RESET ALL') if chance(50);
        $on{$_}->must("SET search_path = twin_$_, shared, public") for 'a', 'b';
        both_sql('SET client_min_messages = warning');
        both_sql("SET $_ = off") for grep { chance(18) } @switches;
        both_sql("SET $_->[0] = $_->[1]") for grep { chance(15) } [ plan_cache_mode => pick('force_generic_plan', 'force_custom_plan') ], [ work_mem => "'64kB'" ], [ parallel_setup_cost => 0 ], [ parallel_tuple_cost => 0 ], [ min_parallel_table_scan_size => 0 ], [ random_page_cost => pick('1', '20') ];
        both_sql('SET jit = ' . (chance(5) ? 'on' : 'off'));
    } ],
    truncate => [ 1, sub { my ($t) = grep { $_->{name} eq 'notes' } @$tables; return if !$t || !chance(30); end_old_reader(); both_sql("TRUNCATE notes") } ],
    # a statement that stays prepared while other things happen
    prepare => [ 6, sub {
        my $t = table_with($tables, sub { $_[0]{key} });
        my @k = key_columns($t);
        my $i = 0;
        my $point = join ' AND ', map { $i++; "t.$_->{name} = \$$i" } @k;
        my $sql = pick("SELECT " . row_output('t', $t) . " FROM $t->{name} t WHERE $point", "DELETE FROM $t->{name} t WHERE $point", "SELECT count(*) FROM $t->{name} t WHERE $point", "SELECT " . row_output('t', $t) . " FROM $t->{name} t WHERE $point FOR UPDATE");
        both_sql("PREPARE p_$done (" . join(', ', map { my $y = type_of($_->{type}); $y->{cast} // $y->{sql} } @k) . ") AS $sql", name => 'prepare');
        push @{ $stats{prepared} }, [ "p_$done", \@k ];
    } ],
);

sub execute_prepared {
    my $p = pick(@{ $stats{prepared} // [] }) or return;
    both_sql("EXECUTE $p->[0] (" . join(', ', map { literal(Values::fine($_), type_of($_->{type})) } @{ $p->[1] }) . ')', name => 'execute') for 1 .. 1 + R(8);
}

sub do_upkeep {
    my @bag = map { my $k = $_; ($k) x $upkeep{$k}[0] } grep { !$set{without}{$_} } sort keys %upkeep;
    my $kind = pick(@bag);
    print "-- upkeep: $kind\n" if $set{verbose};
    $upkeep{$kind}[1]->();
    $stats{upkeep}++;
}

# A transaction that only reads, while another session compresses.
sub reading_transaction {
    my $t = pick(@$tables);
    both_sql('BEGIN ISOLATION LEVEL ' . pick('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') . pick('', ' READ ONLY'));
    my $cursor = chance(60);
    my $ends = sub { return 0 if $on{a}{status} ne 'E'; both_sql('ROLLBACK'); return 1 };
    for (1 .. R(3)) { both(random_query($tables)); return if $ends->() }
    my (@a, @b, $sql);
    if ($cursor) {
        $sql = "SELECT " . row_output('t', $t) . " FROM $t->{name} t WHERE " . condition_on('t', pick(@{ $t->{columns} }));
        both_sql("DECLARE part " . pick('', 'SCROLL ', 'NO SCROLL ') . "CURSOR FOR $sql");
        for (['a', \@a], ['b', \@b]) { push @{ $_->[1] }, @{ $on{ $_->[0] }->must('FETCH 20 FROM part')->{rows} } }
    }
    if (!$set{only_heap}) { 
        # a table that is a heap again cannot be opened under a reader
        for my $x ($t, pick(@$tables)) { compress($x, 'side', qr/55P03/) if chance(70) }
     }
    if ($cursor) {
        for (['a', \@a], ['b', \@b]) { push @{ $_->[1] }, @{ $on{ $_->[0] }->must('FETCH ALL FROM part')->{rows} } }
        compare({ sql => $sql, name => 'cursor over compressing' }, { rows => \@a, tags => [], copied => [] }, { rows => \@b, tags => [], copied => [] });
    }
    for (1 .. R(4)) { both(random_query($tables, chance(50) ? $t : undef)); return if $ends->() }
    both_sql(pick('COMMIT', 'ROLLBACK'));
    $stats{'reading transaction'}++;
}

my @savepoints;

sub transaction_control {
    if (idle()) {
        both_sql('BEGIN' . pick('', '', ' ISOLATION LEVEL REPEATABLE READ', ' ISOLATION LEVEL SERIALIZABLE'));
        @savepoints = ();
        $stats{transactions}++;
        both_sql('SET CONSTRAINTS ALL ' . pick('DEFERRED', 'IMMEDIATE')) if chance(25);
    } elsif ($on{a}{status} eq 'E') {
        if (@savepoints && chance(70)) { both_sql('ROLLBACK TO ' . $savepoints[-1]) } else { both_sql(pick('ROLLBACK', 'COMMIT')) }
    } else {
        my $dice = R(10);
        if ($dice < 4) { push @savepoints, 's' . R(1000); both_sql("SAVEPOINT $savepoints[-1]") }
        elsif ($dice < 6 && @savepoints) { both_sql("ROLLBACK TO $savepoints[-1]") }
        elsif ($dice < 7 && @savepoints) { both_sql('RELEASE ' . pop @savepoints) }
        elsif ($dice < 8) { both_sql('SET CONSTRAINTS ALL IMMEDIATE', loose => 1) }
        else { both_sql(chance(75) ? 'COMMIT' : 'ROLLBACK', loose => 1) }
    }
}

sub step {
    my ($change) = @_;
    if ($on{a}{status} eq 'E') { return transaction_control() }
    my $dice = R(100);
    if ($dice < (idle() ? 6 : 20)) { transaction_control() }
    elsif ($dice < 16 && idle()) { do_upkeep() }
    elsif ($dice < 20 && idle()) { reading_transaction() }
    elsif ($dice < 23 && idle()) { execute_prepared() }
    elsif ($dice < 62) { both(random_change($tables, $set{without})) }
    else { both(random_query($tables)) }
}

sub setup {
    @history = ();
    delete $stats{prepared};
    my $one = session('a', 'setup');
    my %have = (
        icu => scalar @{ $one->must("SELECT 1 FROM pg_collation WHERE collname = 'en-x-icu'")->{rows} },
        xml => !$one->query("SELECT xmlparse(content '<a/>')")->{error});
    $one->must("DROP SCHEMA IF EXISTS $_ CASCADE") for 'twin_a', 'twin_b', 'shared';
    $one->must("CREATE SCHEMA $_") for 'twin_a', 'twin_b', 'shared';
    $one->must("SET search_path = shared");
    $one->must($_) for Tables::shared_objects(\%have);
    $one->close;
    %on = map { $_ => session($_, 'main') } 'a', 'b';
    $on{side} = session('b', 'side');
    $on{side}->must("SET hone.lock_timeout = '5ms'");
    $on{old_a} = session('a', 'old');
    $on{old_b} = session('b', 'old');
    $old_reader = 0;
    my ($all, $statements) = Tables::make_tables(\%have, ($set{big} < 300_000 ? $set{big} : 300_000) * 20);
    $tables = %{ $set{tables} } ? [ grep { $set{tables}{ $_->{name} } } @$all ] : $all;
    for (@$statements) {
        my ($sql, $copy) = @$_;
        both({ sql => $sql, copy => $copy && join('', @$copy) });
    }
    delete $stats{errors};
    for my $t (@$tables) { compress($t, 'side') }
    if (!$set{only_heap}) {
        for my $t (@$tables) {
            my $r = $on{side}->must("SELECT sum((hone.tiered_stats(oid)).compressed_rows) FROM pg_class WHERE relnamespace = 'twin_b'::regnamespace AND relkind = 'r' AND relname ~ '^$t->{name}(_[0-9]+)?\$'");
            differ({ sql => $t->{name} }, 'nothing of it is compressed', [], []) if !$r->{rows}[0][0];
        }
    }
    compare_tables($on{a}, $on{b}, 'compressed');
    for ('a', 'b') { $on{$_}->must('ANALYZE') if chance(50) }
}

sub round {
    my ($count) = @_;
    srand($seed);
    $done = 0;
    setup();
    while ($done < $count) {
        $done++;
        step();
        compare_tables($on{a}, $on{b}, 'whole tables') if $done % 200 == 0;
        compare_keys() if idle() && $done % 400 == 0;
    }
    both_sql('ROLLBACK') if !idle();
    compare_tables($on{a}, $on{b}, 'whole tables');
    end_old_reader();
    compress($_, 'side') for @$tables;
    compare_tables($on{a}, $on{b}, 'compressed again');
    if (!$set{only_heap}) {
        for ($set{without}{decompress} ? () : @$tables) { tiered("CALL hone.decompress('$_->{name}')") }
        compare_tables($on{a}, $on{b}, 'decompressed');
        both_sql("REINDEX TABLE $_->{name}") for @$tables;
    }
    $_->close for values %on;
}

my $total = 0;
my $begin = time;
print "# first seed $set{seed}\n";
for ($seed = $set{seed}; !$set{statements} || $total < $set{statements}; $seed++) {
    my $count = $set{statements} && $set{statements} - $total < $set{round} ? $set{statements} - $total : $set{round};
    round($count);
    $total += $count;
    print "# seed $seed: $count statements, ", time - $begin, " seconds in all\n";
}
print "# ", join(', ', map { "$_ $stats{$_}" } grep { !ref $stats{$_} } sort keys %stats), "\n";
print "ok - heap and tiered agree in $total statements\n";
