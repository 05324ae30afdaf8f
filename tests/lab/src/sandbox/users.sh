# The users of every node: one that works, and one for each way in which a login or
# reading the socket table can fail. Sourced by up.sh.
#
# Writes node-etc/ and node-home/, the lower layers of the nodes' overlay mounts.

node_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# add_user NAME [SHELL]
add_user() {
    local name=$1 shell=${2:-/bin/bash} home=node-home/$1 id=$next_id
    next_id=$((next_id + 1))
    echo "$name:x:$id:$id::/home/$name:$shell" >>node-etc/passwd
    # Not "!": sshd treats that as a locked account.
    echo "$name:*:19000:0:99999:7:::" >>node-etc/shadow
    echo "$name:x:$id:" >>node-etc/group
    mkdir -p "$home/bin"
    cp operator-key.pub "node-etc/ssh/authorized_keys/$name"
    chown -R "$id:$id" "$home"
}

# add_program USER NAME <TEXT
add_program() {
    cat >"node-home/$1/bin/$2"
    chmod 755 "node-home/$1/bin/$2"
}

# link_programs USER NAME...
link_programs() {
    local user=$1 program
    shift
    for program; do
        ln -s "$(PATH=$node_path command -v "$program")" "node-home/$user/bin/$program"
    done
}

mkdir -p node-etc/ssh/authorized_keys node-home/root
echo 'root:x:0:0:root:/home/root:/bin/bash' >node-etc/passwd
echo 'root:*:19000:0:99999:7:::' >node-etc/shadow
echo 'root:x:0:' >node-etc/group
cp operator-key.pub node-etc/ssh/authorized_keys/root
# For sshd's privilege separation.
echo 'sshd:x:900:900::/run/sshd:/usr/sbin/nologin' >>node-etc/passwd
echo 'sshd:!:19000:0:99999:7:::' >>node-etc/shadow
echo 'nogroup:x:65534:' >>node-etc/group
echo 'nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin' >>node-etc/passwd
echo 'tty:x:5:' >>node-etc/group
echo 'shadow:x:42:' >>node-etc/group
next_id=1000

add_user ec2-user
add_user onlyss
add_user nosudo
add_user askpass
add_user requiretty
add_user nologin /usr/sbin/nologin

add_user otherkey
ssh-keygen -q -t ed25519 -N '' -C other -f other-key
cp other-key.pub node-etc/ssh/authorized_keys/otherkey

add_user noss
link_programs noss sh bash id cat sudo sleep
add_user noawk
link_programs noawk sh bash id cat sudo ss getent sleep
add_user nocurl
link_programs nocurl sh bash id cat sudo ss getent sleep awk timeout
add_user liar
add_program liar curl <<'END'
#!/bin/sh
. /tmp/curl
END
add_user nosudobin
link_programs nosudobin sh bash id cat ss sleep

add_user noisy
cat >node-etc/ssh/banner <<'END'
###############################################################
#  ALERT: authorized users only. All activity is monitored.   #
###############################################################
END
cat >node-home/noisy/.bashrc <<'END'
echo "Last login: Mon Nov 20 09:12:44 2023 from 198.51.100.7"
echo "   ,     #_   Amazon Linux 2 AMI"
echo "7 package(s) needed for security, out of 13 available"
echo "bash: warning: setlocale: LC_ALL: cannot change locale (ko_KR.UTF-8)" >&2
trap 'echo "[noisy@$HOSTNAME ~]\$ $BASH_COMMAND"' DEBUG
END

rows='State Recv-Q Send-Q    Local Address:Port     Peer Address:Port Process
ESTAB 0      0        192.168.10.10:40000    203.0.113.10:443  users:(("kubelet",pid=2970,fd=11))
ESTAB 0      0        192.168.10.10:40002    203.0.113.11:443  users:(("kube-proxy",pid=3243,fd=10))'
add_user flood
add_program flood ss <<END
#!/bin/sh
printf '%s\n' '$rows'
exec yes 'ESTAB 0 0 192.168.10.10:40000 203.0.113.10:443 users:(("kubelet",pid=2970,fd=11))'
END
add_user blank
add_program blank ss <<END
#!/bin/sh
END
add_user hang
add_program hang ss <<END
#!/bin/sh
printf '%s\n' '$rows'
exec sleep infinity
END
add_user cut
# Kills the sshd processes of this connection. The listening sshd, whose parent is
# the node's init process, keeps running.
add_program cut ss <<END
#!/bin/bash
printf '%s\n' '$rows'
sleep 0.2
pid=\$\$
while [ "\$pid" -gt 1 ]; do
    read -r comm <"/proc/\$pid/comm"
    parent=\$(sed -n 's/^PPid:\t//p' "/proc/\$pid/status")
    case \$comm in sshd*) [ "\$parent" = 1 ] || victims="\$victims \$pid" ;; esac
    pid=\$parent
done
kill -KILL \$victims
sleep 1
END
cp sshd_config node-etc/ssh/sshd_config
# OpenSSH since 9.8 blocks an address after a few failed logins, which tests cause
# on purpose.
if grep -qi persourcepenalties "$(command -v sshd)"; then
    sed -i '1i PerSourcePenalties no' node-etc/ssh/sshd_config
fi
install -m 440 sudoers node-etc/sudoers
printf '%s\n' 'passwd: files' 'group: files' 'shadow: files' 'hosts: files dns' >node-etc/nsswitch.conf
echo 'nameserver 192.168.0.2' >node-etc/resolv.conf
chmod 640 node-etc/shadow
