use std::collections::BTreeSet;

use super::controls;
use super::probed::{address_and_way, anonymous};
use super::text::list;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::rule::{Need, Outcome, Rule, Severity, WithoutEvidence};

pub(super) static RULE: Rule = Rule {
    id: "anonymous-version-disclosed",
    severity: Severity::Low,
    summary: "/version answers 200 to anonymous",
    why: "\
The exact version of the API server tells every client that reaches the endpoint which of its known \
vulnerabilities may be open. Older clusters grant this to unauthenticated clients; newer \
ones answer 401 or 403.",
    remediation: "\
Remove the group system:unauthenticated from the binding that grants it, if no health check \
of yours needs it:
    kubectl edit clusterrolebinding system:public-info-viewer
Narrow who reaches the endpoint in any case.",
    reference: "https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html",
    controls: &controls::ANONYMOUS,
    needs: &[Need::Probe],
    without_evidence: WithoutEvidence::NotJudged,
    steps: |_, _, _| Vec::new(),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let answers = match anonymous(facts, |path| path == "/version") {
        Ok(answers) => answers,
        Err(gap) => return Outcome::inconclusive(gap),
    };
    let disclosed: Vec<_> = answers.into_iter().filter(|(.., status)| *status == 200).collect();
    if disclosed.is_empty() {
        return Outcome::pass();
    }
    let addresses: BTreeSet<_> = disclosed.iter().map(|(_, answer, ..)| address_and_way(answer)).collect();
    let versions: BTreeSet<_> = disclosed.iter().filter_map(|(_, _, http, _)| http.given.clone()).collect();
    let (addresses, versions): (Vec<_>, Vec<_>) =
        (addresses.into_iter().collect(), versions.into_iter().collect());
    let versions = if versions.is_empty() { String::new() } else { format!(": {}", list(&versions)) };
    let message =
        format!("an anonymous GET of /version is answered with 200 by {}{versions}", list(&addresses));
    Outcome::fail(facts.evidence.cluster.subject(), message)
}
