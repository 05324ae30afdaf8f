//! The name server's sockets and threads.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;

use super::entry::{Behaviour, Entry};
use super::reply::{Delivery, Reply, build_reply, parse_alias};
use crate::listen::{TcpServer, bind_in, lock, shut_down};

/// The number of attempts to find a port that is free for both UDP and TCP.
const BIND_ATTEMPTS: usize = 16;

/// A query that the server has received.
#[derive(Clone, Debug)]
pub struct ReceivedQuery {
    /// The name, in lower case and without the trailing dot.
    pub name: String,
    /// The record type: `A` or `AAAA`.
    pub record_type: String,
    /// The transport that it arrived over.
    pub transport: Transport,
    /// The client's address.
    pub peer: SocketAddr,
    /// When it arrived.
    pub received_at: Instant,
}

/// A transport for queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

/// The name server. It stops when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    state: Arc<State>,
    udp_socket: Option<UdpSocket>,
    udp_thread: Option<JoinHandle<()>>,
    _tcp_server: TcpServer,
}

/// The state that the threads share.
#[derive(Debug)]
struct State {
    entries: Mutex<Entries>,
    queries: Mutex<Vec<ReceivedQuery>>,
}

/// The entries by name.
#[derive(Debug)]
struct Entries {
    named: HashMap<String, Entry>,
    /// The entry for every other name.
    default: Entry,
}

impl NameServer {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// No sockets can be bound.
    pub fn serve() -> io::Result<Self> {
        let mut bound = bind((Ipv4Addr::LOCALHOST, 0).into());
        for _ in 1..BIND_ATTEMPTS {
            // A port that is free for TCP may be in use for UDP.
            match &bound {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    bound = bind((Ipv4Addr::LOCALHOST, 0).into());
                }
                _ => break,
            }
        }
        Self::start(bound?)
    }

    /// Serves on `address` in the network namespace that the file `netns` refers to.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the address cannot be bound in it.
    pub fn serve_in(netns: &Path, address: SocketAddr) -> io::Result<Self> {
        Self::start(bind_in(netns, || bind(address))?)
    }

    fn start((listener, udp_socket): (TcpListener, UdpSocket)) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let entries = Entries { named: HashMap::new(), default: Entry::failing(Behaviour::NxDomain) };
        let state = Arc::new(State { entries: Mutex::new(entries), queries: Mutex::default() });
        let shared = Arc::clone(&state);
        let tcp_server = TcpServer::start(listener, move |stream| serve_connection(stream, &shared))?;
        let (receive_on, shared) = (udp_socket.try_clone()?, Arc::clone(&state));
        let udp_thread = thread::spawn(move || serve_datagrams(&receive_on, &shared));
        let (udp_socket, udp_thread) = (Some(udp_socket), Some(udp_thread));
        Ok(Self { address, state, udp_socket, udp_thread, _tcp_server: tcp_server })
    }

    /// The address that the server listens on, over UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the entry for `name`.
    pub fn set(&self, name: &str, entry: Entry) {
        lock(&self.state.entries).named.insert(normalize(name), entry);
    }

    /// Sets the entry for all names without their own. Initially they do not exist.
    pub fn set_default(&self, entry: Entry) {
        lock(&self.state.entries).default = entry;
    }

    /// The queries received so far, in order of arrival.
    #[must_use]
    pub fn queries(&self) -> Vec<ReceivedQuery> {
        lock(&self.state.queries).clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Some(socket) = self.udp_socket.take() {
            shut_down(socket);
        }
        if let Some(thread) = self.udp_thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Binds a TCP and a UDP socket to one port.
fn bind(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let listener = TcpListener::bind(address)?;
    let udp_socket = UdpSocket::bind(listener.local_addr()?)?;
    Ok((listener, udp_socket))
}

/// The normal form of a name: lower case, without the trailing dot.
fn normalize(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Serves queries over UDP until the socket is shut down.
fn serve_datagrams(socket: &UdpSocket, state: &State) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let Some(Reply { delay, delivery }) = respond(&buffer[..length], peer, Transport::Udp, state) else {
            continue;
        };
        let bytes = match delivery {
            Delivery::Nothing | Delivery::Close => continue,
            Delivery::Whole(bytes) => bytes,
            Delivery::Half(bytes) => bytes[..bytes.len() / 2].to_vec(),
        };
        // Send errors are ignored: a client has to expect lost datagrams.
        if delay == Duration::ZERO {
            let _lost = socket.send_to(&bytes, peer);
        } else if let Ok(socket) = socket.try_clone() {
            thread::spawn(move || {
                thread::sleep(delay);
                let _lost = socket.send_to(&bytes, peer);
            });
        }
    }
}

/// Serves the queries of a TCP connection in sequence.
fn serve_connection(mut stream: &TcpStream, state: &State) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let Some(Reply { delay, delivery }) = respond(&query, peer, Transport::Tcp, state) else {
            return Ok(());
        };
        thread::sleep(delay);
        match delivery {
            Delivery::Nothing => {}
            Delivery::Close => return Ok(()),
            Delivery::Whole(bytes) => stream.write_all(&frame(&bytes)?)?,
            Delivery::Half(bytes) => return stream.write_all(&frame(&bytes)?[..2 + bytes.len() / 2]),
        }
    }
}

/// Prefixes a message with its length, as DNS over TCP requires.
fn frame(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), bytes].concat())
}

/// Records a query and builds its reply; `None` if the bytes are not a valid query.
fn respond(bytes: &[u8], peer: SocketAddr, transport: Transport, state: &State) -> Option<Reply> {
    let received_at = Instant::now();
    let request = Message::from_vec(bytes).ok()?;
    let question = request.queries.first()?;
    let name = normalize(&question.name.to_ascii());
    let record_type = question.query_type.to_string();
    lock(&state.queries).push(ReceivedQuery {
        name: name.clone(),
        record_type,
        transport,
        peer,
        received_at,
    });
    let (entry, alias) = lock(&state.entries).find(&name);
    build_reply(&entry, alias, &request, question, transport).ok()
}

impl Entries {
    /// The entry for a name, and the name's number among the entry's aliases; 0 for the name itself.
    fn find(&self, name: &str) -> (Entry, usize) {
        if let Some(entry) = self.named.get(name) {
            return (entry.clone(), 0);
        }
        let aliased = parse_alias(name).and_then(|(target, alias)| Some((self.named.get(target)?, alias)));
        match aliased {
            Some((entry, alias))
                if matches!(entry.behaviour, Behaviour::CnameChain(_) | Behaviour::CnameLoop) =>
            {
                (entry.clone(), alias)
            }
            _ => (self.default.clone(), 0),
        }
    }
}
