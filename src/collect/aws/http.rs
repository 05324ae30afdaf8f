//! The HTTP client of all requests to AWS, those for credentials included. It reads each
//! answer up to a limit, and tells failures that can pass, which the SDK repeats, from those
//! that cannot.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::config::http::{HttpRequest, HttpResponse};
use aws_sdk_ec2::config::{HttpClient, RuntimeComponents, SharedAsyncSleep, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use hyper::Uri;
use hyper::http::uri::Scheme;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cause::{chain, find};
use crate::collect::names::{Unresolved, WithoutLibc, is_without_libc};

/// The most bytes of an answer with credentials, which has a few kilobytes.
pub(super) const CREDENTIALS_MAX: usize = 1 << 20;
/// The most bytes of an answer of EKS: a cluster has at most 50 tags, 40 CIDR blocks and a
/// few certificates, and a page of `ListClusters` 100 names.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/service-quotas.html>
pub(super) const EKS_MAX: usize = 16 << 20;
/// The most bytes of an answer of EC2. A page has at most 1,000 items, which are then of 128
/// KiB each. The largest are security groups: one of 1,000 rules, which no quota allows to be
/// exceeded, has about as much.
///
/// <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-pagination.html>
/// <https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html>
pub(super) const EC2_MAX: usize = 128 << 20;
/// The most bytes of an answer of Systems Manager: a page has at most 50 results, with 2,500
/// characters of output each, or one with 32,000.
pub(super) const SSM_MAX: usize = 4 << 20;
/// The most bytes of an object: a compressed capture of a million sockets has fewer.
pub(super) const S3_MAX: usize = 32 << 20;
/// The size from which an answer is a large one. One large answer is read at a time, so that
/// a server whose answers do not end takes the memory of one.
const LARGE: usize = 8 << 20;

/// The most attempts at a connection where the cause may be temporary or not: name servers that
/// fail, which are queried several times for each, and a proxy that makes no connection.
const CONNECTIONS_MAX: u32 = 3;
/// The time between two of them.
const CONNECTION_PAUSE: Duration = Duration::from_millis(500);

/// A request that got no answer, for a reason that a repetition does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Final {
    /// The host's name does not exist.
    #[error("the host name {0} does not exist")]
    NoSuchHost(String),
    /// No name server answers for the host's name.
    #[error("the host name {0} cannot be resolved: the name servers do not answer for it")]
    NotResolved(String),
    /// No name server is known.
    #[error("the host name {host} cannot be resolved: {cause}")]
    NoNameServer {
        /// The host.
        host: String,
        /// The cause.
        cause: String,
    },
    /// Nothing listens at the host's port.
    #[error("{0} refuses the connection")]
    Refused(String),
    /// The proxy's name does not exist, or cannot be resolved.
    #[error("the host name of the proxy does not exist")]
    NoSuchProxy,
    /// Nothing listens at the proxy's port.
    #[error("the proxy refuses the connection")]
    ProxyRefused,
    /// The proxy requires other credentials.
    #[error("the proxy requires a user name and a password, or does not accept those it has")]
    ProxyAuthorization,
    /// The proxy makes no connection to the host.
    #[error("the proxy makes no connection to {0}")]
    ProxyRejected(String),
    /// The URL of the AWS endpoint has a scheme that cannot be used.
    #[error("the URL of the AWS endpoint begins with neither https:// nor http://")]
    Scheme,
    /// The URL of the proxy has one.
    #[error("the URL of the proxy begins with neither https:// nor http://")]
    ProxyScheme,
    /// The answer has no end, or is larger than any answer of AWS.
    #[error("the answer of {host} has more than {max} MiB, which no answer of AWS has")]
    TooLarge {
        /// The host.
        host: String,
        /// The limit, in MiB.
        max: usize,
    },
    /// The server speaks no TLS, or has a certificate that is not trusted.
    #[error("no TLS connection to {host}: {cause}")]
    Tls {
        /// The host.
        host: String,
        /// The cause.
        cause: String,
    },
}

/// A client that reads answers up to a limit.
#[derive(Debug, Clone)]
pub(super) struct Limited {
    client: SharedHttpClient,
    tls: TlsContext,
    max: usize,
    /// The permit to read a large answer.
    large: Arc<Semaphore>,
}

