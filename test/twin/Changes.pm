# Random statements that change twin tables. What a statement does must not
# depend on the order in which it meets rows, so changes of many rows set the
# columns of unique indexes to one constant, or negate one key, and do nothing
# else to keys. Errors of statements with many rows are compared by their class
# only ("loose"), since which row fails first is not defined.
package Changes;
use strict;
use warnings;
use Values;
use Tables;
use Queries;
use Exporter 'import';
our @EXPORT = qw(random_change row_values expressions);

our $BIG = 100_000;

sub sql_value {
    my ($t, $c) = @_;
    if ($t->{big} && $c->{type} =~ /^(?:bytea|text)$/ && chance(70)) {
        my $bytes = chance(8) ? $BIG : 1 + R(int($BIG / 20));
        return $c->{type} eq 'bytea' ? Tables::big_bytes(R(1000), $bytes) : Tables::big_text(R(1000), $bytes);
    }
    return 'DEFAULT' if defined $c->{default} && chance(15);
    return literal(value_of($c), type_of($c->{type}));
}

# Columns of an INSERT: at times some are left to their defaults.
sub insert_columns {
    my ($t) = @_;
    my @columns = writable($t);
    return @columns if chance(60);
    return grep { $_->{notnull} || chance(75) } @columns;
}

# NULL of that type
sub typed { my ($value, $type) = @_; return defined $value ? literal($value, $type) : 'NULL::' . ($type->{cast} // $type->{sql}) }

sub row_values { my ($t, @columns) = @_; return '(' . join(', ', map { sql_value($t, $_) } @columns) . ')' }

sub returning {
    my ($t, $percent) = @_;
    return '' if !chance($percent);
    return ' RETURNING ' . (chance(50) ? 'tableoid::regclass::text, ' : '') . ($t->{key} && chance(40) ? join(', ', @{ $t->{key} }) : row_output($t->{name}, $t));
}

# A new value that is made of the old row.
sub expressions {
    my ($alias, $c) = @_;
    my $v = "$alias.$c->{name}";
    my $type = $c->{type};
    return "$v / 2" if $type =~ /^(?:int[248]|price|domain_int)$/;
    return "-$v" if $type =~ /^(?:float[48]|numeric)$/;
    return "reverse($v)" if $type =~ /^(?:text|text_c|text_icu|varchar|domain_text)$/;
    return "upper(${v}::text)" if $type =~ /^(?:char|text_ci)$/;
    return "NOT $v" if $type eq 'bool';
    return "$v + 1" if $type eq 'date';
    return "$v + interval '1 day'" if $type =~ /^timestamp/;
    return "array_append($v, NULL)" if $type =~ /^(?:int_array|text_array)$/;
    return "$v - 'k1'" if $type eq 'domain_jsonb';
    return "jsonb_build_array($v)" if $type eq 'jsonb';
    return "~ $v" if $type =~ /^(?:bit|varbit|macaddr8?)$/;
    return undef;
}

# SET list. $many: rows may be many, see above.
sub set_list {
    my ($alias, $t, $many) = @_;
    my @plain = plain_columns($t);
    my @keyish = grep { $_->{keyish} && !$_->{generated} } @{ $t->{columns} };
    my @set;
    if ($many && @keyish && chance(6)) {
        my @n = grep { type_of($_->{type})->{kind} && type_of($_->{type})->{kind} eq 'number' } @keyish;
        # composite keys, references: only where one number is the key
        if (@n && @{ $t->{key} // [] } == 1 && !($t->{refs} && $t->{refs}{ $n[0]{name} })) {
            return "$n[0]{name} = -$alias.$n[0]{name}";
        }
    }
    my @chosen = chance($many ? 5 : 35) && @keyish ? (pick(@keyish)) : ();
    push @chosen, pick(@plain) for 1 .. 1 + R(3);
    my %seen;
    for my $c (grep { !$seen{ $_->{name} }++ } @chosen) {
        my $e = !$c->{keyish} && chance(50) ? expressions($alias, $c) : undef;
        if (!defined $e && !$c->{keyish} && chance(15)) {
            my @same = grep { $_->{type} eq $c->{type} } @{ $t->{columns} };
            $e = "$alias." . pick(@same)->{name};
        }
        push @set, "$c->{name} = " . ($e // sql_value($t, $c));
    }
    return join ', ', @set;
}

# Whether a condition finds one row at most.
sub place {
    my ($alias, $t, $tables) = @_;
    return (point($alias, $t), 0) if $t->{key} && ($t->{single} || chance(45));
    return (condition($alias, $t, $tables), 1);
}

sub copy_rows {
    my ($t, $n, @columns) = @_;
    return join '', map { join("\t", map { copy_field(value_of($_)) } @columns) . "\n" } 1 .. $n;
}

my %make = (
    insert => sub {
        my ($t) = @_;
        my @c = insert_columns($t);
        my $n = chance(60) ? 1 : 1 + R(6);
        return { sql => "INSERT INTO $t->{name} (" . column_list(@c) . ') VALUES ' . join(', ', map { row_values($t, @c) } 1 .. $n) . returning($t, 30), loose => $n > 1 };
    },
    insert_select => sub {
        my ($t, $tables) = @_;
        my ($k) = key_columns($t);
        my @c = writable($t);
        my $move = $k && type_of($k->{type})->{kind} && type_of($k->{type})->{kind} eq 'number' ? pick(1000, 100000, 0) : undef;
        my %of_key = map { ($_ => 1) } @{ $t->{key} // [] };
        my @from = map { $k && $_->{name} eq $k->{name} && defined $move ? "s.$_->{name} + $move" : $_->{keyish} && !$of_key{ $_->{name} } && !$t->{refs} && !$_->{notnull} ? "NULL" : "s.$_->{name}" } @c;
        my $order = $t->{key} ? join(', ', map { "s.$_" } @{ $t->{key} }) : 's.*::text';
        return { sql => "INSERT INTO $t->{name} (" . column_list(@c) . ') SELECT ' . join(', ', @from) . " FROM $t->{name} s WHERE " . condition('s', $t, $tables) . " ORDER BY $order LIMIT " . (1 + R(30)) . (chance(50) && !$t->{deferred} ? ' ON CONFLICT DO NOTHING' : '') . returning($t, 20), loose => 1 };
    },
    copy => sub {
        my ($t) = @_;
        my @c = writable($t);
        my $n = 1 + R($t->{big} ? 3 : 30);
        $n = 1 if $t->{key} && chance(50);
        return { sql => "COPY $t->{name} (" . column_list(@c) . ') FROM STDIN', copy => copy_rows($t, $n, @c), loose => $n > 1 };
    },
    copy_out => sub {
        my ($t, $tables) = @_;
        return $t->{big} || $t->{many} || $t->{partitioned} || chance(50)
            ? { sql => "COPY (SELECT " . row_output('t', $t) . " FROM $t->{name} t WHERE " . condition('t', $t, $tables) . ') TO STDOUT' . pick('', ' (FORMAT csv)') }
            : { sql => "COPY $t->{name} TO STDOUT" };
    },
    update => sub {
        my ($t, $tables) = @_;
        my ($where, $many) = place('t', $t, $tables);
        return { sql => "UPDATE $t->{name} t SET " . set_list('t', $t, $many) . " WHERE $where" . returning_of('t', $t, 30), loose => $many };
    },
    update_from => sub {
        my ($t, $tables) = @_;
        my ($column) = $t->{refs} ? sort keys %{ $t->{refs} } : ();
        if ($column && !$t->{single}) {
            my ($other, $key, %more) = @{ $t->{refs}{$column} };
            if (!%more) {
                my ($o) = grep { $_->{name} eq $other } @$tables;
                my $c = pick(plain_columns($t));
                return { sql => "UPDATE $t->{name} t SET $c->{name} = " . (expressions('t', $c) // "t.$c->{name}") . " FROM $other o WHERE o.$key = t.$column AND " . condition('o', $o, $tables) . returning_of('t', $t, 30), loose => 1 };
            }
        }
        return undef;
    },
    delete => sub {
        my ($t, $tables) = @_;
        my ($where, $many) = place('t', $t, $tables);
        if ($many) { $where .= ' AND ' . condition('t', $t, $tables) . ' AND ' . condition_on('t', pick(@{ $t->{columns} })) }
        $where .= ' AND t.id % 50 = ' . R(50) if $t->{many} && $many;
        return { sql => "DELETE FROM $t->{name} t WHERE $where" . returning_of('t', $t, 30), loose => $many };
    },
    delete_using => sub {
        my ($t, $tables) = @_;
        my ($column) = $t->{refs} ? sort keys %{ $t->{refs} } : ();
        return undef if !$column || $t->{single};
        my ($other, $key) = @{ $t->{refs}{$column} };
        my ($o) = grep { $_->{name} eq $other } @$tables;
        return { sql => "DELETE FROM $t->{name} t USING $other o WHERE o.$key = t.$column AND " . point('o', $o) . returning_of('t', $t, 30), loose => 1 };
    },
    upsert => sub {
        my ($t, $tables) = @_;
        my @c = insert_columns($t);
        my @targets = map { '(' . join(', ', @$_) . ')' } @{ $t->{uniques} // [] };
        @targets = grep { $_ ne '(id)' } @targets if $t->{deferred};
        push @targets, @{ $t->{conflict_targets} // [] };
        push @targets, '' if !$t->{deferred} || chance(5);
        my $target = pick(@targets);
        my $n = chance(60) ? 1 : 1 + R(5);
        my @rows = map { row_values($t, @c) } 1 .. $n;
        push @rows, $rows[0] if $n > 1 && chance(15);
        my $action = $target eq '' || chance(30) ? 'DO NOTHING' : 'DO UPDATE SET ' . join(', ', map { "$_->{name} = " . pick("excluded.$_->{name}", expressions('t', $_) // "excluded.$_->{name}", literal(value_of($_), type_of($_->{type}))) } pick(plain_columns($t)))
            . (chance(25) ? ' WHERE ' . condition_on('t', pick(@{ $t->{columns} })) : '');
        return { sql => "INSERT INTO $t->{name} AS t (" . column_list(@c) . ') VALUES ' . join(', ', @rows) . " ON CONFLICT $target $action" . returning_of('t', $t, 40), loose => $n > 1 };
    },
    merge => sub {
        my ($t, $tables) = @_;
        return undef if !$t->{key};
        my @c = writable($t);
        my @k = key_columns($t);
        # other unique keys would make the order of rows matter
        my $n = $t->{deferred} || $t->{single} || @{ $t->{uniques} } > 1 || $t->{conflict_targets} ? 1 : 1 + R(8);
        my (@rows, %seen);
        for (1 .. $n) {
            my %row = map { ($_->{name} => typed(value_of($_), type_of($_->{type}))) } @c;
            push @rows, '(' . join(', ', map { $row{ $_->{name} } } @c) . ')' if !$seen{ join ' ', map { $row{ $_->{name} } } @k }++;
        }
        my @when;
        my $set = pick(plain_columns($t));
        my $and = sub { chance(40) ? ' AND ' . condition_on(pick('t', 's'), pick(@c)) : '' };
        push @when, 'WHEN MATCHED AND ' . condition_on(pick('t', 's'), pick(grep { !$_->{generated} } @c)) . ' THEN ' . pick('DELETE', 'DO NOTHING') if chance(30);
        push @when, 'WHEN MATCHED' . $and->() . " THEN UPDATE SET $set->{name} = " . pick("s.$set->{name}", expressions('t', $set) // "s.$set->{name}") if chance(80) || !@when;
        push @when, 'WHEN NOT MATCHED' . (chance(30) ? ' AND ' . condition_on('s', pick(@c)) : '') . ' THEN INSERT (' . column_list(@c) . ') VALUES (' . join(', ', map { "s.$_->{name}" } @c) . ')' if chance(70);
        my $source = chance(70) || $n == 1 ? '(VALUES ' . join(', ', @rows) . ') AS s (' . column_list(@c) . ')'
            : "(SELECT DISTINCT ON (" . join(', ', @{ $t->{key} }) . ') ' . column_list(@c) . " FROM $t->{name} x WHERE " . condition('x', $t, $tables) . ' ORDER BY ' . join(', ', @{ $t->{key} }) . ') AS s';
        return { sql => "MERGE INTO $t->{name} t USING $source ON " . join(' AND ', map { "t.$_->{name} = s.$_->{name}" } @k) . ' ' . join(' ', @when), loose => ($n > 1 || $source =~ /DISTINCT/) ? 1 : 0 };
    },
    lock => sub {
        my ($t, $tables) = @_;
        my ($where) = place('t', $t, $tables);
        return { sql => "SELECT " . row_output('t', $t) . " FROM $t->{name} t WHERE $where FOR " . pick('UPDATE', 'NO KEY UPDATE', 'SHARE', 'KEY SHARE') . pick('', '', ' NOWAIT', ' SKIP LOCKED') };
    },
    # a cursor, and the rows that it stands on
    cursor => sub {
        my ($t, $tables) = @_;
        my ($where, $many) = place('t', $t, $tables);
        my $n = $t->{partitioned} ? $t->{name} : $t->{name};
        my $change = chance(40) ? "DELETE FROM $n" : "UPDATE $n SET " . set_list($n, $t, 1);
        my $query = "SELECT * FROM $t->{name} t WHERE $where" . pick('', ' FOR UPDATE', ' FOR NO KEY UPDATE');
        return undef if $t->{many} && $many;
        return { sql => 'SELECT * FROM by_cursor(' . literal($query) . ', ' . literal($change) . ')', loose => 1 };
    },
    # rows by their places, as queues do
    ctid => sub {
        my ($t, $tables) = @_;
        return undef if $t->{partitioned} || $t->{single};
        my ($where, $many) = place('s', $t, $tables);
        return undef if $t->{many} && $many;
        my $lock = pick('', ' FOR UPDATE', ' FOR UPDATE SKIP LOCKED', ' FOR KEY SHARE');
        my $places = pick("= ANY (ARRAY(SELECT s.ctid FROM $t->{name} s WHERE $where$lock))", "IN (SELECT s.ctid FROM $t->{name} s WHERE $where$lock)", "= (SELECT s.ctid FROM $t->{name} s WHERE " . (point('s', $t)) . "$lock)") if $t->{key};
        $places //= "IN (SELECT s.ctid FROM $t->{name} s WHERE $where$lock)";
        return { sql => pick("SELECT " . row_output('t', $t) . " FROM $t->{name} t WHERE t.ctid $places", "UPDATE $t->{name} t SET " . set_list('t', $t, 1) . " WHERE t.ctid $places",
                "DELETE FROM $t->{name} t WHERE t.ctid $places" . ($many ? ' AND ' . condition_on('t', pick(@{ $t->{columns} })) . ' AND ' . condition_on('t', pick(@{ $t->{columns} })) : ''),
                "SELECT count(*) FROM $t->{name} t JOIN $t->{name} s ON s.ctid = t.ctid WHERE $where"), loose => 1 };
    },
    # a row that several statements of one transaction change, errors caught
    attempt => sub {
        my ($t, $tables) = @_;
        return undef if !$t->{key};
        my $point = point('t', $t);
        my @c = insert_columns($t);
        my $row = row_values($t, @c);
        my $set = sub { set_list('t', $t, 0) };
        my @s = map { pick(
            "UPDATE $t->{name} t SET " . $set->() . " WHERE $point", "DELETE FROM $t->{name} t WHERE $point",
            "INSERT INTO $t->{name} AS t (" . column_list(@c) . ") VALUES $row", $t->{deferred} ? () : "INSERT INTO $t->{name} AS t (" . column_list(@c) . ") VALUES $row ON CONFLICT DO NOTHING",
            "SELECT FROM $t->{name} t WHERE $point FOR UPDATE", "SELECT FROM $t->{name} t WHERE $point FOR KEY SHARE") } 1 .. 2 + R(4);
        return { sql => 'SELECT * FROM attempt(' . join(', ', map { literal($_) } @s) . ')' };
    },
    # rows that go from one table to the log, in one statement
    with => sub {
        my ($t, $tables) = @_;
        my ($where, $many) = place('t', $t, $tables);
        return undef if $t->{many} && $many;
        my $out = $t->{big} ? 'md5(t.b)' : 'md5(t.*::text)';
        return { sql => pick("WITH d AS (DELETE FROM $t->{name} t WHERE $where RETURNING $out AS r) INSERT INTO log SELECT r FROM d RETURNING line",
                "WITH u AS (UPDATE $t->{name} t SET " . set_list('t', $t, $many) . " WHERE $where RETURNING $out AS r) SELECT count(*), count(DISTINCT r) FROM u",
                "WITH u AS (UPDATE $t->{name} t SET " . set_list('t', $t, $many) . " WHERE $where RETURNING 1 AS r) SELECT (SELECT count(*) FROM u), count(*) FROM $t->{name}"), loose => 1 };
    },
);
my %weight = (insert => 12, insert_select => 4, copy => 4, copy_out => 2, update => 22, update_from => 4, delete => 10, delete_using => 2, upsert => 14, merge => 9, lock => 6, cursor => 4, attempt => 6, with => 4, ctid => 5);

sub returning_of { my ($alias, $t, $percent) = @_; return chance($percent) ? ' RETURNING ' . (chance(40) ? "$alias.tableoid::regclass::text, " : '') . row_output($alias, $t) : '' }

sub kinds { return sort keys %make }

sub random_change {
    my ($tables, $without) = @_;
    my @bag = map { my $k = $_; ($k) x $weight{$k} } grep { !$without->{$_} } kinds();
    while (1) {
        my $kind = pick(@bag);
        my $t = pick(@$tables);
        next if ($t->{big} || $t->{many}) && chance(50);
        my $s = $make{$kind}->($t, $tables) or next;
        $s->{name} = $kind;
        return $s;
    }
}

1;
