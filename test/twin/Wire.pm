# A connection to PostgreSQL over its Unix socket: simple and extended queries,
# COPY, errors with all their fields. Written against the protocol, so that nothing but Perl
# itself is needed.
package Wire;
use strict;
use warnings;
use IO::Socket::UNIX;
use IO::Select;

our $TIMEOUT = 120;

my %FIELD = (C => 'sqlstate', M => 'message', D => 'detail', H => 'hint', n => 'constraint', t => 'table', c => 'column',
    d => 'type', s => 'schema', W => 'context', S => 'severity');

sub connect {
    my ($class, %arg) = @_;
    my $path = "$arg{host}/.s.PGSQL.$arg{port}";
    my $socket = IO::Socket::UNIX->new(Peer => $path) or die "no connection to $path: $!\n";
    my $self = bless { socket => $socket, buffer => '', status => 'I', name => $arg{name} // '' }, $class;
    my $startup = pack('N', 196608);
    my %parameter = (user => $arg{user}, database => $arg{database}, client_encoding => 'UTF8', application_name => $arg{name} // 'twin');
    $startup .= "$_\0$parameter{$_}\0" for sort keys %parameter;
    $startup .= "\0";
    $self->write_all(pack('N', 4 + length $startup) . $startup);
    my $result = $self->receive;
    die "no connection: $result->{error}{message}\n" if $result->{error};
    return $self;
}

sub write_all {
    my ($self, $data) = @_;
    my $at = 0;
    local $SIG{PIPE} = 'IGNORE';
    while ($at < length $data) {
        my $n = syswrite($self->{socket}, $data, 1 << 20, $at);
        if (!defined $n) { $self->{lost} = 1; return; }
        $at += $n;
    }
}

sub fill {
    my ($self, $need) = @_;
    while (length($self->{buffer}) < $need) {
        return 0 if $self->{lost};
        if (!IO::Select->new($self->{socket})->can_read($TIMEOUT)) { $self->{silent} = 1; return 0; }
        my $n = sysread($self->{socket}, $self->{buffer}, 1 << 20, length $self->{buffer});
        if (!$n) { $self->{lost} = 1; return 0; }
    }
    return 1;
}

sub send {
    my ($self, $sql, $copy) = @_;
    utf8::encode($sql) if utf8::is_utf8($sql);
    $self->{copy} = $copy;
    $self->write_all('Q' . pack('N', 5 + length $sql) . $sql . "\0");
}

# What the server said up to its next ReadyForQuery:
# { rows => [[...]], tags => [...], copied => [...], notices => [...], error => {...} }
sub receive {
    my ($self) = @_;
    my %result = (rows => [], tags => [], copied => [], notices => []);
    while (1) {
        if (!$self->fill(5)) { return $self->broken(\%result); }
        my ($type, $length) = unpack('aN', $self->{buffer});
        if (!$self->fill($length + 1)) { return $self->broken(\%result); }
        my $body = substr($self->{buffer}, 5, $length - 4);
        substr($self->{buffer}, 0, $length + 1, '');
        if ($type eq 'D') {
            my $at = 2;
            my @row;
            for (1 .. unpack('n', $body)) {
                my $n = unpack('l>', substr($body, $at, 4));
                $at += 4;
                if ($n < 0) { push @row, undef; next; }
                push @row, substr($body, $at, $n);
                $at += $n;
            }
            push @{ $result{rows} }, \@row;
        } elsif ($type eq 'C') {
            push @{ $result{tags} }, substr($body, 0, -1);
        } elsif ($type eq 'E' || $type eq 'N') {
            my %field = map { substr($_, 0, 1) => substr($_, 1) } grep { length } split /\0/, $body;
            my %named = map { $FIELD{$_} => $field{$_} } grep { exists $FIELD{$_} } keys %field;
            if ($type eq 'E') { $result{error} = \%named } else { push @{ $result{notices} }, \%named }
        } elsif ($type eq 'd') {
            push @{ $result{copied} }, $body;
        } elsif ($type eq 'G') {
            my $data = $self->{copy} // '';
            for (my $at = 0; $at < length $data; $at += 1 << 16) {
                my $part = substr($data, $at, 1 << 16);
                $self->write_all('d' . pack('N', 4 + length $part) . $part);
            }
            $self->write_all('c' . pack('N', 4));
        } elsif ($type eq 'Z') {
            $self->{status} = $body;
            return \%result;
        } elsif ($type eq 'R' && unpack('N', $body) != 0) {
            die "the server asks for a password\n";
        }
    }
}

sub broken {
    my ($self, $result) = @_;
    my $what = $self->{silent} ? "no answer within $TIMEOUT seconds" : 'the server closed the connection';
    $result->{error} //= { sqlstate => 'LOST', message => $what };
    $result->{error}{lost} = $what;
    $self->{status} = 'X';
    return $result;
}

sub query {
    my ($self, $sql, $copy) = @_;
    $self->send($sql, $copy);
    return $self->receive;
}

# The extended protocol. name: of a prepared statement, parsed where there is
# sql; values: a list of parameters for each time it is bound; rows, runs: each
# portal is executed so many times, for so many rows (0: all of them).
sub extended {
    my ($self, %arg) = @_;
    my $name = $arg{name} // '';
    my $message = sub { $_[0] . pack('N', 4 + length $_[1]) . $_[1] };
    my $data = defined $arg{sql} ? $message->('P', "$name\0$arg{sql}\0" . pack('n', 0)) : '';
    for my $values (@{ $arg{values} // [ [] ] }) {
        my $parameters = join '', map { defined $_ ? pack('N', length $_) . $_ : pack('N', 0xffffffff) } @$values;
        $data .= $message->('B', "\0$name\0" . pack('nn', 0, scalar @$values) . $parameters . pack('n', 0));
        $data .= $message->('E', "\0" . pack('N', $arg{rows} // 0)) for 1 .. $arg{runs} // 1;
    }
    $self->write_all($data . $message->('S', ''));
    return $self->receive;
}

# A query that must not fail.
sub must {
    my ($self, $sql, $copy) = @_;
    my $result = $self->query($sql, $copy);
    die "$sql\n$result->{error}{sqlstate}: $result->{error}{message}\n" if $result->{error};
    return $result;
}

sub close {
    my ($self) = @_;
    $self->write_all('X' . pack('N', 4)) if !$self->{lost};
    close $self->{socket};
}

1;
