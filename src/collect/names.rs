//! The addresses of host names that this program connects to by itself: those of AWS
//! endpoints and of proxies.
//!
//! A dynamic executable uses the C library, which follows `/etc/nsswitch.conf`, so that
//! names of mDNS, of a VPN and of other plug-ins are found. A static executable cannot load
//! these plug-ins: it reads the hosts file, and queries the servers in `/etc/resolv.conf`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ServerOrderingStrategy};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::net::TcpStream;

/// The longest wait for one answer, whatever `/etc/resolv.conf` says.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Whether names are looked up without the C library.
static IS_STATIC: AtomicBool = AtomicBool::new(false);

/// Looks names up without the C library, in this process from now on.
pub fn without_libc() {
    IS_STATIC.store(true, Ordering::Relaxed);
}

/// Whether names are looked up without the C library.
pub(super) fn is_without_libc() -> bool {
    IS_STATIC.load(Ordering::Relaxed)
}

/// Why a name has no addresses.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unresolved {
    /// There is no such name, or it has no address.
    #[error("the name does not exist, or has no address")]
    Absent,
    /// No server answers.
    #[error("the name cannot be looked up: {0}")]
    Failed(NetError),
    /// There is no server.
    #[error("/etc/resolv.conf cannot be used: {0}")]
    NoServer(NetError),
}

/// A connection to a host, by its name or address, and a port: `HOST:PORT`.
///
/// # Errors
/// If there is none.
pub(super) async fn connect(to: &str) -> io::Result<TcpStream> {
    if !is_without_libc() {
        return TcpStream::connect(to).await;
    }
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "no host and port");
    let (host, port) = to.rsplit_once(':').ok_or_else(invalid)?;
    let port: u16 = port.parse().map_err(|_| invalid())?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => addresses(host).await.map_err(io::Error::other)?,
    };
    let addresses: Vec<_> = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
    TcpStream::connect(&*addresses).await
}

/// The names that the SDK's client looks up.
#[derive(Debug, Clone)]
pub(super) struct WithoutLibc;

impl ResolveDns for WithoutLibc {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move { addresses(name).await.map_err(ResolveDnsError::new) })
    }
}

/// The addresses of a name, those of IPv4 first: the client tries one of the other family
/// soon afterwards.
async fn addresses(host: &str) -> Result<Vec<IpAddr>, Unresolved> {
    let listed = hosts_file_addresses(host);
    if !listed.is_empty() {
        return Ok(listed);
    }
    let found = resolver().map_err(Unresolved::NoServer)?.lookup_ip(host).await.map_err(unresolved)?;
    let mut addresses: Vec<_> = found.iter().collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    if addresses.is_empty() { Err(Unresolved::Absent) } else { Ok(addresses) }
}

fn unresolved(error: NetError) -> Unresolved {
    match &error {
        NetError::Dns(DnsError::NoRecordsFound(none))
            if matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
        {
            Unresolved::Absent
        }
        _ => Unresolved::Failed(error),
    }
}

/// The addresses of a name in the hosts file. If there are any, no server is asked, not even
/// for addresses of the other family.
fn hosts_file_addresses(host: &str) -> Vec<IpAddr> {
    let Ok(name) = Name::from_utf8(host) else { return Vec::new() };
    let Ok(hosts) = Hosts::from_system() else { return Vec::new() };
    let found = [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)));
    found
        .flat_map(|lookup| {
            lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect::<Vec<_>>()
        })
        .collect()
}

/// A resolver that queries the servers in their order, as the C library's does. It is made for
/// each name, so that a VPN that changes the configuration has its effect.
fn resolver() -> Result<TokioResolver, NetError> {
    let mut builder = TokioResolver::builder_tokio()?;
    let options = builder.options_mut();
    options.timeout = options.timeout.min(TIMEOUT_MAX);
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options.num_concurrent_reqs = 1;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build()
}
