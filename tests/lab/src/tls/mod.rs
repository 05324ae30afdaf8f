//! TLS servers of every kind that a probe may meet, for the host name `localhost`, that of the lab's endpoint, and
//! a proxy with the method CONNECT.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::http::{Request, read_request};
use crate::listen::{TcpServer, bind_in, lock};

/// The files of `certificates/`.
macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("certificates/", $name))
    };
}

/// The certificate of [`Authority::First`], the CA of the lab's cluster, as `DescribeCluster` has it: PEM in Base64.
pub const CERTIFICATE_AUTHORITY: &str = include_str!("certificates/first.base64");

/// The certificate of a CA, in PEM.
#[derive(Clone, Copy, Debug)]
pub enum Authority {
    /// The first one of the cluster.
    First,
    /// The second one of the cluster, with the same name.
    Second,
    /// One of somebody else.
    Other,
}

impl Authority {
    /// The certificate, in PEM.
    #[must_use]
    pub fn pem(self) -> &'static str {
        match self {
            Self::First => pem!("first.pem"),
            Self::Second => pem!("second.pem"),
            Self::Other => pem!("other.pem"),
        }
    }
}

/// The certificate that a server shows.
#[derive(Clone, Copy, Debug)]
pub enum Shows {
    /// A valid one of the first CA.
    First,
    /// A valid one of the first CA for the endpoint of the lab.
    Endpoint,
    /// A valid one of the second CA.
    Second,
    /// One of another CA.
    Other,
    /// An expired one of the first CA.
    Expired,
    /// An expired one of another CA.
    ExpiredOfOther,
    /// One of the first CA that is not valid yet.
    NotYetValid,
    /// One of the first CA for another name.
    OtherName,
    /// One of the first CA for a client.
    Client,
    /// One of another CA for a client.
    ClientOfOther,
    /// A valid one of the first CA, without its key: what anyone can show.
    WithoutKey,
}

impl Shows {
    fn certificate(self) -> &'static str {
        match self {
            Self::First | Self::WithoutKey => pem!("by-first.pem"),
            Self::Endpoint => pem!("endpoint.pem"),
            Self::Second => pem!("by-second.pem"),
            Self::Other => pem!("by-other.pem"),
            Self::Expired => pem!("expired.pem"),
            Self::ExpiredOfOther => pem!("expired-by-other.pem"),
            Self::NotYetValid => pem!("not-yet-valid.pem"),
            Self::OtherName => pem!("other-name.pem"),
            Self::Client => pem!("of-client.pem"),
            Self::ClientOfOther => pem!("of-client-by-other.pem"),
        }
    }
}

/// How a server answers.
#[derive(Clone, Debug)]
pub enum Answers {
    /// As an API server: the status of `/version`, of `/livez`, and of other paths.
    Api(u16, u16, u16),
    /// With a redirection.
    Redirect,
    /// With a body that does not end.
    Endless,
    /// With a byte of the head now and then.
    Slowly,
    /// With a head that does not end.
    EndlessHead,
    /// Not at all: it closes the connection.
    Closes,
    /// With an alert, since it speaks HTTP/2 alone.
    Http2,
    /// With HTTP that is not encrypted.
    Plain,
    /// With a byte of the TLS handshake now and then.
    SlowHandshake,
    /// With a reset of the connection.
    Reset,
}

/// A server on 127.0.0.1. It stops when it is dropped.
#[derive(Debug)]
pub struct TlsServer {
    address: SocketAddr,
    /// The heads of the requests, as text.
    requests: Arc<Mutex<Vec<String>>>,
    /// Who connected.
    clients: Arc<Mutex<Vec<IpAddr>>>,
    answers: Arc<Mutex<Answers>>,
    _server: TcpServer,
}

impl TlsServer {
    /// Serves on a free port.
    ///
    /// # Errors
    ///
    /// No socket can be bound, or the certificate cannot be used.
    pub fn serve(shows: Shows, answers: Answers) -> anyhow::Result<Self> {
        Self::start(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, shows, answers)
    }

    /// Serves at an address in the network namespace that the file `netns` refers to.
    ///
    /// # Errors
    ///
    /// No socket can be bound, or the certificate cannot be used.
    pub fn serve_in(
        netns: &Path,
        address: SocketAddr,
        shows: Shows,
        answers: Answers,
    ) -> anyhow::Result<Self> {
        Self::start(bind_in(netns, || TcpListener::bind(address))?, shows, answers)
    }

    fn start(listener: TcpListener, shows: Shows, answers: Answers) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let config = Arc::new(config(shows, &answers)?);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let journal = Arc::clone(&requests);
        let clients = Arc::new(Mutex::new(Vec::new()));
        let connected = Arc::clone(&clients);
        let answers = Arc::new(Mutex::new(answers));
        let current = Arc::clone(&answers);
        let serve = move |stream: &TcpStream| {
            lock(&connected).push(stream.peer_addr()?.ip());
            let answers = lock(&current).clone();
            serve(stream, &config, &answers, &journal)
        };
        Ok(Self { address, requests, clients, answers, _server: TcpServer::start(listener, serve)? })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Changes the answers on connections that are made from now on. What it speaks remains: HTTP/1.1
    /// or HTTP/2.
    pub fn set_answers(&self, answers: Answers) {
        *lock(&self.answers) = answers;
    }

    /// The addresses of the clients that connected so far, each once for each connection.
    #[must_use]
    pub fn clients(&self) -> Vec<IpAddr> {
        lock(&self.clients).clone()
    }

    /// The requests so far: method, path and names of headers.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        lock(&self.requests).clone()
    }
}

