use super::*;

fn socket(line: &str) -> String {
    match parse_line(line.as_bytes()) {
        Line::Row(row) => {
            let Socket { state, local, peer } = &row.socket;
            let names: Vec<_> =
                row.processes.map(|process| String::from_utf8_lossy(process.comm).into_owned()).collect();
            format!("{} {local} {peer} {}", state.as_str(), names.join("+")).trim_end().to_owned()
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn rows_of_ss_and_netstat() {
    for (line, expected) in [
        (
            "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\",pid=1,fd=2))",
            "ESTAB 1.2.3.4:5 6.7.8.9:443 kubelet",
        ),
        (
            "ESTAB\t0\t0\t1.2.3.4:5\t6.7.8.9:443\tusers:((\"kubelet\",1,2))",
            "ESTAB 1.2.3.4:5 6.7.8.9:443 kubelet",
        ),
        ("0 0 1.2.3.4:5 6.7.8.9:443 \r", "UNKNOWN 1.2.3.4:5 6.7.8.9:443"),
        ("0 1 1.2.3.4:5 6.7.8.9:443", "UNKNOWN 1.2.3.4:5 6.7.8.9:443"),
        ("0 0 [2001:db8::1]:5 [2001:db8::2]:443", "UNKNOWN [2001:db8::1]:5 [2001:db8::2]:443"),
        ("0 64 *:22 *:*", "LISTEN *:22 *:*"),
        ("tcp LISTEN 0 64 *:22 *:* users:((\"sshd\",pid=1,fd=2))", "LISTEN *:22 *:* sshd"),
        (
            "tcp 0 0 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\",pid=1,fd=2))",
            "UNKNOWN 1.2.3.4:5 6.7.8.9:443 kubelet",
        ),
        (
            "tcp        0      0 1.2.3.4:5   6.7.8.9:443  ESTABLISHED 21355/kubelet   ",
            "ESTAB 1.2.3.4:5 6.7.8.9:443 kubelet",
        ),
        (
            "tcp6  1  0 192.168.2.94:10250 192.168.2.10:35819 CLOSE_WAIT  -",
            "CLOSE-WAIT 192.168.2.94:10250 192.168.2.10:35819",
        ),
        ("  ESTAB 0 0 1.2.3.4:5 6.7.8.9:443", "ESTAB 1.2.3.4:5 6.7.8.9:443"),
        ("SYN-SENT 0 1 192.168.1.20:34296 203.0.113.10:443", "SYN-SENT 192.168.1.20:34296 203.0.113.10:443"),
    ] {
        assert_eq!(socket(line), expected, "{line}");
    }
}

#[test]
fn lines_that_are_not_rows() {
    for (line, expected) in [
        ("", "Rejected(Blank)"),
        ("   \r", "Rejected(Blank)"),
        ("\t", "Continuation"),
        ("\t bbr wscale:10,10 rto:204", "Continuation"),
        ("         users:((\"kubelet\",pid=1,fd=2))", "Continuation"),
        ("State  Recv-Q Send-Q  Local Address:Port  Peer Address:PortProcess", "Header"),
        ("Recv-Q Send-Q   Local Address:Port   Peer Address:Port Process", "Header"),
        ("\u{feff}State Recv-Q Send-Q Local Address:Port Peer Address:Port Process", "Header"),
        ("Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port", "Header"),
        ("Active Internet connections (w/o servers)", "Header"),
        (
            "Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name    ",
            "Header",
        ),
        ("Recv-Q Send-Q Local Address:Port Peer Address:Port---Output truncated---", "Rejected(LeftOut)"),
        ("[root@n1 ~]# ss -tnp", "Rejected(NotARow)"),
        ("-----", "Rejected(NotARow)"),
        ("**", "Rejected(NotARow)"),
        ("Mon Nov 23 05:12:03 UTC 2026", "Rejected(NotARow)"),
        ("ESTAB 0 0 1.2.3.4:5", "Rejected(BrokenRow)"),
        ("FIN-WAIT-2 0      0", "Rejected(BrokenRow)"),
        ("LISTEN", "Rejected(BrokenRow)"),
        ("ESTAB 0 x 1.2.3.4:5 6.7.8.9:443", "Rejected(BrokenRow)"),
        ("> ESTAB 0 0 1.2.3.4:5 6.7.8.9:443", "Rejected(BrokenRow)"),
        ("u_str ESTAB 0 0 /run/x.sock 123 * 456", "Rejected(NotTcp)"),
        ("udp UNCONN 0 0 127.0.0.1:323 0.0.0.0:*", "Rejected(NotTcp)"),
        ("ESTAB 0 0 ip-10-0-0-1.ec2.internal:ssh 6.7.8.9:443", "Rejected(NameForAddress)"),
    ] {
        assert_eq!(socket(line), expected, "{line}");
    }
    assert_eq!(parse_line(b">> node ip-192-168-1-20 <<"), Line::Node(b"ip-192-168-1-20"));
    assert_eq!(parse_line(b">> node a b <<\r"), Line::Node(b"a b"));
    assert_eq!(parse_line(b"  >> Node n1 << "), Line::Node(b"n1"));
    assert_eq!(parse_line(b">> node <<"), Line::Node(b""));
    assert_eq!(parse_line(b">> nodes <<"), Line::Rejected(RejectReason::NotARow));
}

#[test]
fn lines_that_say_that_rows_were_left_out() {
    for line in [
        "...",
        "    ...   ",
        "....",
        "[...]",
        "[ ... ]",
        "<...>",
        ". . .",
        "# ...",
        "…",
        "[…]",
        "⋮",
        "[snip]",
        "(snip)",
        "<snip>",
        "--- SNIP ---",
        "--8<--",
        "[truncated]",
        "---Output truncated---",
        "--output truncated--",
        "---Error truncated----",
        "-------OUTPUT TRUNCATED-",
        "Output truncated due to size limit.",
        "Output too long, truncated",
        "--More--",
        "-- More --",
        "<truncated 20 lines>",
        "... (truncated)",
        "--More--(42%)",
        "--More-- (Next 1 page)",
        "lines 1-23",
        "lines 1-23/50 45%",
        ":",
        "... 12 more lines ...",
        "...12 more lines...",
        "+12 more",
        "and 12 more",
        "12 more rows",
        "(120 rows omitted)",
        "--- 12 lines removed ---",
        "[some lines removed]",
        "<omitted for brevity>",
        "... and so on",
        "and so on",
        "(... many more ...)",
        "etc.",
        "[Message clipped]  View entire message",
    ] {
        assert_eq!(parse_line(line.as_bytes()), Line::Rejected(RejectReason::LeftOut), "{line}");
    }
}

#[test]
fn lines_that_are_neither_rows_nor_markers() {
    for line in [
        "=====",
        "-----",
        "**",
        "~~~",
        "3 nodes",
        "1/2 done",
        "# more",
        "$ sudo ss -tnp | more",
        "$ cat nodes.txt | cut -d' ' -f1",
        "waiting for n1...",
        "retrying in 5 seconds...",
        "Connecting to 10.0.0.1:443...",
        "curl -v https://10.0.0.1:443/",
        "[root@n1 ~]# ss -tnp | grep ESTAB",
        "lines 25-50/50 (END)",
        "sh-4.2$ ss -tnp state established",
        "Active UNIX domain sockets (w/o servers)",
        "Exiting session with sessionId: ops-0a1b2c3d4e5f.",
        "(Not all processes could be identified, non-owned process info",
        " will not be shown, you would have to be root to see it all.)",
        "aws-k8s-a 3301 root 7u IPv4 22514 0t0 TCP n1:36338->n2:https (ESTABLISHED)",
        "kubelet 301 root 7u IPv4 22514 0t0 TCP 10.0.0.1:36338->10.0.0.2:443 (ESTABLISHED)",
        "09:45:42.934459 IP 10.0.1.2.36338 > 10.0.9.9.443: Flags [.], ack 3",
    ] {
        assert_eq!(parse_line(line.as_bytes()), Line::Rejected(RejectReason::NotARow), "{line}");
    }
    for line in ["UDP 0 0 10.0.0.1:68 10.0.0.2:67 ESTABLISHED", "unix 3 [ ] STREAM CONNECTED 5 2/kubelet"] {
        assert_eq!(parse_line(line.as_bytes()), Line::Rejected(RejectReason::NotTcp), "{line}");
    }
}

#[test]
fn parts_of_rows_and_damaged_rows() {
    const USERS: &str = "users:((\"kubelet\",pid=1,fd=2))";
    for line in [
        "estab 0 0 1.2.3.4:5 6.7.8.9:443",
        "estab 0 0 n1:5 n2:https",
        "STAB 0 0 1.2.3.4:5 6.7.8.9:443 USERS",
        "\testab 0 0 1.2.3.4:5 6.7.8.9:443 USERS",
        "USERS 1.2.3.4:5 6.7.8.9:443 ESTAB",
        "> ESTAB 0 0 1.2.3",
        "| ESTAB | 0 | 0 | 1.2.3.4:5 | 6.7.8.9:443 |",
        "ESTAB,0,0,1.2.3.4:5,6.7.8.9:443,kubelet",
        "ESTAB\u{a0}0\u{a0}0\u{a0}1.2.3.4:5\u{a0}6.7.8.9:443",
        "{\"local\":\"1.2.3.4:5\",\"peer\":\"6.7.8.9:443\"}",
        "n1: '1.2.3.4:5', '[2001:db8::1]:443',",
        "0 0 1.2.3.4:5",
        "43 USERS",
        "rs:((\"kubelet\",pid=1,fd=2))",
        "let\",pid=1,fd=2))",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 us",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 users:((",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\",pid=1",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 users:((&quot;kubelet&quot;,pid=1,fd=2))",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 ...",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 ---Output truncated---",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 USERS--output truncated--",
        "TIME-WAIT 0 0 1.2.3.4:5 6.7.8.9:443---Output truncated---",
        "   users:((\"kubelet\",pid=1,fd",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 USERSESTAB 0 0 1.2.3.4:6 6.7.8.9:443 USERS",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 USERS\rESTAB 0 0 1.2.3.4:6 6.7.8.9:443 USERS",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 ESTAB 0 0 1.2.3.4:6 6.7.8.9:443 USERS",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 ESTAB 0 0 1.2.3.4:6 6.7.8.9:443",
        "tcp 0 0 1.2.3.4:5 6.7.8.9:443 ESTABLISHED 1/kubelet tcp 0 0 1.2.3.4:5 6.7.8.9:443 ESTABLISHED 2/b",
        "State Recv-Q Send-Q Local Address:Port Peer Address:PortProcessESTAB 0 0 1.2.3.4:5 6.7.8.9:443",
        "tcp        0      0 1.2.3.4:5",
        "tcp 0 0 1.2.3.4:5 6.7.8.9:443 established 1/kubelet",
        "TCP 0 0 1.2.3.4:5 6.7.8.9:443 ESTABLISHED 1/kubelet",
        "SHED 3011/kubelet",
    ] {
        let line = line.replace("USERS", USERS);
        assert_eq!(parse_line(line.as_bytes()), Line::Rejected(RejectReason::BrokenRow), "{line}");
    }
    for line in [
        "ESTAB 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\"...))  \u{2190} new",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 USERS timer:(keepalive,9sec,0) ino:1 sk:2 <->",
        "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 timer:(keepalive,9sec,0) USERS",
        "TIME-WAIT 0 0 1.2.3.4:5 6.7.8.9:443 timer:(timewait,59sec,0) ino:0 sk:1b",
        "tcp 0 0 1.2.3.4:5 6.7.8.9:443 ino:0 sk:1b",
    ] {
        let line = line.replace("USERS", USERS);
        assert!(matches!(parse_line(line.as_bytes()), Line::Row(_)), "{line}");
    }
}
