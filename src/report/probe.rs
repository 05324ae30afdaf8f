//! The answers to probes, one line for each address.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::model::facts::Facts;
use crate::model::probe::{AddressProbe, Attempt, HttpAnswer, ProbeTarget, ProbeWay, TlsAttempt, Trust};
use crate::model::text::cut;
use crate::report::seen_from::TCP_ANSWERED;

/// The most characters of a name in a certificate that a line has.
const NAME_MAX: usize = 80;

/// The most vantage points that a heading names.
const NAMES_MAX: usize = 3;

/// Addresses, each with its answer.
type Lines = Vec<(String, String)>;

/// The answers from each vantage point, those with the same ones as one: the names, and the
/// address and the answer of each.
pub(super) fn probes(facts: &Facts) -> Vec<(String, Lines)> {
    let mut groups: Vec<(Vec<&str>, Lines)> = Vec::new();
    let mut known: HashMap<Lines, usize> = HashMap::new();
    for probe in facts.evidence.probes.iter().filter(|probe| !probe.answers.is_empty()) {
        let lines: Vec<_> = probe.answers.iter().map(|answer| (address(answer), words(answer))).collect();
        let at = *known.entry(lines.clone()).or_insert(groups.len());
        match groups.get_mut(at) {
            Some((names, _)) => names.push(&probe.vantage),
            None => groups.push((vec![&probe.vantage], lines)),
        }
    }
    groups.into_iter().map(|(names, lines)| (joined(&names), lines)).collect()
}

/// The first names, and the number of the others.
fn joined(names: &[&str]) -> String {
    let first = names[..names.len().min(NAMES_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// An address, why it was probed if it is none of the endpoint, and by which proxy.
fn address(answer: &AddressProbe) -> String {
    let target = match answer.target {
        ProbeTarget::Endpoint => "",
        ProbeTarget::Eni => " (EKS-owned ENI)",
        ProbeTarget::Peer => " (peer of a node)",
    };
    match &answer.way {
        ProbeWay::Direct => format!("{}{target}", answer.address),
        ProbeWay::Proxy(proxy) => format!("{}{target} by the proxy {proxy}", answer.address),
    }
}

fn words(answer: &AddressProbe) -> String {
    if let Attempt::Failed(failure) = &answer.tcp {
        return format!("not reached: {}", failure.detail);
    }
    let tls = answer.tls.as_ref().map(of_tls);
    let http = answer.http.iter().map(of_http).collect::<Vec<_>>().join(", ");
    let parts =
        std::iter::once(reached(answer).to_owned()).chain(tls).chain((!http.is_empty()).then_some(http));
    parts.collect::<Vec<_>>().join("; ")
}

/// What an answer to TCP shows: at an address other than the endpoint's, not that it is the API
/// server.
fn reached(answer: &AddressProbe) -> &'static str {
    let is_shown = answer.target == ProbeTarget::Endpoint || answer.is_api_server();
    if is_shown { "reached" } else { TCP_ANSWERED }
}

fn of_tls(tls: &TlsAttempt) -> String {
    let Some(certificate) = &tls.certificate else {
        return match &tls.handshake {
            Attempt::Failed(failure) => format!("no TLS: {}", failure.detail),
            Attempt::Done => "TLS, certificate not checked".to_owned(),
        };
    };
    let (subject, issuer) = (cut(&certificate.subject, NAME_MAX), cut(&certificate.issuer, NAME_MAX));
    let until = date(certificate.not_after).map(|date| format!(", until {date}")).unwrap_or_default();
    match &tls.trust {
        Trust::Signed { of: 1, .. } => format!("certificate by the cluster's CA{until}"),
        Trust::Signed { position, of } => {
            format!("certificate by CA {position} of the cluster's {of}{until}")
        }
        Trust::Invalid(why) => format!("certificate by the cluster's CA, not valid: {why}{until}"),
        Trust::Unsigned => format!("certificate of {subject} by {issuer}, not by the cluster's CA{until}"),
        Trust::Unknown(why) => format!("certificate of {subject} by {issuer}{until}: {why}"),
    }
}

fn of_http(http: &HttpAnswer) -> String {
    match &http.status {
        Ok(status) => format!("{} {status}", http.path),
        Err(failure) => format!("{}: {}", http.path, failure.detail),
    }
}

/// The time of a certificate, in UTC; `None` if no date can express it.
pub(super) fn time(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

/// The day of it.
fn date(seconds: i64) -> Option<String> {
    Some(time(seconds)?.split('T').next()?.to_owned())
}
