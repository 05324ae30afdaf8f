//! What a name server says of a name.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A name's addresses and how they are delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The addresses. Of a family without any, the answer has no data, as of a name with A records only that
    /// is asked for AAAA.
    pub addresses: Vec<IpAddr>,
    /// The seconds that a record may be kept for.
    pub ttl: u32,
    /// How the server answers.
    pub behaviour: Behaviour,
}

/// How the server answers. Where addresses are not mentioned, they are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// With the addresses: over UDP when they fit, else truncated and then over TCP.
    Answer,
    /// There is no such name.
    Nx,
    /// The name has no addresses.
    NoData,
    /// The server has failed.
    ServFail,
    /// The server does not answer this client.
    Refused,
    /// Never.
    Timeout,
    /// With the addresses, and late.
    Slow(Duration),
    /// Truncated over UDP, with the addresses over TCP.
    Truncated,
    /// Truncated over UDP, and over TCP the connection is closed.
    TruncatedNoTcp,
    /// With the first half of the right answer's bytes.
    CutPacket,
    /// With another query's number.
    WrongId,
    /// With that many aliases in a row, and the addresses of the last.
    CnameChain(usize),
    /// With an alias the alias of which is the name itself.
    CnameLoop,
}

impl Entry {
    /// A name with addresses, to be kept for a minute as those of EKS are.
    #[must_use]
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { addresses: addresses.into_iter().collect(), ttl: 60, behaviour: Behaviour::Answer }
    }

    /// A name with more addresses than a datagram takes.
    #[must_use]
    pub fn big(count: u16) -> Self {
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
        Self::addresses((first..first + u32::from(count)).map(|address| Ipv4Addr::from(address).into()))
    }

    /// A name without addresses.
    #[must_use]
    pub fn failing(behaviour: Behaviour) -> Self {
        Self::addresses([]).behaving(behaviour)
    }

    /// The same addresses, delivered otherwise.
    #[must_use]
    pub fn behaving(self, behaviour: Behaviour) -> Self {
        Self { behaviour, ..self }
    }

    /// The same addresses, to be kept for another time.
    #[must_use]
    pub fn ttl(self, ttl: u32) -> Self {
        Self { ttl, ..self }
    }
}
