//! A name server that answers, or fails, as told.
//!
//! What it says of a name is an [`Entry`]: the addresses, and how they are delivered. It listens on UDP and
//! TCP on one port, knows A and AAAA records, and keeps a journal of what it was asked.
//!
//! - `entry`: what a test says of a name.
//! - `reply`: a query and an entry make the bytes that go back.
//! - `server`: threads and sockets.

mod entry;
mod reply;
mod server;
#[cfg(test)]
mod tests;

pub use entry::{Behaviour, Entry};
pub use server::{Asked, NameServer, Transport};
