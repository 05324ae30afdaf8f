//! The steps by which access to the endpoint is changed without cutting nodes off, in their
//! order, for one cluster: without the steps that are known to be done. Rules and
//! classification both suggest them.

use std::collections::{BTreeSet, HashSet};

use ipnet::IpNet;

use crate::model::connection::{Component, Path};
use crate::model::facts::Facts;
use crate::model::kubernetes::KubernetesNode;
use crate::model::name::NodeName;
use crate::model::reach::{MissingRule, RuleSide};
use crate::model::rule::Step;
use crate::model::shell::{shell_quoted, shell_word};
use crate::model::socket::State;
use crate::model::text::list;
use crate::model::traffic::TrafficPath;

/// How many nodes a step names.
const NODES_SHOWN: usize = 10;

/// The steps after which every node uses the private endpoint.
pub(crate) fn to_private_path(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    if facts.evidence.cluster.access.private() != Some(true) {
        steps.extend(dns_attributes(facts));
        steps.push(private_access_on(facts));
    }
    steps.extend(after_private_access(facts));
    steps
}

/// The steps that remain once private access is on.
pub(crate) fn after_private_access(facts: &Facts) -> Vec<Step> {
    let is_on = facts.evidence.cluster.access.private() == Some(true);
    let mut steps = Vec::new();
    if !(is_on && facts.all_nodes_resolve_to_enis()) {
        if is_on {
            steps.extend(dns_attributes(facts));
        }
        if has_hybrid_nodes(facts) {
            steps.push(forward_to_vpc());
        }
        steps.push(wait_for_dns(facts));
    }
    steps.extend(restarts(facts, is_on));
    if !(is_on && steps.is_empty() && is_known_private(facts)) {
        steps.push(check_paths(facts));
    }
    steps
}

/// Whether every known node was read and its traffic is private.
fn is_known_private(facts: &Facts) -> bool {
    facts.missing_nodes.is_empty()
        && !facts.traffic.is_empty()
        && facts.traffic.iter().all(|traffic| traffic.path == TrafficPath::Private)
}

/// The step that turns private access on.
pub(crate) fn private_access_on(facts: &Facts) -> Step {
    let command = update(facts, "endpointPrivateAccess=true");
    let check = describe(facts, "cluster.resourcesVpcConfig.endpointPrivateAccess");
    Step::new("Turn private access on, and leave public access as it is for now")
        .command(command)
        .check("It worked when this prints true", check)
}

/// The step that waits until every node resolves the name to private addresses.
pub(crate) fn wait_for_dns(facts: &Facts) -> Step {
    let cluster = &facts.evidence.cluster;
    let host = cluster.endpoint.as_ref().map_or("", |endpoint| endpoint.host.as_str());
    let addresses: BTreeSet<_> = facts.eks_owned().flat_map(|known| &known.interface.addresses).collect();
    // EKS keeps two to four.
    let addresses: Vec<_> = addresses.iter().take(NODES_SHOWN).map(ToString::to_string).collect();
    let check = if addresses.is_empty() {
        "It is done when it prints addresses of the VPC only".to_owned()
    } else {
        format!("It is done when it prints only addresses of EKS-owned ENIs, now {}", addresses.join(", "))
    };
    let text = "Wait until the endpoint's name resolves to private addresses on every node, some 8 to 15 minutes after the change; on each node";
    Step::new(text).command(format!("getent ahosts {}", shell_word(host, "ENDPOINT"))).done_when(check)
}

/// Whether the cluster has, or may have, nodes outside the VPC.
pub(crate) fn has_hybrid_nodes(facts: &Facts) -> bool {
    let cluster = &facts.evidence.cluster;
    cluster.hybrid_nodes_enabled || !cluster.remote_node_networks.is_empty()
}

/// Outside the VPC, the name resolves to public addresses while public access is on. AWS
/// supports one endpoint for clusters with hybrid nodes, not both.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-networking.html>
pub(crate) fn forward_to_vpc() -> Step {
    Step::new(
        "Make the network of the hybrid nodes resolve the endpoint's name by the VPC, with a Route 53 Resolver inbound endpoint: a cluster with hybrid nodes uses private access alone in the end (or public access alone, if publicAccessCidrs contains the egress addresses of all nodes)",
    )
}

