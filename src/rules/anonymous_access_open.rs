use std::collections::BTreeMap;

use super::controls;
use super::probed::{PUBLIC_PATHS, address_and_way, anonymous};
use super::text::list;
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, WithoutEvidence};

pub(super) static RULE: Rule = Rule {
    id: "anonymous-access-open",
    severity: Severity::Critical,
    summary: "An anonymous request gets 200 beyond /version and the health paths",
    why: "\
Kubernetes lets anonymous clients read the version and the health of the API server at \
most. An answer of 200 to another path means that RBAC grants rights to the user \
system:anonymous or the group system:unauthenticated: all clients that reach the endpoint \
have them, without credentials.",
    remediation: "\
Find the bindings, and remove these subjects from them:
    kubectl get clusterrolebindings,rolebindings --all-namespaces -o wide | grep -E 'system:(anonymous|unauthenticated)'
The binding system:public-info-viewer is Kubernetes' own. Then find in the audit log what \
user.username system:anonymous has done.",
    reference: "https://docs.aws.amazon.com/eks/latest/best-practices/identity-and-access-management.html",
    controls: &controls::ANONYMOUS,
    needs: &[Need::Probe],
    without_evidence: WithoutEvidence::NotJudged,
    steps: |_, _, _| Vec::new(),
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let answers = match anonymous(facts, |path| !PUBLIC_PATHS.contains(&path)) {
        Ok(answers) => answers,
        Err(gap) => return Outcome::inconclusive(gap),
    };
    let mut open: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (_, answer, http, _) in answers.into_iter().filter(|(.., status)| *status == 200) {
        open.entry(&http.path).or_default().push(address_and_way(answer));
    }
    let findings = open.into_iter().map(|(path, mut addresses)| {
        addresses.sort();
        addresses.dedup();
        let message = format!("an anonymous GET of {path} is answered with 200 by {}", list(&addresses));
        Finding::new(facts.evidence.cluster.subject(), message).of(path)
    });
    Outcome { findings: findings.collect(), ..Outcome::pass() }
}