fn config(shows: Shows, answers: &Answers) -> anyhow::Result<ServerConfig> {
    let provider = aws_lc_rs::default_provider();
    let key = if matches!(shows, Shows::WithoutKey) { pem!("another.key") } else { pem!("leaf.key") };
    let key = provider.key_provider.load_private_key(PrivateKeyDer::from_pem_slice(key.as_bytes())?)?;
    let chain = vec![CertificateDer::from_pem_slice(shows.certificate().as_bytes())?];
    let certified = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certified));
    if matches!(answers, Answers::Http2) {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(config)
}

/// The time between two bytes of a slow server.
const SLOW: Duration = Duration::from_millis(200);

fn serve(
    stream: &TcpStream,
    config: &Arc<ServerConfig>,
    answers: &Answers,
    journal: &Mutex<Vec<String>>,
) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    match answers {
        Answers::Plain => {
            stream.read_exact(&mut [0; 5])?;
            return stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
        Answers::SlowHandshake => {
            // The head of a record of the handshake, and its length.
            for byte in [22, 3, 3, 0x40, 0].into_iter().chain([0; 1000]) {
                stream.write_all(&[byte])?;
                thread::sleep(SLOW);
            }
            return Ok(());
        }
        Answers::Reset => {
            stream.read_exact(&mut [0; 5])?;
            sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
            return Ok(());
        }
        _ => {}
    }
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut unread = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut unread)? {
        lock(journal).push(entry(&request));
        answer(&mut stream, answers, &request)?;
        stream.flush()?;
        if matches!(answers, Answers::Closes) {
            return Ok(());
        }
    }
    Ok(())
}

fn entry(request: &Request) -> String {
    let headers: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    format!("{} {} {}", request.method, request.path, headers.join(","))
}

fn answer(stream: &mut impl Write, answers: &Answers, request: &Request) -> io::Result<()> {
    let send = |stream: &mut dyn Write, status: u16, header: &str, body: &str| {
        let length = body.len();
        stream.write_all(
            format!("HTTP/1.1 {status} X\r\n{header}content-length: {length}\r\n\r\n{body}").as_bytes(),
        )
    };
    match answers {
        Answers::Api(version, live, others) => {
            let (status, body) = match request.path.as_str() {
                "/version" => (*version, r#"{"major": "1", "gitVersion": "v1.33.2-eks-1b2c3d4"}"#),
                "/livez" => (*live, "ok"),
                _ => (*others, r#"{"kind": "APIVersions"}"#),
            };
            match refusal(status, &request.path) {
                Some(refusal) => send(stream, status, "content-type: application/json\r\n", &refusal),
                None => send(stream, status, "", body),
            }
        }
        Answers::Redirect => send(stream, 302, "location: http://169.254.169.254/latest/\r\n", ""),
        Answers::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            loop {
                stream.write_all(b"1000\r\n")?;
                stream.write_all(&[b'x'; 0x1000])?;
                stream.write_all(b"\r\n")?;
            }
        }
        Answers::Slowly => {
            for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat_n(&b'y', 1000)) {
                stream.write_all(&[*byte])?;
                stream.flush()?;
                thread::sleep(SLOW);
            }
            Ok(())
        }
        Answers::EndlessHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                stream
                    .write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")?;
            }
        }
        _ => Ok(()),
    }
}

/// The body with which an API server refuses an anonymous request, if a status is a refusal.
fn refusal(status: u16, path: &str) -> Option<String> {
    let (message, reason) = match status {
        401 => ("Unauthorized".to_owned(), "Unauthorized"),
        403 => (format!("forbidden: User \"system:anonymous\" cannot get path \"{path}\""), "Forbidden"),
        _ => return None,
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": {}, "code": status,
    });
    Some(body.to_string())
}

/// A request for a connection: its target, and its credentials.
pub type Connect = (String, Option<String>);

/// A proxy on 127.0.0.1 with the method CONNECT. It stops when it is dropped.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    /// What was requested: the target, and the value of `Proxy-Authorization`.
    requests: Arc<Mutex<Vec<Connect>>>,
    _server: TcpServer,
}

impl ConnectProxy {
    /// Serves on a free port, and answers with `status`; 200 makes the connection.
    ///
    /// # Errors
    ///
    /// No socket can be bound.
    pub fn serve(status: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let requests = Arc::new(Mutex::new(Vec::new()));
        let journal = Arc::clone(&requests);
        let serve = move |stream: &TcpStream| {
            let mut stream = stream.try_clone()?;
            let Some(request) = read_request(&mut stream, &mut Vec::new())? else { return Ok(()) };
            let authorization = request.header("proxy-authorization").map(ToOwned::to_owned);
            lock(&journal).push((request.path.clone(), authorization));
            let to = if status == 200 { Some(TcpStream::connect(&request.path)?) } else { None };
            stream.write_all(format!("HTTP/1.1 {status} X\r\n\r\n").as_bytes())?;
            let Some(mut to) = to else { return Ok(()) };
            let (mut from, mut back) = (stream.try_clone()?, to.try_clone()?);
            let backwards = thread::spawn(move || {
                let _ended = io::copy(&mut back, &mut stream);
                let _closed = stream.shutdown(std::net::Shutdown::Write);
            });
            let _ended = io::copy(&mut from, &mut to);
            let _closed = to.shutdown(std::net::Shutdown::Write);
            let _panicked = backwards.join();
            Ok(())
        };
        Ok(Self { address, requests, _server: TcpServer::start(listener, serve)? })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The targets so far, each with its credentials.
    #[must_use]
    pub fn requests(&self) -> Vec<Connect> {
        lock(&self.requests).clone()
    }
}
