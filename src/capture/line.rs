//! The grammar of one line.
//!
//! A line is split into columns at blanks and TABs, not at offsets: the column widths
//! depend on the widest address, the terminal and the version. A row of `ss` is
//! `[netid] [state] recv-q send-q local peer [rest]`, a row of `netstat`
//! `proto recv-q send-q local peer state [rest]`.

use super::address::{CommonAddress, NotAnAddress, parse_netstat, parse_ss};
use super::bytes::{self, digits, is_blank_or_end};
use super::processes::{Processes, USERS};
use crate::model::node::RejectReason;
use crate::model::socket::{Port, Socket, State};

/// A parsed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// Column headings, or the title line of `netstat`.
    Header,
    /// A marker line `>> node NAME <<`, which precedes the rows of a node in a combined
    /// capture.
    Node(&'a [u8]),
    /// A socket row.
    Row(Row<'a>),
    /// A continuation line of the row above it.
    Continuation,
    /// Anything else.
    Rejected(RejectReason),
}

/// A socket row: the socket and its processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// The socket.
    pub socket: Socket,
    /// The processes that have the socket open.
    pub processes: Processes<'a>,
    /// Whether the row has the column of the state, which `ss state X` omits.
    pub has_state: bool,
}

/// Parses one line, passed without its line feed.
#[must_use]
pub fn parse_line(line: &[u8]) -> Line<'_> {
    let text = line.trim_ascii_end();
    match parse_row(text) {
        Ok(_) if has_open_users(text) || ends_with_marker(text) => Line::Rejected(RejectReason::BrokenRow),
        Ok(row) => Line::Row(row),
        Err(reason) => parse_other(line, text, reason),
    }
}

/// Whether a marker of left-out lines follows a row on the same line.
fn ends_with_marker(text: &[u8]) -> bool {
    text.ends_with(b"--")
        && memchr::memmem::rfind(text, b"))").is_some_and(|end| is_left_out(&text[end + 2..]))
}

/// Whether the `users:` column of a row does not end. Most rows end with it.
fn has_open_users(text: &[u8]) -> bool {
    !text.ends_with(b"))")
        && memchr::memmem::find(text, USERS)
            .is_some_and(|start| memchr::memmem::find(&text[start + USERS.len()..], b"))").is_none())
}

/// Whether a line is the `users:` column of the row above it, wrapped to the next line.
pub(super) fn is_wrapped_users(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(USERS)
}

fn parse_other<'a>(line: &'a [u8], text: &'a [u8], reason: RejectReason) -> Line<'a> {
    if text.is_empty() {
        // `-i` prints a single TAB below a socket that has already been closed.
        return if line.starts_with(b"\t") {
            Line::Continuation
        } else {
            Line::Rejected(RejectReason::Blank)
        };
    }
    if is_wrapped_users(line) && has_open_users(text) {
        return Line::Rejected(RejectReason::BrokenRow);
    }
    if line.starts_with(b"\t") || is_wrapped_users(line) {
        return Line::Continuation;
    }
    if is_header(text) {
        return Line::Header;
    }
    if let Some(name) = node_marker(text) {
        return Line::Node(name);
    }
    Line::Rejected(match reason {
        RejectReason::NotARow if is_left_out(text) => RejectReason::LeftOut,
        RejectReason::NotARow if names_state(text) || has_two_addresses(text) => RejectReason::BrokenRow,
        other => other,
    })
}

/// Whether a line that does not parse as a row begins with a TCP state, or contains the
/// name of a live one before a queue or an address: a row that was truncated, quoted in a
/// mail, or damaged. A command such as `grep ESTAB` is none.
fn names_state(text: &[u8]) -> bool {
    let (first, mut rest) = token(text);
    if parse_ss_state(first).is_some() {
        return true;
    }
    while !rest.is_empty() {
        let (word, after) = token(rest);
        let is_live = matches!(word, b"ESTAB" | b"ESTABLISHED" | b"SYN-SENT" | b"SYN_SENT");
        let (next, _) = token(after);
        if is_live && next.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'[') {
            return true;
        }
        rest = after;
    }
    false
}

