//! The steps by which the processes of nodes resolve the endpoint's name again: a restart, as
//! the kind of each node allows it.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::command::{OnNodes, aws_options, instance_of, kubectl, on_nodes};
use super::text::{NODES_SHOWN, names_of};
use crate::model::connection::Component;
use crate::model::facts::Facts;
use crate::model::name::NodeName;
use crate::model::node::NodeStatus;
use crate::model::node_kind::{NodeKind, NodeKinds};
use crate::model::rule::Step;
use crate::model::shell::shell_word;
use crate::model::text::list;
use crate::model::traffic::TrafficPath;

/// The nodes whose processes are restarted.
#[derive(Debug, Default)]
pub(crate) struct Restart<'a> {
    /// The nodes whose kubelet is restarted.
    pub(crate) kubelet: Vec<&'a NodeName>,
    /// The nodes whose kube-proxy is restarted.
    pub(crate) kube_proxy: Vec<&'a NodeName>,
    /// The other processes of hosts that are restarted, by name; `None` of one that its row does
    /// not name.
    pub(crate) agents: BTreeSet<(Option<&'a str>, &'a NodeName)>,
    /// Whether kubelet, kube-proxy and the VPC CNI are restarted on every other node as well.
    pub(crate) others: bool,
}

/// The nodes of one kind.
#[derive(Debug, Default)]
struct OfKind<'a> {
    nodes: Vec<&'a NodeName>,
    /// Whether the nodes that are not known by name are of this kind.
    others: bool,
}

impl Restart<'_> {
    /// The steps, in their order.
    pub(crate) fn steps(&self, facts: &Facts) -> Vec<Step> {
        let kinds = NodeKinds::new(facts);
        let mut kubelet = by_kind(&kinds, &self.kubelet, self.others);
        // A new node has new processes of all kinds.
        let mut replaced = kubelet.remove(&NodeKind::AutoMode).unwrap_or_default();
        let mut known: HashSet<_> = replaced.nodes.iter().copied().collect();
        let mut of_pods = |nodes: &[_], others| {
            let mut by_kind = by_kind(&kinds, nodes, others);
            let of_host = by_kind.remove(&NodeKind::AutoMode).unwrap_or_default();
            replaced.nodes.extend(of_host.nodes.into_iter().filter(|node| known.insert(*node)));
            by_kind
        };
        let is_cni = |(process, _): &(Option<&str>, _)| *process == Some(Component::VpcCni.as_str());
        let (cni, agents): (Vec<_>, Vec<_>) = self.agents.iter().copied().partition(is_cni);
        let mut kube_proxy = of_pods(&self.kube_proxy, self.others);
        let unread = self.kubelet.iter().copied().filter(|node| !was_read(facts, node));
        let cni: Vec<_> = cni.into_iter().map(|(_, node)| node).collect();
        let may_keep: Vec<_> = unread.filter(|node| !cni.contains(node)).collect();
        let cni = joined(of_pods(&cni, false).into_values());
        let may_keep = joined(of_pods(&may_keep, self.others).into_values());
        let on_hosts = of_pods(&agents.iter().map(|&(_, node)| node).collect::<Vec<_>>(), false);
        let on_hosts: HashSet<_> = on_hosts.into_values().flat_map(|nodes| nodes.nodes).collect();
        let agents = agents.into_iter().filter(|(_, node)| on_hosts.contains(node));
        let mut steps: Vec<_> =
            kubelet.iter().flat_map(|(kind, nodes)| kubelet_steps(facts, *kind, nodes)).collect();
        steps.extend(replace(facts, &replaced));
        let of_windows = kube_proxy.remove(&NodeKind::Windows);
        if let Some(nodes) = of_windows.as_ref().and_then(OfKind::names) {
            let step = Step::new(format!("Restart kube-proxy, in PowerShell, on {nodes}"));
            steps.push(step.command("Restart-Service kube-proxy"));
        }
        if let Some(nodes) = joined(kube_proxy.into_values()).names_of_daemon_set() {
            let step = Step::new(format!("Restart kube-proxy, for {nodes}"));
            steps.push(step.command(restart_daemon_set(facts, "kube-proxy")));
        }
        let reasons = [
            cni.names().map(|names| format!("which keeps its connections until then, on {names}")),
            may_keep.names().map(|names| {
                format!("which may keep connections on {names}: its sockets there were not seen")
            }),
        ];
        let reasons: Vec<_> = reasons.into_iter().flatten().collect();
        if !reasons.is_empty() {
            let step = Step::new(format!("Restart the VPC CNI (aws-node), {}", reasons.join("; ")));
            steps.push(step.command(restart_daemon_set(facts, "aws-node")));
        }
        steps.extend(restart_agents(agents));
        steps
    }
}

