# Random queries over twin tables. Each answer depends on the rows only, not on
# the order in which they are met: no LIMIT without a total order, no minimum of
# values that are equal and look different.
package Queries;
use strict;
use warnings;
use Values;
use Tables;
use Exporter 'import';
our @EXPORT = qw(condition point random_query table_with row_output canon);

sub canon {
    my ($alias, $c) = @_;
    my $type = type_of($c->{type});
    return sprintf($type->{canon} // '%s', "$alias.$c->{name}");
}

sub canon_key { my ($alias, $c) = @_; return type_of($c->{type})->{repr} ? "md5($alias.$c->{name}::text)" : canon($alias, $c) }

# All columns of a row; those that may be huge by their hash.
sub row_output {
    my ($alias, $t) = @_;
    return "$alias.*" if !$t->{big};
    return "$alias.id, md5($alias.b), length($alias.b), md5($alias.t), length($alias.t), $alias.d";
}

# The key columns equal to values from their domains.
sub point {
    my ($alias, $t, @columns) = @_;
    @columns = key_columns($t) if !@columns;
    return join ' AND ', map { "$alias.$_->{name} = " . literal(Values::fine($_), type_of($_->{type})) } @columns;
}

sub range_of_key {
    my ($alias, $t, $width) = @_;
    my ($c) = key_columns($t);
    my $kind = type_of($c->{type})->{kind} // '';
    if ($kind eq 'number') { my $from = R($c->{domain}); return "$alias.$c->{name} BETWEEN $from AND " . ($from + R($width)); }
    my $from = Values::fine($c);
    return "$alias.$c->{name} IN (" . join(', ', map { literal(Values::fine($c), type_of($c->{type})) } 1 .. 1 + R($width)) . ')';
}

# How a statement finds its rows: mostly few, at times many.
sub condition {
    my ($alias, $t, $tables) = @_;
    my $dice = R(100);
    my $single = sub { condition_on($alias, pick(@{ $t->{columns} })) };
    if ($t->{key}) {
        return point($alias, $t) if $dice < 35;
        return range_of_key($alias, $t, 12) if $dice < 50;
        my @u = @{ $t->{uniques} };
        if ($dice < 58 && @u) { return point($alias, $t, map { column_named($t, $_) } @{ pick(@u) }) }
    }
    if ($dice < 63 && $t->{refs} && $tables) {
        my ($column) = sort keys %{ $t->{refs} };
        my ($other, $key) = @{ $t->{refs}{$column} };
        my ($o) = grep { $_->{name} eq $other } @$tables;
        return "$alias.$column IN (SELECT s.$key FROM $other s WHERE " . condition_on('s', pick(@{ $o->{columns} })) . ')';
    }
    my $c = $single->();
    $c = "$c AND " . $single->() if $dice % 3;
    $c = "($c OR " . $single->() . ')' if chance(12);
    $c = "NOT ($c)" if chance(5);
    return $c;
}

sub table_with {
    my ($tables, $test) = @_;
    my @fit = grep { $test->($_) } @$tables;
    return @fit ? pick(@fit) : undef;
}

sub ordered_columns { my ($t) = @_; return grep { type_of($_->{type})->{ord} } @{ $t->{columns} } }

# Expressions that aggregate one table, and whether floats are in them.
sub aggregates {
    my ($alias, $t, $n) = @_;
    my ($float, @list) = (0, 'count(*)');
    for (1 .. $n) {
        my $c = pick(ordered_columns($t));
        my $type = type_of($c->{type});
        my $v = "$alias.$c->{name}";
        if ($type->{sum} && chance(70)) {
            push @list, pick("sum($v)", "avg($v)", "count(DISTINCT $v)", "sum(DISTINCT $v)", "sum($v) FILTER (WHERE $v > 10)");
            $list[-1] =~ s/(avg\([^)]*\))/trim_scale($1)/ if $c->{type} eq 'numeric';
            $list[-1] =~ s/(sum\([^)]*\))(?! FILTER)/trim_scale($1)/ if $c->{type} eq 'numeric' && $list[-1] !~ /FILTER|trim/;
        } elsif ($c->{type} =~ /^float/ && chance(60)) {
            push @list, "sum(abs($v)) FILTER (WHERE abs($v) < 1e6)", "avg(abs($v)::float8) FILTER (WHERE abs($v) < 1e6)";
            $float = 1;
        } elsif ($type->{kind} && $type->{kind} =~ /^(?:number|text|day)$/ && !$t->{big}) {
            my $k = canon($alias, $c);
            push @list, pick("min($k)", "max($k)");
        } elsif ($c->{type} eq 'bool') {
            push @list, pick("bool_and($v)", "bool_or($v)", "every($v)");
        } else {
            push @list, pick("count($v)", "count(DISTINCT $v)");
        }
    }
    return (join(', ', @list), $float);
}