/// The restarts of processes that keep connections to the public endpoint, or, before
/// private access is on, may keep them.
pub(crate) fn restarts(facts: &Facts, is_on: bool) -> Vec<Step> {
    let kubelet = on_public_path(facts, Component::Kubelet);
    let kube_proxy = on_public_path(facts, Component::KubeProxy);
    // Before private access is on, a node that was not read keeps its connections too.
    let are_others = !is_on && !is_every_node_read(facts);
    let mut steps = restart_kubelets(facts, &kubelet, are_others);
    if !kube_proxy.is_empty() || are_others {
        let nodes = if kube_proxy.is_empty() { "every node".to_owned() } else { names_of(&kube_proxy) };
        steps.push(restart_kube_proxy(&nodes));
    }
    steps.extend(agents(facts, is_on));
    steps
}

/// The restarts of the kubelet of these nodes, and of others that are not known.
pub(crate) fn restart_kubelets(facts: &Facts, nodes: &[&NodeName], are_others: bool) -> Vec<Step> {
    let logins = Logins::new(facts);
    let (without_ssh, with_ssh): (Vec<_>, Vec<_>) =
        nodes.iter().partition(|node| logins.takes_no_ssh(facts, node).unwrap_or(false));
    let mut steps = Vec::new();
    if !with_ssh.is_empty() || are_others {
        let nodes = match (with_ssh.as_slice(), are_others) {
            ([], _) => "every node".to_owned(),
            (nodes, true) => format!("{} and the nodes that were not read", names_of(nodes)),
            (nodes, false) => names_of(nodes),
        };
        let text = format!("Restart kubelet, which keeps its old connections until then, on {nodes}");
        steps.push(Step::new(text).command("sudo systemctl restart kubelet"));
    }
    let may_lack_ssh = are_others || with_ssh.iter().any(|node| logins.takes_no_ssh(facts, node).is_none());
    if !without_ssh.is_empty() || may_lack_ssh && logins.may_lack_ssh(facts) {
        let (nodes, ids) = if without_ssh.is_empty() {
            ("the nodes that take no ssh instead".to_owned(), "INSTANCE_ID".to_owned())
        } else {
            let ids: Vec<_> = without_ssh.iter().filter_map(|node| instance_of(facts, node)).collect();
            let ids: Vec<_> = ids.iter().take(NODES_SHOWN).map(|id| shell_word(id, "INSTANCE_ID")).collect();
            (names_of(&without_ssh), ids.join(" "))
        };
        let text =
            format!("Replace or reboot {nodes}, one at a time: EKS Auto Mode and Bottlerocket take no ssh");
        let command = format!("aws ec2 reboot-instances{} --instance-ids {ids}", region(facts));
        steps.push(Step::new(text).command(command));
    }
    steps
}

/// The nodes of which a component has an established connection to the public endpoint.
fn on_public_path(facts: &Facts, component: Component) -> Vec<&NodeName> {
    let is_public = |path| matches!(path, TrafficPath::Public | TrafficPath::Mixed);
    let nodes = facts.traffic.iter().filter(|traffic| {
        traffic.components.iter().any(|one| one.component == component && is_public(one.path))
    });
    nodes.map(|traffic| &traffic.node).collect()
}

/// Whether the path of each component of every known node is known.
fn is_every_node_read(facts: &Facts) -> bool {
    facts.missing_nodes.is_empty()
        && !facts.nodes.is_empty()
        && facts.nodes.iter().all(|node| node.gaps.is_empty())
        && facts.traffic.iter().flat_map(|traffic| &traffic.components).all(|one| one.path.is_known())
}

/// The restarts of other agents on the host network.
pub(crate) fn agents(facts: &Facts, is_on: bool) -> Vec<Step> {
    let public = facts.connections.iter().filter(|connection| {
        connection.attribution.path == Path::PublicEndpoint
            && connection.socket.state == State::Established
            && !connection.component.is_some_and(Component::is_node_component)
    });
    let names: BTreeSet<_> = public
        .filter_map(|connection| connection.process.as_ref())
        .map(|process| process.name.as_str())
        .collect();
    let has_cni = names.contains(Component::VpcCni.as_str());
    let mut steps = Vec::new();
    if has_cni || !is_on && !is_every_node_read(facts) {
        steps.push(restart_cni());
    }
    let others: Vec<_> = names.into_iter().filter(|name| *name != Component::VpcCni.as_str()).collect();
    if !others.is_empty() {
        steps.push(Step::new(format!(
            "Restart the other host processes that are connected to the public endpoint: {}",
            list(&others, NODES_SHOWN)
        )));
    }
    steps
}

