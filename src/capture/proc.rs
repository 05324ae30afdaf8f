//! Sockets as the kernel lists them in `/proc/net/tcp` and `/proc/net/tcp6`, and the
//! processes that have them open, for nodes without `ss`.
//!
//! A capture is the two tables, then the descriptors of all processes that are sockets, then
//! the names of the processes, as [`super::proc_script`] prints them on a node:
//!
//! ```text
//! >> proc
//! >> /proc/1/net/tcp
//!   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//!    0: 0A0AA8C0:D6C2 0A7100CB:01BB 01 00000000:00000000 02:0000009B 00000000     0        0 1568041 ...
//! 1:
//! 3
//! >> /proc/1/net/tcp6
//!   sl  local_address                         remote_address                        st tx_queue ...
//! 1
//! >> fds
//! /proc/22988/fd:
//! 6 socket:[1568041]
//! 2
//! >> comm
//! /proc/22988 kube-proxy
//! 1
//! >> end counted
//! ```
//!
//! The kernel numbers the rows of each table from 0 without a gap, so a row that is missing is
//! noticed. A number with a colon stands for a row that `ss` lists only with an option. A
//! number alone says how many lines there are above it, without those that begin with `>>`, since
//! the previous one, and the last line says that there are such numbers.
//!
//! Instead of the two lines below `>> fds`, there may be one, `/proc/22988/fd/6
//! socket:[1568041]`, as find prints it; or, below `>> owners`, a line `1568041 22988 6
//! kube-proxy` instead of all four. Lines that begin with `>>` may be missing: then the tables
//! must precede the descriptors, and these the names, so that a capture that was cut lacks
//! names.
//!
//! The kernel prints each address as 32-bit words in the byte order of the machine, which is
//! little-endian on all that EKS supports, and each port as a number.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::decimal;
use super::columns::token;
use crate::model::node::RejectReason;
use crate::model::socket::{Host, Port, Socket, SocketAddress, State};

/// A line of such a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcLine<'a> {
    /// `>> proc`: the first line.
    Begin,
    /// `>> end`: the last line.
    End,
    /// `>> end counted`: the last line, if the lines are counted.
    EndCounted,
    /// The number of the lines above it.
    Count(u64),
    /// The line above another part.
    Part(Part),
    /// The column headings of a table.
    Table(Family),
    /// A row of a table.
    Socket {
        /// Its number in the table, from 0.
        number: u64,
        /// The socket.
        socket: ProcSocket,
    },
    /// The number alone of a row that was left out.
    LeftOut(u64),
    /// `/proc/PID/fd:`: the lines below it are the descriptors of this process.
    Descriptors(u32),
    /// A descriptor of a process that is a socket; without the process, the one named above.
    Owner {
        /// The process id.
        pid: Option<u32>,
        /// The descriptor.
        fd: u32,
        /// The inode of the socket.
        inode: u64,
    },
    /// The name of a process.
    Name {
        /// The process id.
        pid: u32,
        /// Its `comm`.
        comm: &'a [u8],
    },
    /// A descriptor with the name of its process.
    NamedOwner {
        /// The inode of the socket.
        inode: u64,
        /// The process id.
        pid: u32,
        /// The descriptor.
        fd: u32,
        /// The `comm` of the process.
        comm: &'a [u8],
    },
}

/// A part of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A table follows.
    Table,
    /// The node has no table of IPv6 sockets: IPv6 is disabled.
    NoTable6,
    /// The descriptors follow.
    Descriptors,
    /// Lines with inode, process id, descriptor and name follow.
    NamedOwners,
    /// The names follow.
    Names,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6, and IPv4 connections to sockets of that family.
    V6,
}

/// A socket of a table, small enough to keep all of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcSocket {
    state: State,
    local: (IpAddr, u16),
    peer: (IpAddr, u16),
    /// Its inode; 0 if no process has it open.
    pub(super) inode: u64,
}

impl From<ProcSocket> for Socket {
    fn from(socket: ProcSocket) -> Self {
        let address = |(ip, port): (IpAddr, u16)| SocketAddress {
            host: Host::from(ip),
            port: if port == 0 { Port::Any } else { Port::Number(port) },
        };
        Self { state: socket.state, local: address(socket.local), peer: address(socket.peer) }
    }
}

