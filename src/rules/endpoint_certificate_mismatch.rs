use std::collections::BTreeMap;

use super::controls;
use super::probed::{address_and_way, of_endpoint};
use super::text::list;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::probe::{AddressProbe, Attempt, Certificate, Probe, Trust};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};

pub(super) static RULE: Rule = Rule {
    id: "endpoint-certificate-mismatch",
    severity: Severity::Critical,
    summary: "An address of the endpoint shows a certificate that the cluster's CA did not sign",
    why: "\
EKS issues the serving certificate of every API server from the cluster's own CA, which \
DescribeCluster returns. An address of the endpoint's name that shows another certificate \
is not this cluster's API server: something between this place and the API server answers \
in its name, or the name resolves to a wrong address. A proxy that inspects TLS does this \
too; clients that trust the cluster's CA alone, as kubelet and kubectl do, refuse it. A \
certificate that the CA signed, and that has expired or is for another name, is of \
severity high: it is no other server's, and clients refuse it as well.",
    remediation: "\
Compare the certificate with the cluster's CA, from the place where it was seen:
    aws eks describe-cluster --region REGION --name CLUSTER --query cluster.certificateAuthority.data --output text | base64 -d > cluster-ca.pem
    openssl s_client -connect ADDRESS:443 -servername ENDPOINT -CAfile cluster-ca.pem </dev/null
If the issuer is a proxy of your own network that inspects TLS, exempt the endpoint's name \
from inspection. Otherwise find out who answers: compare what the name resolves to there \
and elsewhere, and use no credentials over that connection.",
    reference: "https://docs.aws.amazon.com/eks/latest/userguide/cert-signing.html",
    controls: &controls::AUTHENTICITY,
    needs: &[Need::Probe],
    without_evidence: WithoutEvidence::NotJudged,
    steps: |_, _, _| Vec::new(),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let mut outcome = Outcome::pass();
    let probes = match of_endpoint(facts) {
        Ok(probes) => probes,
        Err(gap) => return Outcome::inconclusive(gap),
    };
    for (probe, answers) in probes {
        // Several addresses that show one certificate are one finding.
        let mut shown: BTreeMap<(&str, Option<&str>), Vec<&AddressProbe>> = BTreeMap::new();
        let mut unseen = Vec::new();
        for answer in answers {
            let tls = answer.tls.as_ref();
            let certificate = tls.and_then(|tls| tls.certificate.as_ref());
            match (tls.map(|tls| &tls.trust), certificate) {
                (Some(Trust::Signed { .. }), _) => {}
                (Some(Trust::Unsigned), Some(certificate)) => {
                    shown.entry((&certificate.fingerprint, None)).or_default().push(answer);
                }
                (Some(Trust::Invalid(why)), Some(certificate)) => {
                    shown.entry((&certificate.fingerprint, Some(why))).or_default().push(answer);
                }
                _ => unseen.push(answer),
            }
        }
        outcome.findings.extend(shown.into_iter().filter_map(|((_, why), answers)| {
            let certificate = answers.first()?.tls.as_ref()?.certificate.as_ref()?;
            Some(finding(facts, probe, &answers, certificate, why))
        }));
        outcome.gaps.extend(gap(facts, probe, &unseen));
    }
    outcome
}

/// The finding about a certificate; `why` it is not valid, if a CA of the cluster signed it.
fn finding(
    facts: &Facts,
    probe: &Probe,
    answers: &[&AddressProbe],
    certificate: &Certificate,
    why: Option<&str>,
) -> Finding {
    let Certificate { subject, issuer, fingerprint, .. } = certificate;
    let addresses: Vec<_> = answers.iter().map(|answer| address_and_way(answer)).collect();
    let addresses = list(&addresses);
    let verb = if answers.len() == 1 { "shows" } else { "show" };
    let problem = match why {
        None => "that no CA of the cluster signed".to_owned(),
        Some(why) => format!("that the cluster's CA signed and that is not valid: {why}"),
    };
    let note = if why.is_none() { "; a proxy that inspects TLS does this too" } else { "" };
    let message = format!(
        "from {}, {addresses} {verb} a certificate {problem}; subject {subject}, issuer {issuer}, SHA-256 {fingerprint}{note}",
        probe.vantage
    );
    let finding = Finding::new(facts.evidence.cluster.subject(), message)
        .of(format!("{} {fingerprint}", probe.vantage));
    if why.is_some() { finding.at(Severity::High) } else { finding }
}

/// Why it is not known which certificate some addresses show.
fn gap(facts: &Facts, probe: &Probe, unseen: &[&AddressProbe]) -> Option<Gap> {
    if unseen.is_empty() {
        return None;
    }
    let why = |answer: &&AddressProbe| {
        let detail = match (&answer.tcp, &answer.tls) {
            (Attempt::Failed(failure), _) => failure.detail.as_str(),
            (_, Some(tls)) => match (&tls.trust, &tls.handshake) {
                (Trust::Unknown(why), _) if tls.certificate.is_some() => why.as_str(),
                (_, Attempt::Failed(failure)) => failure.detail.as_str(),
                (Trust::Unknown(why), Attempt::Done) => why.as_str(),
                _ => "no certificate was shown",
            },
            (_, None) => "no certificate was asked for",
        };
        format!("{}: {detail}", address_and_way(answer))
    };
    let all: Vec<_> = unseen.iter().map(why).collect();
    let subject = Subject::Probe(probe.vantage.clone());
    Some(facts.evidence.gap(subject, GapReason::NoAnswer, list(&all)))
}
