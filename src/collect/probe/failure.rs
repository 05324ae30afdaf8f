//! Why a connection, a handshake or a request failed.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::model::probe::{ProbeCause, ProbeFailure};

/// A failure with a detail.
pub(in crate::collect) fn failure(cause: ProbeCause, detail: impl Into<String>) -> ProbeFailure {
    ProbeFailure { cause, detail: detail.into() }
}

/// A time limit that was exceeded.
pub(super) fn timed_out(what: &str, limit: Duration) -> ProbeFailure {
    failure(ProbeCause::TimedOut, format!("{what} within {} s", limit.as_secs_f64().ceil()))
}

/// The failure of a connection, or of a handshake of TLS over it.
pub(super) fn of_io(error: &io::Error) -> ProbeFailure {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    let (cause, detail) = match error.kind() {
        ErrorKind::ConnectionRefused => (ProbeCause::Refused, "the connection is refused"),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
            (ProbeCause::Reset, "the connection is reset")
        }
        ErrorKind::UnexpectedEof => (ProbeCause::Reset, "the connection is closed"),
        ErrorKind::HostUnreachable => (ProbeCause::NoRoute, "the host is unreachable"),
        ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => {
            (ProbeCause::NoRoute, "this host has no route to it")
        }
        ErrorKind::TimedOut => (ProbeCause::TimedOut, "no answer"),
        _ => return failure(ProbeCause::Failed, error.to_string()),
    };
    failure(cause, detail)
}

fn of_tls(error: &rustls::Error) -> ProbeFailure {
    match error {
        rustls::Error::AlertReceived(alert) => {
            failure(ProbeCause::Alert, format!("the other end sent the TLS alert {alert:?}"))
        }
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            failure(ProbeCause::Protocol, "the other end does not speak TLS")
        }
        error => failure(ProbeCause::Protocol, format!("no TLS that can be used: {error}")),
    }
}

/// The failure of a request.
pub(super) fn of_http(error: &hyper::Error) -> ProbeFailure {
    // The kind of a parse error is known by its text alone.
    if error.is_parse() && error.to_string().contains("too large") {
        return failure(ProbeCause::Protocol, "the head of the answer is too large");
    }
    if error.is_parse() {
        return failure(ProbeCause::Protocol, "the answer is not HTTP/1.1");
    }
    if error.is_incomplete_message() {
        return failure(ProbeCause::Reset, "the connection is closed before an answer");
    }
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return of_io(io);
        }
        source = inner.source();
    }
    failure(ProbeCause::Failed, error.to_string())
}