impl Limited {
    /// A client that uses the environment's proxy.
    pub(super) fn new(tls: TlsContext) -> Self {
        let large = Arc::new(Semaphore::new(1));
        Self { client: client(tls.clone()), tls, max: CREDENTIALS_MAX, large }
    }

    /// The same, with another limit.
    pub(super) fn with_max(&self, max: usize) -> SharedHttpClient {
        SharedHttpClient::new(Self { max, ..self.clone() })
    }

    /// A connector with another limit, for requests without a client of the SDK.
    pub(super) fn connector(
        &self,
        max: usize,
        settings: HttpConnectorSettings,
        sleep: Option<SharedAsyncSleep>,
    ) -> SharedHttpConnector {
        let connector = SharedHttpConnector::new(connector(&self.tls, Some(settings), sleep));
        SharedHttpConnector::new(LimitedConnector { connector, max, large: Arc::clone(&self.large) })
    }
}

impl HttpClient for Limited {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.client.http_connector(settings, components);
        let (max, large) = (self.max, Arc::clone(&self.large));
        SharedHttpConnector::new(LimitedConnector { connector, max, large })
    }
}

#[derive(Debug)]
struct LimitedConnector {
    connector: SharedHttpConnector,
    max: usize,
    large: Arc<Semaphore>,
}

impl HttpConnector for LimitedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connector, max, large) = (self.connector.clone(), self.max, Arc::clone(&self.large));
        HttpConnectorFuture::new(async move {
            let host = host_of(request.uri());
            let has_proxy = goes_to_proxy(request.uri());
            let response = connect(&connector, request, &host, has_proxy).await?;
            read(response, max, &large, host).await
        })
    }
}

/// Sends a request, and repeats it where it is not known whether that can help.
async fn connect(
    connector: &SharedHttpConnector,
    request: HttpRequest,
    host: &str,
    has_proxy: bool,
) -> Result<HttpResponse, ConnectorError> {
    let mut request = request;
    let mut connections = 0;
    loop {
        connections += 1;
        let again = request.try_clone().filter(|_| connections < CONNECTIONS_MAX);
        let error = match connector.call(request).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let Some(reason) = final_error(&error, host, has_proxy) else { return Err(error) };
        match (reason, again) {
            (Final::NotResolved(_) | Final::ProxyRejected(_), Some(again)) => {
                tokio::time::sleep(CONNECTION_PAUSE).await;
                request = again;
            }
            (reason, _) => return Err(ConnectorError::other(reason.into(), None)),
        }
    }
}

/// The texts of getaddrinfo for a name that does not exist or has no address: of glibc, of
/// musl, and of macOS.
const ABSENT: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Name does not resolve",
    "Name has no usable address",
    "nodename nor servname provided",
];

/// Whether a request without TLS is sent to the environment's proxy, so that an error of its
/// connection is the proxy's. With TLS, the proxy makes a tunnel, whose errors say so.
fn goes_to_proxy(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    uri.filter(|uri| uri.scheme() == Some(&Scheme::HTTP))
        .is_some_and(|uri| Matcher::from_env().intercept(&uri).is_some())
}

/// The reason for which a repetition of a request would fail as well; `None` if it need not.
/// `has_proxy` if its connection is one to a proxy.
fn final_error(error: &ConnectorError, host: &str, has_proxy: bool) -> Option<Final> {
    if error.is_timeout() {
        return None;
    }
    let host = host.to_owned();
    let chain: Vec<&dyn Error> = chain(error).collect();
    let says = |text: &str| chain.iter().any(|error| error.to_string().contains(text));
    let kind = chain.iter().find_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
    let is_proxy = has_proxy || says("tunnel error");
    if says("failed to lookup address") || says("dns error") {
        // The code of getaddrinfo is known by its text alone, in glibc and in musl.
        // Any other, such as one of too many open files, says nothing about the name.
        let own: Option<&Unresolved> = find(error);
        let is_absent = ABSENT.into_iter().any(says) || matches!(own, Some(Unresolved::Absent));
        return Some(match (is_proxy, is_absent, own) {
            (true, ..) => Final::NoSuchProxy,
            (false, _, Some(cause @ Unresolved::NoServer(_))) => {
                Final::NoNameServer { host, cause: cause.to_string() }
            }
            (false, false, _) => Final::NotResolved(host),
            (false, true, _) => Final::NoSuchHost(host),
        });
    }
    if says("unsupported scheme") {
        return Some(if is_proxy { Final::ProxyScheme } else { Final::Scheme });
    }
    if says("proxy authorization required") {
        return Some(Final::ProxyAuthorization);
    }
    if says("tunnel error: unsuccessful") {
        return Some(Final::ProxyRejected(host));
    }
    let can_pass = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::TimedOut];
    if (says("TLS handshake failed") || says("invalid peer certificate"))
        && !kind.is_some_and(|kind| can_pass.contains(&kind))
    {
        let cause = chain.last().map(ToString::to_string).unwrap_or_default();
        return Some(Final::Tls { host, cause });
    }
    match kind {
        Some(io::ErrorKind::ConnectionRefused) if is_proxy => Some(Final::ProxyRefused),
        Some(io::ErrorKind::ConnectionRefused) => Some(Final::Refused(host)),
        _ => None,
    }
}

