//! A name server with configurable answers and failures.
//!
//! It serves A and AAAA records over UDP and TCP on one port, and records the queries it receives. A test sets
//! an [`Entry`] for a name: its addresses, and how the server responds to queries for it.
//!
//! - `entry`: the configuration of a name.
//! - `reply`: builds the reply to a query, without IO.
//! - `server`: sockets and threads.

mod entry;
mod reply;
mod server;
#[cfg(test)]
mod tests;

pub use entry::{Behaviour, Entry};
pub use server::{NameServer, ReceivedQuery, Transport};
