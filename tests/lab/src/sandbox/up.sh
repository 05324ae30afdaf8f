# The sandbox's init process: builds the sandbox, prints "ready PID", and then reads
# its standard input. At end of file it exits, and the kernel kills all processes
# of the sandbox.
#
# Sourced in /run/lab, which is on the sandbox's tmpfs and has the other files of
# this directory. $1 is the number of nodes.
set -euE
trap 'echo "up.sh, line $LINENO: $BASH_COMMAND: failed" >&2' ERR
umask 022
count=$1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset LC_ALL LANG

# The outer /proc has this process' PID outside the sandbox, for nsenter from there.
# The operator's programs keep the outer /proc: they run in the outer PID namespace
# as children of the test that starts them.
read -r outside_pid _ </proc/self/stat
mkdir proc && mount --bind /proc proc
mount -t proc proc /proc

mkdir -p /run/sshd nodes unbound.d /run/operator/.ssh
chmod 700 /run/operator/.ssh
ssh-keygen -q -t ed25519 -N '' -C operator -f operator-key
cp operator-key /run/operator/.ssh/id_ed25519
cp operator-key.pub /run/operator/.ssh/id_ed25519.pub

. ./users.sh

# --- Network: this namespace is the router between all hosts. ---

echo 1 >/proc/sys/net/ipv4/ip_forward

# add_host NAME HEX: adds a namespace and its link to the router. The neighbour
# entries are permanent, because the size limit of the neighbour table applies to
# the whole machine and does not count permanent entries.
add_host() {
    echo "netns add $1"
    echo "link add $1 address 02:00:00:01:$2 type veth peer name eth0 address 02:00:00:02:$2 netns $1"
    echo "link set $1 up"
}
# add_route HOST HEX ADDRESS: adds the router's route to an address of a host.
add_route() {
    echo "route add $3 dev $1"
    echo "neigh add $3 dev $1 lladdr 02:00:00:02:$2 nud permanent"
}
# configure_host HEX ADDRESS...: configures a host's end of the link. The first
# address is its default source address.
configure_host() {
    local hex=$1 address
    shift
    echo "link set lo up"
    for address; do echo "addr add $address/32 dev eth0"; done
    echo "link set eth0 up"
    echo "neigh add 169.254.1.1 dev eth0 lladdr 02:00:00:01:$hex nud permanent"
    echo "route add default via 169.254.1.1 dev eth0 onlink"
}

control_plane='203.0.113.10 203.0.113.11 192.168.1.55 192.168.2.66 10.100.0.1'
faulty='192.168.66.1 192.168.66.4 192.168.66.5 192.168.66.6 192.168.66.7'
{
    echo 'link set lo up'
    echo 'addr add 192.168.0.2/32 dev lo'
    echo 'addr add 198.51.100.53/32 dev lo'
    add_host control ff:01
    for address in $control_plane; do add_route control ff:01 "$address"; done
    add_host operator ff:02
    add_route operator ff:02 198.51.100.7
    add_host faulty ff:03
    for address in $faulty; do add_route faulty ff:03 "$address"; done
    # Drops packets.
    echo 'route add blackhole 192.168.66.2'
    # Rejects packets: "no route to host".
    echo 'route add unreachable 192.168.66.3'
    for ((i = 0; i < count; i++)); do
        printf -v hex '%02x:%02x' $((i / 256)) $((i % 256))
        add_host "n$((i + 1))" "$hex"
        add_route "n$((i + 1))" "$hex" "192.168.10.$((10 + i))"
        add_route "n$((i + 1))" "$hex" "203.0.113.$((20 + i))"
        # The node's pods.
        echo "route add 100.64.$((10 + i)).0/24 via 192.168.10.$((10 + i)) dev n$((i + 1)) onlink"
    done
} >network
ip -batch network
configure_host ff:01 $control_plane | ip -netns control -batch -
configure_host ff:02 198.51.100.7 | ip -netns operator -batch -
configure_host ff:03 $faulty | ip -netns faulty -batch -

# --- Name servers ---

{
    echo '127.0.0.1 localhost'
    for ((i = 0; i < count; i++)); do echo "192.168.10.$((10 + i)) n$((i + 1))"; done
} >node-etc/hosts
domain=ap-northeast-2.compute.internal
for ((i = 0; i < count; i++)); do
    for name in "n$((i + 1))" "ip-192-168-10-$((10 + i)).$domain"; do
        echo "local-data: \"$name. 60 IN A 192.168.10.$((10 + i))\""
    done
done >unbound.d/nodes.conf
# A copy, because AppArmor profiles for unbound apply to its path.
cp "$(command -v unbound)" resolver
./resolver -c /run/lab/unbound.conf </dev/null >/dev/null

# --- Nodes, control plane, faulty hosts ---

mkfifo ready
exec 3<>ready
for ((i = 0; i < count; i++)); do
    name=n$((i + 1))
    printf -v hex '%02x:%02x' $((i / 256)) $((i % 256))
    mkdir -p "nodes/$name/"{etc,etc-work,home,home-work,tmp}
    chmod 1777 "nodes/$name/tmp"
    configure_host "$hex" "192.168.10.$((10 + i))" "203.0.113.$((20 + i))" >"nodes/$name/network"
    names=$name,192.168.10.$((10 + i)),203.0.113.$((20 + i)),ip-192-168-10-$((10 + i)).$domain
    nsenter --net="/run/netns/$name" unshare --mount --pid --uts --fork \
        bash node.sh "$name" "$names" </dev/null >/dev/null &
done
mkdir control
nsenter --net=/run/netns/control perl stub.pl control </dev/null >/dev/null &
nsenter --net=/run/netns/faulty perl faulty.pl </dev/null >/dev/null &

# --- Operator ---

mkdir -p operator/{etc,upper,work}
{
    echo 'operator:x:0:0::/run/operator:/bin/bash'
    cat /etc/passwd
} >operator/etc/passwd
printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files dns' >operator/etc/nsswitch.conf
echo 'nameserver 198.51.100.53' >operator/etc/resolv.conf
echo '127.0.0.1 localhost operator' >operator/etc/hosts
mkdir -p operator/etc/ssh
echo '# Empty: the defaults of OpenSSH.' >operator/etc/ssh/ssh_config
nsenter --net=/run/netns/operator unshare --mount --uts bash -euc '
    echo operator >/proc/sys/kernel/hostname
    mount -t overlay -o lowerdir=operator/etc:/etc,upperdir=operator/upper,workdir=operator/work overlay /etc
    echo $$ >operator/pid
    mount --bind proc /proc
    echo operator >&3
    exec sleep infinity
' </dev/null >/dev/null &

for ((i = 0; i < count + 3; i++)); do
    read -r -t 60 _ <&3 || { echo "up.sh: only $i of $((count + 3)) hosts started" >&2; exit 1; }
done
if ((count > 0)); then
    cat nodes/*/known_hosts >/run/operator/.ssh/known_hosts
    # These two forward to n1.
    read -r _ key <nodes/n1/known_hosts
    echo "192.168.66.5,192.168.66.6 $key" >>/run/operator/.ssh/known_hosts
fi

# The outside reads no output after this line.
echo "ready $outside_pid"
exec >/dev/null 2>&1 3>&-
set +eE
trap - ERR
