//! The answers to probes, one line for each address.

use jiff::Timestamp;

use crate::model::facts::Facts;
use crate::model::probe::{
    AddressProbe, Attempt, HttpAnswer, Probe, ProbeTarget, ProbeWay, TlsAttempt, Trust,
};
use crate::model::text::cut;

/// The most characters of a name in a certificate that a line has.
const NAME_MAX: usize = 80;

/// The answers from each vantage point: its name, and the address and the answer of each.
pub(super) fn probes(facts: &Facts) -> impl Iterator<Item = (&str, Vec<(String, String)>)> {
    let probes = facts.evidence.probes.iter().filter(|probe| !probe.answers.is_empty());
    probes.map(|probe: &Probe| {
        let lines = probe.answers.iter().map(|answer| (address(answer), words(answer)));
        (probe.vantage.as_str(), lines.collect())
    })
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
    let parts = std::iter::once("reached".to_owned()).chain(tls).chain((!http.is_empty()).then_some(http));
    parts.collect::<Vec<_>>().join("; ")
}

fn of_tls(tls: &TlsAttempt) -> String {
    let Some(certificate) = &tls.certificate else {
        return match &tls.handshake {
            Attempt::Failed(failure) => format!("no TLS: {}", failure.detail),
            Attempt::Done => "no certificate".to_owned(),
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
