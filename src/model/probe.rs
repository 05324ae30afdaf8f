//! What an address answered to a probe: TCP, TLS and anonymous HTTP requests.

use std::net::{IpAddr, SocketAddr};

use super::connection::Path;

/// Defines the words of an enum, which recordings and reports have in common.
macro_rules! words {
    ($($name:ident { $($variant:ident = $word:literal),* $(,)? })*) => { $(
        impl $name {
            /// The words of all variants.
            pub const WORDS: &[&str] = &[$($word),*];

            /// Its word.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The variant with a word.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    )* };
}

words! {
    ProbeTarget { Endpoint = "endpoint", Eni = "eni", Peer = "peer" }
    ProbeCause {
        TimedOut = "timed-out", Refused = "refused", Reset = "reset", NoRoute = "no-route", Alert = "alert",
        Protocol = "protocol", Proxy = "proxy", Failed = "failed",
    }
    ProbeTool { Own = "eks-netcheck", Curl = "curl", Bash = "bash", Other = "other" }
    TrustKind { Signed = "signed", Invalid = "invalid", Unsigned = "unsigned", Unknown = "unknown" }
}

/// The answers to probes from one vantage point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The vantage point: `here`, or a node's name.
    pub vantage: String,
    /// The host name that was sent as SNI.
    pub host: String,
    /// What made the probes.
    pub tool: ProbeTool,
    /// The answers, sorted by address.
    pub answers: Vec<AddressProbe>,
}

/// What made a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeTool {
    /// This program, which checks certificates.
    Own,
    /// `curl` on a node, which does not.
    Curl,
    /// bash on a node: TCP alone.
    Bash,
    /// One of a later version.
    Other,
}

/// What one address answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressProbe {
    /// The address and port.
    pub address: SocketAddr,
    /// Why it was probed. An address that is both one of the endpoint and one of an ENI is
    /// the former.
    pub target: ProbeTarget,
    /// How it was reached.
    pub way: ProbeWay,
    /// The prober's own address on that way, if it is direct. The other end sees another one
    /// where something between them translates addresses.
    pub source: Option<IpAddr>,
    /// Whether a TCP connection was made.
    pub tcp: Attempt,
    /// The result of the TLS handshake; `None` if none was tried.
    pub tls: Option<TlsAttempt>,
    /// The answers to anonymous requests, in the order in which they were made.
    pub http: Vec<HttpAnswer>,
}

/// Why an address was probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeTarget {
    /// The endpoint's name resolves to it.
    Endpoint,
    /// An EKS-owned ENI has it: whether it answers shows whether the private endpoint can be
    /// reached from here, in every access mode.
    Eni,
    /// It is the peer of a node's connection, and nothing else explains it.
    Peer,
}

/// How an address was reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProbeWay {
    /// Directly.
    Direct,
    /// By the method CONNECT of this HTTP proxy, without its credentials.
    Proxy(String),
}

/// The result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It succeeded.
    Done,
    /// It failed, for this reason.
    Failed(ProbeFailure),
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeFailure {
    /// The kind of failure.
    pub cause: ProbeCause,
    /// The reason, as text.
    pub detail: String,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeCause {
    /// Nothing answered in time.
    TimedOut,
    /// The connection was refused.
    Refused,
    /// The connection was reset or closed.
    Reset,
    /// This host has no route to the address.
    NoRoute,
    /// The other end sent a TLS alert.
    Alert,
    /// The other end does not speak the protocol, or too much of it.
    Protocol,
    /// The proxy refused.
    Proxy,
    /// Any other reason.
    Failed,
}

/// The result of a TLS handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsAttempt {
    /// The certificate that was shown; `None` if the handshake ended before.
    pub certificate: Option<Certificate>,
    /// Whether a CA of the cluster signed it.
    pub trust: Trust,
    /// Whether the handshake was completed.
    pub handshake: Attempt,
}

/// Whether a certificate is one of the cluster's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The cluster's CA with this position in `certificateAuthority`, from 1, signed it, and
    /// it is valid for the host name.
    Signed {
        /// Its position.
        position: usize,
        /// The number of CAs of the cluster.
        of: usize,
    },
    /// The cluster's CA signed it, and it is not valid: expired, or for another name.
    Invalid(String),
    /// No CA of the cluster signed it.
    Unsigned,
    /// It is not known, for this reason: no certificate was shown, or the CAs of the cluster
    /// are not recorded.
    Unknown(String),
}

/// The kind of a [`Trust`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustKind {
    /// Signed, and valid for the host name.
    Signed,
    /// Signed, and not valid.
    Invalid,
    /// Not signed.
    Unsigned,
    /// Not known.
    Unknown,
}

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its subject.
    pub subject: String,
    /// Its issuer.
    pub issuer: String,
    /// Its DNS names and addresses (`subjectAltName`).
    pub names: Vec<String>,
    /// When it begins to be valid, in seconds since 1970.
    pub not_before: i64,
    /// When it expires, in seconds since 1970.
    pub not_after: i64,
    /// The SHA-256 fingerprint, in hexadecimal digits.
    pub fingerprint: String,
}

