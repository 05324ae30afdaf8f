//! The proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`), by the rules that requests to AWS
//! follow, and its method CONNECT.

use std::net::SocketAddr;

use base64::Engine as _;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::failure::{failure, of_io};
use crate::collect::names;
use crate::model::probe::{ProbeCause, ProbeFailure};

/// The largest answer of a proxy.
const ANSWER_MAX: usize = 16 << 10;

/// A proxy for the endpoint.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    /// Its host and port, which is all of its URL that is shown.
    pub(super) name: String,
    is_http: bool,
    /// The value of `Proxy-Authorization`, which is secret.
    authorization: Option<Secret>,
}

/// A text that is never shown.
#[derive(Clone)]
struct Secret(Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Proxy {
    /// The proxy of the environment for an endpoint, if there is one.
    pub(super) fn of_environment(host: &str, port: u16) -> Option<Self> {
        let url = format!("https://{host}:{port}/").parse().ok()?;
        let found = Matcher::from_env().intercept(&url)?;
        let uri = found.uri();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let basic = found.basic_auth().map(|value| value.as_bytes().to_vec());
        let authorization = basic.or_else(|| {
            let (user, password) = found.raw_auth()?;
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            Some(format!("Basic {pair}").into_bytes())
        });
        Some(Self {
            name: format!("{}:{port}", uri.host()?),
            is_http: uri.scheme_str().is_none_or(|scheme| scheme == "http"),
            authorization: authorization.map(Secret),
        })
    }

    /// A connection through the proxy.
    pub(super) async fn connect(&self, to: SocketAddr) -> Result<TcpStream, ProbeFailure> {
        let of_proxy =
            |problem: &str| failure(ProbeCause::Proxy, format!("the proxy {}: {problem}", self.name));
        if !self.is_http {
            return Err(of_proxy("only proxies with http:// are probed"));
        }
        let stream = names::connect(&self.name).await;
        let mut stream = stream.map_err(|error| of_proxy(&of_io(&error).detail))?;
        let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
        if let Some(Secret(value)) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(value);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let io = |error| of_proxy(&of_io(&error).detail);
        stream.write_all(&request).await.map_err(io)?;
        let mut answer = Vec::new();
        // A byte at a time: what follows the answer is of the other end.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() == ANSWER_MAX {
                return Err(of_proxy("its answer is too large"));
            }
            answer.push(stream.read_u8().await.map_err(io)?);
        }
        let status = answer.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
        match status {
            [b'2', _, _] if answer.starts_with(b"HTTP/1.") => Ok(stream),
            b"407" => {
                Err(of_proxy("it requires a user name and a password, or does not accept those it has"))
            }
            [a, b, c]
                if answer.starts_with(b"HTTP/1.") && [a, b, c].iter().all(|byte| byte.is_ascii_digit()) =>
            {
                let status = String::from_utf8_lossy(status);
                Err(of_proxy(&format!(
                    "it answers {status} to CONNECT {to}; it may admit host names and no addresses"
                )))
            }
            _ => Err(of_proxy("its answer is not HTTP/1.1")),
        }
    }
}
