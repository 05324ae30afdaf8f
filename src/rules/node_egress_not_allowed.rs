use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::{ENDPOINT_ACCESS, reach, unseen};
use crate::model::cluster::Cluster;
use crate::model::evidence::{Evidence, Observed};
use crate::model::facts::Facts;
use crate::model::gap::{Gap, GapReason};
use crate::model::net::{Instance, NatGateway, RouteTable, RouteTarget};
use crate::model::rule::{Finding, Outcome, Rule, Severity};

pub(super) static RULE: Rule = Rule {
    id: "node-egress-not-allowed",
    severity: Severity::High,
    summary: "Private access is off, and a node's own egress address may not reach the public endpoint",
    why: "\
With private access off, nodes leave the VPC to reach the API server, with the \
address of their NAT gateway or their own public address. If publicAccessCidrs \
does not hold that address, the endpoint drops their packets: running nodes turn \
NotReady, new ones never join. It is the best-known outage of a narrowed list, and \
it is silent until connections are made anew.",
    remediation: "\
Turn the private endpoint on, and nodes no longer need the list:
    aws eks update-cluster-config --region REGION --name CLUSTER --resources-vpc-config endpointPrivateAccess=true
    eksctl utils update-cluster-vpc-config --region REGION --cluster CLUSTER --private-access=true --approve
Terraform, aws_eks_cluster: vpc_config { endpoint_private_access = true }
Or add the address that the finding names to publicAccessCidrs (Terraform: \
public_access_cidrs), as ADDRESS/32.",
    reference: ENDPOINT_ACCESS,
    check,
};

fn check(facts: &Facts) -> Outcome {
    let evidence = &facts.evidence;
    let cluster = &evidence.cluster;
    if cluster.access.private() == Some(true) || cluster.access.public() == Some(false) {
        return Outcome::pass();
    }
    // Everyone may: then nodes may, wherever they come from.
    let allowed = reach::union(&cluster.public_cidrs());
    if allowed.iter().any(|block| block.prefix_len() == 0 && block.addr().is_ipv4()) {
        return Outcome::pass();
    }
    if let Err(gap) = unseen::private_access(cluster) {
        return Outcome::inconclusive(gap);
    }
    if let Observed::Unseen(gap) = &evidence.instances {
        return Outcome::inconclusive(gap.clone());
    }
    let nodes: Vec<_> = evidence.node_instances().collect();
    if nodes.is_empty() {
        return Outcome::inconclusive(Gap {
            what: "instances.json".to_owned(),
            why: GapReason::Incomplete,
            detail: format!(
                "no running instance in it is tagged kubernetes.io/cluster/{0} or eks:cluster-name = {0}",
                cluster.name
            ),
            hint: "record it with: aws ec2 describe-instances, without a filter that leaves nodes out"
                .to_owned(),
        });
    }
    let mut outcome = judge(evidence, &nodes, &allowed);
    // Which route is taken depends on the endpoint's addresses.
    outcome.gaps.extend(unseen::endpoint_addresses(facts));
    outcome
}

fn judge(evidence: &Evidence, nodes: &[&Instance], allowed: &[IpNet]) -> Outcome {
    let is_allowed = |address: IpAddr| allowed.iter().any(|block| block.contains(&address));
    let answers = evidence.endpoint_addresses();
    // A node may dial any of them, and routes may tell them apart.
    let mut endpoints: Vec<_> = answers.iter().copied().filter(IpAddr::is_ipv4).map(Some).collect();
    if endpoints.is_empty() {
        endpoints.push(None);
    }
    // A dual-stack endpoint may be reached over IPv6, as the node's own address.
    let is_dual_stack = answers.iter().any(IpAddr::is_ipv6);
    let over_ipv6 = |node: &Instance| {
        is_dual_stack && node.addresses.iter().any(|&address| address.is_ipv6() && is_allowed(address))
    };
    let mut outcome = Outcome::pass();
    // Many nodes share a NAT gateway: one finding for each way out.
    let mut refused: BTreeMap<(String, IpAddr), BTreeSet<String>> = BTreeMap::new();
    for (node, endpoint) in
        nodes.iter().flat_map(|node| endpoints.iter().map(move |endpoint| (node, endpoint)))
    {
        let ways = match egress(evidence, node, *endpoint) {
            Ok(ways) => ways,
            Err(gap) => {
                outcome.gaps.push(gap);
                continue;
            }
        };
        let shut: Vec<_> = ways.into_iter().filter(|way| !is_allowed(way.address)).collect();
        if !shut.is_empty() && over_ipv6(node) {
            outcome.gaps.push(either_family(node));
            continue;
        }
        for way in shut {
            refused.entry((way.by, way.address)).or_default().insert(label(node));
        }
    }
    outcome.findings = refused
        .into_iter()
        .map(|((by, address), nodes)| finding(by, address, &Vec::from_iter(nodes)))
        .collect();
    outcome
}

