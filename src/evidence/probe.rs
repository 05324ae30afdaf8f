//! `probe/VANTAGE.json`: what addresses answered to probes from a vantage point (schema
//! `eks-netcheck.probe.v1`).

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json::{JsonError, from_json};
use crate::model::probe::{
    AddressProbe, Attempt, Certificate, HttpAnswer, Probe, ProbeTarget, ProbeTool, ProbeWay, TlsAttempt,
    Trust, TrustKind,
};

/// The name of the schema.
const SCHEMA: &str = "eks-netcheck.probe.v1";
/// The size limit of the file: some twenty addresses of 64 KiB each.
pub(super) const PROBE_MAX: u64 = 4 << 20;
/// The most answers in a file, far above what `collect` writes.
const ANSWERS_MAX: usize = 256;
/// The most requests to an address, and names in a certificate.
const ITEMS_MAX: usize = 1000;

/// What addresses answered to probes from a vantage point.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(title = "eks-netcheck.probe.v1")]
struct File {
    /// Always `eks-netcheck.probe.v1`.
    schema: String,
    /// The host name that was sent as SNI.
    host: String,
    /// What made the probes: this program, or a program of a node, which does not check certificates.
    #[serde(default = "own_tool")]
    #[schemars(extend("enum" = ProbeTool::WORDS))]
    tool: String,
    #[serde(default)]
    answers: Vec<Answer>,
}

/// What one address answered.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct Answer {
    /// The address and port.
    #[schemars(with = "String")]
    address: SocketAddr,
    /// Why it was probed.
    #[schemars(extend("enum" = ProbeTarget::WORDS))]
    target: String,
    /// The proxy, as host and port; absent if the address was reached directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    /// The prober's own address on the way there; absent if it is not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    source: Option<IpAddr>,
    tcp: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<Tls>,
    #[serde(default)]
    http: Vec<Http>,
}

/// The result of an attempt.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct Outcome {
    /// Words of later versions are taken for failed.
    #[schemars(extend("enum" = Attempt::words().collect::<Vec<_>>()))]
    result: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// A TLS handshake.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct Tls {
    #[serde(flatten)]
    handshake: Outcome,
    /// Whether the certificate is one of the cluster's. Words of later versions are taken for unknown.
    #[schemars(extend("enum" = TrustKind::WORDS))]
    trust: String,
    /// The position of the CA that signed the certificate, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<usize>,
    /// The number of CAs of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cas: Option<usize>,
    /// Why the certificate is not valid, or why it is not known whether it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Shown>,
}

/// The certificate that was shown.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct Shown {
    subject: String,
    issuer: String,
    #[serde(default)]
    names: Vec<String>,
    /// Seconds since 1970.
    not_before: i64,
    /// Seconds since 1970.
    not_after: i64,
    /// SHA-256, in hexadecimal digits.
    fingerprint: String,
}

/// The answer to an anonymous request.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
struct Http {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why there is no status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failed: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given: Option<String>,
}

/// What made the probes of a file that does not say it.
fn own_tool() -> String {
    ProbeTool::Own.word().to_owned()
}

/// The vantage point of a file in `probe/`.
pub(super) fn probe_vantage(file: &str) -> Option<&str> {
    file.strip_prefix("probe/")?.strip_suffix(".json")
}

/// Parses the file of a vantage point.
///
/// # Errors
/// If it is not JSON of this schema.
pub fn parse_probe(vantage: &str, bytes: &[u8]) -> Result<Probe, JsonError> {
    let file: File = from_json(bytes)?;
    if file.schema != SCHEMA {
        let problem = format!("its schema is {:?}, not {SCHEMA}", file.schema);
        return Err(JsonError::of_whole(problem));
    }
    let is_too_long = |answer: &Answer| {
        let names =
            answer.tls.as_ref().and_then(|tls| tls.certificate.as_ref()).map(|shown| shown.names.len());
        answer.http.len() > ITEMS_MAX || names > Some(ITEMS_MAX)
    };
    if file.answers.len() > ANSWERS_MAX || file.answers.iter().any(is_too_long) {
        return Err(JsonError::of_whole("it has more answers, requests or names than a probe records"));
    }
    let answers = file.answers.into_iter().map(AddressProbe::try_from).collect::<Result<Vec<_>, _>>()?;
    // Words of later versions are other programs.
    let tool = ProbeTool::of_word(&file.tool).unwrap_or(ProbeTool::Other);
    let probe = Probe { vantage: vantage.to_owned(), host: file.host, tool, answers }.sorted();
    if let Some([one, _]) = probe
        .answers
        .array_windows()
        .find(|[one, other]| (one.address, &one.way) == (other.address, &other.way))
    {
        return Err(JsonError::of_whole(format!("it has {} twice", one.address)));
    }
    Ok(probe)
}

/// The JSON Schema of the file.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(File)
}

/// The file of a vantage point.
///
/// # Errors
/// If it cannot be serialized.
pub fn write_probe(probe: &Probe) -> serde_json::Result<Vec<u8>> {
    let answers = probe.answers.iter().map(Answer::from).collect();
    let (host, tool) = (probe.host.clone(), probe.tool.word().to_owned());
    let file = File { schema: SCHEMA.to_owned(), host, tool, answers };
    let mut json = serde_json::to_vec_pretty(&file)?;
    json.push(b'\n');
    Ok(json)
}

