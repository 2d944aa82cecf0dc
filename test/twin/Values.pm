# The types that twin tables are made of: values, conditions, and an expression
# that makes equal values look equal (1.0 and 1.00, 'a' and 'A' in a collation
# without case), for queries whose answer keeps one of several equal values.
#
# A value is raw text as COPY takes it, or undef for NULL.
package Values;
use strict;
use warnings;
use Exporter 'import';
our @EXPORT = qw(R pick chance literal copy_field value_of condition_on type_of types_with comparable);

# R(n): 0 .. n-1
sub R { return int(rand($_[0])) }
sub pick { return $_[ R(scalar @_) ] }
sub chance { return rand(100) < $_[0] }

my @words = qw(alpha beta gamma delta epsilon zeta eta theta iota kappa Alpha BETA Gamma straße Élan élan naïve 東京 x);
my @long = map { join ' ', map { $words[ ($_ * 7) % @words ] } $_ .. $_ + 40 } 1 .. 3;

sub word { return chance(3) ? '' : chance(2) ? pick(@long) : pick(@words) . (chance(60) ? ' ' . R(30) : '') }
sub plain_word { return pick(qw(a A b B ab Ab AB cd CD e)) . (chance(40) ? R(5) : '') }
sub day { return chance(2) ? pick('infinity', '-infinity', '4714-11-24 BC') : sprintf('20%02d-%02d-%02d', 19 + R(3), 1 + R(12), 1 + R(28)) }
sub clock { return sprintf('%02d:%02d:%02d%s', R(24), R(60), R(60), chance(20) ? sprintf('.%06d', R(1000000)) : '') }
sub moment { my $d = day(); return $d =~ /inf|BC/ ? ($d =~ /BC/ ? '0044-03-15 12:00:00 BC' : $d) : "$d " . clock() }
sub number { return chance(3) ? pick('NaN', 'Infinity', '-Infinity', '123456789012345678901234567890.123456789', '0.000000000001', '-0.0', '1e40')
        : chance(30) ? pick('1', '1.0', '1.00', '2', '2.000', '-5.50') : sprintf('%.' . R(4) . 'f', R(4000) / 16 - 50) }
