//! Sockets: parsed rows of `ss -tnp`, and of the other tools that list them.

use std::fmt;
use std::net::IpAddr;

/// A TCP socket of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Socket {
    /// Its TCP state.
    pub state: State,
    /// The local address.
    pub local: SocketAddress,
    /// The peer address.
    pub peer: SocketAddress,
}

/// A process that has a socket open. A process can set its own name, so the name is not
/// proof of which program it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its `comm`, at most 15 bytes in the output of a kernel. Bytes that are not UTF-8
    /// are replaced.
    pub name: String,
    /// Its process id; `None` if it is missing or out of range.
    pub pid: Option<u32>,
}

/// TCP states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the variants are the TCP states of RFC 9293 and of ss")]
pub enum State {
    Established,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    BoundInactive,
    Unknown,
    /// Not a state: the row has no column of it, as `ss state X` prints it.
    NotShown,
}

impl State {
    /// The name as `ss` prints it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Established => "ESTAB",
            Self::SynSent => "SYN-SENT",
            Self::SynRecv => "SYN-RECV",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::TimeWait => "TIME-WAIT",
            Self::Close => "UNCONN",
            Self::CloseWait => "CLOSE-WAIT",
            Self::LastAck => "LAST-ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::BoundInactive => "BOUND-INACTIVE",
            Self::Unknown | Self::NotShown => "UNKNOWN",
        }
    }

    /// Whether the connection is or may be established, or an attempt to connect.
    #[must_use]
    pub fn may_be_open_or_opening(self) -> bool {
        self.may_be_established() || self == Self::SynSent
    }

    /// Whether the connection is established, or its state is not shown.
    #[must_use]
    pub fn may_be_established(self) -> bool {
        matches!(self, Self::Established | Self::NotShown)
    }
}

/// An address with a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketAddress {
    /// The address.
    pub host: Host,
    /// The port.
    pub port: Port,
}

impl SocketAddress {
    /// The IP address; `None` for a wildcard or a truncated address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Any | Host::Truncated(_) => None,
        }
    }

    /// Whether the port is in the default range of ephemeral ports of Linux
    /// (`net.ipv4.ip_local_port_range`), so that it is most likely that of a client.
    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        matches!(self.port, Port::Number(32768..=60999))
    }

    /// Whether the port is this number.
    #[must_use]
    pub fn is_port(&self, number: u16) -> bool {
        self.port == Port::Number(number)
    }
}

/// The address part of a [`SocketAddress`]. IPv4-mapped addresses are stored as IPv4.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A wildcard: `*`, `0.0.0.0` or `::`.
    Any,
    /// An IP address.
    Ip(IpAddr),
    /// The beginning of an IPv6 address that `netstat` truncated.
    Truncated(Box<str>),
}

/// The port part of a [`SocketAddress`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// A wildcard: `*`.
    Any,
    /// A number.
    Number(u16),
    /// A service name that is not converted to a number (output without `-n`).
    Name(Box<str>),
}

impl fmt::Display for SocketAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Any => f.write_str("*"),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Host::Truncated(text) => write!(f, "[{text}...]"),
        }?;
        match &self.port {
            Port::Any => f.write_str(":*"),
            Port::Number(number) => write!(f, ":{number}"),
            Port::Name(name) => write!(f, ":{name}"),
        }
    }
}
