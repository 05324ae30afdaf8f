//! The machines whose sockets a capture holds: normally one, but output of several
//! machines may have been pasted into one file.
//!
//! Local addresses tell machines apart: those of instances, according to EC2, and those
//! that different processes of kubelet and kube-proxy use.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::connection::{Component, Connection, Direction};
use crate::model::evidence::Evidence;
use crate::model::facts::Machine;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;
use crate::model::ranges::{RangeUse, range_use};
use crate::model::text;

/// The known machines by address, and those that were seen in the captures.
#[derive(Debug, Default)]
pub(super) struct Machines {
    /// The instance ids; `None` for a machine that only Kubernetes lists.
    instances: Vec<Option<String>>,
    /// Indexes into `instances`, by address.
    by_address: HashMap<IpAddr, usize>,
    /// The machines that have a local address of a socket, by node, with the first such
    /// address.
    seen: BTreeMap<NodeName, BTreeMap<usize, IpAddr>>,
    /// The local addresses of the components of each node.
    components: BTreeMap<NodeName, Groups>,
    /// The node of the last socket, and its two last local addresses: most sockets of a
    /// capture have one of two.
    last: Option<NodeName>,
    recent: [Option<IpAddr>; 2],
}

impl Machines {
    /// The machines that EC2 and Kubernetes list.
    pub(super) fn new(evidence: &Evidence) -> Self {
        let mut machines = Self::default();
        let mut known = HashMap::new();
        // An instance of another VPC may have the address of a node: the node comes first.
        let others = evidence.network.instances.seen().into_iter().flatten();
        for instance in evidence.node_instances().chain(others) {
            machines.add_known(&mut known, Some(&instance.id), &instance.addresses);
        }
        let in_vpc = |vpc: &str| evidence.cluster.vpc.as_deref() == Some(vpc);
        for interface in evidence.network.interfaces.seen().into_iter().flatten() {
            let instance =
                interface.attachment.as_ref().and_then(|attachment| attachment.instance.as_deref());
            if let Some(id) = instance.filter(|_| in_vpc(&interface.vpc)) {
                machines.add_known(&mut known, Some(id), &interface.addresses);
            }
        }
        for node in evidence.kubernetes.nodes.seen().into_iter().flatten() {
            machines.add_known(&mut known, node.instance_id(), &node.addresses);
        }
        machines
    }

    /// Adds the addresses of a machine. Those that are known keep their machine.
    fn add_known<'a>(
        &mut self,
        known: &mut HashMap<&'a str, usize>,
        instance: Option<&'a str>,
        addresses: &[IpAddr],
    ) {
        let by_address = || addresses.iter().find_map(|address| self.by_address.get(address).copied());
        let index = match instance {
            Some(id) => known.get(id).copied(),
            None => by_address(),
        };
        let index = index.unwrap_or_else(|| {
            self.instances.push(instance.map(ToOwned::to_owned));
            self.instances.len() - 1
        });
        known.extend(instance.map(|id| (id, index)));
        for &address in addresses {
            self.by_address.entry(address).or_insert(index);
        }
    }

    /// Records the local address of a socket of a node.
    #[inline]
    pub(super) fn add(&mut self, node: &NodeName, local: Option<IpAddr>) {
        if self.last.as_ref() != Some(node) {
            self.last = Some(node.clone());
            self.recent = [None; 2];
        }
        if self.recent.contains(&local) {
            return;
        }
        self.recent = [local, self.recent[0]];
        let Some(local) = local else { return };
        if let Some(&index) = self.by_address.get(&local) {
            self.seen.entry(node.clone()).or_default().entry(index).or_insert(local);
        }
    }

    /// Records the local address and the process of a component.
    pub(super) fn add_connection(&mut self, connection: &Connection) {
        let component = connection.component.filter(|component| component.is_node_component());
        let local = connection.socket.local.ip().filter(|local| !is_of_every_host(*local));
        let (Some(component), Some(local)) = (component, local) else { return };
        let pid = connection.process.as_ref().and_then(|process| process.pid);
        let identity = self.by_address.get(&local).copied();
        // Without a lookup first, each row would clone the name.
        let groups = match self.components.get_mut(&connection.node) {
            Some(groups) => groups,
            None => self.components.entry(connection.node.clone()).or_default(),
        };
        groups.add(local, identity, Some((component, pid)));
        if connection.direction == Direction::Outbound && connection.attribution.path.is_api_server() {
            groups.add_source(local, identity);
        }
    }

    /// The machines of a node's capture.
    pub(super) fn of(&mut self, node: &NodeName) -> Vec<Machine> {
        let mut groups = self.components.remove(node).unwrap_or_default();
        for (&index, &address) in self.seen.get(node).into_iter().flatten() {
            groups.add(address, Some(index), None);
        }
        let machine = |group: Group| Machine {
            instance: group.identity.and_then(|index| self.instances[index].clone()),
            addresses: group.addresses,
            has_kubelet: group.has_kubelet,
        };
        groups.finish().into_iter().map(machine).collect()
    }
}

/// Whether an address is not specific to one machine: of loopback or a link.
fn is_of_every_host(address: IpAddr) -> bool {
    range_use(address) == Some(RangeUse::Special)
}

/// Local addresses that belong to one machine.
#[derive(Debug, Default)]
struct Group {
    /// The machine, if it is known.
    identity: Option<usize>,
    addresses: BTreeSet<IpAddr>,
    processes: BTreeSet<(Component, u32)>,
    /// Those of the addresses from which components connect to the API server.
    sources: BTreeSet<IpAddr>,
    has_kubelet: bool,
    /// Whether it has a row of kubelet or kube-proxy.
    has_components: bool,
}