/// Whether a line has two words that are an address with a port, whatever surrounds them: a
/// row whose first columns are damaged.
fn has_two_addresses(text: &[u8]) -> bool {
    let mut addresses = 0;
    let mut rest = text;
    while !rest.is_empty() && addresses < 2 {
        let (word, after) = token(rest);
        let word = word.trim_ascii();
        let begin = word.iter().position(|byte| !b",;|<>\"'`(".contains(byte)).unwrap_or(word.len());
        let end = word.iter().rposition(|byte| !b",;|<>\"'`)".contains(byte)).map_or(begin, |last| last + 1);
        addresses += u32::from(parse_ss(&word[begin..end.max(begin)]).is_ok());
        rest = after;
    }
    addresses == 2
}

/// The longest line that is examined for a marker of left-out lines.
const MARKER_MAX: usize = 80;

/// Whether a line says that lines were left out: an ellipsis, `[snip]`, the prompt of a
/// pager, or the marker with which the SSM agent ends output that it cut.
fn is_left_out(text: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(text).ok().filter(|text| text.len() <= MARKER_MAX) else {
        return false;
    };
    let text = text.trim().to_lowercase();
    let is_frame = |char: char| char.is_whitespace() || "-.…<>()[]{}*~".contains(char);
    let words = text.trim_matches(is_frame);
    let has_ellipsis = text.contains("...") || text.contains('…') || text.contains(". . .");
    let has_dashes = text.starts_with("--");
    match words {
        "" => has_ellipsis,
        "snip" | "snipped" | "snipping" | "cut" | "truncated" | "omitted" | "skipped" | "elided" | "etc"
        | "and so on" | "output truncated" | "error truncated" | "more output" => true,
        "more" => has_dashes || has_ellipsis,
        _ if has_dashes && words.starts_with("more--") => true,
        _ => {
            let mut all = words.split_whitespace();
            let counts = all.clone().count() <= 6
                && all.clone().any(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
            let is_verb =
                |word: &str| ["omitted", "truncated", "snipped", "skipped", "elided"].contains(&word);
            counts && (has_ellipsis || all.any(is_verb))
        }
    }
}

/// The first tokens of rows and of wrapped `users:` columns.
const ROW_STARTS: [&[u8]; 15] = [
    b"ESTAB",
    b"SYN-SENT",
    b"SYN-RECV",
    b"NEW-SYN-RECV",
    b"FIN-WAIT-1",
    b"FIN-WAIT-2",
    b"TIME-WAIT",
    b"CLOSE-WAIT",
    b"LAST-ACK",
    b"LISTEN",
    b"CLOSING",
    b"UNCONN",
    b"tcp6",
    b"mptcp",
    b"users:((",
];

/// Whether the last line of a capture is a truncated row, given that no line feed
/// terminates it. `ss` and `netstat` terminate every row with one.
pub(super) fn is_truncated(line: &[u8], parsed: &Line<'_>) -> bool {
    let is_closed = || memchr::memmem::find(line, b"))").is_some();
    match parsed {
        // `netstat` pads its last column, so a trailing blank proves that it is complete.
        Line::Row(row) if row.processes.is_netstat() => row.processes.is_empty() || !line.ends_with(b" "),
        // Text copied from a terminal may lack the last line feed; the row is complete
        // if its last column, `users:((...))`, is.
        Line::Row(_) => !is_closed(),
        Line::Continuation => is_wrapped_users(line) && !is_closed(),
        Line::Rejected(_) => {
            let text = line.trim_ascii();
            let is_row_start = ROW_STARTS.iter().any(|start| start.starts_with(text));
            !text.is_empty() && is_row_start || matches!(token(text).0, b"tcp" | b"tcp6" | b"mptcp")
        }
        Line::Header | Line::Node(_) => false,
    }
}

fn is_header(text: &[u8]) -> bool {
    let first_headings: [&[u8]; 4] = [b"State", b"Netid", b"Recv-Q", b"Proto"];
    let (first, _) = token(text);
    (first_headings.contains(&first) && memchr::memmem::find(text, b"Local Address").is_some())
        || text.starts_with(b"Active Internet connections")
}

/// Returns the name in a marker line `>> node NAME <<`.
fn node_marker(text: &[u8]) -> Option<&[u8]> {
    let inside = text.trim_ascii_start().strip_prefix(b">>")?.strip_suffix(b"<<")?.trim_ascii();
    let (word, name) = inside.split_at_checked(4)?;
    let is_marker = word.eq_ignore_ascii_case(b"node") && name.first().is_none_or(u8::is_ascii_whitespace);
    is_marker.then(|| name.trim_ascii())
}

fn parse_row(text: &[u8]) -> Result<Row<'_>, RejectReason> {
    let (first, rest) = token(text);
    let (state, columns) = match (parse_ss_state(first), first) {
        (Some(state), _) => (Some(state), rest),
        (None, b"tcp" | b"tcp6" | b"mptcp") => {
            let (second, after) = token(rest);
            match parse_ss_state(second) {
                Some(state) => (Some(state), after),
                None => match parse_netstat_columns(rest) {
                    Some(row) => return Ok(row),
                    None => (None, rest),
                },
            }
        }
        (None, _) if after_number(text).is_some() => (None, text),
        (None, _) if is_other_netid(first) => return Err(RejectReason::NotTcp),
        (None, _) => return Err(RejectReason::NotARow),
    };
    parse_ss_columns(state, columns)
}

