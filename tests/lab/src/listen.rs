//! Sockets a test's server listens on: in another network namespace, and until it is dropped.

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

/// What `bind` returns, run in the network namespace that the file `netns` stands for.
///
/// A socket stays in the namespace it was made in, so only the making needs a thread in there; whoever uses
/// the socket later may be anywhere.
pub(crate) fn bind_in<T: Send>(netns: &Path, bind: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let netns = File::open(netns)?;
    let inside = || {
        move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
        bind()
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Wakes the thread that waits for a connection or a datagram on `socket`; nothing more will come from it.
///
/// On Linux a `shutdown` ends a blocked `accept` and a blocked `recv`. The standard library has one for
/// streams only, and that is the same system call whatever the socket's kind. Of an unconnected socket it
/// says `ENOTCONN`, and does its work all the same.
pub(crate) fn wake(socket: impl Into<OwnedFd>) {
    let _not_connected = TcpStream::from(socket.into()).shutdown(Shutdown::Both);
}

/// A listener that gives each connection a thread. Dropping it ends the listening and every connection.
#[derive(Debug)]
pub(crate) struct TcpServer {
    listener: Option<TcpListener>,
    accepting: Option<JoinHandle<()>>,
    connections: Arc<Mutex<Connections>>,
}

/// The connections that are open, by a number of their own; `None` once the server has stopped.
type Connections = Option<HashMap<u64, TcpStream>>;

impl TcpServer {
    /// Runs `converse` on every connection; the connection is closed when it returns.
    ///
    /// What `converse` fails with is dropped: the client went away or sent nonsense, and nobody is left to
    /// tell.
    pub(crate) fn start(
        listener: TcpListener,
        converse: impl Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let connections = Arc::new(Mutex::new(Some(HashMap::new())));
        let (accepted, open) = (listener.try_clone()?, Arc::clone(&connections));
        let accepting = thread::spawn(move || accept(&accepted, &open, &Arc::new(converse)));
        Ok(Self { listener: Some(listener), accepting: Some(accepting), connections })
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        // First of all, so that no connection is accepted and left open: who takes the lock later finds
        // `None`.
        let open = lock(&self.connections).take();
        if let Some(listener) = self.listener.take() {
            wake(listener);
        }
        for stream in open.into_iter().flat_map(HashMap::into_values) {
            let _gone = stream.shutdown(Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _panicked = accepting.join();
        }
    }
}

/// Gives each connection a thread, until the listener is woken.
fn accept<F>(listener: &TcpListener, connections: &Arc<Mutex<Connections>>, converse: &Arc<F>)
where
    F: Fn(&TcpStream) -> io::Result<()> + Send + Sync + 'static,
{
    for number in 0.. {
        let Ok((stream, kept)) = listener.accept().and_then(|(stream, _)| Ok((stream.try_clone()?, stream)))
        else {
            if lock(connections).is_none() {
                return;
            }
            // Too many open files, say: others close theirs in a moment.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        match lock(connections).as_mut() {
            Some(connections) => connections.insert(number, kept),
            None => return,
        };
        let (connections, converse) = (Arc::clone(connections), Arc::clone(converse));
        thread::spawn(move || {
            let _gone = converse(&stream);
            let _closed = stream.shutdown(Shutdown::Both);
            if let Some(connections) = lock(&connections).as_mut() {
                connections.remove(&number);
            }
        });
    }
}

/// Locks, also after a test's thread panicked while it held the lock: the data is plain and stays usable.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
