//! The scripts in a Job's pod, where there is no `ss`: the sockets of the host and their
//! owners are read in /proc, through the host's first process, and printed as
//! [`proc_script`](crate::capture::proc_script) describes.
//!
//! Whether the owners can be read shows in whether the file of the first process can. `sh`,
//! `cat`, `chroot`, `date`, `ls`, `readlink`, `sed` and `sleep` are used, as `BusyBox` has them, and the host's
//! `getent`, which reads the host's configuration of name resolution. A host without it, such
//! as one of Bottlerocket, has its first name server asked by `nslookup`, unless that is on
//! the host's loopback interface, which is not the pod's.

use crate::capture::proc_script::functions;

/// The script that reads a node once.
pub(super) const READ: &str = concat!(
    "LC_ALL=C; export LC_ALL; ",
    functions!(),
    "IFS= read -r marker; echo \"$marker ss\"; \
if readlink /proc/1/exe >/dev/null 2>&1; then \
( echo '>> proc'; tables && owners && echo '>> end counted' ) </dev/null; echo \"$marker end $?\"; \
else echo \"$marker end 1\"; echo \"$marker ss-unprivileged\"; \
( echo '>> proc'; tables && echo '>> end counted' ) </dev/null; echo \"$marker end $?\"; fi; \
IFS= read -r host; \
if [ -n \"$host\" ]; then echo \"$marker dns\"; chroot /proc/1/root getent ahosts \"$host\" </dev/null; status=$?; \
case $status in 126|127) server=; while read -r key value rest; do \
if [ \"$key\" = nameserver ]; then server=$value; break; fi; done </proc/1/root/etc/resolv.conf; \
case $server in ''|127.*|::1) ;; *) nslookup \"$host\" \"$server\" </dev/null; status=$?;; esac;; esac; \
echo \"$marker end $status\"; fi"
);

/// The script that starts the loop of samples, which it reads from standard input.
pub(super) const SAMPLE: &str = "\
LC_ALL=C; export LC_ALL; IFS= read -r marker; IFS= read -r loop; echo \"$marker login\"; \
exec sh -c \"$loop\" loop root";

/// The loop: a sample for each line of standard input that has the options of `ss`. It ends
/// itself if no line arrives for 30 s. One process prints both tables: a sample must take as
/// little time as can be, since the interval grows with it.
pub(super) const LOOP: &str = concat!(
    "IFS= read -r marker; watchdog=; ",
    functions!(),
    "watch() { \
read -r up rest </proc/uptime; if [ $((${up%.*} - ${since:-0})) -lt 2 ]; then return; fi; since=${up%.*}; \
if [ -n \"$watchdog\" ]; then kill $watchdog 2>/dev/null; fi; \
( trap : TERM; sleep 30 & timer=$!; trap 'kill $timer 2>/dev/null; exit' TERM; wait $timer; \
read -r pid name state parent rest </proc/self/stat; if [ \"$parent\" != $$ ]; then exit; fi; \
kill $$; sleep 2 & timer=$!; wait $timer; kill -KILL 0 ) </dev/null >/dev/null 2>&1 & watchdog=$!; }; \
trap 'kill $watchdog 2>/dev/null' EXIT; trap exit HUP INT PIPE TERM; watch; \
opened() { opened=; while read -r name a b c d e passive rest; do \
case $name$a in Tcp:[0-9]*) opened=$passive; break; esac; done </proc/1/net/snmp; }; \
six=/proc/1/net/tcp6; note=; if ! [ -e $six ]; then six=; note=\">> no /proc/1/net/tcp6\"; fi; \
part='s/^ *sl .*/>> \\/proc\\/1\\/net\\/tcp\\n&/'; \
sockets() { echo '>> proc'; if [ -n \"$note\" ]; then echo \"$note\"; fi; \
case $1 in *a*) sed -n -e \"$part\" -e p -e '$=' /proc/1/net/tcp $six;; *) sed -n -e \"$part\" \
-e 's/^ *\\([0-9]*:\\) [0-9A-F]*:[0-9A-F]* [0-9A-F]*:[0-9A-F]* 0[367AC] .*$/\\1/' -e p -e '$=' /proc/1/net/tcp $six;; esac && \
case $1 in *p) owners; esac && echo '>> end counted'; }; \
rights=none; if readlink /proc/1/exe >/dev/null 2>&1; then rights=root; fi; \
read -r up rest </proc/uptime; echo \"$marker rights $rights\"; echo \"$marker clock $(date +%s.%N) $up\"; \
while read -r options counted; do \
if [ \"$options\" = keep ]; then watch; continue; fi; \
opened=; if [ -n \"$counted\" ]; then opened; fi; \
read -r up rest </proc/uptime; echo \"$marker sample $up $opened\"; \
sockets $options </dev/null; status=$?; \
read -r up rest </proc/uptime; echo \"$marker end $status $up\"; done; \
opened; echo \"$marker opened $opened\""
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_is_one_line() {
        assert!(!LOOP.contains('\n'));
    }
}
