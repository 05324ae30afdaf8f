//! What several rules read in the answers to probes.

use super::gaps;
use crate::model::cluster::Hosting;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::probe::{AddressProbe, HttpAnswer, Probe, ProbeTarget, ProbeTool, ProbeWay, Trust};
use crate::model::seen_from::HERE;

/// The health endpoints and the version, which an anonymous client may be given.
pub(super) const PUBLIC_PATHS: [&str; 4] = ["/version", "/healthz", "/livez", "/readyz"];

/// The probes that check certificates: those of this program.
fn checked(facts: &Facts) -> impl Iterator<Item = &Probe> {
    facts.evidence.probes.iter().filter(|probe| probe.tool == ProbeTool::Own)
}

/// The answers of the addresses that the endpoint's name resolves to, or why there are none.
pub(super) fn of_endpoint(facts: &Facts) -> Result<Vec<(&Probe, Vec<&AddressProbe>)>, Gap> {
    let evidence = &facts.evidence;
    if evidence.cluster.hosting == Hosting::Connector {
        return Err(gaps::connector(evidence));
    }
    let of_endpoint = checked(facts).map(|probe| {
        let answers = probe.answers.iter().filter(|answer| answer.target == ProbeTarget::Endpoint);
        (probe, answers.collect::<Vec<_>>())
    });
    let of_endpoint: Vec<_> = of_endpoint.filter(|(_, answers)| !answers.is_empty()).collect();
    if of_endpoint.is_empty() {
        let subject = Subject::Probe(HERE.to_owned());
        return Err(evidence.gap(subject, GapReason::NotRecorded, "no address of the endpoint was probed"));
    }
    Ok(of_endpoint)
}

/// The answers of this cluster's API server to anonymous requests for some paths that have a
/// status, or why there are none. Only to a server whose certificate the cluster's CA signed are
/// requests sent.
pub(super) fn anonymous(
    facts: &Facts,
    is_asked: impl Fn(&str) -> bool,
) -> Result<Vec<(&Probe, &AddressProbe, &HttpAnswer, u16)>, Gap> {
    let evidence = &facts.evidence;
    if evidence.cluster.hosting == Hosting::Connector {
        return Err(gaps::connector(evidence));
    }
    let mut answered = Vec::new();
    for probe in checked(facts) {
        for answer in probe.answers.iter().filter(|answer| is_of_cluster(answer)) {
            let asked = answer.http.iter().filter(|http| is_asked(&http.path));
            answered
                .extend(asked.filter_map(|http| Some((probe, answer, http, *http.status.as_ref().ok()?))));
        }
    }
    if answered.is_empty() {
        let vantage = checked(facts).next().map_or(HERE, |probe| probe.vantage.as_str());
        let detail = "no address answered an anonymous request as this cluster's API server";
        return Err(evidence.gap(Subject::Probe(vantage.to_owned()), GapReason::NotRecorded, detail));
    }
    Ok(answered)
}

/// Whether the certificate that an address showed is one of the API server. The cluster's CA
/// signs those of pods too, so that of a peer has to be valid for the endpoint's name.
fn is_of_cluster(answer: &AddressProbe) -> bool {
    let trust = answer.tls.as_ref().map(|tls| &tls.trust);
    match trust {
        Some(Trust::Signed { .. }) => true,
        Some(Trust::Invalid(_)) => answer.target != ProbeTarget::Peer,
        _ => false,
    }
}

/// An address and how it was reached.
pub(super) fn address_and_way(answer: &AddressProbe) -> String {
    match &answer.way {
        ProbeWay::Direct => answer.address.to_string(),
        ProbeWay::Proxy(proxy) => format!("{} by the proxy {proxy}", answer.address),
    }
}
