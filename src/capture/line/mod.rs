//! The grammar of one line.
//!
//! A line is split into columns at blanks and TABs, not at offsets: the column widths
//! depend on the widest address, the terminal and the version. A row of `ss` is
//! `[netid] [state] recv-q send-q local peer [rest]`, a row of `netstat`
//! `proto recv-q send-q local peer state [rest]`. The lines of `/proc` and of `conntrack` have
//! grammars of their own.

use super::address::{CommonAddress, NotAnAddress, parse_netstat, parse_ss};
use super::columns::{after_number, after_queues, parse_netstat_state, parse_ss_state, skip_blanks, token};
use super::conntrack;
use super::damage::{
    has_damaged_end, has_state_last, has_two_addresses, is_broken_name, is_left_out, is_part_of_row, is_pid,
};
use super::proc::{ProcLine, parse_proc_line};
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
    /// A line of a capture of `/proc`, which has a socket and its processes on different ones.
    Proc(ProcLine<'a>),
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
}

impl Row<'_> {
    /// Whether the row has the column of the state, which `ss state X` omits.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.processes.is_after_state()
    }

    /// Whether the row is an entry of `conntrack`: a connection that the node has or forwards.
    #[must_use]
    pub fn is_conntrack(&self) -> bool {
        self.processes.is_conntrack()
    }
}

/// Parses one line, passed without its line feed.
#[must_use]
pub fn parse_line(line: &[u8]) -> Line<'_> {
    let text = line.trim_ascii_end();
    match parse_row(text) {
        Ok(row) => Line::Row(row),
        Err(reason) => parse_other(line, text, reason),
    }
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
    let is_wrapped_users = is_wrapped_users(line);
    if is_wrapped_users || line.starts_with(b"\t") {
        // A row whose state is damaged may look like a continuation line.
        let words = if is_wrapped_users { usize::MAX } else { ROW_WORDS };
        let is_broken =
            is_wrapped_users && has_damaged_end(skip_blanks(text)) || has_two_addresses(text, words);
        return if is_broken { Line::Rejected(RejectReason::BrokenRow) } else { Line::Continuation };
    }
    if is_header(text) {
        // The output may be cut behind the headings, or the line feed be lost.
        if has_two_addresses(text, usize::MAX) {
            return Line::Rejected(RejectReason::BrokenRow);
        }
        return if text.ends_with(b"--") { Line::Rejected(RejectReason::LeftOut) } else { Line::Header };
    }
    if let Some(name) = node_marker(text) {
        return Line::Node(name);
    }
    if let Some(parsed) = parse_proc_line(line, text) {
        return parsed.map_or_else(Line::Rejected, Line::Proc);
    }
    if let Some(parsed) = conntrack::parse_entry(text) {
        let row = |socket| Line::Row(Row { socket, processes: Processes::of_conntrack() });
        return parsed.map_or_else(Line::Rejected, row);
    }
    Line::Rejected(match reason {
        RejectReason::NotARow if is_other_netid(&token(text).0.to_ascii_lowercase()) => RejectReason::NotTcp,
        RejectReason::NotARow if is_left_out(text) => RejectReason::LeftOut,
        RejectReason::NotARow if is_part_of_row(text) => RejectReason::BrokenRow,
        other => other,
    })
}

/// How many words of a row precede the end of its second address.
const ROW_WORDS: usize = 6;

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
        Line::Row(row) if row.is_conntrack() => !conntrack::is_whole(line),
        // Text copied from a terminal may lack the last line feed; the row is complete
        // if its last column, `users:((...))`, is.
        Line::Row(_) => !is_closed(),
        Line::Continuation => is_wrapped_users(line) && !is_closed(),
        Line::Rejected(_) => {
            let text = line.trim_ascii();
            let is_row_start = ROW_STARTS.iter().any(|start| start.starts_with(text));
            !text.is_empty() && is_row_start || matches!(token(text).0, b"tcp" | b"tcp6" | b"mptcp")
        }
        Line::Proc(line) => {
            !matches!(line, ProcLine::Begin | ProcLine::End | ProcLine::Part(_) | ProcLine::Table(_))
        }
        Line::Header | Line::Node(_) => false,
    }
}

