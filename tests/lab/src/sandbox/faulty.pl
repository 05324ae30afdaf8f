# Hosts that break ssh connections, each in one way. Nothing listens on port 22 of
# 192.168.66.1.
use strict;
use warnings;
use Socket qw(:DEFAULT inet_pton IPPROTO_TCP);

$SIG{CHLD} = 'IGNORE';
$SIG{PIPE} = 'IGNORE';

# The number of bytes forwarded from the server. A login takes some 4 KB of them, so
# the limit is reached within the command's output.
my $forwarded = 16 * 1024;

sub connect_to_node {
    socket(my $socket, AF_INET, SOCK_STREAM, IPPROTO_TCP) or die "socket: $!";
    connect($socket, pack_sockaddr_in(22, inet_pton(AF_INET, '192.168.10.10'))) or exit;
    return $socket;
}

# Forwards between the client and the sshd of n1 until the limit is reached.
sub relay {
    my ($client) = @_;
    my $node = connect_to_node();
    my $count = 0;
    while ($count < $forwarded) {
        my $ready = '';
        vec($ready, fileno($_), 1) = 1 for $client, $node;
        select($ready, undef, undef, undef);
        if (vec($ready, fileno($client), 1)) {
            sysread($client, my $bytes, 65536) or exit;
            syswrite($node, $bytes);
        }
        if (vec($ready, fileno($node), 1)) {
            sysread($node, my $bytes, $forwarded - $count) or exit;
            $count += length $bytes;
            syswrite($client, $bytes);
        }
    }
    return $node;
}

# Discards input until the client closes the connection.
sub discard {
    my ($client) = @_;
    while (sysread($client, my $ignored, 65536)) { }
}

my %hosts = (
    # Accepts, and sends nothing.
    '192.168.66.4' => sub { sleep },
    # Closes the connection at the limit.
    '192.168.66.5' => sub { relay($_[0]); exit },
    # Stops forwarding at the limit, as a broken network path does.
    '192.168.66.6' => sub { my $node = relay($_[0]); discard($_[0]) },
    # Accepts, and closes at once. Reads the client's data, because closing with
    # unread data would send a RST.
    '192.168.66.7' => sub { shutdown($_[0], 1); discard($_[0]) },
);

my %listening;
for my $host (keys %hosts) {
    socket(my $socket, AF_INET, SOCK_STREAM, IPPROTO_TCP) or die "socket: $!";
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, pack_sockaddr_in(22, inet_pton(AF_INET, $host))) or die "bind $host: $!";
    listen($socket, 64);
    $listening{$host} = $socket;
}
open(my $ready, '>', '/run/lab/ready') or die "ready: $!";
syswrite($ready, "faulty\n");
close($ready);

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
