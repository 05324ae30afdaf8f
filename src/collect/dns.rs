//! DNS queries for the endpoint's addresses. Answers are written as `dig +short` prints
//! them, with the TTL in a comment.

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
use crate::model::seen_from::HERE;

/// A vantage point from which this machine resolves names.
#[derive(Debug, Clone)]
pub(in crate::collect) struct VantagePoint {
    /// Its name in the report and as a file.
    pub(in crate::collect) name: String,
    /// The name server; `None` for the host's own configuration.
    server: Option<SocketAddr>,
}

impl VantagePoint {
    /// The host's own resolver configuration and hosts file.
    pub(in crate::collect) fn here() -> Self {
        Self { name: HERE.to_owned(), server: None }
    }

    /// A name server, named after its address.
    pub(in crate::collect) fn server(server: SocketAddr) -> Self {
        let name = match server {
            SocketAddr::V4(server) if server.port() != 53 => server.to_string(),
            // Not every file system and shell accepts brackets in a file's name.
            SocketAddr::V6(server) if server.port() != 53 => format!("{}@{}", server.ip(), server.port()),
            server => server.ip().to_string(),
        };
        Self { name, server: Some(server) }
    }

    /// Whether it is this machine's own configuration.
    pub(in crate::collect) fn is_here(&self) -> bool {
        self.server.is_none()
    }

    /// The subject of a gap in its answer.
    pub(in crate::collect) fn subject(&self) -> Subject {
        Subject::Vantage(self.name.clone())
    }
}

/// The answer at a vantage point.
#[derive(Debug)]
pub(in crate::collect) struct Resolved {
    /// The text of its file, or why there is none.
    pub(in crate::collect) text: Result<String, Gap>,
    /// The records that are missing in it.
    pub(in crate::collect) missing: Option<Gap>,
}

/// Queries the A and AAAA records of a host.
pub(in crate::collect) async fn resolve(point: &VantagePoint, host: &str, timeout: Duration) -> Resolved {
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
                hint: "check /etc/resolv.conf, or name a server with --resolver",
            };
            return Resolved { text: Err(gap(point.subject(), problem)), missing: None };
        }
    };
    // A name that ends in a dot is absolute: no search domain is tried.
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
            let missing = [("A", v4.as_ref().err()), ("AAAA", v6.as_ref().err())].into_iter().find_map(
                |(kind, problem)| {
                    let problem = problem.filter(|problem| problem.why != GapReason::NoAnswer)?;
                    Some(gap(Subject::Records { kind, vantage: point.name.clone() }, problem.clone()))
                },
            );
            Resolved { text: Ok(as_dig_prints(v4.ok().iter().chain(v6.ok().iter()))), missing }
        }
        // The error of a query that failed takes precedence over an empty answer.
        (Err(first), Err(second)) => {
            let problem = if first.why == GapReason::NoAnswer { second } else { first };
            Resolved { text: Err(gap(point.subject(), problem)), missing: None }
        }
        (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => {
            Resolved { text: Err(gap(point.subject(), problem)), missing: None }
        }
        (Ok(_), Ok(_)) => Resolved { text: Err(gap(point.subject(), Problem::no_address())), missing: None },
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
            // The hosts file of this machine is not an answer of this server.
            builder.options_mut().use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
            builder
        }
    };
    let options = builder.options_mut();
    options.attempts = 2;
    // Leaves time for both attempts and another server.
    options.timeout = (timeout / 4).min(Duration::from_secs(5));
    builder.build()
}

/// The text of `dig +short`: the names that are aliases, then addresses.
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

/// The reason why there are no records of a type.
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
            "check that the name server can be reached from here, or name another with --resolver",
        )
    }

    fn no_address() -> Self {
        Self::new(
            GapReason::NoAnswer,
            "the name exists and has no address (NOERROR)",
            "check with dig which records the name has; a private endpoint has addresses too",
        )
    }
}

fn problem(error: &NetError, timeout: Duration) -> Problem {
    const TRY_ANOTHER: &str = "try another name server with --resolver";
    match error {
        NetError::Timeout => Problem::timed_out(timeout),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Problem::new(
                GapReason::NoAnswer,
                "there is no such name (NXDOMAIN)",
                "a deleted cluster's name no longer exists, and a resolver may filter names; try another with --resolver",
            ),
            ResponseCode::NoError => Problem::no_address(),
            code => Problem::new(GapReason::Failed, rcode(code), TRY_ANOTHER),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Problem::new(GapReason::Failed, rcode(*code), TRY_ANOTHER)
        }
        other => Problem::new(GapReason::Failed, other.to_string(), TRY_ANOTHER),
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
