//! What VPC Block Public Access does with connections out of the VPC. The public endpoint is
//! in an account of AWS, so it is not closed for others.
//!
//! <https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa.html>

use std::collections::HashMap;

use crate::model::egress::PublicBlock;
use crate::model::evidence::Evidence;
use crate::model::gap::{Gap, GapReason};
use crate::model::net::{BlockMode, RouteTarget, SUBNETS};

/// The modes of Block Public Access in the subnets of a VPC.
pub(super) struct BlockModes<'a> {
    evidence: &'a Evidence,
    by_subnet: HashMap<&'a str, BlockMode>,
}

/// A way out of the VPC, as far as Block Public Access depends on it.
pub(super) struct BlockedWay<'a> {
    /// The name of the host.
    pub(super) host: &'a str,
    /// Its subnet.
    pub(super) subnet: Option<&'a str>,
    /// The targets of its routes to the addresses of the public endpoint.
    pub(super) targets: &'a [&'a RouteTarget],
    /// Why it is not known where one of those routes leads, if it may lead elsewhere than to
    /// an internet gateway.
    pub(super) elsewhere: Option<&'a Gap>,
}

impl<'a> BlockModes<'a> {
    /// The modes that the evidence records.
    pub(super) fn new(evidence: &'a Evidence) -> Self {
        let subnets = evidence.network.subnets.seen().into_iter().flatten();
        let by_subnet = subnets.filter_map(|subnet| Some((subnet.id.as_deref()?, subnet.block_mode?)));
        Self { evidence, by_subnet: by_subnet.collect() }
    }

    /// The mode of a subnet, which takes account of exclusions; that of the VPC if it has none.
    fn of(&self, subnet: Option<&str>) -> Result<BlockMode, Gap> {
        self.evidence.network.subnets.as_result()?;
        if let Some(mode) = subnet.and_then(|subnet| self.by_subnet.get(subnet)) {
            return Ok(*mode);
        }
        let of_vpc = self.evidence.network.vpc.as_result()?.block_mode;
        of_vpc.ok_or_else(|| {
            let subnet = subnet.unwrap_or("the subnet");
            let detail = format!(
                "BlockPublicAccessStates of {subnet} and of the VPC are not recorded, so it is not known whether they block the way out"
            );
            self.evidence.gap(SUBNETS, GapReason::Incomplete, detail)
        })
    }

    /// What happens to connections on a way. The routes to several addresses of the endpoint may
    /// have different targets, of which one that passes is enough.
    pub(super) fn on(&self, way: &BlockedWay<'_>) -> PublicBlock {
        // Nothing leaves by these.
        let leads_out =
            |target: &&&RouteTarget| !matches!(target, RouteTarget::Local | RouteTarget::Blackhole);
        let targets = way.targets.iter().filter(leads_out);
        let mut blocks: Vec<_> = targets.map(|target| self.by(way, Some(target))).collect();
        if blocks.is_empty() {
            blocks.push(self.by(way, None));
        }
        if blocks.contains(&PublicBlock::Passes) {
            return PublicBlock::Passes;
        }
        if let Some(unknown) = blocks.iter().find(|block| matches!(block, PublicBlock::Unknown(_))) {
            return unknown.clone();
        }
        match blocks.iter().find(|block| matches!(block, PublicBlock::Blocked(_))) {
            Some(blocked) => way.elsewhere.cloned().map_or_else(|| blocked.clone(), PublicBlock::Unknown),
            None => PublicBlock::Elsewhere,
        }
    }

    /// What happens to connections that leave by one target of a route; `None` if it is not known
    /// by which.
    fn by(&self, way: &BlockedWay<'_>, target: Option<&RouteTarget>) -> PublicBlock {
        // An egress-only internet gateway is an internet gateway.
        if matches!(target, Some(RouteTarget::Other(id)) if !id.starts_with("eigw-")) {
            return PublicBlock::Elsewhere;
        }
        let mode = match self.of(way.subnet) {
            Ok(mode) => mode,
            Err(gap) => return PublicBlock::Unknown(gap),
        };
        match (mode, target) {
            // It lets connections out by NAT gateways and egress-only internet gateways.
            (BlockMode::Bidirectional, _) | (BlockMode::Ingress, Some(RouteTarget::InternetGateway)) => {
                PublicBlock::Blocked(mode)
            }
            (_, Some(RouteTarget::NatGateway(id))) => {
                self.beyond_nat_gateway(way.host, id).map_or(PublicBlock::Passes, PublicBlock::Unknown)
            }
            _ => PublicBlock::Passes,
        }
    }

    /// Why it is not known whether connections pass that leave by a NAT gateway, whose own
    /// subnet Block Public Access may close. It blocks the traffic of NAT gateways; whether
    /// that holds for connections from subnets that are not closed is not documented.
    ///
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa-basics.html>
    fn beyond_nat_gateway(&self, host: &str, id: &str) -> Option<Gap> {
        let gateways = match self.evidence.network.nat_gateways.as_result() {
            Ok(gateways) => gateways,
            // Its subnet may be closed.
            Err(gap) => return Some(gap).filter(|_| self.closes_any()),
        };
        let gateway = gateways.iter().find(|gateway| gateway.id == *id);
        let Some(subnet) = gateway.and_then(|gateway| gateway.subnet.as_deref()) else {
            let detail = format!(
                "the subnet of {id} is not recorded, so it is not known whether VPC Block Public Access closes it"
            );
            let gap = self.evidence.gap(SUBNETS, GapReason::Incomplete, detail);
            return Some(gap).filter(|_| self.closes_any());
        };
        match self.of(Some(subnet)) {
            Ok(BlockMode::Bidirectional) => {}
            Ok(BlockMode::Off | BlockMode::Ingress) => return None,
            Err(gap) => return Some(gap),
        }
        let detail = format!(
            "VPC Block Public Access is block-bidirectional for {subnet}, the subnet of {id}, and not for that of {host}: whether its connections pass is not known"
        );
        Some(self.evidence.gap(SUBNETS, GapReason::NotSupported, detail))
    }

    /// Whether any subnet is, or may be, closed in both directions.
    fn closes_any(&self) -> bool {
        let of_vpc = self.evidence.network.vpc.seen().and_then(|vpc| vpc.block_mode);
        { self.by_subnet.values() }.chain(of_vpc.as_ref()).any(|mode| *mode == BlockMode::Bidirectional)
    }
}
