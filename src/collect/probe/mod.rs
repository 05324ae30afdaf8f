//! Probes: what addresses answer to TCP, TLS and anonymous requests from this machine. No
//! credentials are sent, no redirection is followed, and time and size are bounded.

mod certificate;
pub(super) mod failure;
mod http;
pub mod peers;
mod proxy;
mod trust;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::debug;

use self::failure::{failure, of_io, timed_out};
use self::http::{Connection, PATHS, get};
use self::proxy::Proxy;
use self::trust::{Authorities, Recorder};
use crate::model::cluster::Cluster;
use crate::model::probe::{
    AddressProbe, Attempt, HttpAnswer, ProbeCause, ProbeFailure, ProbeTarget, ProbeWay, TlsAttempt, Trust,
};

/// The most addresses of each kind that are probed.
pub(super) const ADDRESSES_MAX: usize = 8;
/// The most addresses that are probed at a time, of all clusters.
const CONCURRENCY: usize = 64;
/// How long a connection may take: the kernel repeats the first packet after 1 s.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a TLS handshake may take: it is two round trips.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// How long all of an address may take.
const WHOLE_MAX: Duration = Duration::from_secs(10);

/// How the endpoint is probed.
#[derive(Debug, Clone)]
pub struct ProbeRequest {
    /// The time limit for an address.
    timeout: Duration,
    /// A permit for each address that may be probed at a time.
    permits: Arc<Semaphore>,
}

impl ProbeRequest {
    /// A request with a time limit for each address.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout: timeout.min(WHOLE_MAX), permits: Arc::new(Semaphore::new(CONCURRENCY)) }
    }
}

/// The address of this host with which it would connect to an address; `None` if no route leads
/// there. Nothing is sent.
fn source(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip().to_canonical())
}

/// A prober of one cluster's endpoint.
#[derive(Debug)]
pub(super) struct Prober<'a> {
    request: &'a ProbeRequest,
    host: String,
    port: u16,
    authorities: Arc<Authorities>,
    proxy: Option<Proxy>,
}

impl<'a> Prober<'a> {
    /// A prober of a cluster; `None` if it has no endpoint.
    pub(super) fn new(request: &'a ProbeRequest, cluster: &Cluster) -> Option<Self> {
        let endpoint = cluster.endpoint.as_ref()?;
        Some(Self {
            request,
            host: endpoint.host.clone(),
            port: endpoint.port,
            authorities: Arc::new(Authorities::new(cluster.certificate_authority.as_deref())),
            proxy: Proxy::of_environment(&endpoint.host, endpoint.port),
        })
    }

    /// The host name that is sent as SNI.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Probes addresses, at most eight of them, directly and by the proxy of the environment.
    pub(super) async fn probe(&self, addresses: &BTreeSet<IpAddr>, target: ProbeTarget) -> Vec<AddressProbe> {
        let addresses: Vec<_> = addresses.iter().take(ADDRESSES_MAX).collect();
        let ways = || std::iter::once(None).chain(self.proxy.as_ref().map(Some));
        let socket = |address| SocketAddr::new(address, self.port);
        let probes = addresses.iter().flat_map(|address| ways().map(move |proxy| (socket(**address), proxy)));
        self.probe_all(probes, target).await
    }

    /// Probes addresses, each directly or by a proxy.
    async fn probe_all(
        &self,
        probes: impl Iterator<Item = (SocketAddr, Option<&Proxy>)>,
        target: ProbeTarget,
    ) -> Vec<AddressProbe> {
        join_all(probes.map(|(address, proxy)| self.probe_address(address, target, proxy))).await
    }

    async fn probe_address(
        &self,
        address: SocketAddr,
        target: ProbeTarget,
        proxy: Option<&Proxy>,
    ) -> AddressProbe {
        let _permit = self.request.permits.acquire().await;
        let began = Instant::now();
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let way = proxy.map_or(ProbeWay::Direct, |proxy| ProbeWay::Proxy(proxy.name.clone()));
        let mut probe = AddressProbe {
            address,
            target,
            way,
            source: None,
            tcp: Attempt::Done,
            tls: None,
            http: Vec::new(),
        };
        let deadline = began + self.request.timeout;
        match self.connect(address, proxy, deadline).await {
            Err(failure) => {
                probe.source = source(address).filter(|_| proxy.is_none());
                probe.tcp = Attempt::Failed(failure);
            }
            Ok(stream) => {
                let own = stream.local_addr().ok().filter(|_| proxy.is_none());
                probe.source = own.map(|own| own.ip().to_canonical());
                let (tls, stream) = self.handshake(stream, deadline).await;
                probe.tls = Some(tls);
                if let Some(stream) = stream {
                    probe.http = self.requests(stream, address, proxy, deadline).await;
                }
            }
        }
        let ms = began.elapsed().as_millis();
        debug!(%address, way = ?probe.way, ms, tcp = ?probe.tcp, tls = ?probe.tls, "probed");
        probe
    }

