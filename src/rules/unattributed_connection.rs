use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::gaps;
use super::text::{ENDPOINT_ACCESS, list};
use crate::model::connection::{Component, Connection};
use crate::model::expectations::Expectations;
use crate::model::facts::Facts;
use crate::model::kubernetes;
use crate::model::net::{INSTANCES, INTERFACES, VPC};
use crate::model::probe::{Certificate, Trust};
use crate::model::rule::{Finding, Need, Outcome, Rule, Severity, Step, WithoutEvidence};
use crate::model::shell::shell_word;
use crate::model::socket::State;
use crate::steps;

pub(super) static RULE: Rule = Rule {
    id: "unattributed-connection",
    severity: Severity::Medium,
    summary: "kubelet or kube-proxy is connected to port 443 of an address that nothing explains",
    why: "\
The peer is not an address of the endpoint, not the kubernetes Service, and no \
network interface of the VPC has it. Often it is a former address of the endpoint \
or of an EKS-owned ENI: AWS replaces API servers, and a connection outlives the \
DNS answer and the interface. It can also be a registry or credential helper of the kubelet, a proxy, or another \
process with the same name.",
    remediation: "\
Inspect the process, and check whether the address is this cluster's API server:
    sudo ss -tnp dst ADDRESS
    openssl s_client -connect ADDRESS:443 -servername ENDPOINT -CAfile cluster-ca.pem -verify_return_error </dev/null
where cluster-ca.pem is the cluster's own CA:
    aws eks describe-cluster --region REGION --name CLUSTER --query cluster.certificateAuthority.data --output text | base64 -d > cluster-ca.pem
If it is, restart the process so that it resolves the name again.",
    reference: ENDPOINT_ACCESS,
    controls: &[],
    needs: &[Need::File(INTERFACES), Need::File(INSTANCES), Need::File(VPC), Need::File(kubernetes::NODES), Need::Dns, Need::Nodes],
    without_evidence: WithoutEvidence::Inconclusive,
    steps,
    check,
};

fn check(facts: &Facts, _: &Expectations) -> Outcome {
    let mut outcome = Outcome { gaps: gaps::nodes(facts, true), ..Outcome::pass() };
    let unexplained: Vec<_> = facts.unexplained().collect();
    if unexplained.is_empty() {
        return outcome;
    }
    let missing = gaps::attribution(&facts.evidence);
    if !missing.is_empty() {
        outcome.gaps.extend(missing);
        return outcome;
    }
    // A process may have many sockets to one peer: that is one finding.
    let mut peers: BTreeMap<_, Vec<&Connection>> = BTreeMap::new();
    for connection in unexplained {
        match gaps::truncated_address(&facts.evidence, connection) {
            Some(gap) => outcome.gaps.push(gap),
            None => peers
                .entry((&connection.node, connection.component, &connection.socket.peer))
                .or_default()
                .push(connection),
        }
    }
    outcome.findings.extend(peers.into_values().filter_map(|sockets| finding(facts, &sockets)));
    outcome
}

/// How many addresses the steps have commands for.
const ADDRESSES_MAX: usize = 3;

/// The steps with the addresses of the findings.
fn steps(facts: &Facts, _: &Expectations, findings: &[Finding]) -> Vec<Step> {
    let mut nodes: BTreeMap<IpAddr, BTreeSet<&str>> = BTreeMap::new();
    for connection in facts.unexplained() {
        let node = connection.node.as_str();
        if let Some(address) = connection.socket.peer.ip()
            && findings.iter().any(|finding| finding.subject == node)
        {
            nodes.entry(address).or_default().insert(node);
        }
    }
    let cluster = &facts.evidence.cluster;
    let endpoint = cluster.endpoint.as_ref().map_or("ENDPOINT", |endpoint| endpoint.host.as_str());
    let endpoint = shell_word(endpoint, "ENDPOINT");
    let name = shell_word(&cluster.name, "CLUSTER");
    let options = steps::aws_options(facts);
    let inspect = nodes.iter().take(ADDRESSES_MAX).map(|(address, nodes)| {
        let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
        Step::new(format!("See which process is connected to {address}, on {}", list(&nodes)))
            .command(format!("sudo ss -tnp dst {address}"))
    });
    let ca = Step::new("Get the cluster's own CA").command(format!(
        "aws eks describe-cluster{options} --name {name} --query cluster.certificateAuthority.data --output text | base64 -d > cluster-ca.pem"
    ));
    let verify = nodes.keys().take(ADDRESSES_MAX).map(|address| {
        let host = SocketAddr::new(*address, 443);
        Step::new(format!("Check whether {address} is this cluster's API server: whether that CA signed its certificate"))
            .command(format!(
                "openssl s_client -connect {host} -servername {endpoint} -CAfile cluster-ca.pem -verify_return_error </dev/null"
            ))
    });
    let restart = Step::new("If it is, restart the process, so that it resolves the name again");
    inspect.chain([ca]).chain(verify).chain([restart]).collect()
}

/// Whose certificate an address showed to a probe.
fn shown(facts: &Facts, address: IpAddr) -> Option<String> {
    let answers = || facts.evidence.probes.iter().flat_map(|probe| probe.of(address));
    let tls = answers().filter_map(|answer| answer.tls.as_ref()).find(|tls| tls.certificate.is_some())?;
    let Certificate { subject, issuer, .. } = tls.certificate.as_ref()?;
    let certificate = format!("subject {subject}, issuer {issuer}");
    Some(match &tls.trust {
        Trust::Signed { .. } => {
            "; by its certificate it is this cluster's API server, or a load balancer before it".to_owned()
        }
        Trust::Invalid(why) => {
            format!(
                "; it shows a certificate that the cluster's CA signed and that is not valid ({why}): {certificate}"
            )
        }
        Trust::Unsigned => {
            format!("; it is not this cluster's API server by its certificate: {certificate}")
        }
        Trust::Unknown(why) => format!("; it shows a certificate of {certificate} ({why})"),
    })
}

/// The finding for the sockets of a component of a node to one peer.
fn finding(facts: &Facts, sockets: &[&Connection]) -> Option<Finding> {
    let Connection { node, component, socket, .. } = sockets.first()?;
    let component = component.map_or("a process", Component::as_str);
    let pids = sockets.iter().filter_map(|connection| connection.process.as_ref()?.pid);
    let pids: BTreeSet<_> = pids.collect();
    let pids: Vec<_> = pids.iter().map(ToString::to_string).collect();
    let pids = if pids.is_empty() { String::new() } else { format!(" (pid {})", list(&pids)) };
    let any = |state| sockets.iter().any(|connection| connection.socket.state == state);
    let verb = if any(State::Established) {
        "is connected to"
    } else if any(State::NotShown) {
        "has a socket, in a state that the capture does not show, with"
    } else {
        "is trying to connect (SYN-SENT) to"
    };
    let what = if sockets.iter().any(|connection| facts.is_in_vpc(connection)) {
        "which is in the VPC, and no network interface has it: an interface that was replaced, or not an API server at all"
    } else {
        "which is not an address of the endpoint, not an ENI and not in the VPC"
    };
    let peer = &socket.peer;
    let shown = peer.ip().and_then(|address| shown(facts, address)).unwrap_or_default();
    let message = format!("{component}{pids} {verb} {peer}, {what}{shown}");
    Some(Finding::new(node.as_str(), message).of(format!("{component} {peer}")))
}
