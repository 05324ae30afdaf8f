//! The steps by which access to the endpoint is changed without cutting nodes off, in their
//! order, for one cluster: without the steps that are known to be done. Rules and
//! classification both suggest them.

mod command;
mod restart;
mod text;

use std::collections::BTreeSet;

use ipnet::IpNet;

pub(crate) use self::command::{aws_options, kubectl, own};
pub(crate) use self::restart::{Restart, fargate_pod};
use self::text::{NODES_SHOWN, names_of};
use crate::model::connection::{Component, Path};
use crate::model::facts::Facts;
use crate::model::name::NodeName;
use crate::model::node::{Node, NodeStatus};
use crate::model::reach::{MissingRule, RuleSide};
use crate::model::rule::Step;
use crate::model::shell::{shell_quoted, shell_word};
use crate::model::socket::State;
use crate::model::traffic::{NodeTraffic, TrafficPath};

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
        let is_changed = !is_on || !steps.is_empty();
        if has_hybrid_nodes(facts) {
            steps.push(forward_to_vpc());
        }
        steps.push(private_answers(facts, is_changed));
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

/// The step that makes sure that every node resolves the name to private addresses: that waits for
/// it, if a step before it changes what the VPC's resolver answers.
pub(crate) fn private_answers(facts: &Facts, is_changed: bool) -> Step {
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
    let text = if is_changed {
        "Wait until the endpoint's name resolves to private addresses on every node, some 8 to 15 minutes after the change; on each node"
    } else {
        "Check that the endpoint's name resolves to private addresses on every node; on each node"
    };
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

/// The restarts of processes that keep connections to the public endpoint. Before private access
/// is on, every node has such connections, as far as nothing else was seen; once it is, those
/// whose path is not known are read first.
pub(crate) fn restarts(facts: &Facts, is_on: bool) -> Vec<Step> {
    let restart = Restart {
        kubelet: to_restart(facts, Component::Kubelet, is_on),
        kube_proxy: to_restart(facts, Component::KubeProxy, is_on),
        agents: agents_on_public_path(facts),
        others: !is_on && (facts.nodes.is_empty() || !facts.missing_nodes.is_empty()),
    };
    let mut steps = restart.steps(facts);
    steps.extend(read_first(facts).filter(|_| is_on));
    steps
}

/// The step that reads the nodes whose path is not known: only what is on the public path is
/// restarted.
fn read_first(facts: &Facts) -> Option<Step> {
    let has_socket = |node: &NodeName, component| {
        facts.connections_of(node).iter().any(|one| one.component == Some(component))
    };
    let is_unknown = |traffic: &&NodeTraffic| {
        let mut components = traffic.components.iter().filter(|one| one.path == TrafficPath::Unknown);
        traffic.path == TrafficPath::Unknown || components.any(|one| has_socket(&traffic.node, one.component))
    };
    let unknown = facts.traffic.iter().filter(is_unknown);
    let unknown: Vec<_> = unknown.map(|traffic| &traffic.node).collect();
    let nodes = match (unknown.as_slice(), facts.nodes.is_empty() || facts.unread_nodes() > 0) {
        ([], false) => return None,
        ([], true) if facts.nodes.is_empty() => "every node".to_owned(),
        ([], true) => "the nodes that were not read".to_owned(),
        (nodes, false) => names_of(nodes),
        (nodes, true) => format!("{} and the nodes that were not read", names_of(nodes)),
    };
    Some(Step::new(format!(
        "Find out the path of {nodes}, which is not known: what the audit finds on the public path there is restarted, and nothing else"
    )))
}

/// The nodes of which a component has an established connection to the public endpoint or is cut
/// off; before private access is on, those too that may have one.
fn to_restart(facts: &Facts, component: Component, is_on: bool) -> Vec<&NodeName> {
    let is_to_restart = |node: &Node, path: TrafficPath| match path {
        TrafficPath::Public | TrafficPath::Mixed | TrafficPath::None => true,
        TrafficPath::Private => false,
        TrafficPath::Unknown if is_on => false,
        // What has no socket on a node that was read is not known to run there.
        TrafficPath::Unknown => {
            node.status != NodeStatus::Read
                || facts.connections_of(&node.name).iter().any(|one| one.component == Some(component))
        }
    };
    let nodes = facts.nodes.iter().zip(&facts.traffic).filter(|(node, traffic)| {
        let of_component = traffic.components.iter().find(|one| one.component == component);
        is_to_restart(node, of_component.map_or(TrafficPath::Unknown, |one| one.path))
    });
    nodes.map(|(node, _)| &node.name).collect()
}

/// The restarts of the other processes of hosts that keep connections to the public endpoint.
pub(crate) fn restart_agents(facts: &Facts) -> Vec<Step> {
    Restart { agents: agents_on_public_path(facts), ..Restart::default() }.steps(facts)
}

/// The other processes of hosts that have an established connection to the public endpoint.
fn agents_on_public_path(facts: &Facts) -> BTreeSet<(Option<&str>, &NodeName)> {
    let public = facts.connections.iter().filter(|connection| {
        connection.attribution.path == Path::PublicEndpoint
            && connection.socket.state == State::Established
            && !connection.component.is_some_and(Component::is_node_component)
    });
    let named = public.filter_map(|connection| Some((connection.process.as_ref()?, &connection.node)));
    named.map(|(process, node)| (Some(process.name.as_str()), node)).collect()
}

/// The steps after those by which every node resolves the name to private addresses: whether one
/// of them changes what the VPC's resolver answers.
pub(crate) fn after_dns(facts: &Facts, is_changed: bool) -> Vec<Step> {
    let answers = private_answers(facts, is_changed);
    [answers].into_iter().chain(restarts(facts, true)).chain([check_paths(facts)]).collect()
}

/// The steps that find out why nodes do not connect, where nothing in the evidence explains it, and
/// give them access again.
pub(crate) fn find_out(facts: &Facts, nodes: &[&str]) -> Vec<Step> {
    const SHOWN: usize = 3;
    let cluster = &facts.evidence.cluster;
    let mut steps: Vec<_> = nodes
        .iter()
        .take(SHOWN)
        .map(|node| {
            Step::new(format!(
                "See which conditions of the path from {node} are met, and which are not known"
            ))
            .command(format!("{} --from {}", own(facts, "reach"), shell_word(node, "NODE")))
        })
        .collect();
    let host = cluster.endpoint.as_ref().map_or("", |endpoint| endpoint.host.as_str());
    steps.push(
        Step::new("On the node: print what the name resolves to, whether the endpoint answers, and, if it does not, with which address the node leaves its network").command(format!(
            "getent ahosts {host}; curl -sk --connect-timeout 5 https://{host}:{}/livez || curl -s https://checkip.amazonaws.com",
            cluster.api_port(),
            host = shell_word(host, "ENDPOINT")
        )),
    );
    steps.push(
        Step::new("Compare that with the settings: publicAccessCidrs must contain a public address with which the node leaves, its subnet needs a route to a NAT gateway or an internet gateway, and for the EKS-owned ENIs the security groups must admit it")
            .command(describe(facts, "cluster.resourcesVpcConfig")),
    );
    if cluster.access.private() == Some(true) {
        let group = cluster.security_group.as_deref().unwrap_or_default();
        steps.push(
            Step::new("Give access again: restore the rule, the route or the list that was changed; the inbound rules of the cluster security group must admit TCP 443 from the node").command(format!(
                "aws ec2 describe-security-groups{} --group-ids {}",
                aws_options(facts),
                shell_word(group, "SECURITY_GROUP")
            )),
        );
    } else {
        let mode = if cluster.access.public() == Some(false) { "private" } else { "public-and-private" };
        steps.push(
            Step::new("Give access again: restore what was changed, or turn private access on, with which nodes need neither the list nor a way out; see what that would do")
                .command(format!("{} --access {mode}", own(facts, "simulate"))),
        );
        steps.extend(to_private_path(facts));
    }
    steps.push(Step::new("See that the nodes are Ready again").command(kubectl(facts, "get nodes")));
    steps
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
        aws_options(facts),
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

/// The alternative to what nodes need to reach the public endpoint.
pub(crate) fn or_private_access(facts: &Facts) -> Step {
    Step::new("Or have private access on, with which nodes do not need the public endpoint")
        .command(update(facts, "endpointPrivateAccess=true"))
}

/// The check that no node is left on the public path.
pub(crate) fn check_paths(facts: &Facts) -> Step {
    Step::new("Make sure that no node and no agent is left on the public endpoint")
        .command(own(facts, "audit"))
        // A node that was not read has no finding either.
        .done_when("It is done when every node was read and its traffic is private, and it reports neither node-on-public-path nor node-agent-on-public-path")
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
            aws_options(facts),
            shell_word(&vpc.id, "VPC")
        ))
    })
    .collect()
}

