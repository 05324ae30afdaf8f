//! Threads and sockets of the name server.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;

use super::entry::{Behaviour, Entry};
use super::reply::{Delivery, Reply, alias_of, reply};
use crate::listen::{TcpServer, bind_in, lock, wake};

/// How often a free port is looked for that is free on both transports.
const PORT_TRIES: usize = 16;

/// A query, as the journal keeps it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The name, in lower case and without the dot at its end.
    pub name: String,
    /// The type of record: `A`, `AAAA`.
    pub record_type: String,
    /// What it came over.
    pub transport: Transport,
    /// Who asked.
    pub peer: SocketAddr,
    /// When it arrived.
    pub at: Instant,
}

/// What a query comes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// The name server. It stops when it is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    state: Arc<State>,
    datagrams: Option<UdpSocket>,
    receiving: Option<JoinHandle<()>>,
    _connections: TcpServer,
}

/// What the threads share.
#[derive(Debug)]
struct State {
    entries: Mutex<Entries>,
    journal: Mutex<Vec<Asked>>,
}

/// What the server says.
#[derive(Debug)]
struct Entries {
    named: HashMap<String, Entry>,
    /// What it says of all other names.
    other: Entry,
}

impl NameServer {
    /// Serves on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// No sockets can be had.
    pub fn serve() -> io::Result<Self> {
        let mut bound = bind((Ipv4Addr::LOCALHOST, 0).into());
        for _ in 1..PORT_TRIES {
            // A port that is free for connections may be taken for datagrams.
            match &bound {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    bound = bind((Ipv4Addr::LOCALHOST, 0).into());
                }
                _ => break,
            }
        }
        Self::start(bound?)
    }

    /// Serves on `address` in the network namespace that the file `netns` stands for.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or the address not be bound there.
    pub fn serve_in(netns: &Path, address: SocketAddr) -> io::Result<Self> {
        Self::start(bind_in(netns, || bind(address))?)
    }

    fn start((listener, datagrams): (TcpListener, UdpSocket)) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let entries = Entries { named: HashMap::new(), other: Entry::failing(Behaviour::Nx) };
        let state = Arc::new(State { entries: Mutex::new(entries), journal: Mutex::default() });
        let shared = Arc::clone(&state);
        let connections = TcpServer::start(listener, move |stream| converse(stream, &shared))?;
        let (received, shared) = (datagrams.try_clone()?, Arc::clone(&state));
        let receiving = thread::spawn(move || receive(&received, &shared));
        let (datagrams, receiving) = (Some(datagrams), Some(receiving));
        Ok(Self { address, state, datagrams, receiving, _connections: connections })
    }

    /// The address it listens on, with UDP and TCP.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says `entry` of `name` from now on.
    pub fn set(&self, name: &str, entry: Entry) {
        lock(&self.state.entries).named.insert(plain(name), entry);
    }

    /// Says `entry` of all names that nothing else was said of; at first there are no such names.
    pub fn set_default(&self, entry: Entry) {
        lock(&self.state.entries).other = entry;
    }

    /// The queries so far, in the order they arrived.
    #[must_use]
    pub fn journal(&self) -> Vec<Asked> {
        lock(&self.state.journal).clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        if let Some(datagrams) = self.datagrams.take() {
            wake(datagrams);
        }
        if let Some(receiving) = self.receiving.take() {
            let _panicked = receiving.join();
        }
    }
}

/// Both sockets, on one port.
fn bind(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let listener = TcpListener::bind(address)?;
    let datagrams = UdpSocket::bind(listener.local_addr()?)?;
    Ok((listener, datagrams))
}

/// A name as entries are kept by: upper and lower case are the same, and the dot at the end is optional.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Answers datagrams, until the socket is woken.
fn receive(socket: &UdpSocket, state: &State) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        let Some(Reply { after, delivery }) = consider(&buffer[..length], peer, Transport::Udp, state) else {
            continue;
        };
        let bytes = match delivery {
            Delivery::Nothing | Delivery::Close => continue,
            Delivery::Whole(bytes) => bytes,
            Delivery::Half(bytes) => bytes[..bytes.len() / 2].to_vec(),
        };
        // The client may have gone: then the datagram is lost like any other.
        if after == Duration::ZERO {
            let _lost = socket.send_to(&bytes, peer);
        } else if let Ok(socket) = socket.try_clone() {
            thread::spawn(move || {
                thread::sleep(after);
                let _lost = socket.send_to(&bytes, peer);
            });
        }
    }
}

/// Answers the queries of a connection, one after the other.
fn converse(mut stream: &TcpStream, state: &State) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut query)?;
        let Some(Reply { after, delivery }) = consider(&query, peer, Transport::Tcp, state) else {
            return Ok(());
        };
        thread::sleep(after);
        match delivery {
            Delivery::Nothing => {}
            Delivery::Close => return Ok(()),
            Delivery::Whole(bytes) => stream.write_all(&framed(&bytes)?)?,
            Delivery::Half(bytes) => return stream.write_all(&framed(&bytes)?[..2 + bytes.len() / 2]),
        }
    }
}

/// A message with its length before it, as a connection carries it.
fn framed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes(), bytes].concat())
}

/// Notes a query, and decides what to say. Of what is no query, nothing.
fn consider(bytes: &[u8], peer: SocketAddr, transport: Transport, state: &State) -> Option<Reply> {
    let at = Instant::now();
    let request = Message::from_vec(bytes).ok()?;
    let question = request.queries.first()?;
    let name = plain(&question.name.to_ascii());
    let record_type = question.query_type.to_string();
    lock(&state.journal).push(Asked { name: name.clone(), record_type, transport, peer, at });
    let (entry, alias) = lock(&state.entries).of(&name);
    reply(&entry, alias, &request, question, transport).ok()
}

impl Entries {
    /// The entry that speaks for a name, and which of the entry's own aliases the name is.
    fn of(&self, name: &str) -> (Entry, usize) {
        if let Some(entry) = self.named.get(name) {
            return (entry.clone(), 0);
        }
        let aliased = alias_of(name).and_then(|(target, alias)| Some((self.named.get(target)?, alias)));
        match aliased {
            Some((entry, alias))
                if matches!(entry.behaviour, Behaviour::CnameChain(_) | Behaviour::CnameLoop) =>
            {
                (entry.clone(), alias)
            }
            _ => (self.other.clone(), 0),
        }
    }
}
