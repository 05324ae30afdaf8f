# Hosts that break ssh on the way. 192.168.66.1 has nothing on port 22.
use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton IPPROTO_TCP);

$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';

# What a login takes from the server is some 4 KB: these fall into the output.
my $passed = 16 * 1024;

sub connected {
    socket(my $socket, AF_INET, SOCK_STREAM, IPPROTO_TCP) or die "socket: $!";
    connect($socket, pack_sockaddr_in(22, inet_pton(AF_INET, '192.168.10.10'))) or exit;
    return $socket;
}

# Joins the client to n1, until so much came from there.
sub relay {
    my ($client) = @_;
    my $node = connected();
    my $count = 0;
    while ($count < $passed) {
        my $ready = '';
        vec($ready, fileno($_), 1) = 1 for $client, $node;
        select($ready, undef, undef, undef);
        if (vec($ready, fileno($client), 1)) {
            sysread($client, my $bytes, 65536) or exit;
            syswrite($node, $bytes);
        }
        if (vec($ready, fileno($node), 1)) {
            sysread($node, my $bytes, $passed - $count) or exit;
            $count += length $bytes;
            syswrite($client, $bytes);
        }
    }
    return $node;
}

# Until the client gives up.
sub swallow {
    my ($client) = @_;
    while (sysread($client, my $ignored, 65536)) { }
}

my %hosts = (
    # Accepts, and never says a word.
    '192.168.66.4' => sub { sleep },
    # Ends the connection midway.
    '192.168.66.5' => sub { relay($_[0]); exit },
    # Stops passing anything on midway, as a path that died.
    '192.168.66.6' => sub { my $node = relay($_[0]); swallow($_[0]) },
    # Accepts, and closes at once: not with a reset, as bytes left unread would.
    '192.168.66.7' => sub { shutdown($_[0], 1); swallow($_[0]) },
);

my %listening;
for my $host (keys %hosts) {
    socket(my $socket, AF_INET, SOCK_STREAM, IPPROTO_TCP) or die "socket: $!";
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, pack_sockaddr_in(22, inet_pton(AF_INET, $host))) or die "bind $host: $!";
    listen($socket, 64);
    $listening{$host} = $socket;
}
open(my $said, '>', '/run/lab/ready') or die "ready: $!";
syswrite($said, "faulty\n");
close($said);

while (1) {
    my $ready = '';
    vec($ready, fileno($_), 1) = 1 for values %listening;
    next if select($ready, undef, undef, undef) < 1;
    for my $host (keys %listening) {
        next unless vec($ready, fileno($listening{$host}), 1);
        accept(my $client, $listening{$host}) or next;
        if (!fork) {
            $hosts{$host}->($client);
            exit;
        }
        close($client);
    }
}
