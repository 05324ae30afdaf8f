# A node's init process. $1 is the node's name, $2 its names and addresses for
# known_hosts, separated by commas.
set -euE
trap 'echo "node.sh ($1), line $LINENO: $BASH_COMMAND: failed" >&2' ERR
name=$1
names=$2
directory=/run/lab/nodes/$name

# Its PID in the sandbox, for nsenter from the outside.
read -r pid _ </proc/self/stat
echo "$pid" >"$directory/pid"
mount -t proc proc /proc
echo "$name" >/proc/sys/kernel/hostname
ip -batch "$directory/network"

mount -t overlay -o "lowerdir=/run/lab/node-etc:/etc,upperdir=$directory/etc,workdir=$directory/etc-work" overlay /etc
mount -t overlay -o "lowerdir=/run/lab/node-home,upperdir=$directory/home,workdir=$directory/home-work" overlay /home
mount --bind "$directory/tmp" /tmp
# Protects the machine's files from commands that tests run as root on a node.
mount -o remount,bind,ro /

echo "$name" >/etc/hostname
ssh-keygen -q -t ed25519 -N '' -C "$name" -f /etc/ssh/host_key
read -r type key _ </etc/ssh/host_key.pub
echo "$names $type $key" >"$directory/known_hosts"
# sshd returns once it listens.
/usr/sbin/sshd -o "PidFile=$directory/sshd.pid" -E "$directory/sshd.log"

cd /run/lab
exec perl stub.pl "$directory" kubelet=[::]:10250 containerd=127.0.0.1:38671
