//! Socket tables as text: the output of `ss -tnp`, `netstat -tnp` and `conntrack -L`, and
//! the tables in `/proc`, from bytes to sockets and rejected lines. Pure: no I/O except from the reader that the caller passes.

pub mod address;
mod bytes;
mod columns;
mod conntrack;
mod damage;
pub(crate) mod filter;
pub(crate) mod filtered;
pub mod line;
pub mod parser;
pub mod proc;
pub mod proc_join;
pub mod proc_script;
pub mod processes;
pub mod reading;
mod variety;