/// Nodes by their kind, and the others by the kind that all known nodes have.
fn by_kind<'a>(
    kinds: &NodeKinds<'_>,
    nodes: &[&'a NodeName],
    others: bool,
) -> BTreeMap<NodeKind, OfKind<'a>> {
    let mut by_kind: BTreeMap<_, OfKind<'a>> = BTreeMap::new();
    for &node in nodes {
        by_kind.entry(kinds.of(node)).or_default().nodes.push(node);
    }
    if others {
        by_kind.entry(kinds.only()).or_default().others = true;
    }
    by_kind
}

impl OfKind<'_> {
    /// The nodes as text; `None` if there are none.
    fn names(&self) -> Option<String> {
        match (self.nodes.as_slice(), self.others) {
            ([], false) => None,
            ([], true) => Some("every node".to_owned()),
            (nodes, true) => Some(format!("{} and the nodes that were not read", names_of(nodes))),
            (nodes, false) => Some(names_of(nodes)),
        }
    }

    /// The nodes that show that a daemon set is restarted, which restarts it on all nodes.
    fn names_of_daemon_set(&self) -> Option<String> {
        if self.nodes.is_empty() { self.names() } else { Some(names_of(&self.nodes)) }
    }
}

/// All nodes of several kinds.
fn joined<'a>(kinds: impl Iterator<Item = OfKind<'a>>) -> OfKind<'a> {
    kinds.fold(OfKind::default(), |mut all, one| {
        all.nodes.extend(one.nodes);
        all.others |= one.others;
        all
    })
}

/// Whether the sockets of a node were read.
fn was_read(facts: &Facts, node: &NodeName) -> bool {
    let at = facts.nodes.binary_search_by(|known| known.name.cmp(node)).ok();
    at.and_then(|at| facts.nodes.get(at)).is_some_and(|node| node.status == NodeStatus::Read)
}

/// Why the kubelets of some of the nodes are restarted that are not known to keep connections; as
/// a parenthesis.
fn doubts(facts: &Facts, nodes: &[&NodeName]) -> String {
    let path = |node: &NodeName| {
        let at = facts.traffic.binary_search_by(|traffic| traffic.node.cmp(node)).ok();
        let traffic = at.and_then(|at| facts.traffic.get(at));
        let kubelet =
            traffic.and_then(|one| one.components.iter().find(|one| one.component == Component::Kubelet));
        kubelet.map_or(TrafficPath::Unknown, |kubelet| kubelet.path)
    };
    let with =
        |path_of: TrafficPath| nodes.iter().copied().filter(|node| path(node) == path_of).collect::<Vec<_>>();
    let (cut_off, unknown) = (with(TrafficPath::None), with(TrafficPath::Unknown));
    let is_are = |nodes: &[_], text: &str| {
        let verb = if nodes.len() == 1 { "is" } else { "are" };
        (!nodes.is_empty()).then(|| format!("{} {verb} {text}", names_of(nodes)))
    };
    let not_known = match unknown.as_slice() {
        [] => None,
        [only] => Some(format!("the path of {only} is not known")),
        several => Some(format!("the paths of {} are not known", names_of(several))),
    };
    let doubts = [is_are(&cut_off, "cut off, and tries to connect again at once"), not_known];
    let doubts: Vec<_> = doubts.into_iter().flatten().collect();
    if doubts.is_empty() { String::new() } else { format!(" ({})", doubts.join("; ")) }
}

/// The command that restarts the pods of a daemon set of EKS.
fn restart_daemon_set(facts: &Facts, name: &str) -> String {
    kubectl(facts, &format!("-n kube-system rollout restart daemonset {name}"))
}

/// What restarts the kubelet of a node of Linux.
const RESTART_KUBELET: &str = "systemctl restart kubelet";

/// The steps that restart the kubelet of nodes of one kind.
fn kubelet_steps(facts: &Facts, kind: NodeKind, nodes: &OfKind<'_>) -> Vec<Step> {
    if !matches!(kind, NodeKind::Linux | NodeKind::Unknown) {
        return kubelet_step(facts, kind, nodes).into_iter().collect();
    }
    let by_way = on_nodes(facts, &nodes.nodes, nodes.others, RESTART_KUBELET);
    let step = |OnNodes { nodes, others, command, note }: OnNodes<'_>| {
        let nodes = OfKind { nodes, others };
        let mut text = restart_text(facts, &nodes)? + &note;
        if kind == NodeKind::Unknown {
            text.push_str("; a node that runs Bottlerocket, as those of EKS Auto Mode do (OS-IMAGE in `kubectl get nodes -o wide`), is replaced or rebooted instead");
        }
        Some(Step::new(text).command(command))
    };
    by_way.into_iter().filter_map(step).collect()
}