impl Group {
    fn merge(&mut self, other: Self) {
        self.identity = self.identity.or(other.identity);
        self.addresses.extend(other.addresses);
        self.processes.extend(other.processes);
        self.sources.extend(other.sources);
        self.has_kubelet |= other.has_kubelet;
        self.has_components |= other.has_components;
    }

    /// Whether both may be of one machine: a process is on both, and components connect to the API
    /// server from one address of each family. Processes of different machines may have the same
    /// pid.
    fn has_common(&self, other: &Self) -> bool {
        let are_apart = |is_family: fn(&IpAddr) -> bool| {
            let mut own = self.sources.iter().filter(|source| is_family(source)).peekable();
            let mut others = other.sources.iter().filter(|source| is_family(source)).peekable();
            own.peek().is_some()
                && others.peek().is_some()
                && own.all(|source| !other.sources.contains(source))
        };
        !self.processes.is_disjoint(&other.processes)
            && !are_apart(IpAddr::is_ipv4)
            && !are_apart(IpAddr::is_ipv6)
    }
}

/// How many unknown addresses of a capture are compared: far more than a node has.
const UNKNOWN_MAX: usize = 64;
/// How many processes of a machine are compared.
const PROCESSES_MAX: usize = 1000;

/// The addresses of a capture, by the machine or, if it is not known, by the address.
#[derive(Debug, Default)]
struct Groups {
    known: BTreeMap<usize, Group>,
    unknown: BTreeMap<IpAddr, Group>,
}

impl Groups {
    /// Adds the local address of a socket of a component, if it is of one.
    fn add(&mut self, local: IpAddr, identity: Option<usize>, socket: Option<(Component, Option<u32>)>) {
        let group = if let Some(identity) = identity {
            self.known.entry(identity).or_default()
        } else {
            // The lowest ones are kept, in whatever order they are added.
            if self.unknown.len() >= UNKNOWN_MAX && !self.unknown.contains_key(&local) {
                if self.unknown.last_key_value().is_none_or(|(last, _)| *last < local) {
                    return;
                }
                self.unknown.pop_last();
            }
            self.unknown.entry(local).or_default()
        };
        group.identity = identity;
        group.addresses.insert(local);
        let Some((component, pid)) = socket else { return };
        group.processes.extend(pid.map(|pid| (component, pid)));
        if group.processes.len() > PROCESSES_MAX {
            group.processes.pop_last();
        }
        group.has_kubelet |= component == Component::Kubelet;
        group.has_components = true;
    }

    /// Adds an address from which a component connects to the API server, which was added before
    /// unless there are too many.
    fn add_source(&mut self, local: IpAddr, identity: Option<usize>) {
        let group = match identity {
            Some(identity) => self.known.get_mut(&identity),
            None => self.unknown.get_mut(&local),
        };
        if let Some(group) = group {
            group.sources.insert(local);
        }
    }

    /// Assigns unknown addresses to machines by their processes, such as that of a bridge,
    /// and returns the machines. Known machines stay apart, since processes of different
    /// machines may have the same pid.
    fn finish(self) -> Vec<Group> {
        let mut machines: Vec<Group> = self.known.into_values().collect();
        let known = machines.len();
        for group in self.unknown.into_values() {
            match machines.iter_mut().find(|machine| machine.has_common(&group)) {
                Some(machine) => machine.merge(group),
                None => machines.push(group),
            }
        }
        // Two unknown addresses may have had a process in common with a later one only.
        let mut at = known;
        while at < machines.len() {
            let other = (0..at).find(|before| machines[*before].has_common(&machines[at]));
            match other {
                Some(before) => {
                    let group = machines.remove(at);
                    machines[before].merge(group);
                }
                None => at += 1,
            }
        }
        merge_other_family(machines)
    }
}

/// Merges the only machine with addresses of one family with the only one of the other
/// family, unless components on both show that they are two.
fn merge_other_family(mut machines: Vec<Group>) -> Vec<Group> {
    if let [first, second] = machines.as_slice()
        && (first.identity.is_none() || second.identity.is_none())
    {
        let has_v4 = |group: &Group| group.addresses.iter().any(IpAddr::is_ipv4);
        let has_v6 = |group: &Group| group.addresses.iter().any(IpAddr::is_ipv6);
        let are_apart = !(has_v4(first) && has_v4(second) || has_v6(first) && has_v6(second));
        let has_pids = !first.processes.is_empty() && !second.processes.is_empty();
        if are_apart
            && !(has_pids && first.has_components && second.has_components)
            && let Some(last) = machines.pop()
        {
            machines[0].merge(last);
        }
    }
    machines
}

/// The gap for a capture that holds the sockets of several machines.
pub(super) fn several_machines(evidence: &Evidence, node: &NodeName, machines: &[Machine]) -> Option<Gap> {
    const SHOWN: usize = 5;
    if machines.len() < 2 {
        return None;
    }
    let name = |machine: &Machine| {
        let address = machine.addresses.iter().next().map(ToString::to_string);
        match &machine.instance {
            Some(id) => text::id_and_name(id, address.as_deref()),
            None => address.unwrap_or_default(),
        }
    };
    let names: BTreeSet<_> = machines.iter().map(name).collect();
    let detail = format!(
        "its capture holds the sockets of {} machines, by their local addresses: {}; which of them were read completely is not known",
        machines.len(),
        text::list(&Vec::from_iter(names), SHOWN)
    );
    Some(evidence.gap(Subject::Node(node.clone()), GapReason::Incomplete, detail))
}
