//! The addresses that EC2 and Kubernetes list for each node. The local addresses of sockets are
//! what the node says, which may be those of another host.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::facts::{Facts, Machine};

/// The listed addresses of the nodes of which sockets were read.
pub(super) struct ListedAddresses<'a> {
    by_node: HashMap<&'a str, Addresses>,
}

/// The addresses of a machine.
#[derive(Default)]
struct Addresses {
    hosts: HashSet<IpAddr>,
    /// The prefixes of its interfaces.
    prefixes: Vec<IpNet>,
}

/// What EC2 and Kubernetes list, by instance and by name.
struct Listed<'a> {
    by_instance: HashMap<&'a str, Addresses>,
    /// The instances with a name; `None` if several have it.
    instances: HashMap<&'a str, Option<&'a str>>,
    /// The nodes of Kubernetes, with their instances.
    of_kubernetes: HashMap<&'a str, (Option<&'a str>, &'a [IpAddr])>,
    /// The addresses that Kubernetes lists.
    all_of_kubernetes: HashSet<IpAddr>,
}

impl<'a> Listed<'a> {
    fn new(facts: &'a Facts) -> Self {
        let evidence = &facts.evidence;
        let mut by_instance: HashMap<&str, Addresses> = HashMap::new();
        let mut instances: HashMap<&str, Option<&str>> = HashMap::new();
        for instance in evidence.network.instances.seen().into_iter().flatten() {
            let id = instance.id.as_str();
            by_instance.entry(id).or_default().hosts.extend(&instance.addresses);
            let dns_name = instance.dns_name.as_deref();
            let label = dns_name.and_then(|name| name.split_once('.')).map(|(label, _)| label);
            let names = [Some(id), dns_name, label, instance.name_tag()];
            for name in names.into_iter().flatten() {
                let known = instances.entry(name).or_insert(Some(id));
                if *known != Some(id) {
                    *known = None;
                }
            }
        }
        for interface in facts.interfaces.iter().map(|known| &*known.interface) {
            let instance = interface.attachment.as_ref().and_then(|one| one.instance.as_deref());
            let Some(id) = instance else { continue };
            let own = by_instance.entry(id).or_default();
            own.hosts.extend(&interface.addresses);
            own.prefixes.extend(&interface.prefixes);
        }
        let (mut of_kubernetes, mut all_of_kubernetes) = (HashMap::new(), HashSet::new());
        for node in evidence.kubernetes.nodes.seen().into_iter().flatten() {
            of_kubernetes.insert(node.name.as_str(), (node.instance_id(), node.addresses.as_slice()));
            all_of_kubernetes.extend(&node.addresses);
        }
        Self { by_instance, instances, of_kubernetes, all_of_kubernetes }
    }

    /// The addresses of a node: those listed for its name, or, if nothing has that, those listed
    /// for the only machine of which its sockets are.
    fn of(&self, name: &str, machines: &[Machine]) -> Addresses {
        let mut all = Addresses::default();
        let of_kubernetes = self.of_kubernetes.get(name);
        let by_name = self.instances.get(name);
        let machine = match machines {
            [machine] if of_kubernetes.is_none() && by_name.is_none_or(Option::is_none) => Some(machine),
            _ => None,
        };
        let of_name = of_kubernetes.and_then(|(id, _)| *id).or_else(|| by_name.copied().flatten());
        let instance = of_name.or_else(|| machine?.instance.as_deref());
        if let Some(own) = instance.and_then(|id| self.by_instance.get(id)) {
            all.hosts.extend(&own.hosts);
            all.prefixes.extend(&own.prefixes);
        }
        if let Some((_, addresses)) = of_kubernetes {
            all.hosts.extend(*addresses);
        }
        let claimed = machine.into_iter().flat_map(|machine| &machine.addresses);
        all.hosts.extend(claimed.filter(|address| self.all_of_kubernetes.contains(address)));
        all
    }
}

impl<'a> ListedAddresses<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let listed = Listed::new(facts);
        let nodes = facts.nodes.iter().zip(&facts.machines);
        let of = |(node, machines): (&'a crate::model::node::Node, &Vec<Machine>)| {
            let name = node.name.as_str();
            (name, listed.of(name, machines))
        };
        Self { by_node: nodes.map(of).collect() }
    }

    /// Whether an address is one that is listed for a node.
    pub(super) fn has(&self, node: &str, address: IpAddr) -> bool {
        self.by_node.get(node).is_some_and(|own| {
            own.hosts.contains(&address) || own.prefixes.iter().any(|prefix| prefix.contains(&address))
        })
    }

    /// The nodes by their addresses; the first by name of several.
    pub(super) fn nodes(&self) -> HashMap<IpAddr, &'a str> {
        let mut nodes: HashMap<IpAddr, &'a str> = HashMap::new();
        for (&name, own) in &self.by_node {
            for &address in &own.hosts {
                let known = nodes.entry(address).or_insert(name);
                *known = name.min(*known);
            }
        }
        nodes
    }
}
