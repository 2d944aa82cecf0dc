# The twin tables of a seed: their definition, their rows, and what is known of
# them while statements are made. Everything is created twice, in schemas
# twin_a (heap) and twin_b (compressed); types and functions stand in "shared",
# which is in the search_path of both.
package Tables;
use strict;
use warnings;
use List::Util qw(shuffle);
use Values;
use Exporter 'import';
our @EXPORT = qw(shared_objects make_tables column_list column_named plain_columns key_columns writable);

# Rows in the tables of a run, each a fraction or multiple of this.
our $SIZE = 700;

sub shared_objects {
    my ($have) = @_;
    my @sql = (
        "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'odd one')",
        'CREATE DOMAIN small_count AS integer CHECK (VALUE >= 0)',
        'CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 20)',
        "CREATE DOMAIN doc AS jsonb CHECK (jsonb_typeof(VALUE) = 'object')",
        'CREATE DOMAIN int_list AS integer[] CHECK (cardinality(VALUE) <= 10)',
        'CREATE TYPE pair AS (n integer, t text, d date)',
        'CREATE DOMAIN good_pair AS pair CHECK ((VALUE).n IS NULL OR (VALUE).n < 1000)',
        # logs what a row trigger sees, in the log of whichever schema is first
        q{CREATE FUNCTION log_row() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO log VALUES (concat_ws(' ', TG_ARGV[0], TG_WHEN, TG_OP, md5(OLD::text), md5(NEW::text)));
                IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
                RETURN NEW;
            END $$},
        # changes the row, or says that nothing shall be done with it
        q{CREATE FUNCTION touch_row() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP = 'DELETE' THEN
                    IF OLD.touched = 7 THEN RETURN NULL; END IF;
                    RETURN OLD;
                END IF;
                NEW.touched := coalesce(NEW.touched, 0) + 1;
                IF NEW.touched = 9 THEN RETURN NULL; END IF;
                RETURN NEW;
            END $$},
        q{CREATE FUNCTION log_statement() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF TG_OP IN ('UPDATE', 'DELETE') THEN
                    INSERT INTO log SELECT concat_ws(' ', TG_ARGV[0], TG_OP, 'old', count(*), sum(hashtextextended(r::text, 0))) FROM old_rows r;
                END IF;
                IF TG_OP IN ('UPDATE', 'INSERT') THEN
                    INSERT INTO log SELECT concat_ws(' ', TG_ARGV[0], TG_OP, 'new', count(*), sum(hashtextextended(r::text, 0))) FROM new_rows r;
                END IF;
                RETURN NULL;
            END $$},
        # a tree that its own trigger cuts down, from the leaves
        q{CREATE FUNCTION cut_children() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                DELETE FROM tree WHERE up = OLD.id AND id <> OLD.id;
                RETURN OLD;
            END $$},
        # updates row by row at a cursor, and says what it saw
        q{CREATE FUNCTION by_cursor(query text, change text) RETURNS SETOF text LANGUAGE plpgsql AS $$
            DECLARE c refcursor; r record;
            BEGIN
                c := 'walk';
                OPEN c FOR EXECUTE query;
                LOOP
                    FETCH c INTO r;
                    EXIT WHEN NOT FOUND;
                    EXECUTE change || ' WHERE CURRENT OF walk';
                    RETURN NEXT md5(r::text);
                END LOOP;
                CLOSE c;
            END $$},
        # each statement in a block of its own: caught errors are part of the answer
        q{CREATE FUNCTION attempt(VARIADIC statements text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
            DECLARE s text; n bigint; m text;
            BEGIN
                FOREACH s IN ARRAY statements LOOP
                    BEGIN
                        EXECUTE s;
                        GET DIAGNOSTICS n = ROW_COUNT;
                        RETURN NEXT n::text;
                    EXCEPTION WHEN OTHERS THEN
                        GET STACKED DIAGNOSTICS m = MESSAGE_TEXT;
                        RETURN NEXT SQLSTATE || ' ' || m;
                    END;
                END LOOP;
            END $$},
    );
    push @sql, "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)" if $have->{icu};
    return @sql;
}

sub column { my ($name, $type, %more) = @_; return { name => $name, type => $type, %more } }

# n columns of random types, each once more often than twice
sub extras {
    my ($have, $n, @only) = @_;
    my @types = @only ? @only : types_with($have);
    my $i = 0;
    return map { column('x' . ++$i, pick(@types), notnull => chance(12)) } 1 .. $n;
}

sub definition {
    my ($c) = @_;
    my $sql = "$c->{name} " . type_of($c->{type})->{sql};
    $sql .= " GENERATED ALWAYS AS ($c->{generated}) STORED" if $c->{generated};
    $sql .= ' NOT NULL' if $c->{notnull};
    $sql .= " DEFAULT $c->{default}" if defined $c->{default};
    return $sql;
}

sub writable { return grep { !$_->{generated} } @{ $_[0]{columns} } }
sub plain_columns { return grep { !$_->{keyish} && !$_->{generated} } @{ $_[0]{columns} } }
sub key_columns { my ($t) = @_; return map { column_named($t, $_) } @{ $t->{key} // [] } }
sub column_named { my ($t, $name) = @_; return (grep { $_->{name} eq $name } @{ $t->{columns} })[0] }
sub column_list { return join ', ', map { $_->{name} } @_ }

my @actions = ('', ' ON DELETE CASCADE', ' ON DELETE CASCADE ON UPDATE CASCADE', ' ON DELETE RESTRICT', ' ON UPDATE CASCADE',
    ' DEFERRABLE INITIALLY DEFERRED', ' DEFERRABLE', ' ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED');

# A table: name, columns, key (columns of the primary key), uniques (lists of
# columns that ON CONFLICT may name), before and after (statements around the
# load), rows, refs (column => table and column that its values come from).
sub archetypes {
    my ($have) = @_;
    my @t;
    my $n = $SIZE;

    push @t, { name => 'parent', rows => $n, triggers => ['touch', 'row'], key => ['id'],
        columns => [ column('id', 'int4', notnull => 1, domain => int($n * 1.8)), column('code', 'text', domain => $n * 20, keyish => 1),
            column('amount', 'numeric'), column('touched', 'int2', default => '0', nulls => 60), extras($have, 5),
            column('made', 'int8', generated => 'id::bigint * 3') ],
        constraints => [ 'PRIMARY KEY (id)', 'CONSTRAINT parent_code UNIQUE (code)', 'CONSTRAINT parent_amount CHECK (amount <> 13)' ],
        uniques => [ ['id'], ['code'] ] };

    push @t, { name => 'child', rows => $n * 2, key => [ 'pid', 'line' ], refs => { pid => [ 'parent', 'id' ] }, triggers => chance(50) ? ['row'] : [],
        columns => [ column('pid', 'int4', notnull => 1, domain => int($n * 1.8)), column('line', 'int2', notnull => 1, domain => 8),
            column('u', 'uuid', domain => $n * 40, keyish => 1), extras($have, 4) ],
        constraints => [ 'PRIMARY KEY (pid, line)', 'UNIQUE (u)', 'FOREIGN KEY (pid) REFERENCES parent' . pick(@actions) ],
        uniques => [ [ 'pid', 'line' ], ['u'] ] };

    my $key_type = pick(grep { $_ ne 'text_icu' || $have->{icu} } qw(text text_c text_icu varchar));
    push @t, { name => 'named', rows => $n, key => ['k'], refs => { pref => [ 'parent', 'id' ] },
        columns => [ column('k', $key_type, notnull => 1, domain => int($n * 1.8)), column('flag', 'bool', keyish => 1),
            column('v', 'int4', domain => $n * 15, keyish => 1), column('other', 'text', domain => $n * 20, keyish => 1, nulls => 30),
            column('pref', 'int4', domain => $n, keyish => 1, nulls => 40), extras($have, 4) ],
        constraints => [ 'PRIMARY KEY (k)', 'FOREIGN KEY (pref) REFERENCES parent (id) ON DELETE SET NULL' . pick('', ' ON UPDATE CASCADE', ' DEFERRABLE') ],
        after => [ 'CREATE UNIQUE INDEX named_v ON named (v) WHERE flag', 'CREATE UNIQUE INDEX named_other ON named (lower(other))',
            'CREATE INDEX ON named (pref)' ],
        uniques => [ ['k'] ], conflict_targets => [ '(v) WHERE flag', '(lower(other))' ] };

    push @t, { name => 'uuids', rows => $n, key => ['u'], triggers => chance(40) ? ['statement'] : [],
        columns => [ column('u', 'uuid', notnull => 1, domain => int($n * 1.8)), column('a', 'int4', domain => 60, keyish => 1, notnull => 1),
            column('b', 'text_c', domain => 800, keyish => 1), extras($have, 5) ],
        constraints => [ 'PRIMARY KEY (u)' . pick('', ' INCLUDE (a)'), 'UNIQUE (a, b)' ], uniques => [ ['u'], [ 'a', 'b' ] ] };

    push @t, { name => 'every', rows => $n,
        columns => [ map { column("c_$_", $_) } types_with($have) ],
        after => [ map { "CREATE INDEX ON every $_" } '(c_int4)', '(c_timestamptz)', '(c_text, c_int2)', 'USING gin (c_jsonb)', 'USING gist (c_int_range)',
            'USING hash (c_uuid)', 'USING brin (c_int8)', 'USING gin (c_int_array)', 'USING gist (c_inet inet_ops)', '(lower(c_text_c))', '(c_numeric) WHERE c_bool' ] };

    my $how = pick(qw(list range hash));
    my @cut = $how eq 'list' ? ("IN ('Key 1', 'Key 2')", "IN ('Key 3')") : $how eq 'range' ? ("FROM (MINVALUE) TO ('Key 2')", "FROM ('Key 2') TO ('Key 4')")
        : ('WITH (MODULUS 3, REMAINDER 0)', 'WITH (MODULUS 3, REMAINDER 1)', 'WITH (MODULUS 3, REMAINDER 2)');
    push @t, { name => 'parts', rows => $n * 2, key => [ 'id', 'region' ], partitioned => 1, refs => { pid => [ 'parent', 'id' ] }, triggers => [ pick('row', 'statement') ],
        columns => [ column('id', 'int4', notnull => 1, domain => int($n * 1.7)), column('region', pick('varchar', 'text_c'), notnull => 1, domain => 5),
            column('pid', 'int4', domain => $n, keyish => 1, nulls => 30), extras($have, 4) ],
        partition_by => "PARTITION BY $how (region)",
        partitions => [ (map { "FOR VALUES $_" } @cut), $how eq 'hash' ? () : $how eq 'list' ? 'DEFAULT' : chance(50) ? 'DEFAULT' : "FOR VALUES FROM ('Key 4') TO (MAXVALUE)" ],
        constraints => [ 'PRIMARY KEY (id, region)', 'FOREIGN KEY (pid) REFERENCES parent (id)' . pick('', ' ON DELETE SET NULL', ' ON DELETE CASCADE') ],
        uniques => [ [ 'id', 'region' ] ] };

    push @t, { name => 'notes', rows => $n, refs => { id => [ 'parts', 'id', region => 'region' ] }, key => ['note'],
        columns => [ column('note', 'int4', notnull => 1, domain => int($n * 1.9)), column('id', 'int4', domain => $n, keyish => 1), column('region', 'text_c', domain => 5, keyish => 1), extras($have, 2) ],
        constraints => [ 'PRIMARY KEY (note)', 'FOREIGN KEY (id, region) REFERENCES parts ON UPDATE CASCADE' . pick('', ' ON DELETE CASCADE', ' ON DELETE SET NULL', ' DEFERRABLE INITIALLY DEFERRED') ],
        uniques => [ ['note'] ] };

    push @t, { name => 'late', rows => $n, key => ['id'], triggers => [ 'statement', chance(50) ? 'row' : () ], deferred => 1,
        columns => [ column('id', 'int8', notnull => 1, domain => int($n * 1.8)), column('n', 'int4', domain => $n * 10, keyish => 1, nulls => 0.5), extras($have, 4) ],
        constraints => [ 'PRIMARY KEY (id) DEFERRABLE' . pick('', ' INITIALLY DEFERRED'), 'UNIQUE NULLS NOT DISTINCT (n)' ], uniques => [ ['n'] ] };

    push @t, { name => 'tree', rows => int($n / 2), key => ['id'], refs => { up => [ 'tree', 'id' ] }, single => 1,
        columns => [ column('id', 'int4', notnull => 1, domain => int($n / 2)), column('up', 'int4', domain => int($n / 2), keyish => 1, nulls => 15), extras($have, 2) ],
        constraints => [ 'PRIMARY KEY (id)', 'FOREIGN KEY (up) REFERENCES tree ON DELETE ' . pick('CASCADE', 'SET NULL', 'NO ACTION') ],
        after => [ 'CREATE INDEX ON tree (up)', chance(50) ? 'CREATE TRIGGER cut BEFORE DELETE ON tree FOR EACH ROW EXECUTE FUNCTION cut_children()' : () ],
        uniques => [ ['id'] ] };

    # wide in rows: several batches
    push @t, { name => 'many', rows => $n * 18, key => ['id'], many => 1,
        columns => [ column('id', 'int8', notnull => 1, domain => int($n * 18 * 1.4)), column('at', 'timestamp'), column('n', 'int4', nulls => 3), column('label', 'text_c', nulls => 5), column('f', 'float8') ],
        constraints => ['PRIMARY KEY (id)'], after => [ 'CREATE INDEX ON many (at)', 'CREATE INDEX ON many (n, label)' ], uniques => [ ['id'] ] };

    push @t, { name => 'big', rows => 40, key => ['id'], big => 1,
        columns => [ column('id', 'int4', notnull => 1, domain => 80), column('b', 'bytea'), column('t', 'text'), column('d', 'jsonb') ],
        constraints => ['PRIMARY KEY (id)'], uniques => [ ['id'] ] };

    return @t;
}

# Rows as COPY takes them. Values of unique columns are drawn once each.
sub load_rows {
    my ($t, $rows, $loaded) = @_;
    my %bag;
    my %seen = %{ $t->{seen} //= {} };
    my @lines;
    my @columns = @{ $t->{load_columns} };
    for my $i (1 .. $rows) {
        my %row;
        for my $c (@columns) { $row{ $c->{name} } = Values::fine($c) // literal(undef); }
        for my $c (@columns) {
            $row{ $c->{name} } = undef if !$c->{notnull} && chance($c->{nulls} // 12);
        }
        if (my $refs = $t->{refs}) {
            for my $column (sort keys %$refs) {
                my ($table, $key, %pairs) = @{ $refs->{$column} };
                next if !defined $row{$column};
                my $from = $table eq $t->{name} ? $t->{loaded} : $loaded->{$table}{loaded};
                if (!$from || !@$from) { $row{$column} = undef; next; }
                my $target = $from->[ R(scalar @$from) ];
                $row{$column} = $target->{$key};
                $row{$_} = $target->{ $pairs{$_} } for keys %pairs;
            }
        }
        # unique keys: rows that would break one are left out
        my $bad = 0;
        for my $unique (@{ $t->{load_uniques} }) {
            my @v = map { $row{$_} } @$unique;
            next if grep { !defined } @v and $unique->[0] ne 'n';
            $bad = 1 if $seen{ join "\t", @$unique, map { $_ // '' } @v };
        }
        next if $bad;
        for my $unique (@{ $t->{load_uniques} }) {
            $seen{ join "\t", @$unique, map { $row{$_} // '' } @$unique } = 1;
        }
        $row{amount} = 1 if defined $row{amount} && $t->{name} eq 'parent' && $row{amount} =~ /^13\b/;
        push @{ $t->{loaded} }, \%row;
        push @lines, join("\t", map { copy_field($row{ $_->{name} }) } @columns) . "\n";
    }
    $t->{seen} = \%seen;
    return @lines;
}

# Statements that make the tables, for both sides: [sql, copy lines].
sub make_tables {
    my ($have, $big_bytes) = @_;
    my @t = archetypes($have);
    my (@statements, %by_name);
    my $do = sub { push @statements, [@_] };
    $do->('CREATE TABLE log (line text)');
    for my $t (@t) {
        my $name = $t->{name};
        $by_name{$name} = $t;
        for my $c (@{ $t->{columns} }) { $c->{keyish} = 1 if grep { $_ eq $c->{name} } @{ $t->{key} // [] } }
        $t->{load_uniques} = [ @{ $t->{uniques} // [] }, $name eq 'named' ? ( ['v'], ['other'] ) : $t->{key} && $name eq 'late' ? ( ['id'] ) : () ];
        # somewhere a column that goes away, later one that comes
        my @definitions = map { definition($_) } @{ $t->{columns} };
        splice @definitions, R(1 + @definitions), 0, 'gone ' . pick('text', 'integer', 'bigint', 'timestamptz', 'boolean', 'text[]');
        $do->("CREATE TABLE $name (" . join(', ', @definitions, @{ $t->{constraints} // [] }) . ')' . ($t->{partition_by} ? " $t->{partition_by}" : ''));
        my $p = 0;
        for (@{ $t->{partitions} // [] }) { $p++; $do->("CREATE TABLE ${name}_$p PARTITION OF $name $_"); }
        $t->{load_columns} = [ writable($t) ];
        my $target = "$name (" . column_list(@{ $t->{load_columns} }) . ')';
        if ($t->{many}) {
            $do->("INSERT INTO $target SELECT i, TIMESTAMP '2020-01-01' + i * INTERVAL '7 minutes', CASE WHEN i % 31 > 0 THEN abs(hashint8(i)) % 2000 END,
                CASE WHEN i % 17 > 0 THEN 'label ' || i % 230 END, (i % 997) / 4.0 FROM generate_series(1, $t->{rows}::bigint) i WHERE i % 10 <> 3");
        } elsif ($t->{big}) {
            $do->("INSERT INTO $target SELECT i, " . big_bytes('i', int($big_bytes / 80)) . ", " . big_text('i', int($big_bytes / 40)) . ", '{\"k\": 1}' FROM generate_series(1, 40) i");
        } else {
            $do->("COPY $target FROM STDIN", [ load_rows($t, int($t->{rows} * 0.6), \%by_name) ]);
        }
        $do->("ALTER TABLE $name DROP COLUMN gone");
        if (chance(70) || $name eq 'every') {
            my $c = pick(column('added', 'int4', default => '42', nulls => 30), column('added', 'text', default => "'was not there'"), column('added', 'numeric', default => '1.50'),
                column('added', 'timestamptz', default => "'2020-02-02 02:02:02+00'"), column('added', 'bool'), column('added', 'int_array', default => "'{1,2,3}'"));
            $do->("ALTER TABLE $name ADD COLUMN " . definition($c));
            push @{ $t->{columns} }, $c;
        }
        $t->{load_columns} = [ writable($t) ];
        $target = "$name (" . column_list(@{ $t->{load_columns} }) . ')';
        $do->("COPY $target FROM STDIN", [ load_rows($t, int($t->{rows} * 0.4), \%by_name) ]) if !$t->{many} && !$t->{big};
        $do->($_) for @{ $t->{after} // [] };
        for my $trigger (@{ $t->{triggers} // [] }) {
            if ($trigger eq 'touch') {
                $do->("CREATE TRIGGER a_touch BEFORE INSERT OR UPDATE OR DELETE ON $name FOR EACH ROW EXECUTE FUNCTION touch_row()");
            } elsif ($trigger eq 'row') {
                $do->("CREATE TRIGGER b_before BEFORE INSERT OR UPDATE OR DELETE ON $name FOR EACH ROW EXECUTE FUNCTION log_row('$name')");
                $do->("CREATE TRIGGER b_after AFTER INSERT OR UPDATE OR DELETE ON $name FOR EACH ROW EXECUTE FUNCTION log_row('$name')");
            } else {
                $do->("CREATE TRIGGER c_insert AFTER INSERT ON $name REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_statement('$name')");
                $do->("CREATE TRIGGER c_update AFTER UPDATE ON $name REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_statement('$name')");
                $do->("CREATE TRIGGER c_delete AFTER DELETE ON $name REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_statement('$name')");
            }
        }
    }
    delete @$_{qw(seen loaded load_columns)} for @t;
    return (\@t, \@statements);
}

# Bytes that do not compress, made by the server: every 32 of them differ.
sub big_bytes { my ($seed, $bytes) = @_; return "decode((SELECT string_agg(md5(($seed)::text || ' ' || g), '') FROM generate_series(1, " . (1 + int($bytes / 16)) . ") g), 'hex')" }
sub big_text { my ($seed, $bytes) = @_; return "(SELECT string_agg(md5(($seed)::text || 't' || g % 1000), ' ') FROM generate_series(1, " . (1 + int($bytes / 33)) . ") g)" }

1;