/// The answer to an anonymous request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The path, such as `/version`.
    pub path: String,
    /// The status, or the reason why there is none.
    pub status: Result<u16, ProbeFailure>,
    /// What an anonymous client was given: the version, or the beginning of the body.
    pub given: Option<String>,
}

impl Probe {
    /// The same with its answers sorted.
    #[must_use]
    pub fn sorted(mut self) -> Self {
        self.answers.sort_by(|a, b| (a.address, &a.way).cmp(&(b.address, &b.way)));
        self
    }

    /// The answers of an address.
    pub fn of(&self, address: IpAddr) -> impl Iterator<Item = &AddressProbe> {
        self.answers.iter().filter(move |answer| answer.address.ip() == address)
    }

    /// The peers of nodes that were shown to be this cluster's API server.
    pub fn peers(&self) -> impl Iterator<Item = IpAddr> {
        let peers = self.answers.iter().filter(|answer| answer.target == ProbeTarget::Peer);
        peers.filter(|answer| answer.is_api_server()).map(|answer| answer.address.ip())
    }
}

impl Attempt {
    /// The word of one that succeeded; the others have that of their cause.
    const DONE: &str = "done";

    /// The words of all results.
    pub fn words() -> impl Iterator<Item = &'static str> {
        std::iter::once(Self::DONE).chain(ProbeCause::WORDS.iter().copied())
    }

    /// The word of the result.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done => Self::DONE,
            Self::Failed(failure) => failure.cause.word(),
        }
    }

    /// The attempt with this word; one that is not known, such as that of a later version, is
    /// any other reason.
    #[must_use]
    pub fn of_word(word: &str, detail: String) -> Self {
        if word == Self::DONE {
            return Self::Done;
        }
        let cause = ProbeCause::of_word(word).unwrap_or(ProbeCause::Failed);
        Self::Failed(ProbeFailure::new(cause, detail))
    }
}

impl Trust {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> TrustKind {
        match self {
            Self::Signed { .. } => TrustKind::Signed,
            Self::Invalid(_) => TrustKind::Invalid,
            Self::Unsigned => TrustKind::Unsigned,
            Self::Unknown(_) => TrustKind::Unknown,
        }
    }

    /// The position of the CA that signed the certificate, from 1, and the number of CAs.
    #[must_use]
    pub fn ca(&self) -> Option<(usize, usize)> {
        match self {
            Self::Signed { position, of } => Some((*position, *of)),
            _ => None,
        }
    }

    /// Why the certificate is not valid, or why it is not known whether it is the cluster's.
    #[must_use]
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Invalid(why) | Self::Unknown(why) => Some(why),
            Self::Signed { .. } | Self::Unsigned => None,
        }
    }
}

impl ProbeFailure {
    /// A failure with this text; if that is empty, with the words of its cause.
    #[must_use]
    pub fn new(cause: ProbeCause, detail: String) -> Self {
        let detail = if detail.trim().is_empty() { cause.text().to_owned() } else { detail };
        Self { cause, detail }
    }
}

impl ProbeCause {
    /// What happened, as text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::TimedOut => "nothing answered in time",
            Self::Refused => "the connection was refused",
            Self::Reset => "the connection was reset or closed",
            Self::NoRoute => "that host has no route to it",
            Self::Alert => "the other end sent a TLS alert",
            Self::Protocol => "the other end does not speak the protocol",
            Self::Proxy => "the proxy refused",
            Self::Failed => "the reason is not recorded",
        }
    }

    /// Whether such a failure to connect shows that others on the same way fail too. A proxy
    /// that the prober cannot use may serve other programs, and any other reason may be this
    /// host's own.
    #[must_use]
    pub fn is_decisive(self) -> bool {
        !matches!(self, Self::Proxy | Self::Failed)
    }
}

impl AddressProbe {
    /// Why the address was not reached; `None` if it was.
    #[must_use]
    pub fn failure(&self) -> Option<&ProbeFailure> {
        match &self.tcp {
            Attempt::Failed(failure) => Some(failure),
            Attempt::Done => None,
        }
    }

    /// Whether the address was reached: any answer to TCP shows it, as an HTTP status of any
    /// kind does.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.tcp == Attempt::Done
    }

    /// Whether something at an address of an EKS-owned ENI answered TCP, and nothing shows that it
    /// is the ENI: outside the VPC, another network may have the same addresses. `is_node`: the
    /// probe is a node's, in the VPC.
    #[must_use]
    pub fn is_unchecked(&self, path: Path, is_node: bool) -> bool {
        path == Path::PrivateEni && !is_node && self.is_reached() && !self.is_api_server()
    }

    /// Whether the address was shown to be this cluster's API server.
    #[must_use]
    pub fn is_api_server(&self) -> bool {
        matches!(&self.tls, Some(TlsAttempt { trust: Trust::Signed { .. }, .. }))
    }
}
