use std::collections::{BTreeMap, BTreeSet};

use super::controls;
use super::gaps;
use super::text::{ENDPOINT_ACCESS, list};
use crate::model::connection::{Component, Path};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::kubernetes;
use crate::model::net::{INSTANCES, INTERFACES, VPC};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::model::socket::State;
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "node-agent-on-public-path",
    severity: Severity::Medium,
    summary: "Private access is on, yet a host process other than kubelet and kube-proxy uses the public endpoint",
    why: "\
Processes on the host network (aws-k8s-agent, cilium-agent, node agents) connect to \
the API server themselves. A connection that is older than private access stays on \
the public endpoint until the process is restarted, also after kubelet and kube-proxy \
were. Closing the public endpoint cuts it off until then.",
    remediation: "\
Restart the process, for the VPC CNI with:
    kubectl -n kube-system rollout restart daemonset aws-node
Other agents likewise; then make sure that none is left before you close the public \
endpoint:
    eks-netcheck audit --cluster CLUSTER",
    reference: ENDPOINT_ACCESS,
    controls: &controls::INFORMATION_FLOW,
    needs: &[
        Need::File(INTERFACES),
        Need::File(INSTANCES),
        Need::File(VPC),
        Need::File(kubernetes::NODES),
        Need::Dns,
        Need::Nodes,
    ],
    without_evidence: WithoutEvidence::NotJudged,
    steps,
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    match gaps::private_access(&facts.evidence) {
        Ok(true) => {}
        Ok(false) => return Outcome::pass(),
        Err(gap) => return Outcome::inconclusive(gap),
    }
    let mut outcome = Outcome { gaps: gaps::nodes(facts, true), ..Outcome::pass() };
    outcome.gaps.extend(gaps::endpoint_addresses(&facts.evidence));
    let mut agents: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for connection in &facts.connections {
        let is_node_component = connection.component.is_some_and(Component::is_node_component);
        let is_public = connection.attribution.path == Path::PublicEndpoint
            && connection.socket.state == State::Established;
        // A process without a name may be kubelet: node-on-public-path has a gap for it.
        if let (Some(process), true, false) = (&connection.process, is_public, is_node_component) {
            let peers = agents.entry((&connection.node, &process.name)).or_default();
            peers.insert(connection.socket.peer.to_string());
        }
    }
    outcome.findings.extend(agents.into_iter().map(|((node, agent), peers)| {
        let peers = list(&Vec::from_iter(peers));
        let message = format!(
            "{agent} is connected to {peers}, the public endpoint: restart it; closing the public endpoint would cut it off"
        );
        Finding::new(node.as_str(), message).of(agent.as_str())
    }));
    outcome
}

fn steps(facts: &Facts, _: &Expectations, _: &[Finding]) -> Vec<Step> {
    let mut steps = steps::restart_agents(facts);
    steps.push(steps::check_paths(facts));
    steps
}