/// The instance of a node, if EC2 lists one.
fn instance_of<'a>(facts: &'a Facts, node: &NodeName) -> Option<&'a str> {
    match facts.machines_of(node) {
        [only] => only.instance.as_deref(),
        _ => None,
    }
}

/// Which instances take no ssh, as far as that is known.
struct Logins<'a> {
    without: HashSet<&'a str>,
    /// The instances that Kubernetes lists, which shows their image.
    known: HashSet<&'a str>,
}

impl<'a> Logins<'a> {
    fn new(facts: &'a Facts) -> Self {
        let nodes = facts.evidence.kubernetes.nodes.seen().into_iter().flatten();
        Self {
            without: facts.evidence.instances_without_login(),
            known: nodes.filter_map(KubernetesNode::instance_id).collect(),
        }
    }

    /// Whether a node takes no ssh; `None` if that is not known.
    fn takes_no_ssh(&self, facts: &Facts, node: &NodeName) -> Option<bool> {
        let id = instance_of(facts, node)?;
        let is_known = || self.known.contains(id).then_some(false);
        if self.without.contains(id) { Some(true) } else { is_known() }
    }

    /// Whether the cluster may have nodes that take no ssh.
    fn may_lack_ssh(&self, facts: &Facts) -> bool {
        facts.evidence.cluster.auto_mode || !self.without.is_empty()
    }
}

/// The steps after the DNS of the VPC was changed.
pub(crate) fn after_dns(facts: &Facts) -> Vec<Step> {
    [wait_for_dns(facts)].into_iter().chain(restarts(facts, true)).chain([check_paths(facts)]).collect()
}

/// The step that adds a rule to a security group.
pub(crate) fn add_rule(facts: &Facts, rule: &MissingRule) -> Step {
    let MissingRule { group, side, port, peer } = rule;
    let verb = match side {
        RuleSide::Inbound => "ingress",
        RuleSide::Outbound => "egress",
    };
    let preposition = side.preposition();
    let peers = match peer.parse::<IpNet>() {
        Ok(IpNet::V4(block)) => format!("IpRanges=[{{CidrIp={block}}}]"),
        Ok(IpNet::V6(block)) => format!("Ipv6Ranges=[{{CidrIpv6={block}}}]"),
        Err(_) => format!("UserIdGroupPairs=[{{GroupId={}}}]", shell_word(peer, "GROUP")),
    };
    let permissions = format!("IpProtocol=tcp,FromPort={port},ToPort={port},{peers}");
    let text = format!("Add to {group} an {} rule for TCP {port} {preposition} {peer}", side.as_str());
    Step::new(text).command(format!(
        "aws ec2 authorize-security-group-{verb}{} --group-id {} --ip-permissions {}",
        region(facts),
        shell_word(group, "GROUP"),
        shell_quoted(&permissions)
    ))
}

/// The step that adds blocks to `publicAccessCidrs`.
pub(crate) fn add_blocks(facts: &Facts, blocks: impl IntoIterator<Item = IpNet>) -> Step {
    let given = facts.evidence.cluster.public_cidrs();
    let all: Vec<_> = given.into_iter().chain(blocks).map(|block| block.to_string()).collect();
    let text = "Add the egress addresses to publicAccessCidrs, so that the nodes can connect at once; this list has the present blocks too";
    Step::new(text).command(update(facts, &format!("publicAccessCidrs={}", all.join(","))))
}

/// The step that restarts the kubelet of a node, by ssh or by the instance.
pub(crate) fn restart_kubelet(facts: &Facts, node: &NodeName) -> Step {
    let takes_no_ssh = Logins::new(facts).takes_no_ssh(facts, node).unwrap_or(false);
    if takes_no_ssh {
        let id = instance_of(facts, node).unwrap_or_default();
        let command = format!(
            "aws ec2 reboot-instances{} --instance-ids {}",
            region(facts),
            shell_word(id, "INSTANCE_ID")
        );
        return Step::new(format!("Replace or reboot {node}, which takes no ssh")).command(command);
    }
    Step::new(format!("Restart kubelet on {node}")).command("sudo systemctl restart kubelet")
}

/// The step that restarts kube-proxy.
pub(crate) fn restart_kube_proxy(nodes: &str) -> Step {
    Step::new(format!("Restart kube-proxy, for {nodes}"))
        .command("kubectl -n kube-system rollout restart daemonset kube-proxy")
}