/// Parses a line; `None` if it is none of such a capture. `text` is the line without the
/// blanks at its end.
pub(super) fn parse_proc_line<'a>(
    line: &'a [u8],
    text: &'a [u8],
) -> Option<Result<ProcLine<'a>, RejectReason>> {
    let part = |part| Some(Ok(ProcLine::Part(part)));
    if let Some(title) = text.strip_prefix(b">> ") {
        return match title {
            b"proc" => Some(Ok(ProcLine::Begin)),
            b"end" => Some(Ok(ProcLine::End)),
            b"end counted" => Some(Ok(ProcLine::EndCounted)),
            b"fds" => part(Part::Descriptors),
            b"comm" => part(Part::Names),
            b"owners" => part(Part::NamedOwners),
            _ if title.starts_with(b"no /proc/") && title.ends_with(b"/net/tcp6") => part(Part::NoTable6),
            _ if title.starts_with(b"/proc/") && title.ends_with(b"/net/tcp") => part(Part::Table),
            _ if title.starts_with(b"/proc/") && title.ends_with(b"/net/tcp6") => part(Part::Table),
            _ => None,
        };
    }
    if let Some(rest) = text.strip_prefix(b"/proc/") {
        let (pid, rest) = number(rest)?;
        return match rest {
            b"/fd:" => Some(Ok(ProcLine::Descriptors(pid))),
            _ if rest.starts_with(b"/fd/") => Some(owner(text)),
            // A name may end with blanks.
            [] | [b' ', ..] => {
                Some(Ok(ProcLine::Name { pid, comm: name_after(line, text.len() - rest.len()) }))
            }
            _ => None,
        };
    }
    if text.ends_with(b"]") && memchr::memmem::find(text, SOCKET).is_some() {
        return Some(owner(text));
    }
    let (first, rest) = token(text);
    if first == b"sl" {
        let (second, third) = (token(rest).0, token(token(rest).1).0);
        return match (second, third) {
            (b"local_address", b"rem_address") => Some(Ok(ProcLine::Table(Family::V4))),
            (b"local_address", b"remote_address") => Some(Ok(ProcLine::Table(Family::V6))),
            _ => None,
        };
    }
    if rest.trim_ascii().is_empty() {
        let (number, colon) = number64(first)?;
        return match colon {
            b":" => Some(Ok(ProcLine::LeftOut(number))),
            b"" => Some(Ok(ProcLine::Count(number))),
            _ => None,
        };
    }
    let socket = first.strip_suffix(b":").and_then(|number| parse_socket(number, rest));
    match socket {
        Some(line) => Some(Ok(line)),
        None if has_address(text) || memchr::memmem::find(text, SOCKET).is_some() => {
            Some(Err(RejectReason::BrokenRow))
        }
        None => None,
    }
}

/// Parses a line `INODE PID FD NAME`, as it may occur below `>> owners`.
pub(super) fn parse_named_owner(line: &[u8]) -> Option<ProcLine<'_>> {
    let (inode, rest) = number64(line)?;
    let (pid, rest) = number(rest.strip_prefix(b" ")?)?;
    let (fd, rest) = number(rest.strip_prefix(b" ")?)?;
    matches!(rest, [] | [b' ' | b'\r', ..]).then(|| ProcLine::NamedOwner {
        inode,
        pid,
        fd,
        comm: name_after(line, line.len() - rest.len()),
    })
}

/// The name behind a blank at an offset of a line.
fn name_after(line: &[u8], at: usize) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.get(at + 1..).unwrap_or_default()
}

/// The beginning of the target of a descriptor that is a socket.
const SOCKET: &[u8] = b"socket:[";

/// Parses a descriptor that is a socket: `FD socket:[INODE]` or `PATH socket:[INODE]`, with
/// an arrow between them if ls printed it, and its other columns in front.
fn owner(text: &[u8]) -> Result<ProcLine<'_>, RejectReason> {
    let parse = || {
        let at = memchr::memmem::rfind(text, SOCKET)?;
        let inode = text[at + SOCKET.len()..].strip_suffix(b"]")?;
        let (inode, []) = number64(inode)? else { return None };
        let before = text[..at].trim_ascii_end();
        let before = before.strip_suffix(b"->").unwrap_or(before).trim_ascii_end();
        let start = before.iter().rposition(|&byte| byte == b' ' || byte == b'\t');
        let word = &before[start.map_or(0, |blank| blank + 1)..];
        let (pid, word) = match word.strip_prefix(b"/proc/") {
            Some(rest) => {
                let (pid, rest) = number(rest)?;
                (Some(pid), rest.strip_prefix(b"/fd/")?)
            }
            None => (None, word),
        };
        let (fd, []) = number(word)? else { return None };
        Some(ProcLine::Owner { pid, fd, inode })
    };
    parse().ok_or(RejectReason::BrokenRow)
}

