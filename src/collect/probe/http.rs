//! Anonymous requests over a connection whose other end showed a certificate of the cluster.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use super::certificate::shortened;
use super::failure::{failure, of_http, timed_out};
use crate::model::probe::{HttpAnswer, ProbeCause, ProbeFailure};

/// What is requested.
pub(super) const PATHS: [&str; 4] = ["/version", "/livez", "/", "/api"];
/// The most bytes of an answer's head, and of its body.
const SIZE_MAX: usize = 64 << 10;

/// A connection for requests.
pub(super) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    /// The task that drives the connection, which ends with it.
    _task: JoinSet<()>,
}

impl Connection {
    pub(super) async fn new(stream: TlsStream<TcpStream>) -> Result<Self, ProbeFailure> {
        let io = TokioIo::new(stream);
        let opened = http1::Builder::new().max_buf_size(SIZE_MAX).handshake(io).await;
        let (sender, connection) = opened.map_err(|error| of_http(&error))?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, _task: task })
    }

    /// Whether another request can be sent.
    pub(super) async fn is_usable(&mut self, deadline: Instant) -> bool {
        matches!(timeout_at(deadline, self.sender.ready()).await, Ok(Ok(())))
    }
}

/// Requests a path. Whether the connection can be used for another one is the second value.
pub(super) async fn get(
    connection: &mut Connection,
    authority: &str,
    path: &str,
    deadline: Instant,
    limit: Duration,
) -> (HttpAnswer, bool) {
    let answer = |status, given| HttpAnswer { path: path.to_owned(), status, given };
    let request = Request::get(path)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("eks-netcheck/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .body(Empty::new());
    let Ok(request) = request else {
        return (answer(Err(failure(ProbeCause::Failed, "the request cannot be made")), None), false);
    };
    let response = match timeout_at(deadline, connection.sender.send_request(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return (answer(Err(of_http(&error)), None), false),
        Err(_) => return (answer(Err(timed_out("no answer", limit)), None), false),
    };
    let status = response.status();
    let location = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let location = location.filter(|_| status.is_redirection());
    let redirected = location.map(|to| shortened(&format!("a redirection to {to}, which is not followed")));
    let (body, is_whole) = body(response, deadline).await;
    let given = redirected
        .or_else(|| status.is_success().then(|| given(path, &body)).filter(|given| !given.is_empty()));
    (answer(Ok(status.as_u16()), given), is_whole)
}

/// The beginning of a body, and whether that is all of it.
async fn body(response: Response<Incoming>, deadline: Instant) -> (Vec<u8>, bool) {
    let mut body = response.into_body();
    let mut read = Vec::new();
    loop {
        match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    read.extend_from_slice(&data[..data.len().min(SIZE_MAX - read.len())]);
                }
                if read.len() == SIZE_MAX {
                    return (read, false);
                }
            }
            Ok(None) => return (read, true),
            Ok(Some(Err(_))) | Err(_) => return (read, false),
        }
    }
}

/// What an anonymous client was given: the version, or the beginning of the body.
fn given(path: &str, body: &[u8]) -> String {
    let version = || {
        let json: serde_json::Value = serde_json::from_slice(body).ok()?;
        json["gitVersion"].as_str().map(shortened)
    };
    let version = (path == "/version").then(version).flatten();
    version.unwrap_or_else(|| shortened(String::from_utf8_lossy(body).trim()))
}
