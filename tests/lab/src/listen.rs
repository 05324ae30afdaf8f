//! Listening sockets of the test servers: bound in another network namespace, closed on drop.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Runs `bind` in the network namespace that the file `netns` refers to, and returns its result.
///
/// A socket belongs to the namespace that it was created in, so only its creation needs a thread in that
/// namespace; any thread can use it afterwards.
pub(crate) fn bind_in<T: Send>(netns: &Path, bind: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let netns = File::open(netns)?;
    let bind_inside = || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        bind()
    };
    thread::scope(|scope| scope.spawn(bind_inside).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Shuts `socket` down, so that a thread blocked in `accept` or `recv` on it returns.
///
/// On Linux `shutdown` unblocks both calls. The standard library offers it for streams only, but the system
/// call is the same for every kind of socket. On an unconnected socket it takes effect although it fails with
/// `ENOTCONN`.
pub(crate) fn shut_down(socket: impl Into<OwnedFd>) {
    let _not_connected = TcpStream::from(socket.into()).shutdown(Shutdown::Both);
}

/// A TCP server with one thread per connection. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub(crate) struct TcpServer {
    listener: Option<TcpListener>,
    accept_thread: Option<JoinHandle<()>>,
    connections: Arc<Mutex<Connections>>,
}

/// The open connections by sequence number; `None` once the server has stopped.
type Connections = Option<HashMap<u64, TcpStream>>;

impl TcpServer {
    /// Runs `serve_connection` on every connection, and closes the connection when it returns.
    ///
    /// Its errors are ignored: they mean that the client disconnected or sent an invalid request.
    pub(crate) fn start(
        listener: TcpListener,
        serve_connection: impl Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let connections = Arc::new(Mutex::new(Some(HashMap::new())));
        let (accept_on, shared) = (listener.try_clone()?, Arc::clone(&connections));
        let accept_thread = thread::spawn(move || accept(&accept_on, &shared, &Arc::new(serve_connection)));
        Ok(Self { listener: Some(listener), accept_thread: Some(accept_thread), connections })
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        // First, so that a connection accepted from here on is closed rather than leaked: the accept loop
        // finds `None`.
        let open = lock(&self.connections).take();
        if let Some(listener) = self.listener.take() {
            shut_down(listener);
        }
        for stream in open.into_iter().flat_map(HashMap::into_values) {
            let _disconnected = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.accept_thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// Accepts connections, each with its own thread, until the listener is shut down.
fn accept<F>(listener: &TcpListener, connections: &Arc<Mutex<Connections>>, serve_connection: &Arc<F>)
where
    F: Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    for number in 0.. {
        let Ok((stream, registered)) =
            listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)))
        else {
            if lock(connections).is_none() {
                return;
            }
            // Possibly EMFILE: retry once other connections have been closed.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        match lock(connections).as_mut() {
            Some(connections) => connections.insert(number, registered),
            None => return,
        };
        let (connections, serve_connection) = (Arc::clone(connections), Arc::clone(serve_connection));
        thread::spawn(move || {
            let _disconnected = serve_connection(&stream);
            let _closed = stream.shutdown(Shutdown::Both);
            if let Some(connections) = lock(&connections).as_mut() {
                connections.remove(&number);
            }
        });
    }
}

/// Locks `mutex`, ignoring poisoning: the data stays valid if a test's thread panics while it holds the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
