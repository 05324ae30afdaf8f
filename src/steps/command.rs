//! Commands of steps that work where they are pasted: with the region, the profile and the context
//! of the run, and on the nodes by the way in which those were read.

use std::collections::BTreeMap;

use super::text::NODES_SHOWN;
use crate::model::facts::Facts;
use crate::model::gap::{Gap, Subject};
use crate::model::name::NodeName;
use crate::model::node::Via;
use crate::model::shell::{shell_quoted, shell_word, shell_words};

/// What stands for a node that is not known by name.
const NODE: &str = "NODE";
/// What stands for an instance that is not known by its id.
const INSTANCE_ID: &str = "INSTANCE_ID";

/// The options of the aws CLI, of eksctl and of this program with the cluster's region, and with the
/// profile if one was named.
pub(crate) fn aws_options(facts: &Facts) -> String {
    let evidence = &facts.evidence;
    let region = evidence.cluster.region();
    let region = region.map(|region| format!(" --region {}", shell_word(region, "REGION")));
    let profile = evidence.tools.profile.as_ref();
    let profile = profile.map(|profile| format!(" --profile {}", shell_quoted(profile)));
    region.into_iter().chain(profile).collect()
}

/// A command of this program about the cluster, which reads nodes as this run did.
pub(crate) fn own(facts: &Facts, command: &str) -> String {
    let name = shell_word(&facts.evidence.cluster.name, "CLUSTER");
    let options = shell_words(&facts.evidence.tools.own);
    format!("eks-netcheck {command} --cluster {name}{}{options}", aws_options(facts))
}

/// A command of kubectl: `rest` are its words.
pub(crate) fn kubectl(facts: &Facts, rest: &str) -> String {
    let options = facts.evidence.tools.kubectl.as_ref().map(|kubectl| shell_words(&kubectl.options));
    format!("kubectl{} {rest}", options.unwrap_or_default())
}

/// The nodes that one command is for.
pub(super) struct OnNodes<'a> {
    /// Those that are known by name.
    pub(super) nodes: Vec<&'a NodeName>,
    /// Whether others are meant too.
    pub(super) others: bool,
    /// The command.
    pub(super) command: String,
    /// What readers should know about it; empty, or the rest of a sentence.
    pub(super) note: String,
}

/// A way to run a command on nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// A login, which nodes have as far as nothing else is known.
    Ssh,
    /// Run Command of Systems Manager.
    Ssm,
    /// A debug pod.
    Kubectl,
}

/// A command on nodes as root, by the way in which each was read; `others` are nodes that are not
/// known by name.
pub(super) fn on_nodes<'a>(
    facts: &Facts,
    nodes: &[&'a NodeName],
    others: bool,
    command: &str,
) -> Vec<OnNodes<'a>> {
    let mut by_way: BTreeMap<Way, (Vec<&NodeName>, bool)> = BTreeMap::new();
    for &node in nodes {
        by_way.entry(way(facts, node)).or_default().0.push(node);
    }
    if others {
        let only = by_way.keys().next().copied().filter(|_| by_way.len() == 1);
        by_way.entry(only.unwrap_or(Way::Ssh)).or_default().1 = true;
    }
    let command = |(way, (nodes, others)): (Way, (Vec<&'a NodeName>, bool))| {
        let shown = &nodes[..nodes.len().min(NODES_SHOWN)];
        let (command, what) = match way {
            Way::Ssh => (by_ssh(facts, shown, others, command), ""),
            Way::Ssm => (by_ssm(facts, shown, others, command), ""),
            Way::Kubectl => {
                let what = ", by a debug pod that remains until you delete it";
                (by_kubectl(facts, shown, others, command), what)
            }
        };
        let left_out = nodes.len() > shown.len();
        let left_out =
            left_out.then(|| format!("; the command has {} of {} nodes", shown.len(), nodes.len()));
        let to_fill_in = match way {
            _ if !others || !unread(facts, way).is_empty() => "",
            Way::Ssh => "; NODE stands for the name or address of each for ssh",
            Way::Ssm => "; INSTANCE_ID stands for the id of each",
            Way::Kubectl => "; NODE stands for the name of each in `kubectl get nodes`",
        };
        let note = format!("{what}{}{to_fill_in}", left_out.unwrap_or_default());
        OnNodes { nodes, others, command, note }
    };
    by_way.into_iter().map(command).collect()
}

/// The way to a node: the one in which it was read, or else a login.
fn way(facts: &Facts, node: &NodeName) -> Way {
    match facts.node(node).and_then(|node| node.via) {
        Some(Via::Ssm) => Way::Ssm,
        Some(Via::Kubectl) => Way::Kubectl,
        Some(Via::Ssh | Via::Bundle | Via::File) | None => Way::Ssh,
    }
}

/// The command by ssh, one node after the other.
fn by_ssh(facts: &Facts, nodes: &[&NodeName], others: bool, command: &str) -> String {
    let logins = &facts.evidence.tools.logins;
    let mut by_options: BTreeMap<&[String], Vec<&str>> = BTreeMap::new();
    for node in nodes {
        let login = logins.get(*node);
        let (options, destination) =
            login.map_or((&[][..], node.as_str()), |login| (&login.options[..], login.destination.as_str()));
        by_options.entry(options).or_default().push(destination);
    }
    if others {
        let options = by_options.keys().next().copied().unwrap_or_default();
        by_options.entry(options).or_default().push(NODE);
    }
    // With a terminal, sudo can ask for a password.
    let commands = by_options.into_iter().map(|(options, destinations)| {
        each(&destinations, |node| format!("ssh -t{} {node} sudo {command}", shell_words(options)))
    });
    commands.collect::<Vec<_>>().join("; ")
}