fn is_header(text: &[u8]) -> bool {
    let first_headings: [&[u8]; 4] = [b"State", b"Netid", b"Recv-Q", b"Proto"];
    // Editors of Windows write a byte order mark at the beginning of a file.
    let (first, _) = token(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
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
                    Some(row) => return row,
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
        let state = state.unwrap_or(State::NotShown);
        let processes = parse_processes(skip_blanks(rest), has_state)?;
        return Ok(Row { socket: Socket { state, local: local.into(), peer: peer.into() }, processes });
    }
    let (local, rest) = token(after_queues);
    let (peer, rest) = token(rest);
    let local = parse_ss(local).map_err(reject)?;
    let peer = parse_ss(peer).map_err(reject)?;
    // `ss state X` omits the state column, so X is unknown. A peer with port `*` belongs to a
    // listening socket.
    let state = state.unwrap_or(if peer.port == Port::Any { State::Listen } else { State::NotShown });
    let processes = parse_processes(skip_blanks(rest), has_state)?;
    Ok(Row { socket: Socket { state, local, peer }, processes })
}

/// The longest text after the peer address in which no second row fits.
const USUAL_MAX: usize = 60;

/// Parses what follows the peer address in a row of `ss`: nothing, the processes, or
/// columns that `ss` prints on request.
#[inline]
fn parse_processes(rest: &[u8], has_state: bool) -> Result<Processes<'_>, RejectReason> {
    if rest.len() <= USUAL_MAX
        && let Some(users) = Processes::of_column(rest)
    {
        return Ok(if has_state { users } else { users.without_state() });
    }
    let processes = parse_other_columns(rest, has_state)?;
    Ok(if has_state { processes } else { processes.without_state() })
}

/// Parses long or unusual text after the peer address.
#[inline(never)]
fn parse_other_columns(rest: &[u8], has_state: bool) -> Result<Processes<'_>, RejectReason> {
    let is_column = || Processes::of_column(rest).is_some();
    let is_usual = rest.is_empty() || is_column() && end_of_users(rest) == Some(rest.len() - 2);
    if !is_usual && (has_damaged_end(rest) || !has_state && has_state_last(rest)) {
        return Err(RejectReason::BrokenRow);
    }
    Ok(Processes::from_ss(rest))
}

/// The offset of the first `))`. Preparing a search for the two bytes takes longer than this.
fn end_of_users(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b')', text).find(|at| text.get(at + 1) == Some(&b')'))
}

/// The longest text after the state in a row of `netstat` in which no second row fits.
const NETSTAT_REST_MAX: usize = 40;

/// Parses the columns after the protocol in a row of `netstat`; `None` if it is not one.
fn parse_netstat_columns(text: &[u8]) -> Option<Result<Row<'_>, RejectReason>> {
    let (local, after_local) = token(after_queues(text)?);
    let (peer, after_peer) = token(after_local);
    let (state, rest) = token(after_peer);
    let state = parse_netstat_state(state)?;
    let local = parse_netstat(local, after_local).ok()?;
    let peer = parse_netstat(peer, after_peer).ok()?;
    let socket = Socket { state, local, peer };
    if is_pid(rest)
        || is_broken_name(rest)
        || rest.len() > NETSTAT_REST_MAX && has_two_addresses(rest, usize::MAX)
    {
        return Some(Err(RejectReason::BrokenRow));
    }
    Some(Ok(Row { socket, processes: Processes::from_netstat(rest) }))
}

fn reject(why: NotAnAddress) -> RejectReason {
    match why {
        NotAnAddress::Name => RejectReason::NameForAddress,
        NotAnAddress::Other => RejectReason::NotARow,
    }
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
mod tests;
