//! What was seen of the connections of a place: established ones, attempts that hang, and the
//! answers to probes.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::ends::delay;
use super::listed_addresses::ListedAddresses;
use crate::model::connection::{Component, Connection, Direction, Path};
use crate::model::facts::Facts;
use crate::model::node::NodeStatus;
use crate::model::probe::{
    AddressProbe, Probe, ProbeCause, ProbeTarget, ProbeTool, ProbeWay, TlsAttempt, Trust,
};
use crate::model::reachability::{EndpointSide, Location, Place};
use crate::model::seen_from::HERE;
use crate::model::socket::State;
use crate::model::traffic::{NodeTraffic, TrafficPath};

/// An index of what was seen, by place.
pub(super) struct ObservedIndex<'a> {
    by_address: HashMap<IpAddr, Sockets<'a>>,
    by_node: HashMap<&'a str, Sockets<'a>>,
    /// By node that is cut off and side: an attempt of its kubelet to connect.
    cut_off: HashMap<(&'a str, usize), &'a Connection>,
    /// The names of the nodes for which an address is listed.
    nodes: HashMap<IpAddr, &'a str>,
    probes: HashMap<&'a str, &'a Probe>,
    /// The addresses of the EKS-owned ENIs.
    enis: HashSet<IpAddr>,
    /// Those of each ENI.
    each_eni: Vec<&'a [IpAddr]>,
    /// The known addresses of the public endpoint.
    public: Vec<IpAddr>,
}