fn parse_ss_columns(state: Option<State>, text: &[u8]) -> Result<Row<'_>, RejectReason> {
    // Rows that were shortened by hand may lack the queues.
    let after_queues = match (after_queues(text), state) {
        (Some(after_queues), _) => after_queues,
        (None, Some(_)) => text,
        (None, None) => return Err(RejectReason::NotARow),
    };
    let has_state = state.is_some();
    if let Some((local, rest)) = CommonAddress::parse_prefix(skip_blanks(after_queues))
        && let Some((peer, rest)) = CommonAddress::parse_prefix(skip_blanks(rest))
    {
        // The form of most rows. The addresses are built in place and not moved again.
        let state = state.unwrap_or(State::Established);
        let processes = Processes::from_ss(skip_blanks(rest));
        return Ok(Row {
            socket: Socket { state, local: local.into(), peer: peer.into() },
            processes,
            has_state,
        });
    }
    let (local, rest) = token(after_queues);
    let (peer, rest) = token(rest);
    let local = parse_ss(local).map_err(reject)?;
    let peer = parse_ss(peer).map_err(reject)?;
    // `ss state X` omits the state column, so X is unknown. It is almost always
    // `established`; a peer with port `*` belongs to a listening socket.
    let state = state.unwrap_or(if peer.port == Port::Any { State::Listen } else { State::Established });
    let processes = Processes::from_ss(skip_blanks(rest));
    Ok(Row { socket: Socket { state, local, peer }, processes, has_state })
}

fn parse_netstat_columns(text: &[u8]) -> Option<Row<'_>> {
    let (local, rest) = token(after_queues(text)?);
    let (peer, rest) = token(rest);
    let (state, rest) = token(rest);
    let state = parse_netstat_state(state)?;
    let socket = Socket { state, local: parse_netstat(local).ok()?, peer: parse_netstat(peer).ok()? };
    Some(Row { socket, processes: Processes::from_netstat(rest), has_state: true })
}

/// Skips the columns Recv-Q and Send-Q and returns the rest.
#[inline]
fn after_queues(text: &[u8]) -> Option<&[u8]> {
    after_number(after_number(text)?)
}

/// Skips the next token if it is a number, and returns the rest.
#[inline]
fn after_number(text: &[u8]) -> Option<&[u8]> {
    let (digits, rest) = digits(skip_blanks(text));
    (!digits.is_empty() && is_blank_or_end(rest)).then_some(rest)
}

fn reject(why: NotAnAddress) -> RejectReason {
    match why {
        NotAnAddress::Name => RejectReason::NameForAddress,
        NotAnAddress::Other => RejectReason::NotARow,
    }
}