impl TryFrom<Answer> for AddressProbe {
    type Error = JsonError;

    fn try_from(answer: Answer) -> Result<Self, JsonError> {
        let address = SocketAddr::new(canonical(answer.address.ip()), answer.address.port());
        let of = |problem: &str| JsonError::of_whole(format!("{address}: {problem}"));
        let target = ProbeTarget::of_word(&answer.target)
            .ok_or_else(|| of("target is one of endpoint, eni and peer"))?;
        let tls = answer.tls.map(|tls| tls.into_attempt().map_err(of)).transpose()?;
        let http = answer.http.into_iter().map(|http| {
            let status = match (http.status, http.failed) {
                (Some(status @ 100..=999), None) => Ok(status),
                (None, Some(failed)) => match failed.into_attempt() {
                    Attempt::Failed(failure) => Err(failure),
                    Attempt::Done => return Err(of("a request that is done has no status")),
                },
                _ => return Err(of("a request has one of status and failed")),
            };
            Ok(HttpAnswer { path: http.path, status, given: http.given })
        });
        Ok(Self {
            address,
            target,
            way: answer.proxy.map_or(ProbeWay::Direct, ProbeWay::Proxy),
            source: answer.source.map(canonical),
            tcp: answer.tcp.into_attempt(),
            tls,
            http: http.collect::<Result<_, _>>()?,
        })
    }
}

/// An IPv4-mapped IPv6 address as the IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

impl Tls {
    fn into_attempt(self) -> Result<TlsAttempt, &'static str> {
        let why = self.why.filter(|why| !why.trim().is_empty());
        let why = why.unwrap_or_else(|| "the reason is not recorded".to_owned());
        let kind = TrustKind::of_word(&self.trust).unwrap_or(TrustKind::Unknown);
        let trust = match (kind, self.ca, self.cas) {
            (TrustKind::Signed, Some(position), Some(of)) if (1..=of).contains(&position) => {
                Trust::Signed { position, of }
            }
            (TrustKind::Signed, ..) => return Err("a signed certificate has ca from 1 to cas"),
            (TrustKind::Invalid, ..) => Trust::Invalid(why),
            (TrustKind::Unsigned, ..) => Trust::Unsigned,
            (TrustKind::Unknown, ..) => Trust::Unknown(why),
        };
        let certificate = self.certificate.map(Certificate::from);
        if certificate.is_none() && !matches!(trust, Trust::Unknown(_)) {
            return Err("trust is known of a certificate that was shown");
        }
        Ok(TlsAttempt { certificate, trust, handshake: self.handshake.into_attempt() })
    }
}

impl Outcome {
    fn into_attempt(self) -> Attempt {
        Attempt::of_word(&self.result, self.detail)
    }
}

impl From<&Attempt> for Outcome {
    fn from(attempt: &Attempt) -> Self {
        let detail = match attempt {
            Attempt::Done => String::new(),
            Attempt::Failed(failure) => failure.detail.clone(),
        };
        Self { result: attempt.word().to_owned(), detail }
    }
}

impl From<Shown> for Certificate {
    fn from(shown: Shown) -> Self {
        let Shown { subject, issuer, names, not_before, not_after, fingerprint } = shown;
        Self { subject, issuer, names, not_before, not_after, fingerprint }
    }
}

impl From<&Certificate> for Shown {
    fn from(certificate: &Certificate) -> Self {
        let Certificate { subject, issuer, names, not_before, not_after, fingerprint } = certificate.clone();
        Self { subject, issuer, names, not_before, not_after, fingerprint }
    }
}

impl From<&TlsAttempt> for Tls {
    fn from(attempt: &TlsAttempt) -> Self {
        let TlsAttempt { certificate, trust, handshake } = attempt;
        Self {
            handshake: handshake.into(),
            trust: trust.kind().word().to_owned(),
            ca: trust.ca().map(|(position, _)| position),
            cas: trust.ca().map(|(_, number)| number),
            why: trust.why().map(str::to_owned),
            certificate: certificate.as_ref().map(Shown::from),
        }
    }
}

impl From<&AddressProbe> for Answer {
    fn from(probe: &AddressProbe) -> Self {
        let http = probe.http.iter().map(|answer| Http {
            path: answer.path.clone(),
            status: answer.status.as_ref().ok().copied(),
            failed: answer
                .status
                .as_ref()
                .err()
                .map(|failure| Outcome::from(&Attempt::Failed(failure.clone()))),
            given: answer.given.clone(),
        });
        Self {
            address: probe.address,
            target: probe.target.word().to_owned(),
            proxy: match &probe.way {
                ProbeWay::Direct => None,
                ProbeWay::Proxy(proxy) => Some(proxy.clone()),
            },
            source: probe.source,
            tcp: Outcome::from(&probe.tcp),
            tls: probe.tls.as_ref().map(Tls::from),
            http: http.collect(),
        }
    }
}
