# Stub processes of a node or of the control plane. They have the names of the
# real processes and real TCP connections, on which they send no data.
#
# usage: stub.pl DIRECTORY NAME=ADDRESS:PORT...
#
# Starts a process for each NAME, which listens on ADDRESS:PORT. The command
# "start HEX" on the control socket DIRECTORY/init starts another process; HEX is
# its name in hexadecimal. "restart HEX" kills one and starts it again. Each process has a control socket DIRECTORY/HEX. It
# reads a one-line command and replies "ok ..." or with an error message:
#   dial ADDRESS PORT [FROM]         connects, and replies with the local port
#   dial-nonblocking ADDRESS PORT    does not wait until it is connected
#   reset [PORT]                     resets all connections, or the one with this local port
use strict;
use warnings;
use Errno qw(EINPROGRESS);
use Socket qw(:DEFAULT inet_pton IPPROTO_TCP IPPROTO_IPV6 IPV6_V6ONLY SO_LINGER);
use POSIX qw(WNOHANG);

my ($directory, @services) = @ARGV;
my (%started, %services);

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
    # Dual stack, as in Go programs: ss shows IPv4 peers as [::ffff:...].
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

# Closes with a RST, so that no TIME-WAIT socket remains for the next test.
sub reset_connection {
    my ($socket) = @_;
    setsockopt($socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0));
    close($socket);
}

# Accepts a connection to a control socket and runs its command.
sub reply_to {
    my ($control, $run) = @_;
    accept(my $client, $control) or return;
    my $line = <$client>;
    my $reply = eval { $run->(split ' ', $line // '') } // ($@ || "failed\n");
    $reply .= "\n" unless $reply =~ /\n\z/;
    syswrite($client, $reply);
    # A process that the command started has inherited the socket: close alone
    # would leave the connection open.
    shutdown($client, 2);
    close($client);
}

# Runs one stub process until the sandbox ends.
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
            my ($command, @arguments) = @_;
            if ($command eq 'dial' || $command eq 'dial-nonblocking') {
                my ($socket, $port) = dial($command eq 'dial', @arguments);
                $dialed{fileno($socket)} = $socket;
                return "ok $port";
            }
            if ($command eq 'reset') {
                for my $held (\%accepted, \%dialed) {
                    for my $number (keys %$held) {
                        next
                            if @arguments
                            && (!getsockname($held->{$number}) || local_port($held->{$number}) != $arguments[0]);
                        reset_connection(delete $held->{$number});
                    }
                }
                return 'ok';
            }
            die "unknown command: $command\n";
        });
    }
}

my $init;

sub start {
    my ($hex, @listening) = @_;
    return 'ok' if $started{$hex};
    my $control = control_socket($hex);
    my $pid = fork // die "fork: $!\n";
    if ($pid) {
        $started{$hex} = $pid;
        return 'ok';
    }
    close($init);
    # Sets comm too, the name that ss shows.
    $0 = pack('H*', $hex);
    serve($control, @listening);
}

# Kills a process, which ends its connections, and starts it again with another id.
sub restart {
    my ($hex) = @_;
    my $pid = delete $started{$hex} // die "not started\n";
    kill('KILL', $pid);
    waitpid($pid, 0);
    unlink("$directory/$hex");
    return start($hex, $services{$hex} ? listen_on(@{$services{$hex}}) : ());
}

$init = control_socket('init');
for (@services) {
    my ($name, $host, $port) = /^(.+?)=\[?(.*?)\]?:(\d+)$/ or die "invalid argument: $_\n";
    $services{unpack('H*', $name)} = [$host, $port];
    start(unpack('H*', $name), listen_on($host, $port));
}
$0 = 'init';
open(my $ready, '>', '/run/lab/ready') or die "ready: $!";
syswrite($ready, "$directory\n");
close($ready);
# As the node's init process it reaps the orphans of sshd.
$SIG{CHLD} = sub { 1 while waitpid(-1, WNOHANG) > 0 };
while (1) {
    reply_to($init, sub { my ($command, $hex) = @_; return $command eq 'restart' ? restart($hex) : start($hex) });
}