    /// Connects to an address, by a proxy if there is one.
    async fn connect(
        &self,
        address: SocketAddr,
        proxy: Option<&Proxy>,
        deadline: Instant,
    ) -> Result<TcpStream, ProbeFailure> {
        let ip = address.ip();
        // The kernel takes the unspecified address for this host.
        if ip.is_unspecified() || ip.is_multicast() {
            return Err(failure(ProbeCause::NoRoute, "no host can have this address"));
        }
        let limit = self.request.timeout.min(CONNECT_MAX);
        let until = deadline.min(Instant::now() + limit);
        let connected = match proxy {
            Some(proxy) => timeout_at(until, proxy.connect(address)).await,
            None => timeout_at(until, TcpStream::connect(address))
                .await
                .map(|done| done.map_err(|error| of_io(&error))),
        };
        connected.unwrap_or_else(|_| Err(timed_out("no answer", limit)))
    }

    /// Makes a TLS connection. It is returned if a CA of the cluster signed the certificate.
    async fn handshake(
        &self,
        stream: TcpStream,
        deadline: Instant,
    ) -> (TlsAttempt, Option<TlsStream<TcpStream>>) {
        let failed = |failure: ProbeFailure| {
            let trust = Trust::Unknown("no certificate was shown".to_owned());
            (TlsAttempt { certificate: None, trust, handshake: Attempt::Failed(failure) }, None)
        };
        let Ok(name) = ServerName::try_from(self.host.clone()) else {
            return failed(failure(ProbeCause::Failed, "the endpoint's host name cannot be sent as SNI"));
        };
        let (recorder, config) = match Recorder::new(&self.authorities) {
            Ok(recorder) => recorder,
            Err(error) => return failed(failure(ProbeCause::Failed, error.to_string())),
        };
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let limit = self.request.timeout.min(HANDSHAKE_MAX);
        let until = deadline.min(Instant::now() + limit);
        let connected = match timeout_at(until, connecting).await {
            Ok(connected) => connected.map_err(|error| of_io(&error)),
            Err(_) => Err(timed_out("the TLS handshake did not end", limit)),
        };
        let shown = recorder.take();
        match (connected, shown) {
            (Err(failure), None) => failed(failure),
            (Ok(_), None) => failed(failure(ProbeCause::Protocol, "no certificate was shown")),
            (Ok(stream), Some((certificate, trust))) => {
                let tls = TlsAttempt { certificate: Some(certificate), trust, handshake: Attempt::Done };
                (tls, Some(stream))
            }
            (Err(problem), Some((certificate, trust))) => {
                let (trust, problem) = match trust {
                    // Anyone can show the certificate: only the end of the handshake proves its key.
                    Trust::Signed { .. } | Trust::Invalid(_) => {
                        let why = "the other end did not prove that it has the key of the certificate";
                        (Trust::Unknown(why.to_owned()), problem)
                    }
                    Trust::Unsigned | Trust::Unknown(_) => {
                        let why = "ended here, since the certificate is not known to be the cluster's";
                        (trust, failure(ProbeCause::Failed, why))
                    }
                };
                let handshake = Attempt::Failed(problem);
                (TlsAttempt { certificate: Some(certificate), trust, handshake }, None)
            }
        }
    }

    /// Makes the anonymous requests, over another connection after one that cannot be used again.
    async fn requests(
        &self,
        stream: TlsStream<TcpStream>,
        address: SocketAddr,
        proxy: Option<&Proxy>,
        deadline: Instant,
    ) -> Vec<HttpAnswer> {
        let authority = match address.port() {
            443 => self.host.clone(),
            port => format!("{}:{port}", self.host),
        };
        let mut answers = Vec::new();
        let mut stream = Some(stream);
        let mut connection: Option<Connection> = None;
        for path in PATHS {
            let failed = |failure| HttpAnswer { path: path.to_owned(), status: Err(failure), given: None };
            let is_usable = match &mut connection {
                Some(connection) => connection.is_usable(deadline).await,
                None => false,
            };
            if !is_usable {
                let opened = match stream.take() {
                    Some(stream) => Ok(stream),
                    None => self.reopen(address, proxy, deadline).await,
                };
                connection = match opened {
                    Ok(stream) => match Connection::new(stream).await {
                        Ok(connection) => Some(connection),
                        Err(failure) => {
                            answers.push(failed(failure));
                            continue;
                        }
                    },
                    Err(failure) => {
                        answers.push(failed(failure));
                        continue;
                    }
                };
            }
            let Some(open) = &mut connection else { continue };
            let (answer, is_whole) = get(open, &authority, path, deadline, self.request.timeout).await;
            answers.push(answer);
            if !is_whole {
                connection = None;
            }
        }
        answers
    }

    /// Another connection, with the same requirements.
    async fn reopen(
        &self,
        address: SocketAddr,
        proxy: Option<&Proxy>,
        deadline: Instant,
    ) -> Result<TlsStream<TcpStream>, ProbeFailure> {
        let stream = self.connect(address, proxy, deadline).await?;
        match self.handshake(stream, deadline).await {
            (_, Some(stream)) => Ok(stream),
            (TlsAttempt { handshake: Attempt::Failed(failure), .. }, None) => Err(failure),
            (_, None) => Err(failure(ProbeCause::Failed, "no TLS connection")),
        }
    }
}
