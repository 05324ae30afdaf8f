//! Captures of which the names of their files say something else than their contents: those of
//! another node's machine, and several of one machine.
//!
//! The local addresses of the sockets show the machine, and EC2 and Kubernetes list its names.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::evidence::Evidence;
use crate::model::facts::Machine;
use crate::model::gap::{Gap, GapReason};
use crate::model::name::NodeName;
use crate::model::net::Instance;
use crate::model::node::{Node, Via};
use crate::model::text::id_and_name;

/// The nodes that EC2 lists, by what names them.
struct Listed<'a> {
    instances: HashMap<&'a str, &'a Instance>,
    /// By instance id, DNS name, the first label of it, `Name` tag and name in Kubernetes; `None` of a
    /// name that several have, such as the tag of a node group.
    names: HashMap<&'a str, Option<&'a str>>,
    addresses: HashMap<IpAddr, &'a str>,
}

impl<'a> Listed<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let (mut instances, mut addresses) = (HashMap::new(), HashMap::new());
        let mut names: HashMap<&str, Option<&str>> = HashMap::new();
        let mut add = |name: &'a str, id: &'a str| {
            let known = names.entry(name).or_insert(Some(id));
            *known = known.filter(|known| *known == id);
        };
        for instance in evidence.node_instances() {
            let id = instance.id.as_str();
            instances.insert(id, instance);
            addresses.extend(instance.addresses.first().map(|&address| (address, id)));
            instance.names().for_each(|name| add(name, id));
        }
        let nodes = evidence.kubernetes.nodes.seen().into_iter().flatten();
        for (name, id) in nodes.filter_map(|node| Some((node.name.as_str(), node.instance_id()?))) {
            add(name, id);
        }
        Self { instances, names, addresses }
    }

    /// The instance that a node's name is of, if it is of one alone.
    fn named(&self, node: &NodeName) -> Option<&'a str> {
        // An ssh destination may have the user.
        let host = node.as_str().rsplit('@').next()?;
        let id = match self.names.get(host) {
            Some(known) => *known,
            None => self.addresses.get(&host.parse().ok()?).copied(),
        };
        id.filter(|id| self.instances.contains_key(id))
    }

    /// An instance as text.
    fn text(&self, id: &str) -> String {
        let instance = self.instances.get(id);
        let name = instance.and_then(|instance| instance.name_tag().or(instance.dns_name.as_deref()));
        name.map_or_else(|| id.to_owned(), |name| id_and_name(name, Some(id)))
    }
}

/// Adds gaps to the nodes whose captures are not of the machines that their names say, or of a machine
/// of which there is another capture; returns these nodes. `machines` are those of the capture of each
/// node.
///
/// Of captures alone that were made by other means: where this program read a node, its name and its
/// target were given together.
pub(super) fn of_other_machines(
    evidence: &Evidence,
    nodes: &mut [Node],
    machines: &[Vec<Machine>],
) -> BTreeSet<NodeName> {
    let mut others = BTreeSet::new();
    if !nodes.iter().any(is_file) {
        return others;
    }
    let listed = Listed::new(evidence);
    let of = |machines: &[Machine]| match machines {
        [Machine { instance: Some(id), .. }] => {
            listed.instances.get_key_value(id.as_str()).map(|(id, _)| *id)
        }
        _ => None,
    };
    // A capture with the name of its machine comes before others of that machine.
    let mut own: HashMap<&str, NodeName> = HashMap::new();
    let named = nodes.iter().zip(machines).filter_map(|(node, machines)| Some((node, of(machines)?)));
    for (node, id) in named.clone().filter(|(node, id)| listed.named(&node.name) == Some(*id)) {
        own.entry(id).or_insert_with(|| node.name.clone());
    }
    for (node, id) in named.filter(|(node, _)| listed.named(&node.name).is_none()) {
        own.entry(id).or_insert_with(|| node.name.clone());
    }
    for (node, machines) in nodes.iter_mut().zip(machines).filter(|(node, _)| is_file(node)) {
        let Some(seen) = of(machines) else { continue };
        let detail = match (listed.named(&node.name), own.get(seen)) {
            (Some(named), _) if named != seen => format!(
                "its capture has the sockets of {}, by their local addresses, and this is the name of {named}",
                listed.text(seen)
            ),
            (_, Some(known)) if *known != node.name => {
                format!("its capture is of the machine of {known} ({seen}), which counts once")
            }
            _ => continue,
        };
        let hint = format!(
            "name it after its machine if the name is wrong, or remove it; {}'s sockets are not judged",
            node.name
        );
        node.gaps.push(Gap { subject: node.name.clone().into(), why: GapReason::Incomplete, detail, hint });
        others.insert(node.name.clone());
    }
    others
}

/// Whether a capture was made by other means.
fn is_file(node: &Node) -> bool {
    matches!(node.via, Some(Via::File | Via::Bundle))
}