/// Returns the next token and the rest.
#[inline]
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let text = skip_blanks(text);
    bytes::split(text, |word| bytes::equal(word, b' ') | bytes::equal(word, b'\t'))
}

/// Skips leading blanks and TABs. `ss` pads with dozens of blanks; TABs are rare.
#[inline]
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b"        ") {
        text = rest;
    }
    if let Some(bytes) = text.first_chunk() {
        text = &text[bytes::first(u64::from_le_bytes(*bytes) ^ bytes::splat(b' '))..];
    }
    let start = text.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(text.len());
    &text[start..]
}

fn parse_ss_state(token: &[u8]) -> Option<State> {
    Some(match token {
        b"ESTAB" => State::Established,
        b"SYN-SENT" => State::SynSent,
        b"SYN-RECV" | b"NEW-SYN-RECV" => State::SynRecv,
        b"FIN-WAIT-1" => State::FinWait1,
        b"FIN-WAIT-2" => State::FinWait2,
        b"TIME-WAIT" => State::TimeWait,
        b"UNCONN" => State::Close,
        b"CLOSE-WAIT" => State::CloseWait,
        b"LAST-ACK" => State::LastAck,
        b"LISTEN" => State::Listen,
        b"CLOSING" => State::Closing,
        b"BOUND-INACTIVE" => State::BoundInactive,
        b"UNKNOWN" => State::Unknown,
        _ => return None,
    })
}

fn parse_netstat_state(token: &[u8]) -> Option<State> {
    Some(match token {
        b"ESTABLISHED" => State::Established,
        b"SYN_SENT" => State::SynSent,
        b"SYN_RECV" => State::SynRecv,
        b"FIN_WAIT1" => State::FinWait1,
        b"FIN_WAIT2" => State::FinWait2,
        b"TIME_WAIT" => State::TimeWait,
        b"CLOSE" => State::Close,
        b"CLOSE_WAIT" => State::CloseWait,
        b"LAST_ACK" => State::LastAck,
        b"LISTEN" => State::Listen,
        b"CLOSING" => State::Closing,
        b"UNKNOWN" => State::Unknown,
        _ => return None,
    })
}

fn is_other_netid(token: &[u8]) -> bool {
    matches!(
        token,
        b"udp"
            | b"udp6"
            | b"udplite"
            | b"udplite6"
            | b"raw"
            | b"raw6"
            | b"icmp"
            | b"icmp6"
            | b"sctp"
            | b"dccp"
            | b"nl"
            | b"u_str"
            | b"u_dgr"
            | b"u_seq"
            | b"p_raw"
            | b"p_dgr"
            | b"v_str"
            | b"v_dgr"
            | b"ti_rd"
            | b"ti_sq"
            | b"ti_dg"
            | b"xdp"
            | b"unix"
            | b"???"
    )
}