/// The step that restarts the VPC CNI.
pub(crate) fn restart_cni() -> Step {
    Step::new("Restart the VPC CNI").command("kubectl -n kube-system rollout restart daemonset aws-node")
}

/// The alternative to what nodes need to reach the public endpoint.
pub(crate) fn or_private_access(facts: &Facts) -> Step {
    Step::new("Or have private access on, with which nodes do not need the public endpoint")
        .command(update(facts, "endpointPrivateAccess=true"))
}

/// The steps by which kubelet and kube-proxy resolve the endpoint's name again.
pub(crate) fn resolve_again(nodes: &str) -> [Step; 2] {
    let text = format!("Restart kubelet, which then resolves the endpoint's name again, on {nodes}");
    [
        Step::new(text).command("sudo systemctl restart kubelet"),
        Step::new("Restart kube-proxy")
            .command("kubectl -n kube-system rollout restart daemonset kube-proxy"),
    ]
}

/// The check that no node is left on the public path.
pub(crate) fn check_paths(facts: &Facts) -> Step {
    let name = shell_word(&facts.evidence.cluster.name, "CLUSTER");
    Step::new("Make sure that no node and no agent is left on the public endpoint")
        .command(format!("eks-netcheck audit --cluster {name}{}", region(facts)))
        .done_when("It is done when it reports neither node-on-public-path nor node-agent-on-public-path")
}

/// The attributes of the VPC without which the name does not resolve to private addresses.
pub(crate) fn dns_attributes(facts: &Facts) -> Vec<Step> {
    let Some(vpc) = facts.evidence.network.vpc.seen() else { return Vec::new() };
    let attributes = [("dns-support", vpc.dns_support), ("dns-hostnames", vpc.dns_hostnames)];
    let off = attributes.into_iter().filter(|(_, is_on)| *is_on == Some(false));
    off.map(|(attribute, _)| {
        Step::new(format!(
            "Turn on {attribute} of the VPC, without which the private addresses do not resolve"
        ))
        .command(format!(
            "aws ec2 modify-vpc-attribute{} --vpc-id {} --enable-{attribute}",
            region(facts),
            shell_word(&vpc.id, "VPC")
        ))
    })
    .collect()
}

/// The beginning of a command that changes the cluster's settings.
pub(crate) const UPDATE: &str = "aws eks update-cluster-config";

/// The command that changes the cluster's access.
pub(crate) fn update(facts: &Facts, setting: &str) -> String {
    let name = shell_word(&facts.evidence.cluster.name, "CLUSTER");
    format!("{UPDATE}{} --name {name} --resources-vpc-config {setting}", region(facts))
}

/// The command that prints a setting of the cluster.
pub(crate) fn describe(facts: &Facts, query: &str) -> String {
    let name = shell_word(&facts.evidence.cluster.name, "CLUSTER");
    format!("aws eks describe-cluster{} --name {name} --query {query}", region(facts))
}

/// The option of the aws CLI with the cluster's region.
pub(crate) fn region(facts: &Facts) -> String {
    let region = facts.evidence.cluster.region();
    region.map(|region| format!(" --region {}", shell_word(region, "REGION"))).unwrap_or_default()
}

/// The step that narrows the list of blocks, or, for a cluster with hybrid nodes, closes
/// the public endpoint.
pub(crate) fn narrow(facts: &Facts) -> Step {
    if has_hybrid_nodes(facts) {
        return close(facts);
    }
    let text = "Limit the public endpoint to the addresses that need it, such as an office and a VPN";
    Step::new(text)
        .command(update(facts, "publicAccessCidrs=YOUR_CIDRS"))
        .check("It worked when the nodes stay Ready", "kubectl get nodes")
}

/// The step that closes the public endpoint.
pub(crate) fn close(facts: &Facts) -> Step {
    let text = "Close the public endpoint, if everyone who needs the API server can reach the VPC (VPN, Direct Connect, a bastion, Session Manager)";
    Step::new(text)
        .command(update(facts, "endpointPublicAccess=false,endpointPrivateAccess=true"))
        .check("It worked when the nodes stay Ready, as seen from inside the VPC", "kubectl get nodes")
}

/// Some names of nodes as text.
pub(crate) fn names_of(nodes: &[&NodeName]) -> String {
    list(&nodes.iter().map(|node| node.as_str()).collect::<Vec<_>>(), NODES_SHOWN)
}