/// What a command has that changes the cluster's settings, and no other.
pub(crate) const UPDATE: &str = "aws eks update-cluster-config";

/// The command that changes the cluster's access, and waits until the update has ended, whose status
/// it prints: EKS refuses another one before. It fails if the update failed, or cannot be described.
/// The status of the cluster says so too late, and not whether the update failed. A literal, since the
/// text of a rule has it too.
///
/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_UpdateClusterConfig.html>
/// <https://docs.aws.amazon.com/eks/latest/APIReference/API_DescribeUpdate.html>
macro_rules! update_and_wait {
    ($options:literal, $name:literal, $setting:literal) => {
        concat!(
            "id=$(aws eks update-cluster-config", $options, " --name ", $name, " --resources-vpc-config ", $setting,
            " --query update.id --output text) && while state=$(aws eks describe-update", $options, " --name ", $name,
            " --update-id \"$id\" --query update.status --output text) && test \"$state\" = InProgress; do sleep 10; done",
            " && echo \"$state\" && test \"$state\" = Successful"
        )
    };
}
pub(crate) use update_and_wait;

/// The same for the cluster and a setting.
pub(crate) fn update(facts: &Facts, setting: &str) -> String {
    let name = shell_word(&facts.evidence.cluster.name, "CLUSTER");
    let options = aws_options(facts);
    format!(
        update_and_wait!("{options}", "{name}", "{setting}"),
        options = options,
        name = name,
        setting = setting
    )
}

/// The command that waits until the cluster is active: created, or updated.
///
/// <https://docs.aws.amazon.com/cli/latest/reference/eks/wait/cluster-active.html>
pub(crate) fn wait_until_active(facts: &Facts) -> String {
    let name = shell_word(&facts.evidence.cluster.name, "CLUSTER");
    format!("aws eks wait cluster-active{} --name {name}", aws_options(facts))
}

/// The command that prints a setting of the cluster.
pub(crate) fn describe(facts: &Facts, query: &str) -> String {
    let name = shell_word(&facts.evidence.cluster.name, "CLUSTER");
    format!("aws eks describe-cluster{} --name {name} --query {query}", aws_options(facts))
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
        .check("It worked when the nodes stay Ready", kubectl(facts, "get nodes"))
}

/// The step that closes the public endpoint.
pub(crate) fn close(facts: &Facts) -> Step {
    let text = "Close the public endpoint, if everyone who needs the API server can reach the VPC (VPN, Direct Connect, a bastion, Session Manager)";
    Step::new(text).command(update(facts, "endpointPublicAccess=false,endpointPrivateAccess=true")).check(
        "It worked when the nodes stay Ready, as seen from inside the VPC",
        kubectl(facts, "get nodes"),
    )
}
