//! The shell script that prints the sockets of a node without `ss`.

/// Functions of the script, for a POSIX shell such as that of `BusyBox`: `tables` prints the sockets
/// of the node's network namespace, `owners` their processes. They use `ls` and `sed`. Each part ends with
/// the number of its lines.
///
/// Unless it is asked for all, `tables` prints of what `ss` leaves out only the number of the
/// row: sockets that listen, are not accepted yet, or wait for late segments (states 03, 06,
/// 07, 0A and 0C). Process 1 is
/// in the host's network namespace, whatever that of the shell. One `ls` reads the
/// descriptors of all processes, and its output is reduced at once: a file's name can contain
/// a line feed and would otherwise forge any line. Only the first line of a name is read, for
/// the same reason.
macro_rules! functions {
    () => {
        "tables() { for table in tcp tcp6; do \
if [ -e /proc/1/net/tcp ] && ! [ -e /proc/1/net/$table ]; then echo \">> no /proc/1/net/$table\"; continue; fi; \
echo \">> /proc/1/net/$table\"; \
if [ \"$1\" = all ]; then sed -n -e p -e '$=' /proc/1/net/$table; else \
sed -n -e 's/^ *\\([0-9]*:\\) [0-9A-F]*:[0-9A-F]* [0-9A-F]*:[0-9A-F]* 0[367AC] .*$/\\1/' -e p -e '$=' /proc/1/net/$table; fi || return; done; }; \
owners() { echo '>> fds'; ls -ln /proc/[0-9]*/fd 2>/dev/null | sed -n \
-e 's/^.* \\([0-9][0-9]*\\) -> \\(socket:\\[[0-9]*\\]\\)$/\\1 \\2/p' -e '/^\\/proc\\/[0-9]*\\/fd:$/p' | sed -n -e p -e '$='; \
echo '>> comm'; count=0; for process in /proc/[0-9]*; do \
{ IFS= read -r name <$process/comm; } 2>/dev/null && \
printf '%s %s\\n' $process \"$name\" && count=$((count + 1)); done; echo $count; }; "
    };
}

#[cfg(feature = "live")]
pub(crate) use functions;

/// The script that prints a capture of the connections of a node, from the first line to the
/// last. It must run in the host's namespace of processes; their descriptors can be read as
/// root with the capability `SYS_PTRACE`.
pub const SCRIPT: &str = concat!(
    "LC_ALL=C; export LC_ALL; ",
    functions!(),
    "echo '>> proc'; tables && owners && echo '>> end counted'"
);
