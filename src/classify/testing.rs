//! Helpers of tests.

use std::net::IpAddr;

use crate::model::socket::{Host, Port, SocketAddress};

/// Parses an address and a port as `ss` prints them; `*` is any.
pub(super) fn at(address: &str) -> SocketAddress {
    let (ip, port) = address.rsplit_once(':').expect("a port");
    let host = if ip == "*" { Host::Any } else { Host::Ip(ip.parse::<IpAddr>().expect("an address")) };
    SocketAddress { host, port: port.parse().map_or(Port::Any, Port::Number) }
}