/// The command by Run Command, on one node at a time.
fn by_ssm(facts: &Facts, nodes: &[&NodeName], others: bool, command: &str) -> String {
    let ids = nodes.iter().map(|node| instance_of(facts, node).unwrap_or(node.as_str()));
    let ids = ids.map(|id| shell_word(id, INSTANCE_ID));
    let ids: Vec<_> = ids.chain(or_placeholder(facts, Way::Ssm, others, INSTANCE_ID)).collect();
    let parameters = shell_quoted(&format!("commands=[\"{command}\"]")).into_owned();
    format!(
        "aws ssm send-command{} --document-name AWS-RunShellScript --max-concurrency 1 --parameters {parameters} --instance-ids {}",
        aws_options(facts),
        ids.join(" ")
    )
}

/// The command in a debug pod on each node, which has the file system of its host in `/host`.
///
/// <https://kubernetes.io/docs/tasks/debug/debug-cluster/kubectl-node-debug/>
fn by_kubectl(facts: &Facts, nodes: &[&NodeName], others: bool, command: &str) -> String {
    let listed = facts.evidence.kubernetes.nodes.seen();
    let has_id = |id| listed.into_iter().flatten().find(|one| one.instance_id() == Some(id));
    let names = nodes.iter().map(|node| {
        let of_instance = instance_of(facts, node).and_then(has_id);
        of_instance.map_or(node.as_str(), |one| one.name.as_str())
    });
    let names = names.map(|name| shell_word(name, NODE));
    let names: Vec<_> = names.chain(or_placeholder(facts, Way::Kubectl, others, NODE)).collect();
    let image = facts.evidence.tools.kubectl.as_ref().map(|kubectl| kubectl.image.as_str());
    let image = shell_quoted(image.filter(|image| !image.is_empty()).unwrap_or("busybox")).into_owned();
    each(&names, |node| {
        let node = match node.strip_prefix('"').and_then(|node| node.strip_suffix('"')) {
            Some(variable) => format!("\"node/{variable}\""),
            None => format!("node/{node}"),
        };
        kubectl(facts, &format!("debug {node} --profile=sysadmin --image={image} -- chroot /host {command}"))
    })
}

/// The nodes that were not read, as a way to them names them; a placeholder if they are not known.
fn or_placeholder<'a>(facts: &'a Facts, way: Way, others: bool, placeholder: &'a str) -> Vec<&'a str> {
    match unread(facts, way) {
        _ if !others => Vec::new(),
        known if known.is_empty() => vec![placeholder],
        known => known,
    }
}

/// The nodes that were not read, as a way to them names them: all, or none if some have no such
/// name, or if they are many.
fn unread(facts: &Facts, way: Way) -> Vec<&str> {
    let evidence = &facts.evidence;
    let listed = evidence.kubernetes.nodes.seen();
    let with_id = |id: &str| listed.into_iter().flatten().find(|one| one.instance_id() == Some(id));
    let is_id = |name: &str| evidence.node_instances().any(|instance| instance.id == name);
    // Others, such as hybrid nodes, have no name that is known.
    let has_name = |gap: &Gap| matches!(gap.subject, Subject::Instance(_) | Subject::FargatePods);
    if !facts.missing_nodes.iter().all(has_name) {
        return Vec::new();
    }
    let gaps = facts.missing_nodes.iter().filter_map(|gap| match &gap.subject {
        Subject::Instance(name) => Some(name.as_str()),
        _ => None,
    });
    let names: Vec<_> = if facts.nodes.is_empty() {
        let others = evidence.nodes_of_kubernetes_alone().filter(|node| !node.is_fargate());
        let instances = evidence.node_instances().map(|instance| instance.id.as_str());
        instances.chain(others.map(|node| node.name.as_str())).take(NODES_SHOWN + 1).collect()
    } else {
        gaps.take(NODES_SHOWN + 1).collect()
    };
    if names.len() > NODES_SHOWN {
        return Vec::new();
    }
    let words = names.into_iter().map(|name| {
        let name = match way {
            Way::Ssh => None,
            Way::Ssm => is_id(name).then_some(name),
            Way::Kubectl if is_id(name) => with_id(name).map(|node| node.name.as_str()),
            Way::Kubectl => Some(name),
        };
        name.filter(|name| shell_word(name, "") == *name)
    });
    words.collect::<Option<_>>().unwrap_or_default()
}

/// A command for each of some words, one after the other: `command` gets the word, or the variable
/// of a loop, in quotes.
fn each(words: &[impl AsRef<str>], command: impl Fn(&str) -> String) -> String {
    match words {
        [only] => command(&shell_quoted(only.as_ref())),
        several => {
            let words: Vec<_> = several.iter().map(|word| shell_quoted(word.as_ref())).collect();
            format!("for node in {}; do {}; done", words.join(" "), command("\"$node\""))
        }
    }
}

/// The instance of a node, if EC2 lists one.
pub(super) fn instance_of<'a>(facts: &'a Facts, node: &NodeName) -> Option<&'a str> {
    match facts.machines_of(node) {
        [only] => only.instance.as_deref(),
        _ => None,
    }
}
