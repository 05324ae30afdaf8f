//! Socket tables as text: the output of `ss -tnp` and `netstat -tnp`, from bytes to
//! sockets and rejected lines. Pure: no I/O except from the reader that the caller passes.

pub mod address;
mod bytes;
mod columns;
mod damage;
mod filtered;
pub mod line;
pub mod parser;
pub mod processes;
pub mod reading;
mod variety;