#[cfg(test)]
mod tests {
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
            ("0 0 1.2.3.4:5 6.7.8.9:443 \r", "ESTAB 1.2.3.4:5 6.7.8.9:443"),
            ("0 64 *:22 *:*", "LISTEN *:22 *:*"),
            ("tcp LISTEN 0 64 *:22 *:* users:((\"sshd\",pid=1,fd=2))", "LISTEN *:22 *:* sshd"),
            (
                "tcp 0 0 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\",pid=1,fd=2))",
                "ESTAB 1.2.3.4:5 6.7.8.9:443 kubelet",
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
            (
                "SYN-SENT 0 1 192.168.1.20:34296 203.0.113.10:443",
                "SYN-SENT 192.168.1.20:34296 203.0.113.10:443",
            ),
        ] {
            assert_eq!(socket(line), expected, "{line}");
        }
    }

    #[test]
    fn any_number_of_blanks_separates_tokens() {
        for (front, back) in (0..20).flat_map(|front| (0..20).map(move |back| (front, back))) {
            let blanks = format!("{}\t{}", " ".repeat(front), " ".repeat(back));
            for blanks in [&blanks, &blanks[..front], &blanks[front..]] {
                let text = format!("{blanks}token\u{b}\u{a0}0 ");
                assert_eq!(skip_blanks(text.as_bytes()), &text.as_bytes()[blanks.len()..], "{text:?}");
                assert_eq!(token(text.as_bytes()), ("token\u{b}\u{a0}0".as_bytes(), &b" "[..]), "{text:?}");
                assert_eq!(skip_blanks(blanks.as_bytes()), b"", "{blanks:?}");
            }
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
            ("Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port", "Header"),
            ("Active Internet connections (w/o servers)", "Header"),
            (
                "Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name    ",
                "Header",
            ),
            ("[root@n1 ~]# ss -tnp", "Rejected(NotARow)"),
            ("-----", "Rejected(NotARow)"),
            ("**", "Rejected(NotARow)"),
            ("Mon Nov 23 05:12:03 UTC 2026", "Rejected(NotARow)"),
            ("ESTAB 0 0 1.2.3.4:5", "Rejected(BrokenRow)"),
            ("FIN-WAIT-2 0      0", "Rejected(BrokenRow)"),
            ("LISTEN", "Rejected(BrokenRow)"),
            ("ESTAB 0 x 1.2.3.4:5 6.7.8.9:443", "Rejected(BrokenRow)"),
            ("> ESTAB 0 0 1.2.3.4:5 6.7.8.9:443", "Rejected(BrokenRow)"),
            ("> ESTAB 0 0 1.2.3", "Rejected(BrokenRow)"),
            ("estab 0 0 1.2.3.4:5 6.7.8.9:443", "Rejected(BrokenRow)"),
            ("STAB 0 0 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\",pid=1,fd=2))", "Rejected(BrokenRow)"),
            ("| ESTAB | 0 | 0 | 1.2.3.4:5 | 6.7.8.9:443 |", "Rejected(BrokenRow)"),
            ("n1: '1.2.3.4:5', '[2001:db8::1]:443',", "Rejected(BrokenRow)"),
            ("ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\",pid=1", "Rejected(BrokenRow)"),
            ("   users:((\"kubelet\",pid=1,fd", "Rejected(BrokenRow)"),
            ("[root@n1 ~]# ss -tnp | grep ESTAB", "Rejected(NotARow)"),
            ("curl -v https://10.0.0.1:443/", "Rejected(NotARow)"),
            (
                "aws-k8s-a 3301 root 7u IPv4 22514 0t0 TCP n1:36338->n2:https (ESTABLISHED)",
                "Rejected(NotARow)",
            ),
            ("09:45:42.934459 IP 10.0.1.2.36338 > 10.0.9.9.443: Flags [.], ack 3", "Rejected(NotARow)"),
            ("...", "Rejected(LeftOut)"),
            ("    ...   ", "Rejected(LeftOut)"),
            ("[...]", "Rejected(LeftOut)"),
            ("\u{2026}", "Rejected(LeftOut)"),
            ("[snip]", "Rejected(LeftOut)"),
            ("--- SNIP ---", "Rejected(LeftOut)"),
            ("--More--", "Rejected(LeftOut)"),
            ("--More--(42%)", "Rejected(LeftOut)"),
            ("-- More --", "Rejected(LeftOut)"),
            ("etc.", "Rejected(LeftOut)"),
            ("... (truncated)", "Rejected(LeftOut)"),
            ("<truncated 20 lines>", "Rejected(LeftOut)"),
            (
                "ESTAB 0 0 1.2.3.4:5 6.7.8.9:443 users:((\"kubelet\",pid=1,fd=2))---Output truncated---",
                "Rejected(BrokenRow)",
            ),
            ("---Output truncated---", "Rejected(LeftOut)"),
            ("--output truncated--", "Rejected(LeftOut)"),
            ("---Error truncated----", "Rejected(LeftOut)"),
            ("... 12 more lines ...", "Rejected(LeftOut)"),
            ("(120 rows omitted)", "Rejected(LeftOut)"),
            ("=====", "Rejected(NotARow)"),
            ("waiting for n1...", "Rejected(NotARow)"),
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
}
