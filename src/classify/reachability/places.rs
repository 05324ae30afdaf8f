//! Places: what the evidence knows of a node, an address or a block.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use super::gaps;
use super::index::Reachabilities;
use crate::model::facts::Machine;
use crate::model::gap::Gap;
use crate::model::net::{Instance, Interface, host_addresses};
use crate::model::ranges::is_public;
use crate::model::reachability::{Location, Place};

impl Reachabilities<'_> {
    /// A node of the cluster, by its name, instance id, private DNS name or `Name` tag; `None`
    /// if there is none.
    ///
    /// # Errors
    /// The ids of the nodes with this name, if it has several.
    pub fn node(&self, name: &str) -> Result<Option<Place>, Vec<String>> {
        let evidence = &self.facts.evidence;
        let instances = || evidence.network.instances.seen().into_iter().flatten();
        let with_id = |id: &str| instances().find(|instance| instance.id == id);
        let place = |instance: &Instance| Place { name: name.to_owned(), ..self.instance(instance) };
        // What its sockets were recorded for.
        let captured =
            self.facts.nodes.iter().zip(&self.facts.machines).find(|(node, _)| node.name.as_str() == name);
        let captured = captured.map(|(_, machines)| machines.as_slice());
        if let Some(machines @ [_, _, ..]) = captured {
            let address = |machine: &Machine| machine.addresses.first().map(ToString::to_string);
            let of = |machine: &Machine| machine.instance.clone().or_else(|| address(machine));
            return Err(machines.iter().filter_map(of).collect());
        }
        let is_own = !self.facts.other_machines.iter().any(|node| node.as_str() == name);
        let id = captured.filter(|_| is_own).and_then(|machines| machines.first()?.instance.as_deref());
        if let Some(instance) = id.and_then(with_id) {
            return Ok(Some(place(instance)));
        }
        // What is unique before what a node group shares.
        let named: [fn(&Instance) -> Option<&str>; 3] =
            [|one| Some(&one.id), |one| one.dns_name.as_deref(), Instance::name_tag];
        for name_of in named {
            let ids = evidence.node_instances().filter(|instance| name_of(instance) == Some(name));
            if let Some(instance) = only(ids.map(|instance| instance.id.as_str()))?.and_then(with_id) {
                return Ok(Some(place(instance)));
            }
        }
        let mut of_kubernetes = evidence.kubernetes.nodes.seen().into_iter().flatten();
        if let Some(node) = of_kubernetes.find(|node| node.name == name) {
            let instance = node.instance_id().and_then(with_id);
            let host = || self.host(name, node.addresses.first().copied());
            return Ok(Some(instance.map_or_else(host, place)));
        }
        let Some(machines) = captured else { return Ok(None) };
        let address = machines.iter().flat_map(|machine| &machine.addresses).next().copied();
        Ok(Some(self.host(name, address)))
    }

    /// A host of which only the address is known.
    fn host(&self, name: &str, address: Option<IpAddr>) -> Place {
        let location = address.map_or(Location::Unknown, |address| self.address(address).location);
        Place { name: name.to_owned(), location }
    }

    /// An instance in the VPC.
    #[must_use]
    pub fn instance(&self, instance: &Instance) -> Place {
        let interface = instance.addresses.first().and_then(|address| self.interfaces.get(address)).copied();
        let blocks = host_addresses(&instance.addresses).map(IpNet::from);
        let subnet = instance.subnet.clone().or_else(|| interface.and_then(subnet));
        Place {
            name: instance.display_name().unwrap_or(&instance.id).to_owned(),
            location: Location::Vpc {
                id: Some(instance.id.clone()),
                subnet,
                blocks: blocks.collect(),
                public_ip: instance.public_ip,
                groups: interface.map(|interface| interface.groups.clone()),
            },
        }
    }

    /// An address: that of an interface, another one in the VPC, or one outside.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> Place {
        let name = address.to_string();
        if let Some(interface) = self.interface(address) {
            return Place { name, location: self.of_interface(address, interface) };
        }
        Place { name, ..self.block(IpNet::from(address)) }
    }

    fn interface(&self, address: IpAddr) -> Option<&Interface> {
        let by_prefix = || {
            let mut known = self.facts.interfaces.iter().map(|known| &*known.interface);
            known.find(|known| known.prefixes.iter().any(|prefix| prefix.contains(&address)))
        };
        self.interfaces.get(&address).copied().or_else(by_prefix)
    }

    fn of_interface(&self, address: IpAddr, interface: &Interface) -> Location {
        let instance = interface.attachment.as_ref().and_then(|attachment| attachment.instance.as_deref());
        let mut instances = self.facts.evidence.network.instances.seen().into_iter().flatten();
        let known = instance.and_then(|id| instances.find(|instance| instance.id == id));
        let public_ip = interface.public_ip.or_else(|| known?.public_ip);
        let is_primary = interface.addresses.first() == Some(&address);
        Location::Vpc {
            id: Some(instance.unwrap_or(&interface.id).to_owned()),
            subnet: subnet(interface),
            blocks: vec![IpNet::from(address)],
            public_ip: public_ip.filter(|_| is_primary),
            groups: Some(interface.groups.clone()).filter(|groups| !groups.is_empty()),
        }
    }

    /// Why no answer holds for a whole place: only a part of its addresses is in the VPC.
    pub(super) fn only_a_part(&self, place: &Place) -> Option<Gap> {
        let Location::Outside { blocks } = &place.location else { return None };
        let network = &self.facts.evidence.network;
        let own = self.facts.evidence.cluster.vpc.as_ref();
        let of_vpc = network.vpc.seen().into_iter().flat_map(|vpc| &vpc.cidrs);
        let subnets = network.subnets.seen().into_iter().flatten();
        let subnets = subnets.filter(|subnet| own.is_none_or(|vpc| *vpc == subnet.vpc));
        let mut inside = of_vpc.chain(subnets.flat_map(|subnet| &subnet.cidrs));
        let inside = inside.find(|inside| blocks.iter().any(|block| block.contains(*inside)))?;
        let detail = format!("only a part of it is in the VPC: {inside}");
        Some(gaps::about(place, detail, "pass a block within the VPC, or one without a part of it"))
    }

    /// A block: a part of the VPC, or another network.
    #[must_use]
    pub fn block(&self, block: IpNet) -> Place {
        let block = block.trunc();
        let is_host = block.prefix_len() == block.max_prefix_len();
        if is_host && let Some(interface) = self.interface(block.addr()) {
            return Place { name: block.to_string(), location: self.of_interface(block.addr(), interface) };
        }
        let network = &self.facts.evidence.network;
        let vpc = network.vpc.seen();
        let own = self.facts.evidence.cluster.vpc.as_ref();
        let mut subnets = network.subnets.seen().into_iter().flatten();
        let of_subnet = subnets.find(|subnet| {
            own.is_none_or(|vpc| *vpc == subnet.vpc)
                && subnet.cidrs.iter().any(|known| known.contains(&block))
        });
        let is_in_vpc = vpc.is_some_and(|vpc| vpc.cidrs.iter().any(|known| known.contains(&block)));
        let location = if is_in_vpc || of_subnet.is_some() {
            Location::Vpc {
                id: None,
                subnet: of_subnet.and_then(|subnet| subnet.id.clone()),
                blocks: vec![block],
                public_ip: None,
                groups: None,
            }
        } else if vpc.is_none() && !is_public(&block) {
            // It may be in the VPC.
            Location::Unknown
        } else {
            Location::Outside { blocks: vec![block] }
        };
        Place { name: block.to_string(), location }
    }
}

/// The only one of some ids, if there is one; all of them if they are several.
fn only<'a>(ids: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, Vec<String>> {
    let ids: BTreeSet<_> = ids.collect();
    if ids.len() > 1 {
        return Err(ids.into_iter().map(ToOwned::to_owned).collect());
    }
    Ok(ids.into_iter().next())
}

fn subnet(interface: &Interface) -> Option<String> {
    Some(interface.subnet.clone()).filter(|subnet| !subnet.is_empty())
}
