//! A name server asked for the endpoint's addresses, and its answer written as
//! `dig +short` prints it, its TTL in a comment.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use tracing::debug;

use crate::evidence::dns::TTL_COMMENT;
use crate::model::gap::{Gap, GapReason, Subject};

/// A place from where names are resolved.
#[derive(Debug, Clone)]
pub(in crate::collect) struct VantagePoint {
    /// Its name in the report and as a file.
    pub(in crate::collect) name: String,
    /// `None` for the host's own configuration.
    server: Option<SocketAddr>,
}

impl VantagePoint {
    /// The host's own resolver configuration and hosts file.
    pub(in crate::collect) fn here() -> Self {
        Self { name: "here".to_owned(), server: None }
    }

    /// A name server, named after its address.
    pub(in crate::collect) fn server(server: SocketAddr) -> Self {
        let name = match server {
            SocketAddr::V4(server) if server.port() != 53 => server.to_string(),
            // Brackets are no part of a file's name that everyone takes.
            SocketAddr::V6(server) if server.port() != 53 => format!("{}@{}", server.ip(), server.port()),
            server => server.ip().to_string(),
        };
        Self { name, server: Some(server) }
    }

    /// The subject of a gap in its answer.
    pub(in crate::collect) fn subject(&self) -> Subject {
        Subject::Vantage(self.name.clone())
    }
}

/// What a vantage point gave: the text of its file, or why there is none; and
/// what is missing of it.
#[derive(Debug)]
pub(in crate::collect) struct Answered {
    pub(in crate::collect) text: Result<String, Gap>,
    pub(in crate::collect) lacks: Option<Gap>,
}