/// That kubelet is restarted, why, and on which nodes; `None` if there are none.
fn restart_text(facts: &Facts, nodes: &OfKind<'_>) -> Option<String> {
    let names = format!("{}{}", nodes.names()?, doubts(facts, &nodes.nodes));
    Some(format!("Restart kubelet, which keeps its connections until then, on {names}"))
}

/// The step that restarts the kubelet of nodes of one kind, for which there is one command.
fn kubelet_step(facts: &Facts, kind: NodeKind, nodes: &OfKind<'_>) -> Option<Step> {
    let names = format!("{}{}", nodes.names()?, doubts(facts, &nodes.nodes));
    Some(match kind {
        NodeKind::Windows => {
            let text = format!("{}, in PowerShell", restart_text(facts, nodes)?);
            Step::new(text).command("Restart-Service kubelet")
        }
        NodeKind::Bottlerocket => {
            let ids: Vec<_> = nodes.nodes.iter().filter_map(|node| instance_of(facts, node)).collect();
            let is_outside = ids.is_empty() && !nodes.nodes.is_empty();
            let ids: Vec<_> =
                ids.into_iter().filter(|id| shell_word(id, "") == *id).take(NODES_SHOWN).collect();
            let of = match (nodes.nodes.len(), nodes.others) {
                (number, false) if number > ids.len() => Some(format!("{number} nodes")),
                (_, true) => Some("them".to_owned()),
                _ => None,
            };
            // A placeholder stands for all of them.
            let of = of.filter(|_| !ids.is_empty());
            let of = of.map(|of| format!("; the command has {} of {of}", ids.len())).unwrap_or_default();
            let text = format!(
                "Reboot {names}, one at a time, or replace them: the host of Bottlerocket has no shell. `apiclient reboot` in its control container, which Session Manager opens, does the same, as does `apiclient exec admin` with a restart of kubelet where the admin container is on{of}"
            );
            let reboot = if is_outside { "apiclient reboot".to_owned() } else { reboot(facts, &ids) };
            Step::new(text).command(reboot)
        }
        // Their own steps.
        NodeKind::Linux | NodeKind::Unknown | NodeKind::AutoMode | NodeKind::Fargate => return None,
    })
}

/// The command that reboots instances, one after the other, until one does not come back.
fn reboot(facts: &Facts, ids: &[&str]) -> String {
    let options = aws_options(facts);
    let of = |id: &str| format!("aws ec2 reboot-instances{options} --instance-ids {id}");
    match ids {
        [] => of("INSTANCE_ID"),
        [only] => of(only),
        // EC2 reboots an instance some time after the request, and shows it as sound until then.
        several => format!(
            "for id in {}; do {} && sleep 120 && aws ec2 wait instance-status-ok{options} --instance-ids \"$id\" || break; done",
            several.join(" "),
            of("\"$id\"")
        ),
    }
}

/// The step that replaces nodes of EKS Auto Mode.
///
/// <https://docs.aws.amazon.com/eks/latest/userguide/auto-troubleshoot.html>
fn replace(facts: &Facts, nodes: &OfKind<'_>) -> Option<Step> {
    let names = nodes.names()?;
    let text = format!(
        "Replace {names}, one at a time: EKS Auto Mode has no login, and its kubelet, kube-proxy and VPC CNI are part of the host. Deleting the NodeClaim, which `kubectl get nodeclaims` lists with its node, drains the node first"
    );
    Some(Step::new(text).command(kubectl(facts, "delete nodeclaim NODECLAIM")))
}

/// The step that recreates a pod on Fargate, whose kubelet is its own.
pub(crate) fn fargate_pod(facts: &Facts, node: &str) -> Step {
    let word = shell_word(node, "NODE");
    Step::new(format!(
        "Recreate the pod on {node}: a pod on Fargate has a kubelet of its own, which AWS runs"
    ))
    .command(kubectl(facts, &format!("delete pods --all-namespaces --field-selector spec.nodeName={word}")))
}

/// The step that restarts other processes of hosts.
fn restart_agents<'a>(agents: impl Iterator<Item = (Option<&'a str>, &'a NodeName)>) -> Option<Step> {
    let mut by_process: BTreeMap<Option<&str>, Vec<&NodeName>> = BTreeMap::new();
    for (process, node) in agents {
        by_process.entry(process).or_default().push(node);
    }
    let texts = by_process.iter().map(|(process, nodes)| {
        format!("{} on {}", process.unwrap_or("the process without a name"), names_of(nodes))
    });
    match texts.collect::<Vec<_>>().as_slice() {
        [] => None,
        [only] => Some(Step::new(format!("Restart {only}"))),
        all => Some(Step::new(format!("Restart these host processes: {}", list(all, NODES_SHOWN)))),
    }
}
