//! The answers to probes in `--format json`.

use schemars::JsonSchema;
use serde::Serialize;

use crate::model::facts::Facts;
use crate::model::probe::{
    AddressProbe, Attempt, Certificate, HttpAnswer, Probe, ProbeTarget, ProbeTool, ProbeWay, TlsAttempt,
    TrustKind,
};
use crate::report::probe::time;

/// What one address answered to a probe.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProbeReport {
    /// `here`, or a node's name.
    vantage: String,
    /// What made the probe: this program, or a program of the node, which checks no certificate.
    #[schemars(extend("enum" = ProbeTool::WORDS))]
    tool: &'static str,
    /// The address and port.
    address: String,
    /// Why the address was probed: one of the endpoint, of an EKS-owned ENI, or the peer of a node.
    #[schemars(extend("enum" = ProbeTarget::WORDS))]
    target: &'static str,
    way: WayWord,
    /// The proxy, as host and port.
    proxy: Option<String>,
    tcp: Outcome,
    /// Null if no handshake was tried.
    tls: Option<TlsReport>,
    /// The anonymous requests, in their order.
    http: Vec<HttpReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum WayWord {
    Direct,
    Proxy,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Outcome {
    #[schemars(extend("enum" = Attempt::words().collect::<Vec<_>>()))]
    result: &'static str,
    /// The reason; null where it succeeded.
    detail: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TlsReport {
    #[serde(flatten)]
    handshake: Outcome,
    /// Whether a CA of the cluster signed the certificate: signed, and valid for the endpoint's name; invalid: signed, and
    /// expired or for another name; unsigned; unknown.
    #[schemars(extend("enum" = TrustKind::WORDS))]
    trust: &'static str,
    /// The position of the CA that signed the certificate, from 1.
    ca: Option<usize>,
    /// The number of CAs of the cluster.
    cas: Option<usize>,
    /// Why the certificate is not valid, or why it is not known whether it is the cluster's.
    why: Option<String>,
    certificate: Option<CertificateReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct CertificateReport {
    subject: String,
    issuer: String,
    /// Its DNS names and addresses.
    names: Vec<String>,
    /// In UTC.
    not_before: Option<String>,
    /// In UTC.
    not_after: Option<String>,
    /// SHA-256, in hexadecimal digits.
    fingerprint: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct HttpReport {
    path: String,
    status: Option<u16>,
    #[serde(flatten)]
    outcome: Outcome,
    /// What an anonymous client was given: the version, or the beginning of the body.
    given: Option<String>,
}

/// The answers of all vantage points.
pub(super) fn probes(facts: &Facts) -> Vec<ProbeReport> {
    let probes = facts.evidence.probes.iter();
    probes.flat_map(|probe| probe.answers.iter().map(move |answer| ProbeReport::new(probe, answer))).collect()
}

impl ProbeReport {
    fn new(probe: &Probe, answer: &AddressProbe) -> Self {
        let (way, proxy) = match &answer.way {
            ProbeWay::Direct => (WayWord::Direct, None),
            ProbeWay::Proxy(proxy) => (WayWord::Proxy, Some(proxy.clone())),
        };
        Self {
            vantage: probe.vantage.clone(),
            tool: probe.tool.word(),
            address: answer.address.to_string(),
            target: answer.target.word(),
            way,
            proxy,
            tcp: Outcome::from(&answer.tcp),
            tls: answer.tls.as_ref().map(TlsReport::from),
            http: answer.http.iter().map(HttpReport::from).collect(),
        }
    }
}

impl From<&Attempt> for Outcome {
    fn from(attempt: &Attempt) -> Self {
        let detail = match attempt {
            Attempt::Done => None,
            Attempt::Failed(failure) => Some(failure.detail.clone()),
        };
        Self { result: attempt.word(), detail }
    }
}

impl From<&TlsAttempt> for TlsReport {
    fn from(tls: &TlsAttempt) -> Self {
        let TlsAttempt { certificate, trust, handshake } = tls;
        Self {
            handshake: handshake.into(),
            trust: trust.kind().word(),
            ca: trust.ca().map(|(position, _)| position),
            cas: trust.ca().map(|(_, number)| number),
            why: trust.why().map(str::to_owned),
            certificate: certificate.as_ref().map(CertificateReport::from),
        }
    }
}

impl From<&Certificate> for CertificateReport {
    fn from(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject.clone(),
            issuer: certificate.issuer.clone(),
            names: certificate.names.clone(),
            not_before: time(certificate.not_before),
            not_after: time(certificate.not_after),
            fingerprint: certificate.fingerprint.clone(),
        }
    }
}

impl From<&HttpAnswer> for HttpReport {
    fn from(http: &HttpAnswer) -> Self {
        let (status, outcome) = match &http.status {
            Ok(status) => (Some(*status), Outcome::from(&Attempt::Done)),
            Err(failure) => (None, Outcome::from(&Attempt::Failed(failure.clone()))),
        };
        Self { path: http.path.clone(), status, outcome, given: http.given.clone() }
    }
}