/// Parses a row of a table, given its number and what follows.
fn parse_socket(number: &[u8], rest: &[u8]) -> Option<ProcLine<'static>> {
    let (local, rest) = token(rest);
    let (peer, rest) = token(rest);
    let (state, rest) = token(rest);
    let (queues, rest) = token(rest);
    let (timer, rest) = token(rest);
    let (retransmits, rest) = token(rest);
    let (user, rest) = token(rest);
    let (timeout, rest) = token(rest);
    let (inode, rest) = token(rest);
    let is_plain = hex_pair(queues, 8, 8)
        && timer.len() > 8
        && hex_pair(timer, 2, timer.len() - 3)
        && is_hex(retransmits)
        && decimal(user).is_some()
        && is_digits(timeout)
        && local.len() == peer.len()
        && !has_address(rest);
    if !is_plain {
        return None;
    }
    let number = number64(number).filter(|(_, rest)| rest.is_empty())?.0;
    let inode = number64(inode).filter(|(_, rest)| rest.is_empty())?.0;
    let socket = ProcSocket {
        state: parse_state(state)?,
        local: parse_address(local)?,
        peer: parse_address(peer)?,
        inode,
    };
    Some(ProcLine::Socket { number, socket })
}

/// The numbers of the TCP states.
///
/// <https://github.com/torvalds/linux/blob/master/include/net/tcp_states.h>
fn parse_state(text: &[u8]) -> Option<State> {
    Some(match text {
        b"01" => State::Established,
        b"02" => State::SynSent,
        // Also connections that are not accepted yet (TCP_NEW_SYN_RECV).
        b"03" | b"0C" => State::SynRecv,
        b"04" => State::FinWait1,
        b"05" => State::FinWait2,
        b"06" => State::TimeWait,
        b"07" => State::Close,
        b"08" => State::CloseWait,
        b"09" => State::LastAck,
        b"0A" => State::Listen,
        b"0B" => State::Closing,
        b"0D" => State::BoundInactive,
        _ => return None,
    })
}

/// Parses an address with a port; IPv4-mapped addresses become IPv4.
fn parse_address(text: &[u8]) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_at_checked(text.len().checked_sub(5)?)?;
    let port = u16::try_from(hex(port.strip_prefix(b":")?)?).ok()?;
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(hex(address)?.to_le_bytes())),
        32 => {
            let mut bytes = [0; 16];
            for (word, bytes) in address.chunks_exact(8).zip(bytes.chunks_exact_mut(4)) {
                bytes.copy_from_slice(&hex(word)?.to_le_bytes());
            }
            Ipv6Addr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some((ip, port))
}

/// Whether a word of a line is an address with a port, as the kernel prints them.
fn has_address(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let (word, rest) = token(text);
        if hex_pair(word, 8, 4) || hex_pair(word, 32, 4) {
            return true;
        }
        text = rest;
    }
    false
}

/// Whether a word is two hexadecimal numbers of these lengths, with a colon between them.
fn hex_pair(word: &[u8], first: usize, second: usize) -> bool {
    word.len() == first + 1 + second
        && word[first] == b':'
        && is_hex(&word[..first])
        && is_hex(&word[first + 1..])
}

fn is_hex(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_hexdigit)
}

fn is_digits(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// Parses at most eight hexadecimal digits, the whole text.
fn hex(text: &[u8]) -> Option<u32> {
    if !is_hex(text) || text.len() > 8 {
        return None;
    }
    text.iter().try_fold(0, |value: u32, &byte| Some(value << 4 | char::from(byte).to_digit(16)?))
}

/// Parses a decimal number at the start of a text, and returns it with the rest.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = number64(text)?;
    Some((u32::try_from(number).ok()?, rest))
}

fn number64(text: &[u8]) -> Option<(u64, &[u8])> {
    let (digits, rest) = super::bytes::digits(text);
    if digits.is_empty() {
        return None;
    }
    let add = |value: u64, digit: &u8| value.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    Some((digits.iter().try_fold(0, add)?, rest))
}
