//! One parsed line of `ss -tnp` or `netstat -tnp`.

use std::fmt;
use std::net::IpAddr;

/// A TCP socket as the node's kernel sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Socket {
    /// Its TCP state.
    pub state: State,
    /// The node's own side.
    pub local: SocketAddress,
    /// The other side.
    pub peer: SocketAddress,
}

/// A process that holds a socket. The name is chosen by whoever runs the
/// process: evidence, not proof.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// `comm`, at most 15 bytes where the kernel wrote it; bytes that are not
    /// UTF-8 are replaced.
    pub name: String,
    /// Its process id, unless it is missing or no number that a kernel gives.
    pub pid: Option<u32>,
}

/// TCP states by the names `ss` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names of tcp(7) need no second telling")]
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
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether a socket in this state tells which way traffic goes.
    #[must_use]
    pub fn shows_path(self) -> bool {
        matches!(self, Self::Established | Self::SynSent)
    }
}

/// An address and a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketAddress {
    /// The address.
    pub host: Host,
    /// The port.
    pub port: Port,
}

impl SocketAddress {
    /// The address, where it is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ip(ip) => Some(ip),
            Host::Any | Host::Truncated(_) => None,
        }
    }

    /// Whether the port is of the range that Linux gives to clients
    /// (`net.ipv4.ip_local_port_range`), which tells of a client most of the time.
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

/// The address half of a [`SocketAddress`], v4-mapped addresses as IPv4.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// `*`, `0.0.0.0` or `::`.
    Any,
    /// An address.
    Ip(IpAddr),
    /// An IPv6 address that `netstat` cut to its column: what is left of it.
    Truncated(Box<str>),
}

/// The port half of a [`SocketAddress`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// `*`.
    Any,
    /// A number.
    Number(u16),
    /// A service name whose number is not known here (`ss` without `-n`).
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
