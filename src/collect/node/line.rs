//! The grammar of one line.
//!
//! Nothing is told by its offset: columns shift with the widest address, the
//! terminal and the version. `ss` rows are
//! `[netid] [state] recv-q send-q local peer [rest]`, `netstat` rows
//! `proto recv-q send-q local peer state [rest]`, split on blanks and TABs.

use super::address::{NotAnAddress, parse_netstat, parse_ss};
use super::processes::Processes;
use crate::model::node::RejectReason;
use crate::model::socket::{Port, Socket, State};

/// A line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// Column heads, or `netstat`'s title.
    Header,
    /// `>> node NAME <<`, as the usual ssh loop prints it.
    Node(&'a [u8]),
    /// A socket.
    Row(Row<'a>),
    /// Something that belongs to the row above, if there is one.
    Continuation,
    /// Nothing of `ss`.
    Rejected(RejectReason),
}

/// A socket and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    /// The socket.
    pub socket: Socket,
    /// The processes that hold it.
    pub processes: Processes<'a>,
}

/// Understands one line, without its line feed.
#[must_use]
pub fn parse_line(line: &[u8]) -> Line<'_> {
    let text = line.trim_ascii_end();
    match parse_row(text) {
        Ok(row) => Line::Row(row),
        Err(reason) => parse_other(line, text, reason),
    }
}

/// Whether a line is what is left of a wrapped row: its processes.
pub(super) fn is_wrapped_users(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"users:((")
}

fn parse_other<'a>(line: &'a [u8], text: &'a [u8], reason: RejectReason) -> Line<'a> {
    if text.is_empty() {
        // `-i` prints a lone TAB under a socket that is already gone.
        return if line.starts_with(b"\t") {
            Line::Continuation
        } else {
            Line::Rejected(RejectReason::Blank)
        };
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
    Line::Rejected(reason)
}

fn is_header(text: &[u8]) -> bool {
    let heads: [&[u8]; 4] = [b"State", b"Netid", b"Recv-Q", b"Proto"];
    let (first, _) = token(text);
    (heads.contains(&first) && memchr::memmem::find(text, b"Local Address").is_some())
        || text.starts_with(b"Active Internet connections")
}

/// The name in `>> node NAME <<`.
fn node_marker(text: &[u8]) -> Option<&[u8]> {
    let inside = text.strip_prefix(b">>")?.strip_suffix(b"<<")?.trim_ascii();
    let name = inside.strip_prefix(b"node")?;
    name.first().is_some_and(u8::is_ascii_whitespace).then(|| name.trim_ascii())
}

fn parse_row(text: &[u8]) -> Result<Row<'_>, RejectReason> {
    let (first, rest) = token(text);
    if let Some(state) = parse_ss_state(first) {
        return parse_ss_columns(Some(state), rest);
    }
    match first {
        b"tcp" | b"tcp6" | b"mptcp" => {
            let (second, after) = token(rest);
            if let Some(state) = parse_ss_state(second) {
                return parse_ss_columns(Some(state), after);
            }
            match parse_netstat_columns(rest) {
                Some(row) => Ok(row),
                None => parse_ss_columns(None, rest),
            }
        }
        _ if is_number(first) => parse_ss_columns(None, text),
        _ if is_other_netid(first) => Err(RejectReason::NotTcp),
        _ => Err(RejectReason::NotARow),
    }
}

fn parse_ss_columns(state: Option<State>, text: &[u8]) -> Result<Row<'_>, RejectReason> {
    let (local, peer, rest) = addresses(text).ok_or(RejectReason::NotARow)?;
    let local = parse_ss(local).map_err(reject)?;
    let peer = parse_ss(peer).map_err(reject)?;
    // `ss state X` leaves the column out without saying what X was. Almost
    // always it was `established`; a peer without port is a listener's.
    let state = state.unwrap_or(if peer.port == Port::Any { State::Listen } else { State::Established });
    Ok(Row { socket: Socket { state, local, peer }, processes: Processes::of_ss(rest) })
}

fn parse_netstat_columns(text: &[u8]) -> Option<Row<'_>> {
    let (local, peer, rest) = addresses(text)?;
    let (state, rest) = token(rest);
    let state = parse_netstat_state(state)?;
    let socket = Socket { state, local: parse_netstat(local).ok()?, peer: parse_netstat(peer).ok()? };
    Some(Row { socket, processes: Processes::of_netstat(rest) })
}

/// The two addresses behind the two queues, and what follows them.
fn addresses(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (recv_q, rest) = token(text);
    let (send_q, rest) = token(rest);
    if !is_number(recv_q) || !is_number(send_q) {
        return None;
    }
    let (local, rest) = long_token(rest);
    let (peer, rest) = long_token(rest);
    Some((local, peer, skip_blanks(rest)))
}

fn reject(why: NotAnAddress) -> RejectReason {
    match why {
        NotAnAddress::Name => RejectReason::NameForAddress,
        NotAnAddress::Other => RejectReason::NotARow,
    }
}

/// The next token, and what follows it.
#[inline]
fn token(text: &[u8]) -> (&[u8], &[u8]) {
    let text = skip_blanks(text);
    let end = text.iter().position(|&byte| byte == b' ' || byte == b'\t').unwrap_or(text.len());
    text.split_at(end)
}

/// [`token`] for one of more than a few bytes.
#[inline]
fn long_token(text: &[u8]) -> (&[u8], &[u8]) {
    let text = skip_blanks(text);
    let end = memchr::memchr2(b' ', b'\t', text).unwrap_or(text.len());
    text.split_at(end)
}

/// What begins behind the blanks. `ss` pads with dozens of them.
#[inline]
fn skip_blanks(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b"        ") {
        text = rest;
    }
    let start = text.iter().position(|&byte| byte != b' ' && byte != b'\t').unwrap_or(text.len());
    &text[start..]
}

fn is_number(token: &[u8]) -> bool {
    !token.is_empty() && token.iter().all(u8::is_ascii_digit)
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
    fn rows_of_every_dialect() {
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
    fn lines_that_are_no_rows() {
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
            ("ESTAB 0 0 1.2.3.4:5", "Rejected(NotARow)"),
            ("ESTAB 0 x 1.2.3.4:5 6.7.8.9:443", "Rejected(NotARow)"),
            ("u_str ESTAB 0 0 /run/x.sock 123 * 456", "Rejected(NotTcp)"),
            ("udp UNCONN 0 0 127.0.0.1:323 0.0.0.0:*", "Rejected(NotTcp)"),
            ("ESTAB 0 0 ip-10-0-0-1.ec2.internal:ssh 6.7.8.9:443", "Rejected(NameForAddress)"),
        ] {
            assert_eq!(socket(line), expected, "{line}");
        }
        assert_eq!(parse_line(b">> node ip-192-168-1-20 <<"), Line::Node(b"ip-192-168-1-20"));
        assert_eq!(parse_line(b">> node a b <<\r"), Line::Node(b"a b"));
        assert_eq!(parse_line(b">> nodes <<"), Line::Rejected(RejectReason::NotARow));
    }
}
