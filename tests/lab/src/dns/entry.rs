//! The configuration of a name: its addresses, and how the server responds.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The addresses of a name, and how the server responds to queries for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The addresses. A query for the other address family gets an empty answer (NODATA).
    pub addresses: Vec<IpAddr>,
    /// The TTL of the records, in seconds.
    pub ttl: u32,
    /// How the server responds.
    pub behaviour: Behaviour,
}

/// How the server responds to a query. The entry's addresses are used only where mentioned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Sends the addresses; over UDP, truncated (TC bit set) if they do not fit.
    Answer,
    /// Sends NXDOMAIN: the name does not exist.
    NxDomain,
    /// Sends NODATA: the name has no addresses.
    NoData,
    /// Sends SERVFAIL.
    ServFail,
    /// Sends REFUSED.
    Refused,
    /// Sends no reply.
    Timeout,
    /// Sends the addresses after a delay.
    Slow(Duration),
    /// Sends a truncated reply over UDP, and the addresses over TCP.
    Truncated,
    /// Sends a truncated reply over UDP, and closes TCP connections.
    TruncatedNoTcp,
    /// Sends the first half of the reply's bytes.
    HalfMessage,
    /// Sends the addresses under another message ID.
    WrongId,
    /// Sends a chain of this many CNAME records, and the addresses of the last target.
    CnameChain(usize),
    /// Sends a CNAME record whose target is an alias of the queried name.
    CnameLoop,
}

impl Entry {
    /// A name with addresses and a TTL of 60 seconds, that of EKS endpoints.
    #[must_use]
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        Self { addresses: addresses.into_iter().collect(), ttl: 60, behaviour: Behaviour::Answer }
    }

    /// A name with `count` addresses, to exceed the size of a datagram.
    #[must_use]
    pub fn with_many_addresses(count: u16) -> Self {
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0));
        Self::addresses((first..first + u32::from(count)).map(|address| Ipv4Addr::from(address).into()))
    }

    /// A name without addresses, for behaviours that send none.
    #[must_use]
    pub fn failing(behaviour: Behaviour) -> Self {
        Self::addresses([]).with_behaviour(behaviour)
    }

    /// Sets the behaviour.
    #[must_use]
    pub fn with_behaviour(self, behaviour: Behaviour) -> Self {
        Self { behaviour, ..self }
    }

    /// Sets the TTL.
    #[must_use]
    pub fn with_ttl(self, ttl: u32) -> Self {
        Self { ttl, ..self }
    }
}