fn either_family(node: &Instance) -> Gap {
    Gap {
        what: format!("egress of node {}", node.id),
        why: GapReason::NotSupported,
        detail: "its IPv4 address is not allowed and its IPv6 address is; which of them it uses is not known"
            .to_owned(),
        hint: "add the IPv4 address to publicAccessCidrs as well, or turn private access on".to_owned(),
    }
}

fn finding(by: String, address: IpAddr, nodes: &[String]) -> Finding {
    let (who, will) = match nodes {
        [only] if only.starts_with(&by) => ("it leaves".to_owned(), "it"),
        [only] => (format!("{only} leaves"), "it"),
        all => (format!("{} leave", super::list(all)), "they"),
    };
    let message = format!("{who} as {address}, which publicAccessCidrs does not hold: {will} will drop out");
    Finding::new(by, message).of(address.to_string())
}

fn label(node: &Instance) -> String {
    match node.dns_name.as_deref().or_else(|| node.name_tag()) {
        Some(name) => format!("{} ({name})", node.id),
        None => node.id.clone(),
    }
}

/// As whom a node reaches the internet, and by what.
struct Way {
    by: String,
    address: IpAddr,
}

fn egress(evidence: &Evidence, node: &Instance, endpoint: Option<IpAddr>) -> Result<Vec<Way>, Gap> {
    let own = |address| vec![Way { by: node.id.clone(), address }];
    let gap = |why: GapReason, detail: String| Gap {
        what: format!("egress of node {}", node.id),
        why,
        detail,
        hint: "look up as whom it leaves: curl -s https://checkip.amazonaws.com on the node".to_owned(),
    };
    let tables = evidence.route_tables.as_result()?;
    let target = route(&evidence.cluster, tables, node, endpoint).ok_or_else(|| {
        gap(GapReason::Incomplete, "no route of its subnet leads to the endpoint".to_owned())
    })?;
    match target {
        RouteTarget::InternetGateway => match node.public_ip {
            Some(address) => Ok(own(address)),
            None => Err(gap(
                GapReason::Incomplete,
                "its subnet leads to an internet gateway, and it has no public address to leave with"
                    .to_owned(),
            )),
        },
        RouteTarget::NatGateway(id) => {
            let gateways = evidence.nat_gateways.as_result()?;
            let ways = nat_ways(gateways, id);
            if ways.is_empty() {
                let detail =
                    format!("it leaves through {id}, whose public address is not in nat-gateways.json");
                return Err(gap(GapReason::Incomplete, detail));
            }
            Ok(ways)
        }
        RouteTarget::Other(id) => Err(gap(
            GapReason::NotSupported,
            format!("it leaves through {id}; which address that gives it cannot be told from the VPC"),
        )),
        RouteTarget::Local | RouteTarget::Blackhole => {
            Err(gap(GapReason::Incomplete, "its route to the endpoint leads nowhere".to_owned()))
        }
    }
}

/// A NAT gateway may leave by any of its addresses.
fn nat_ways(gateways: &[NatGateway], id: &str) -> Vec<Way> {
    let gateway = gateways.iter().find(|gateway| gateway.id == id && gateway.available);
    let addresses = gateway.into_iter().flat_map(|gateway| gateway.public_ips.iter().copied());
    addresses.map(|address| Way { by: id.to_owned(), address }).collect()
}

/// The most specific route from a node's subnet to the endpoint; the default
/// route where the endpoint's address is not known.
fn route<'a>(
    cluster: &Cluster,
    tables: &'a [RouteTable],
    node: &Instance,
    endpoint: Option<IpAddr>,
) -> Option<&'a RouteTarget> {
    let subnet = node.subnet.as_ref()?;
    let own = tables.iter().find(|table| table.subnets.contains(subnet));
    let main = || tables.iter().find(|table| table.main && (table.vpc.is_none() || table.vpc == cluster.vpc));
    let routes = own.or_else(main)?.routes.iter();
    let matching = routes.filter_map(|route| {
        let destination = route.destination?;
        let matches = match endpoint {
            Some(address) => destination.contains(&address),
            None => destination.prefix_len() == 0 && destination.addr().is_ipv4(),
        };
        matches.then_some((destination.prefix_len(), &route.target))
    });
    matching.max_by_key(|(length, _)| *length).map(|(_, target)| target)
}