/// The answer with all of its body.
async fn read(
    mut response: HttpResponse,
    max: usize,
    large: &Arc<Semaphore>,
    host: String,
) -> Result<HttpResponse, ConnectorError> {
    let mut body = ByteStream::new(std::mem::replace(response.body_mut(), SdkBody::taken()));
    // Declared first, to be returned after the memory.
    let mut permit = None;
    let mut read = Vec::new();
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| ConnectorError::io(CutOff(error.into()).into()))?;
        let size = read.len() + bytes.len();
        if size > max {
            let error = Final::TooLarge { host, max: max >> 20 };
            return Err(ConnectorError::other(error.into(), None));
        }
        if size > LARGE && permit.is_none() {
            permit = Arc::clone(large).acquire_owned().await.ok();
        }
        read.extend_from_slice(&bytes);
    }
    let whole = Whole { bytes: read, _permit: permit };
    *response.body_mut() = SdkBody::from(Bytes::from_owner(whole));
    Ok(response)
}

/// A body that was read, with the permit of a large one, which is returned with its memory.
struct Whole {
    bytes: Vec<u8>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The error of an answer whose connection was lost before its end.
#[derive(Debug)]
pub(super) struct CutOff(Box<dyn Error + Send + Sync>);

impl fmt::Display for CutOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer is cut off")
    }
}

impl Error for CutOff {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

/// Shown instead of a host that may be a part of a password.
const NOT_SHOWN: &str = "(not shown)";

/// The host and port of a URL, without the user, the path and the query, which may be secret.
pub(super) fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    // A password with such a character ends what is taken for the host.
    if path.contains('@') {
        return NOT_SHOWN.to_owned();
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    // The SDK cuts a URL at such a character too: what follows a colon is a port, or secret.
    let port = host.rsplit_once(':').map_or("", |(_, port)| port);
    let is_host = host.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    if is_host { host.to_owned() } else { NOT_SHOWN.to_owned() }
}

/// The SDK's client.
fn client(tls: TlsContext) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        connector(&tls, settings.cloned(), components.and_then(RuntimeComponents::sleep_impl))
    })
}

/// A connector of the SDK's client.
fn connector(
    tls: &TlsContext,
    settings: Option<HttpConnectorSettings>,
    sleep: Option<SharedAsyncSleep>,
) -> Connector {
    let mut connector = Connector::builder()
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls.clone())
        .proxy_config(ProxyConfig::from_env());
    connector.set_connector_settings(settings);
    connector.set_sleep_impl(sleep);
    if is_without_libc() { connector.build_with_resolver(WithoutLibc) } else { connector.build() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shown_without_what_may_be_secret() {
        for (url, host) in [
            ("https://eks.eu-west-1.amazonaws.com/clusters/myeks", "eks.eu-west-1.amazonaws.com"),
            ("http://user:secret@127.0.0.1:80/p?token=secret", "127.0.0.1:80"),
            ("http://user:sec@ret@host?token=secret", "host"),
            ("http://user:sec/ret@host/", NOT_SHOWN),
            ("http://user:sec?ret@host/", NOT_SHOWN),
            ("http://[::1]:80/", "[::1]:80"),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }
}
