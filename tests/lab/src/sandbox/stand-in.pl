# Stand-ins for the processes of a node or of the control plane: named so, with
# real TCP connections, and with nothing to say on them.
#
# stand-in.pl DIRECTORY NAME=ADDRESS:PORT...
#
# Starts each NAME listening, and others when asked through DIRECTORY/init:
# "start HEX" (the name, in hexadecimal) makes the process, and its own control
# socket DIRECTORY/HEX, which takes one line and answers "ok ..." or a reason:
#   dial ADDRESS PORT [FROM]      connects and holds; answers the local port
#   attempt ADDRESS PORT          connects, and does not wait for the outcome
#   close [PORT]                  ends all connections, or the one of that local port
use strict;
use warnings;
use Errno qw(EINPROGRESS);
use Socket qw(:DEFAULT inet_pton IPPROTO_TCP IPPROTO_IPV6 IPV6_V6ONLY SO_LINGER);
use POSIX qw(WNOHANG);

my ($directory, @services) = @ARGV;
my %started;

sub address {
    my ($address, $port) = @_;
    return $address =~ /:/
        ? (AF_INET6, pack_sockaddr_in6($port, inet_pton(AF_INET6, $address)))
        : (AF_INET, pack_sockaddr_in($port, inet_pton(AF_INET, $address)));
}

sub control_socket {
    my ($name) = @_;
    socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
    bind($socket, pack_sockaddr_un("$directory/$name")) or die "bind $directory/$name: $!";
    listen($socket, 64);
    return $socket;
}

sub listen_on {
    my ($family, $to) = address(@_);
    socket(my $socket, $family, SOCK_STREAM, IPPROTO_TCP) or die "socket: $!";
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    # Dual stack, as a Go program's: IPv4 peers show as [::ffff:...].
    setsockopt($socket, IPPROTO_IPV6, IPV6_V6ONLY, 0) if $family == AF_INET6;
    bind($socket, $to) or die "bind: $!";
    listen($socket, 1024);
    return $socket;
}

sub dial {
    my ($wait, $host, $port, $from) = @_;
    my ($family, $to) = address($host, $port);
    socket(my $socket, $family, SOCK_STREAM, IPPROTO_TCP) or die "socket: $!\n";
    if (defined $from) {
        bind($socket, (address($from, 0))[1]) or die "bind $from: $!\n";
    }
    fcntl($socket, 4, 04000);    # F_SETFL, O_NONBLOCK
    if (!connect($socket, $to) && $! != EINPROGRESS) { die "connect: $!\n" }
    if ($wait) {
        my $ready = '';
        vec($ready, fileno($socket), 1) = 1;
        select(undef, $ready, undef, 5) or die "connect: timed out\n";
        $! = unpack('i', getsockopt($socket, SOL_SOCKET, SO_ERROR));
        die "connect: $!\n" if $!;
    }
    return ($socket, local_port($socket));
}

sub local_port {
    my ($name) = getsockname($_[0]);
    return (sockaddr_family($name) == AF_INET6 ? unpack_sockaddr_in6($name) : unpack_sockaddr_in($name))[0];
}

# With a reset, so that no TIME-WAIT stays behind to be seen by the next test.
sub cut {
    my ($socket) = @_;
    setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    close($socket);
}

sub reply_to {
    my ($control, $act) = @_;
    accept(my $client, $control) or return;
    my $line = <$client>;
    my $reply = eval { $act->(split ' ', $line // '') } // ($@ || "failed\n");
    $reply .= "\n" unless $reply =~ /\n\z/;
    syswrite($client, $reply);
    # A process just started has a copy, which close alone would leave open.
    shutdown($client, 2);
    close($client);
}

# One process, until the sandbox ends.
sub serve {
    my ($control, @listening) = @_;
    my (%accepted, %dialed);
    while (1) {
        my $ready = '';
        vec($ready, fileno($_), 1) = 1 for $control, @listening, values %accepted, values %dialed;
        next if select($ready, undef, undef, undef) < 1;
        for my $held (\%accepted, \%dialed) {
            for my $number (keys %$held) {
                next unless vec($ready, $number, 1);
                my $got = sysread($held->{$number}, my $ignored, 65536);
                close(delete $held->{$number}) unless $got;
            }
        }
        for my $listening (@listening) {
            next unless vec($ready, fileno($listening), 1);
            accept(my $socket, $listening) or next;
            $accepted{fileno($socket)} = $socket;
        }
        next unless vec($ready, fileno($control), 1);
        reply_to($control, sub {
            my ($verb, @words) = @_;
            if ($verb eq 'dial' || $verb eq 'attempt') {
                my ($socket, $port) = dial($verb eq 'dial', @words);
                $dialed{fileno($socket)} = $socket;
                return "ok $port";
            }
            if ($verb eq 'close') {
                for my $held (\%accepted, \%dialed) {
                    for my $number (keys %$held) {
                        next if @words && (!getsockname($held->{$number}) || local_port($held->{$number}) != $words[0]);
                        cut(delete $held->{$number});
                    }
                }
                return 'ok';
            }
            die "unknown: $verb\n";
        });
    }
}

my $init;

sub start {
    my ($hex, @listening) = @_;
    return 'ok' if $started{$hex}++;
    my $control = control_socket($hex);
    my $pid = fork // die "fork: $!\n";
    return 'ok' if $pid;
    close($init);
    # Sets what the kernel calls comm, too: what ss shows.
    $0 = pack('H*', $hex);
    serve($control, @listening);
}

$init = control_socket('init');
for (@services) {
    my ($name, $host, $port) = /^(.+?)=\[?(.*?)\]?:(\d+)$/ or die "what is $_?\n";
    start(unpack('H*', $name), listen_on($host, $port));
}
$0 = 'init';
open(my $ready, '>', '/run/lab/ready') or die "ready: $!";
syswrite($ready, "$directory\n");
close($ready);
# sshd leaves its orphans to this process.
$SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
while (1) {
    reply_to($init, sub { my ($verb, $hex) = @_; return start($hex) });
}
