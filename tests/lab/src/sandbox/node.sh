# The first process of a node: $1 is its name, $2 all by which ssh may know it.
set -euE
trap 'echo "node.sh ($1), line $LINENO: $BASH_COMMAND: failed" >&2' ERR
name=$1
names=$2
here=/run/lab/nodes/$name

# Its number in the sandbox, by which the outside enters.
read -r pid _ </proc/self/stat
echo "$pid" >"$here/pid"
mount -t proc proc /proc
echo "$name" >/proc/sys/kernel/hostname
ip -batch "$here/network"

mount -t overlay -o "lowerdir=/run/lab/node-etc:/etc,upperdir=$here/etc,workdir=$here/etc-work" overlay /etc
mount -t overlay -o "lowerdir=/run/lab/node-home,upperdir=$here/home,workdir=$here/home-work" overlay /home
mount --bind "$here/tmp" /tmp
# What a test does to a node as root must not reach the machine.
mount -o remount,bind,ro /

echo "$name" >/etc/hostname
ssh-keygen -q -t ed25519 -N '' -C "$name" -f /etc/ssh/host_key
read -r type key _ </etc/ssh/host_key.pub
echo "$names $type $key" >"$here/known_hosts"
# Returns once it listens.
/usr/sbin/sshd -o "PidFile=$here/sshd.pid" -E "$here/sshd.log"

cd /run/lab
exec perl stand-in.pl "$here" kubelet=[::]:10250 containerd=127.0.0.1:38671