sub random_query {
    my ($tables, $only) = @_;
    my $t = $only // pick(@$tables);
    my $n = $t->{name};
    my $dice = R(26);
    my %q = (name => 'select');
    my $where = condition('t', $t, $tables);
    my @ord = ordered_columns($t);
    my $c = pick(@ord);
    my $total = $t->{key} ? join(', ', map { "t.$_" } @{ $t->{key} }) : 't.*::text';
    my $row = row_output('t', $t);
    if ($t->{many} && $dice < 2) { $dice = 3 }
    if ($dice < 2) { $q{sql} = "SELECT $row FROM $n t WHERE $where" }
    elsif ($dice == 2) { $q{sql} = "SELECT " . join(', ', map { canon('t', pick(@ord)) } 1 .. 3) . " FROM $n t WHERE $where" }
    elsif ($dice < 6) { my ($a, $f) = aggregates('t', $t, 3); $q{sql} = "SELECT $a FROM $n t WHERE $where"; $q{float} = $f }
    elsif ($dice < 8) { my ($a, $f) = aggregates('t', $t, 2); my $k = canon_key('t', $c); $q{sql} = "SELECT $k, $a FROM $n t WHERE $where GROUP BY $k" . (chance(30) ? ' HAVING count(*) > 1' : ''); $q{float} = $f }
    elsif ($dice == 8) { my @k = map { canon_key('t', pick(@ord)) } 1 .. 2; $q{sql} = "SELECT DISTINCT " . join(', ', @k) . " FROM $n t WHERE $where" }
    elsif ($dice < 12) { my ($o) = canon('t', $c); $q{sql} = "SELECT $o, $total FROM $n t WHERE $where ORDER BY $o " . pick('', 'DESC', 'NULLS FIRST', 'DESC NULLS LAST') . ", $total LIMIT " . (1 + R(20)) . (chance(30) ? ' OFFSET ' . R(50) : ''); $q{ordered} = 1 }
    elsif ($dice == 12) { my $o = pick(@ord); $q{sql} = "SELECT $total, rank() OVER (PARTITION BY " . canon_key('t', $c) . " ORDER BY " . canon_key('t', $o) . "), count(*) OVER (PARTITION BY " . canon_key('t', $c) . ") FROM $n t WHERE $where" }
    elsif ($dice == 13) { $q{sql} = "SELECT $total, row_number() OVER (ORDER BY $total), lag(" . canon_key('t', $c) . ") OVER (ORDER BY $total) FROM $n t WHERE $where" }
    elsif ($dice < 18) { return join_query($tables, $t, $where) }
    elsif ($dice == 18) { $q{sql} = "SELECT count(*) FROM $n t WHERE $where AND t.$c->{name} " . pick('<=', '>=', '=') . " (SELECT " . ($c->{type} =~ /^(?:bool|uuid|jsonb|domain_jsonb)$|range|composite|bit|macaddr|^name$|onechar|bytea|tsvector|_array|enum_array/ || $t->{big} ? "(array_agg(s.$c->{name} ORDER BY s.$c->{name}))[1]" : pick('min', 'max') . "(s.$c->{name})") . " FROM $n s WHERE " . condition_on('s', pick(@{ $t->{columns} })) . ')' }
    elsif ($dice == 19) { my $k = canon_key('t', $c); my $s = canon_key('s', $c); $q{sql} = "SELECT $k FROM $n t WHERE $where " . pick('EXCEPT', 'INTERSECT', 'UNION', 'EXCEPT ALL', 'UNION ALL') . " SELECT $s FROM $n s WHERE " . condition('s', $t, $tables) }
    elsif ($dice == 20) { $q{sql} = "SELECT t.tableoid::regclass::text, count(*) FROM $n t WHERE $where GROUP BY 1" }
    elsif ($dice == 21) { my $k = canon_key('t', $c); $q{sql} = "SELECT string_agg(x::text, ',' ORDER BY x) FROM (SELECT $k AS x FROM $n t WHERE $where) y" }
    elsif ($dice == 22) { my @k = map { canon_key('t', pick(@ord)) } 1 .. 2; $q{sql} = "SELECT " . join(', ', @k) . ", count(*) FROM $n t WHERE $where GROUP BY " . pick('ROLLUP', 'CUBE') . ' (' . join(', ', @k) . ')' }
    elsif ($dice == 23) { $q{sql} = "WITH w AS " . pick('', 'MATERIALIZED', 'NOT MATERIALIZED') . " (SELECT $total AS k0 FROM $n t WHERE $where) SELECT count(*), count(DISTINCT k0) FROM w" if !$t->{key} || @{ $t->{key} } == 1; $q{sql} //= "SELECT count(*) FROM $n t WHERE $where" }
    elsif ($dice == 24) { $q{sql} = "SELECT EXISTS (SELECT FROM $n t WHERE $where), (SELECT count(*) FROM $n t WHERE $where)" }
    else { $q{sql} = "SELECT DISTINCT ON (" . canon_key('t', $c) . ') ' . canon_key('t', $c) . ", $total FROM $n t WHERE $where ORDER BY " . canon_key('t', $c) . ", $total"; $q{ordered} = 1 }
    return \%q;
}

sub join_query {
    my ($tables, $t, $where) = @_;
    my %q = (name => 'join');
    my $n = $t->{name};
    my $row = row_output('t', $t);
    my ($column) = $t->{refs} ? sort keys %{ $t->{refs} } : ();
    if ($column && chance(60)) {
        my ($other, $key) = @{ $t->{refs}{$column} };
        my ($o) = grep { $_->{name} eq $other } @$tables;
        my $out = "t.$column, " . canon('t', pick(ordered_columns($t))) . ', ' . canon('o', pick(ordered_columns($o)));
        my $c = condition(chance(50) ? ('o', $o) : ('t', $t), $tables);
        $q{sql} = pick(
            "SELECT $out FROM $n t JOIN $other o ON o.$key = t.$column WHERE $where AND $c",
            "SELECT $out FROM $n t LEFT JOIN $other o ON o.$key = t.$column AND o.tableoid > 0 WHERE $where",
            "SELECT count(*), count(o.$key), count(t.$column) FROM $n t FULL JOIN $other o ON o.$key = t.$column",
            "SELECT $row FROM $n t WHERE $where AND EXISTS (SELECT FROM $other o WHERE o.$key = t.$column)",
            "SELECT $row FROM $n t WHERE $where AND NOT EXISTS (SELECT FROM $other o WHERE o.$key = t.$column AND " . condition('o', $o, $tables) . ')',
            "SELECT o.$key, x.c FROM $other o, LATERAL (SELECT count(*) AS c FROM $n t WHERE t.$column = o.$key AND $where) x WHERE " . condition('o', $o, $tables),
            "SELECT o.$key, (SELECT count(*) FROM $n t WHERE t.$column = o.$key) FROM $other o WHERE " . condition('o', $o, $tables));
        return \%q;
    }
    # the same type in another table: values of the same small domain
    for (1 .. 8) {
        my $o = pick(@$tables);
        next if $o->{many} && $t->{many};
        my $a = pick(grep { type_of($_->{type})->{ord} } @{ $t->{columns} });
        my @same = grep { $_->{type} eq $a->{type} } @{ $o->{columns} };
        next if !@same || $a->{type} =~ /^(?:bool|enum|onechar)$/;
        my $b = pick(@same);
        $q{sql} = pick("SELECT count(*), count(DISTINCT t.$a->{name}) FROM $n t JOIN $o->{name} o ON o.$b->{name} = t.$a->{name} WHERE $where",
            "SELECT count(*) FROM $n t WHERE $where AND t.$a->{name} NOT IN (SELECT o.$b->{name} FROM $o->{name} o WHERE o.$b->{name} IS NOT NULL AND " . condition('o', $o, $tables) . ')',
            "SELECT count(*) FROM $n t WHERE $where AND t.$a->{name} IN (SELECT o.$b->{name} FROM $o->{name} o WHERE " . condition('o', $o, $tables) . ')');
        return \%q;
    }
    $q{sql} = "SELECT count(*) FROM $n t WHERE $where";
    return \%q;
}

1;
