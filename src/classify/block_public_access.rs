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

    /// What happens to connections on a way.
    pub(super) fn on(&self, way: &BlockedWay<'_>) -> PublicBlock {
        let all = |is: fn(&RouteTarget) -> bool| {
            !way.targets.is_empty() && way.targets.iter().all(|target| is(target))
        };
        // An egress-only internet gateway is an internet gateway.
        if all(|target| matches!(target, RouteTarget::Other(id) if !id.starts_with("eigw-"))) {
            return PublicBlock::Elsewhere;
        }
        let mode = match self.of(way.subnet) {
            Ok(mode) => mode,
            Err(gap) => return PublicBlock::Unknown(gap),
        };
        let is_direct = || all(|target| *target == RouteTarget::InternetGateway);
        let is_blocked = match mode {
            BlockMode::Off => false,
            // It lets connections out by NAT gateways and egress-only internet gateways.
            BlockMode::Ingress => is_direct(),
            BlockMode::Bidirectional => true,
        };
        match way.elsewhere {
            Some(gap) if is_blocked => PublicBlock::Unknown(gap.clone()),
            _ if is_blocked => PublicBlock::Blocked(mode),
            _ => self.beyond_nat_gateways(way).map_or(PublicBlock::Passes, PublicBlock::Unknown),
        }
    }

    /// Why it is not known whether connections pass that leave by NAT gateways, whose own
    /// subnets Block Public Access may close. It blocks the traffic of NAT gateways; whether
    /// that holds for connections from subnets that are not closed is not documented.
    ///
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa-basics.html>
    fn beyond_nat_gateways(&self, way: &BlockedWay<'_>) -> Option<Gap> {
        let BlockedWay { host, targets, .. } = way;
        let of_nat = |target: &&RouteTarget| match target {
            RouteTarget::NatGateway(id) => Some(id.clone()),
            _ => None,
        };
        let used: Vec<_> = targets.iter().map(of_nat).collect::<Option<_>>()?;
        let gateways = match self.evidence.network.nat_gateways.as_result() {
            Ok(gateways) => gateways,
            // The subnet of one of them may be closed.
            Err(gap) => return Some(gap).filter(|_| !used.is_empty() && self.closes_any()),
        };
        let closed = |id: &String| {
            let gateway = gateways.iter().find(|gateway| gateway.id == *id)?;
            let subnet = gateway.subnet.as_deref()?;
            let mode = self.by_subnet.get(subnet);
            (mode == Some(&BlockMode::Bidirectional)).then_some((&gateway.id, subnet))
        };
        let closed: Vec<_> = used.iter().map(closed).collect::<Option<_>>()?;
        let (gateway, subnet) = closed.first()?;
        let detail = format!(
            "VPC Block Public Access is block-bidirectional for {subnet}, the subnet of {gateway}, and not for that of {host}: whether its connections pass is not known"
        );
        Some(self.evidence.gap(SUBNETS, GapReason::NotSupported, detail))
    }

    /// Whether any subnet is, or may be, closed in both directions.
    fn closes_any(&self) -> bool {
        let of_vpc = self.evidence.network.vpc.seen().and_then(|vpc| vpc.block_mode);
        { self.by_subnet.values() }.chain(of_vpc.as_ref()).any(|mode| *mode == BlockMode::Bidirectional)
    }
}