sub bits { my $n = shift; return join '', map { R(2) } 1 .. $n }
sub uuid { my $n = shift; return sprintf('%08x-%04x-4000-8000-%012x', ($n * 2654435761) % 4294967296, $n % 65536, $n) }
sub quoted { my $s = shift; return 'null' if !defined $s; $s =~ s/(["\\])/\\$1/g; return "\"$s\"" }
sub array { my ($of, $n) = @_; return '{' . join(',', map { my $v = $of->(); defined $v ? quoted($v) : 'NULL' } 1 .. R($n)) . '}' }
sub span { my ($of, $less) = @_; return 'empty' if chance(3); my ($a, $b) = ($of->(), $of->()); ($a, $b) = ($b, $a) if !$less->($a, $b);
    return (chance(80) ? '[' : '(') . (chance(4) ? '' : $a) . ',' . (chance(4) ? '' : $b) . (chance(80) ? ')' : ']') }
sub less_number { return $_[0] <= $_[1] }
sub less_text { return $_[0] le $_[1] }
sub plain_day { return sprintf('2020-%02d-%02d', 1 + R(12), 1 + R(28)) }
sub json_value {
    my $depth = shift;
    return pick('1', '1.0', '2', '-3.50', 'true', 'false', 'null', '"x"', '"alpha"', '""', '"é"', R(50)) if $depth > 1 || chance(30);
    return '[' . join(', ', map { json_value($depth + 1) } 1 .. R(4)) . ']' if chance(40);
    return '{' . join(', ', map { "\"k$_\": " . json_value($depth + 1) } grep { chance(50) } 1 .. 5) . '}';
}
sub composite { my $t = word(); $t =~ s/(["\\])/$1$1/g; return '(' . (chance(10) ? '' : R(100) - 20) . ',' . (chance(10) ? '' : "\"$t\"") . ',' . (chance(20) ? '' : plain_day()) . ')' }

# eq, ord: equality, order of a btree operator class; canon: see above;
# kind: what conditions there are besides; sum: may be summed
my %TYPE = (
    int2 => { sql => 'smallint', gen => sub { chance(1) ? pick(-32768, 32767) : R(400) - 200 }, eq => 1, ord => 1, kind => 'number', sum => 1 },
    int4 => { sql => 'integer', gen => sub { chance(1) ? pick(-2147483648, 2147483647) : R(2000) - 100 }, eq => 1, ord => 1, kind => 'number', sum => 1 },
    int8 => { sql => 'bigint', gen => sub { chance(1) ? pick('-9223372036854775808', '9223372036854775807') : chance(20) ? R(1 << 30) * 1000 : R(300) }, eq => 1, ord => 1, kind => 'number', sum => 1 },
    oid => { sql => 'oid', gen => sub { chance(2) ? '4294967295' : R(3000) }, eq => 1, ord => 1 },
    numeric => { sql => 'numeric', gen => \&number, eq => 1, ord => 1, kind => 'number', canon => 'trim_scale(%s)', sum => 1 },
    price => { sql => 'numeric(10,2)', gen => sub { sprintf '%.2f', R(20000) / 100 - 20 }, eq => 1, ord => 1, kind => 'number', sum => 1 },
    float4 => { sql => 'real', gen => sub { chance(2) ? pick('NaN', 'Infinity', '-Infinity', '-0', '1e-30', '3e38') : R(3000) / 8 - 10 }, eq => 1, ord => 1, kind => 'number', canon => 'CASE WHEN %1$s = 0 THEN 0 ELSE %1$s END' },
    float8 => { sql => 'double precision', gen => sub { chance(2) ? pick('NaN', 'Infinity', '-Infinity', '-0', '1e-300', '1.7e308') : chance(20) ? rand(1000) : R(3000) / 10 }, eq => 1, ord => 1, kind => 'number', canon => 'CASE WHEN %1$s = 0 THEN 0 ELSE %1$s END' },
    money => { sql => 'money', gen => sub { sprintf '%.2f', R(10000) / 100 }, eq => 1, ord => 1 },
    bool => { sql => 'boolean', gen => sub { pick('t', 'f') }, eq => 1, ord => 1, kind => 'bool' },
    text => { sql => 'text', gen => \&word, eq => 1, ord => 1, kind => 'text' },
    text_c => { sql => 'text COLLATE "C"', cast => 'text', gen => \&word, eq => 1, ord => 1, kind => 'text' },
    text_icu => { sql => 'text COLLATE "en-x-icu"', cast => 'text', gen => \&word, eq => 1, ord => 1, kind => 'text', icu => 1 },
    text_ci => { sql => 'text COLLATE nocase', cast => 'text', gen => \&plain_word, eq => 1, ord => 1, canon => 'lower(%s COLLATE "C")', icu => 1 },
    varchar => { sql => 'varchar(24)', gen => \&plain_word, eq => 1, ord => 1, kind => 'text' },
    char => { sql => 'char(8)', gen => \&plain_word, eq => 1, ord => 1, kind => 'text' },
    name => { sql => 'name', gen => \&plain_word, eq => 1, ord => 1 },
    onechar => { sql => '"char"', gen => sub { pick('a' .. 'f') }, eq => 1, ord => 1 },
    bytea => { sql => 'bytea', gen => sub { '\\x' . join '', map { sprintf '%02x', R(256) } 1 .. (chance(5) ? 300 : R(6)) }, eq => 1, ord => 1 },
    jsonb => { sql => 'jsonb', gen => sub { json_value(0) }, eq => 1, ord => 1, canon => '%s::text', kind => 'jsonb', repr => 1 },
    json => { sql => 'json', gen => sub { json_value(0) }, canon => '%s::text' },
    int_array => { sql => 'integer[]', gen => sub { chance(3) ? '{{1,2},{3,4}}' : array(sub { chance(5) ? undef : R(12) }, 5) }, eq => 1, ord => 1, kind => 'array', element => 'int4' },
    text_array => { sql => 'text[]', gen => sub { array(sub { chance(5) ? undef : word() }, 4) }, eq => 1, ord => 1, kind => 'array' },
    int_range => { sql => 'int4range', gen => sub { span(sub { R(100) }, \&less_number) }, eq => 1, ord => 1, kind => 'range' },
    day_range => { sql => 'daterange', gen => sub { span(\&plain_day, \&less_text) }, eq => 1, ord => 1, kind => 'range' },
    numrange => { sql => 'numrange', gen => sub { span(sub { R(400) / 4 }, \&less_number) }, eq => 1, ord => 1, kind => 'range' },
    multirange => { sql => 'int4multirange', gen => sub { '{' . join(',', map { span(sub { R(100) }, \&less_number) } 1 .. R(4)) . '}' }, eq => 1, ord => 1, kind => 'range' },
    uuid => { sql => 'uuid', gen => sub { uuid(R(2000)) }, eq => 1, ord => 1 },
    inet => { sql => 'inet', gen => sub { chance(20) ? sprintf('2001:db8::%x', R(99)) : sprintf('10.%d.%d.%d%s', R(3), R(3), R(60), chance(30) ? '/24' : '') }, eq => 1, ord => 1, kind => 'inet' },
    cidr => { sql => 'cidr', gen => sub { sprintf '10.%d.%d.0/24', R(3), R(60) }, eq => 1, ord => 1, kind => 'inet' },
    macaddr => { sql => 'macaddr', gen => sub { sprintf '08:00:2b:01:02:%02x', R(40) }, eq => 1, ord => 1 },
    macaddr8 => { sql => 'macaddr8', gen => sub { sprintf '08:00:2b:01:02:03:04:%02x', R(40) }, eq => 1, ord => 1 },
    enum => { sql => 'mood', gen => sub { pick('sad', 'ok', 'happy', 'odd one') }, eq => 1, ord => 1 },
    enum_array => { sql => 'mood[]', gen => sub { array(sub { pick('sad', 'ok', 'happy') }, 4) }, eq => 1, ord => 1, kind => 'array' },
    domain_int => { sql => 'small_count', gen => sub { R(60) }, eq => 1, ord => 1, kind => 'number', sum => 1, bad => '-7' },
    domain_text => { sql => 'short_text', gen => \&plain_word, eq => 1, ord => 1, kind => 'text', bad => 'far too long for this domain' },
    domain_jsonb => { sql => 'doc', gen => sub { '{"a": ' . json_value(1) . '}' }, eq => 1, ord => 1, canon => '%s::text', repr => 1, bad => '[]' },
    domain_array => { sql => 'int_list', gen => sub { array(sub { R(9) }, 4) }, eq => 1, ord => 1, bad => '{1,2,3,4,5,6,7,8,9,10,11}' },
    composite => { sql => 'pair', gen => \&composite, eq => 1, ord => 1 },
    composite_array => { sql => 'pair[]', gen => sub { array(\&composite, 3) }, eq => 1, ord => 1 },
    domain_composite => { sql => 'good_pair', gen => \&composite, eq => 1, ord => 1 },
    interval => { sql => 'interval', gen => sub { pick('1 day', '24 hours', '1 mon', '30 days', '-2 days 03:04:05.678', R(50) . ' days', R(90) . ' minutes', R(5) . ' years ' . R(40) . ' days') }, eq => 1, ord => 1, canon => 'extract(epoch from justify_interval(%s))' },
    date => { sql => 'date', gen => \&day, eq => 1, ord => 1, kind => 'day' },
    time => { sql => 'time', gen => \&clock, eq => 1, ord => 1 },
    timetz => { sql => 'timetz', gen => sub { clock() . pick('+00', '+01', '-05:30') }, eq => 1, ord => 1, canon => '%s::text' },
    timestamp => { sql => 'timestamp', gen => \&moment, eq => 1, ord => 1, kind => 'day' },
    timestamptz => { sql => 'timestamptz', gen => \&moment, eq => 1, ord => 1, kind => 'day' },
    timestamp0 => { sql => 'timestamp(0)', gen => sub { plain_day() . ' 12:00:0' . R(10) }, eq => 1, ord => 1, kind => 'day' },
    bit => { sql => 'bit(5)', gen => sub { bits(5) }, eq => 1, ord => 1 },
    varbit => { sql => 'varbit(16)', gen => sub { bits(R(16)) }, eq => 1, ord => 1 },
    point => { sql => 'point', gen => sub { '(' . R(10) . ',' . R(10) . ')' }, canon => '%s::text' },
    pg_lsn => { sql => 'pg_lsn', gen => sub { sprintf '%X/%X', R(4), R(1 << 20) }, eq => 1, ord => 1 },
    tsvector => { sql => 'tsvector', gen => sub { join ' ', map { "'" . pick(qw(cat dog bird)) . "':" . (1 + R(9)) } 1 .. R(4) }, eq => 1, ord => 1 },
    xml => { sql => 'xml', gen => sub { '<a b="' . R(9) . '">' . pick('x', 'é', '') . '</a>' }, canon => '%s::text', xml => 1 },
);

sub type_of { return $TYPE{ $_[0] } // die "no type $_[0]" }
sub types_with { my ($have) = @_; return grep { my $t = $TYPE{$_}; (!$t->{icu} || $have->{icu}) && (!$t->{xml} || $have->{xml}) } sort keys %TYPE }
sub comparable { return grep { $TYPE{$_}{ord} } types_with($_[0]) }

sub literal {
    my ($value, $type) = @_;
    return 'NULL' if !defined $value;
    $value =~ s/'/''/g;
    return "'$value'" if !$type;
    return "'$value'::" . ($type->{cast} // $type->{sql});
}

sub copy_field {
    my ($value) = @_;
    return '\\N' if !defined $value;
    $value =~ s/\\/\\\\/g;
    $value =~ s/\t/\\t/g;
    $value =~ s/\n/\\n/g;
    return $value;
}

# A value for a column. Columns of keys draw from a domain of their own, so
# that about as many meet a row as miss it.
sub value_of {
    my ($column) = @_;
    my $type = type_of($column->{type});
    return undef if chance($column->{notnull} ? $column->{nulls} // 0.3 : $column->{nulls} // 12);
    if (my $domain = $column->{domain}) {
        my $n = 1 + R($domain);
        return $n if $type->{kind} && $type->{kind} eq 'number';
        return uuid($n) if $column->{type} eq 'uuid';
        return sprintf('2019-01-01 %02d:%02d:00', int($n / 60) % 24, $n % 60) if $column->{type} eq 'timestamp' && $domain < 1440;
        return 'Key ' . $n;
    }
    return $type->{bad} if $type->{bad} && chance(0.2);
    return $type->{gen}->();
}

sub fine { my ($column) = @_; my $v; do { $v = value_of({ %$column, nulls => 0 }) } while defined $v && defined type_of($column->{type})->{bad} && $v eq type_of($column->{type})->{bad}; return $v }

# A condition on one column of the relation called $alias.
sub condition_on {
    my ($alias, $column) = @_;
    my $type = type_of($column->{type});
    my $c = "$alias.$column->{name}";
    my $l = sub { literal(fine($column), $type) };
    my $kind = $type->{kind} // '';
    return pick("$c IS NULL", "$c IS NOT NULL") if chance(5) || !$type->{eq} && $kind eq '';
    if ($kind eq 'bool') { return pick($c, "NOT $c", "$c IS TRUE", "$c IS NOT FALSE", "$c = " . $l->()) }
    if (chance(50) && $kind eq 'text') {
        my $w = fine($column);
        my $part = substr($w, 0, 3);
        $part =~ s/[\\%_']//g;
        $part = 'x' if $part =~ /[^ -~]/;
        return pick("$c LIKE '$part%'", "$c ILIKE '%$part%'", "$c ~ '^$part'", "$c NOT LIKE '$part%'", "starts_with(${c}::text, '$part')", "length($c) > " . R(12), "lower($c) = lower(" . $l->() . ')', "$c COLLATE \"C\" < " . $l->());
    }
    if (chance(60) && $kind eq 'array') { return pick("$c @> " . $l->(), "$c <@ " . $l->(), "$c && " . $l->(), "cardinality($c) = " . R(4), "$c\[1] IS NULL") }
    if (chance(60) && $kind eq 'range') { return pick("$c @> " . $l->(), "$c <@ " . $l->(), "$c && " . $l->(), "$c << " . $l->(), "$c -|- " . $l->(), "isempty($c)", "upper($c) > lower($c)") }
    if (chance(60) && $kind eq 'jsonb') { return pick("$c @> " . $l->(), "$c <@ " . $l->(), "$c ? 'k1'", "$c ?| ARRAY['k2', 'alpha']", "$c->>'k1' = '1'", "$c->'k2' IS NOT NULL", "jsonb_typeof($c) = 'object'", "$c @? '\$.k3'") }
    if (chance(40) && $kind eq 'inet') { return pick("$c << '10.1.0.0/16'", "$c >>= " . $l->(), "$c <<= " . $l->(), "$c && '10.2.1.0/24'", "family($c) = 4") }
    if (chance(15) && $kind eq 'day') { return pick("isfinite($c)", "extract(month from $c) = " . (1 + R(12)), "$c >= DATE '2020-02-01' AND $c < DATE '2020-02-01' + " . R(200), "$c > (now() - now() + TIMESTAMP '2020-06-01')") }
    if (chance(15) && $kind eq 'number') { return pick("$c % 3 = 0", "abs($c) < " . R(60), "$c + 1 = " . $l->(), "$c < 50.5") =~ s/ % 3 = 0/ > 2/r if $column->{type} =~ /float|numeric/; return pick("$c % 3 = 0", "abs(${c}::numeric) < " . R(60), "${c}::numeric + 1 = " . $l->(), "$c < 50.5", "$c = " . R(50) . "::int8") }
    return "$c = " . $l->() if chance(35) || !$type->{ord};
    return "$c IN (" . join(', ', map { $l->() } 1 .. 1 + R(6)) . ')' if chance(15);
    return "$c = ANY (ARRAY[" . join(', ', map { $l->() } 1 .. 1 + R(5)) . '])' if chance(10) && $kind !~ /array/ && $column->{type} !~ /array/;
    return "$c BETWEEN " . $l->() . ' AND ' . $l->() if chance(15);
    return "$c IS DISTINCT FROM " . $l->() if chance(5);
    return "$c " . pick('<', '<=', '>', '>=', '<>') . ' ' . $l->();
}

1;