/// The first connection of each kind.
#[derive(Debug, Default, Clone, Copy)]
struct Sockets<'a> {
    established: [Option<&'a Connection>; 2],
    hanging: [Option<&'a Connection>; 2],
}

/// A failure to connect that was seen.
pub(super) struct Failure {
    /// What was seen.
    pub(super) text: String,
    /// Whether it shows that connections fail; an attempt that was seen once may succeed.
    pub(super) is_certain: bool,
    /// Why probes failed; `None` of a socket, of which nothing answers. It is `TimedOut` only if all of them timed out.
    pub(super) cause: Option<ProbeCause>,
    /// The side on which it was seen.
    pub(super) side: EndpointSide,
}

/// The position of a side in an array.
fn at(side: EndpointSide) -> usize {
    usize::from(side == EndpointSide::Public)
}

impl<'a> ObservedIndex<'a> {
    pub(super) fn new(facts: &'a Facts) -> Self {
        let listed = ListedAddresses::new(facts);
        let (mut by_address, mut by_node) = (HashMap::new(), HashMap::new());
        let (without_api, mut cut_off) = (nodes_without_api(facts), HashMap::new());
        for connection in facts.connections.iter().filter(|one| one.direction == Direction::Outbound) {
            let side = match connection.attribution.path {
                Path::PublicEndpoint => EndpointSide::Public,
                // The ClusterIP is forwarded to an ENI.
                Path::PrivateEni | Path::ClusterIp => EndpointSide::Private,
                _ => continue,
            };
            let node = connection.node.as_str();
            if connection.component == Some(Component::Kubelet)
                && connection.socket.state == State::SynSent
                && without_api.contains(node)
            {
                cut_off.entry((node, at(side))).or_insert(connection);
            }
            let keep = |sockets: &mut Sockets<'a>| {
                let kept = match connection.socket.state {
                    State::Established => &mut sockets.established,
                    State::SynSent => &mut sockets.hanging,
                    _ => return,
                };
                let is_component = |one: &Connection| one.component.is_some_and(Component::is_node_component);
                let kept = &mut kept[at(side)];
                // A component of the node is the better witness: it uses the name, and
                // verifies the certificate.
                if kept.is_none_or(|kept| is_component(connection) && !is_component(kept)) {
                    *kept = Some(connection);
                }
            };
            keep(by_node.entry(node).or_default());
            let local = connection.socket.local.ip();
            if let Some(local) = local.filter(|local| listed.has(node, *local)) {
                keep(by_address.entry(local).or_default());
            }
        }
        let nodes = listed.nodes();
        let probes = facts.evidence.probes.iter().map(|probe| (probe.vantage.as_str(), probe));
        let each_eni: Vec<_> = facts.eks_owned().map(|eni| eni.interface.addresses.as_slice()).collect();
        let enis = each_eni.iter().flat_map(|addresses| addresses.iter().copied());
        Self {
            by_address,
            by_node,
            cut_off,
            nodes,
            probes: probes.collect(),
            enis: enis.collect(),
            each_eni,
            public: facts.public_addresses().collect(),
        }
    }

    /// The names under which evidence from a place is recorded: its own, and that of the node
    /// that has its address.
    pub(super) fn names<'p>(&self, place: &'p Place) -> impl Iterator<Item = &'p str>
    where
        'a: 'p,
    {
        let node = addresses(place).into_iter().find_map(|address| self.nodes.get(&address).copied());
        [place.name.as_str()].into_iter().chain(node.filter(|node| *node != place.name))
    }

    fn sockets(&self, place: &Place) -> impl Iterator<Item = Sockets<'a>> {
        // Nothing that a node says is of the operator's host.
        if place.name == HERE {
            return Vec::new().into_iter();
        }
        let own = addresses(place).into_iter().filter_map(|address| self.by_address.get(&address).copied());
        let named = self.by_node.get(place.name.as_str()).copied();
        own.chain(named).collect::<Vec<_>>().into_iter()
    }

    fn probes<'p>(&self, place: &'p Place) -> impl Iterator<Item = &'a Probe>
    where
        'a: 'p,
    {
        self.names(place).filter_map(|name| self.probes.get(name).copied())
    }

    fn answers<'s>(&'s self, place: &Place, side: EndpointSide) -> Vec<&'s AddressProbe> {
        let probes = self.probes(place);
        probes.flat_map(|probe| &probe.answers).filter(|answer| self.is_of(answer, side)).collect()
    }

    /// The first answer of one side that came from any host with that address, as far as it is
    /// known: another network may use the addresses of the ENIs. In the VPC no other host has
    /// them; elsewhere the certificate tells, which the programs of nodes do not check.
    fn of_any_host(&self, place: &Place, side: EndpointSide) -> Option<&AddressProbe> {
        if side == EndpointSide::Public {
            return None;
        }
        let is_in_vpc = matches!(&place.location, Location::Vpc { id: Some(_), .. });
        let open = self.probes(place).filter(|probe| probe.tool == ProbeTool::Own || !is_in_vpc);
        let answers = open.flat_map(|probe| &probe.answers);
        let mut answers = answers.filter(|answer| self.is_of(answer, side) && answer.is_reached());
        let is_judged = |tls: &TlsAttempt| !matches!(tls.trust, Trust::Unknown(_));
        answers.find(|answer| !answer.tls.as_ref().is_some_and(is_judged))
    }

    /// Whether an address is one of a side.
    pub(super) fn is_of(&self, answer: &AddressProbe, side: EndpointSide) -> bool {
        let is_private = answer.target == ProbeTarget::Eni || self.enis.contains(&answer.address.ip());
        answer.target != ProbeTarget::Peer && is_private == (side != EndpointSide::Public)
    }

    /// What shows that packets from a place reach one side, if anything does. An established
    /// connection shows nothing where new ones fail.
    pub(super) fn reached(&self, place: &Place, side: EndpointSide) -> Option<String> {
        let established = self.established(place, side);
        established.filter(|_| self.all_failed(place, side).is_none()).or_else(|| self.answered(place, side))
    }

    /// That the kubelet of a place has no connection to the API server, only attempts that hang, of which
    /// one is on this side: the finding of `node-cut-off`.
    fn cut_off(&self, place: &Place, side: EndpointSide) -> Option<Failure> {
        // Nothing that a node says is of the operator's host.
        let mut names = self.names(place).filter(|_| place.name != HERE);
        let peer = &names.find_map(|name| self.cut_off.get(&(name, at(side))))?.socket.peer;
        let text = format!(
            "its kubelet has no established connection to the API server, and its attempt to connect to {peer} hangs in SYN-SENT"
        );
        Some(Failure { text, is_certain: true, cause: None, side })
    }

    /// An established connection of a place with one side.
    fn established(&self, place: &Place, side: EndpointSide) -> Option<String> {
        let connection = self.sockets(place).find_map(|sockets| sockets.established[at(side)])?;
        let process = connection.process.as_ref().map_or("a process", |process| process.name.as_str());
        let ends = match connection.attribution.path {
            Path::ClusterIp => " (the ClusterIP, which ends on the EKS-owned ENIs)",
            _ => "",
        };
        Some(format!("{process} has an established connection with {}{ends}", connection.socket.peer))
    }

    /// That the probes from a place failed at all known addresses of one side, if they did.
    fn all_failed(&self, place: &Place, side: EndpointSide) -> Option<String> {
        let answers = self.answers(place, side);
        if answers.iter().any(|answer| answer.is_reached()) {
            return None;
        }
        let direct = answers.into_iter().filter(|answer| answer.way == ProbeWay::Direct);
        let failed = direct.filter_map(|answer| Some((answer.address, answer.failure()?)));
        let failed: Vec<_> = failed.filter(|(_, failure)| failure.cause.is_decisive()).collect();
        let (first, failure) = failed.first()?;
        let failed: HashSet<_> = failed.iter().map(|(address, _)| address.ip()).collect();
        let families = [failed.iter().any(IpAddr::is_ipv4), failed.iter().any(IpAddr::is_ipv6)];
        let is_probed = |address: &IpAddr| families[usize::from(address.is_ipv6())];
        let is_whole = if side == EndpointSide::Public {
            self.public.iter().filter(|address| is_probed(address)).all(|address| failed.contains(address))
        } else {
            self.each_eni.iter().all(|eni| eni.iter().any(|address| failed.contains(address)))
        };
        let others = if failed.len() > 1 { " and the other addresses" } else { "" };
        is_whole.then(|| format!("{first}{others} cannot be reached from there: {}", failure.detail))
    }

    /// The same, without established connections: those outlive changes that keep new ones
    /// out.
    pub(super) fn answered(&self, place: &Place, side: EndpointSide) -> Option<String> {
        let answers = self.answers(place, side);
        let of_any = self.of_any_host(place, side);
        let mut reached = answers.into_iter().filter(|answer| answer.is_reached());
        let reached = match of_any {
            // What another address showed holds for all.
            Some(_) => reached.find(|answer| answer.is_api_server())?,
            None => reached.next()?,
        };
        Some(match &reached.way {
            ProbeWay::Direct => format!("{} answered from there", reached.address),
            ProbeWay::Proxy(proxy) => format!("{} answered by way of the proxy {proxy}", reached.address),
        })
    }

    /// What shows that packets from a place do not reach one side, where nothing shows that
    /// they do.
    pub(super) fn failed(&self, place: &Place, side: EndpointSide) -> Option<Failure> {
        if self.reached(place, side).is_some() {
            return None;
        }
        if let (Some(established), Some(failed)) =
            (self.established(place, side), self.all_failed(place, side))
        {
            let text = format!("{failed}; {established}, which may be older than what stops new ones");
            return Some(Failure { text, is_certain: false, cause: None, side });
        }
        let cut_off = self.cut_off(place, side);
        if let (Some(answer), None) = (self.of_any_host(place, side), &cut_off) {
            let address = answer.address;
            let text = format!(
                "{address} answered from there, and whether that is the API server is not known: no certificate of it was checked, and other networks use such addresses too"
            );
            return Some(Failure { text, is_certain: false, cause: Some(ProbeCause::Failed), side });
        }
        let answers = self.answers(place, side);
        let failed = answers.into_iter().filter_map(|answer| Some((answer, answer.failure()?)));
        // The first of those that tell most: one that decides nothing leaves it open, and only
        // silence of all addresses may be that of a list.
        let of = |cause: ProbeCause| (cause.is_decisive(), cause == ProbeCause::TimedOut);
        let first = failed.min_by_key(|(_, failure)| of(failure.cause));
        if let Some((answer, failure)) = first.filter(|(_, one)| one.cause.is_decisive() || cut_off.is_none())
        {
            let is_certain = failure.cause.is_decisive();
            let of = if is_certain { "cannot be reached from there" } else { "was not probed from there" };
            let text = format!("{} {of}: {}", answer.address, failure.detail);
            return Some(Failure { text, is_certain, cause: Some(failure.cause), side });
        }
        if cut_off.is_some() {
            return cut_off;
        }
        let hanging = self.sockets(place).find_map(|sockets| sockets.hanging[at(side)])?;
        let text = format!("an attempt to connect to {} hangs in SYN-SENT", hanging.socket.peer);
        Some(Failure { text, is_certain: false, cause: None, side })
    }

    /// An attempt to connect to one side that hangs, where another connection shows that the
    /// side is reached.
    pub(super) fn hanging(&self, place: &Place, side: EndpointSide) -> Option<String> {
        self.reached(place, side)?;
        let socket = self.sockets(place).find_map(|sockets| sockets.hanging[at(side)]);
        if let Some(Connection { process, socket, .. }) = socket {
            let process = process.as_ref().map_or("a process", |process| process.name.as_str());
            return Some(format!("{process} hangs in SYN-SENT to {}, which is newer", socket.peer));
        }
        let answers = self.answers(place, side);
        // Of several ways, the one by which the side is reached.
        let by = answers.iter().find(|one| one.is_reached()).map_or(&ProbeWay::Direct, |one| &one.way);
        let (of_way, others): (Vec<&AddressProbe>, Vec<&AddressProbe>) =
            answers.iter().copied().partition(|answer| answer.way == *by);
        let all: HashSet<_> = of_way.iter().map(|answer| answer.address).collect();
        let lost = of_way.iter().filter_map(|answer| Some((answer.address, answer.failure()?)));
        let lost: Vec<_> = lost.filter(|(_, failure)| failure.cause.is_decisive()).collect();
        if let Some((address, failure)) = lost.first() {
            let is_silent = lost.iter().all(|(_, failure)| failure.cause == ProbeCause::TimedOut);
            let delay = if is_silent {
                delay(lost.len(), all.len())
            } else {
                format!("{} of {} addresses: clients try another one", lost.len(), all.len())
            };
            return Some(format!("{address} did not answer from there ({}); {delay}", failure.detail));
        }
        let is_lost = |answer: &&&AddressProbe| {
            answer.failure().is_some_and(|failure| failure.cause == ProbeCause::TimedOut)
        };
        let lost = others.iter().find(is_lost)?;
        Some(format!("{} did not answer from there by another way", lost.address))
    }

    /// The component that has an established connection with one side, if one has.
    pub(super) fn component(&self, place: &Place, side: EndpointSide) -> Option<Component> {
        self.sockets(place).find_map(|sockets| {
            sockets.established[at(side)]?.component.filter(|component| component.is_node_component())
        })
    }

    /// The results of TLS handshakes with one side, with the addresses. The programs of nodes do
    /// not check certificates.
    pub(super) fn tls(&self, place: &Place, side: EndpointSide) -> Vec<(IpAddr, &TlsAttempt)> {
        let own = self.names(place).filter_map(|name| self.probes.get(name).copied());
        let own = own.filter(|probe| probe.tool == ProbeTool::Own);
        let answers = own.flat_map(|probe| &probe.answers).filter(|answer| self.is_of(answer, side));
        answers.filter_map(|answer| Some((answer.address.ip(), answer.tls.as_ref()?))).collect()
    }
}

/// The nodes that were read and whose kubelets have no connection to the API server, only attempts
/// that hang.
fn nodes_without_api(facts: &Facts) -> HashSet<&str> {
    let is_none = |traffic: &NodeTraffic| {
        let mut kubelet = traffic.components.iter().filter(|one| one.component == Component::Kubelet);
        kubelet.any(|one| one.path == TrafficPath::None)
    };
    let nodes = facts.nodes.iter().zip(&facts.traffic);
    let cut_off = nodes.filter(|(node, traffic)| node.status == NodeStatus::Read && is_none(traffic));
    cut_off.map(|(node, _)| node.name.as_str()).collect()
}

/// The single addresses of a place at which nodes may be; none of the operator's host.
fn addresses(place: &Place) -> Vec<IpAddr> {
    if place.name == HERE {
        return Vec::new();
    }
    let blocks = match &place.location {
        Location::Vpc { blocks, .. } | Location::Outside { blocks } => blocks.as_slice(),
        Location::Unknown => &[],
    };
    let hosts = blocks.iter().filter(|block| block.prefix_len() == block.max_prefix_len());
    hosts.map(ipnet::IpNet::addr).collect()
}