/// Asks for the A and the AAAA records of a host.
pub(in crate::collect) async fn ask(point: &VantagePoint, host: &str, timeout: Duration) -> Answered {
    let began = Instant::now();
    let gap = |subject: Subject, problem: Problem| Gap {
        subject,
        why: problem.why,
        detail: format!("{host}: {}", problem.detail),
        hint: problem.hint.to_owned(),
    };
    let resolver = match resolver(point, timeout) {
        Ok(resolver) => resolver,
        Err(error) => {
            let problem = Problem {
                why: GapReason::Failed,
                detail: format!("the resolver's configuration cannot be used: {error}"),
                hint: "see /etc/resolv.conf, or name a server with --resolver",
            };
            return Answered { text: Err(gap(point.subject(), problem)), lacks: None };
        }
    };
    // With the dot at its end no search domain is tried.
    let name = format!("{}.", host.trim_end_matches('.'));
    let records = async |kind| match tokio::time::timeout(timeout, resolver.lookup(name.as_str(), kind)).await
    {
        Ok(Ok(lookup)) => Ok(lookup),
        Ok(Err(error)) => Err(problem(&error, timeout)),
        Err(_) => Err(Problem::timed_out(timeout)),
    };
    let (v4, v6) = tokio::join!(records(RecordType::A), records(RecordType::AAAA));
    let outcome = |result: &Result<Lookup, Problem>| match result {
        Ok(lookup) => format!("{} records", lookup.answers().len()),
        Err(problem) => problem.detail.clone(),
    };
    let ms = began.elapsed().as_millis();
    debug!(vantage = point.name, host, ms, a = outcome(&v4), aaaa = outcome(&v6), "resolved");
    let has_addresses =
        |lookup: &Lookup| lookup.answers().iter().any(|record| record.data.ip_addr().is_some());
    let is_addressed = |result: &Result<Lookup, _>| result.as_ref().is_ok_and(has_addresses);
    match (v4, v6) {
        (v4, v6) if is_addressed(&v4) || is_addressed(&v6) => {
            let lacks = [("A", v4.as_ref().err()), ("AAAA", v6.as_ref().err())].into_iter().find_map(
                |(kind, problem)| {
                    let problem = problem.filter(|problem| problem.why != GapReason::NoAnswer)?;
                    Some(gap(Subject::Records { kind, vantage: point.name.clone() }, problem.clone()))
                },
            );
            Answered { text: Ok(as_dig_prints(v4.ok().iter().chain(v6.ok().iter()))), lacks }
        }
        // A server that does not answer for one kind says more than one that
        // has no record of the other.
        (Err(first), Err(second)) => {
            let problem = if first.why == GapReason::NoAnswer { second } else { first };
            Answered { text: Err(gap(point.subject(), problem)), lacks: None }
        }
        (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => {
            Answered { text: Err(gap(point.subject(), problem)), lacks: None }
        }
        (Ok(_), Ok(_)) => Answered { text: Err(gap(point.subject(), Problem::no_address())), lacks: None },
    }
}

fn resolver(point: &VantagePoint, timeout: Duration) -> Result<TokioResolver, NetError> {
    let mut builder = match point.server {
        None => TokioResolver::builder_tokio()?,
        Some(server) => {
            let mut config = NameServerConfig::udp_and_tcp(server.ip());
            for connection in &mut config.connections {
                connection.port = server.port();
            }
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
            let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
            // The question is what this server says, not what this host's file does.
            builder.options_mut().use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
            builder
        }
    };
    let options = builder.options_mut();
    options.attempts = 2;
    // Both attempts, and one more server, before the whole runs out of time.
    options.timeout = (timeout / 4).min(Duration::from_secs(5));
    builder.build()
}

/// The text of `dig +short`: names that lead to others, then addresses.
fn as_dig_prints<'a>(lookups: impl Iterator<Item = &'a Lookup>) -> String {
    let mut text = String::new();
    let mut ttl = u32::MAX;
    for record in lookups.flat_map(Lookup::answers) {
        let line = match &record.data {
            RData::CNAME(name) => name.to_string(),
            data => match data.ip_addr() {
                Some(address) => {
                    ttl = ttl.min(record.ttl);
                    address.to_string()
                }
                None => continue,
            },
        };
        if !text.lines().any(|before| before == line) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    let _ = writeln!(text, "{TTL_COMMENT}{ttl}");
    text
}

/// Why there are no records of a kind.
#[derive(Debug, Clone)]
struct Problem {
    why: GapReason,
    detail: String,
    hint: &'static str,
}

impl Problem {
    fn new(why: GapReason, detail: impl Into<String>, hint: &'static str) -> Self {
        Self { why, detail: detail.into(), hint }
    }

    fn timed_out(timeout: Duration) -> Self {
        Self::new(
            GapReason::TimedOut,
            format!("no answer within {} s", timeout.as_secs()),
            "see that the name server can be reached from here, or name another with --resolver",
        )
    }

    fn no_address() -> Self {
        Self::new(
            GapReason::NoAnswer,
            "the name exists and has no address (NOERROR)",
            "see with dig what the name has; that is not how a private endpoint looks either",
        )
    }
}

fn problem(error: &NetError, timeout: Duration) -> Problem {
    const ASK_ANOTHER: &str = "ask another name server with --resolver";
    match error {
        NetError::Timeout => Problem::timed_out(timeout),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Problem::new(
                GapReason::NoAnswer,
                "there is no such name (NXDOMAIN)",
                "a deleted cluster's name is gone, and a resolver may filter names; ask another with --resolver",
            ),
            ResponseCode::NoError => Problem::no_address(),
            code => Problem::new(GapReason::Failed, rcode(code), ASK_ANOTHER),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Problem::new(GapReason::Failed, rcode(*code), ASK_ANOTHER)
        }
        other => Problem::new(GapReason::Failed, other.to_string(), ASK_ANOTHER),
    }
}

fn rcode(code: ResponseCode) -> String {
    let name = match code {
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::NotImp => "NOTIMP",
        other => return format!("the name server answers {other}"),
    };
    format!("the name server answers {name}")
}
