//! The machines whose sockets a capture holds: normally one, but output of several
//! machines may have been pasted into one file.
//!
//! Local addresses tell machines apart: those of instances, according to EC2, and those
//! that different processes of kubelet and kube-proxy use.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use crate::model::connection::{Component, Connection};
use crate::model::evidence::Evidence;
use crate::model::facts::Machine;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::name::NodeName;

/// The instances by address, and those that were seen in the captures.
#[derive(Debug, Default)]
pub(super) struct Machines {
    /// The instance ids.
    instances: Vec<String>,
    /// Indexes into `instances`, by address.
    by_address: HashMap<IpAddr, usize>,
    /// The instances that have a local address of a socket, by node, with the first such
    /// address.
    seen: BTreeMap<NodeName, BTreeMap<usize, IpAddr>>,
    /// The node of the last socket, and its two last local addresses: most sockets of a
    /// capture have one of two.
    last: Option<NodeName>,
    recent: [Option<IpAddr>; 2],
}

impl Machines {
    /// The instances of the evidence.
    pub(super) fn new(evidence: &Evidence) -> Self {
        let mut machines = Self::default();
        let mut known: HashMap<&str, usize> = HashMap::new();
        // An instance of another VPC may have the address of a node: the node comes first.
        let others = evidence.network.instances.seen().into_iter().flatten();
        for instance in evidence.node_instances().chain(others) {
            let index = *known.entry(&instance.id).or_insert(machines.instances.len());
            if index == machines.instances.len() {
                machines.instances.push(instance.id.clone());
            }
            for &address in &instance.addresses {
                machines.by_address.entry(address).or_insert(index);
            }
        }
        let in_vpc = |vpc: &str| evidence.cluster.vpc.as_deref() == Some(vpc);
        for interface in evidence.network.interfaces.seen().into_iter().flatten() {
            let attached =
                interface.attachment.as_ref().and_then(|attachment| attachment.instance.as_deref());
            let Some(id) = attached.filter(|_| in_vpc(&interface.vpc)) else { continue };
            let index = *known.entry(id).or_insert(machines.instances.len());
            if index == machines.instances.len() {
                machines.instances.push(id.to_owned());
            }
            for &address in &interface.addresses {
                machines.by_address.entry(address).or_insert(index);
            }
        }
        machines
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

    /// The machines of a node's capture. `connections` are those of the node.
    pub(super) fn of(&self, node: &NodeName, connections: &[Connection]) -> Vec<Machine> {
        let mut groups = Groups::default();
        for (&index, &address) in self.seen.get(node).into_iter().flatten() {
            let group = groups.of_instance(index);
            groups.machines[group].addresses.insert(address);
        }
        let own = connections.iter().filter_map(|connection| {
            let component = connection.component.filter(|component| component.is_node_component())?;
            let local = connection.socket.local.ip().filter(|local| !is_of_every_host(*local))?;
            let pid = connection.process.as_ref().and_then(|process| process.pid);
            Some((self.by_address.get(&local).copied(), local, component, pid))
        });
        // Addresses of instances come first: a process on one of them identifies other
        // addresses of the machine, such as that of a bridge.
        let (on_instances, others): (Vec<_>, Vec<_>) = own.partition(|(instance, ..)| instance.is_some());
        for (instance, local, component, pid) in on_instances.into_iter().chain(others) {
            let group = groups.of_socket(instance, local, pid.map(|pid| (component, pid)));
            groups.machines[group].addresses.insert(local);
            groups.machines[group].has_kubelet |= component == Component::Kubelet;
        }
        let id = |instance: Option<usize>| instance.map(|index| self.instances[index].clone());
        let machines = groups.machines.into_iter().zip(groups.instances);
        let machines = machines.filter(|(machine, _)| !machine.addresses.is_empty());
        machines.map(|(machine, instance)| Machine { instance: id(instance), ..machine }).collect()
    }
}

/// Whether an address is not specific to one machine: loopback and link-local.
fn is_of_every_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Machines while they are being told apart.
#[derive(Default)]
struct Groups {
    machines: Vec<Machine>,
    /// The instance of each machine, if it is known.
    instances: Vec<Option<usize>>,
    by_instance: HashMap<usize, usize>,
    by_address: HashMap<IpAddr, usize>,
    by_process: HashMap<(Component, u32), usize>,
}

impl Groups {
    fn of_instance(&mut self, instance: usize) -> usize {
        if let Some(&group) = self.by_instance.get(&instance) {
            return group;
        }
        let group = self.add(Some(instance));
        self.by_instance.insert(instance, group);
        group
    }

    /// The machine of a socket: that of its instance, else that with the same address or
    /// process.
    fn of_socket(
        &mut self,
        instance: Option<usize>,
        local: IpAddr,
        process: Option<(Component, u32)>,
    ) -> usize {
        let known = match instance {
            Some(instance) => Some(self.of_instance(instance)),
            None => self
                .by_address
                .get(&local)
                .or_else(|| self.by_process.get(&process?))
                .copied()
                // Rows without a pid do not tell an address of the other family apart.
                .or_else(|| self.only_of_other_family(local).filter(|_| process.is_none())),
        };
        let group = known.unwrap_or_else(|| self.add(None));
        self.by_address.insert(local, group);
        if let Some(process) = process {
            self.by_process.entry(process).or_insert(group);
        }
        group
    }

    /// The only machine, if all its addresses are of the other family.
    fn only_of_other_family(&self, local: IpAddr) -> Option<usize> {
        let [only] = self.machines.as_slice() else { return None };
        only.addresses.iter().all(|known| known.is_ipv4() != local.is_ipv4()).then_some(0)
    }

    fn add(&mut self, instance: Option<usize>) -> usize {
        self.machines.push(Machine::default());
        self.instances.push(instance);
        self.machines.len() - 1
    }
}

/// The gap for a capture that holds the sockets of several machines.
pub(super) fn several_machines(evidence: &Evidence, node: &NodeName, machines: &[Machine]) -> Option<Gap> {
    const SHOWN: usize = 5;
    if machines.len() < 2 {
        return None;
    }
    let name = |machine: &Machine| {
        let address = machine.addresses.iter().next().map(ToString::to_string).unwrap_or_default();
        match &machine.instance {
            Some(id) => format!("{id} ({address})"),
            None => address,
        }
    };
    let names: BTreeSet<_> = machines.iter().map(name).collect();
    let shown: Vec<_> = names.into_iter().take(SHOWN).collect();
    let more = machines.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let detail = format!(
        "its capture holds the sockets of {} machines, by their local addresses: {}{more}; which of them were read completely is not known",
        machines.len(),
        shown.join(", ")
    );
    Some(evidence.gap(Subject::Node(node.clone()), GapReason::Incomplete, detail))
}
