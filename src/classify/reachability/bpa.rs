//! VPC Block Public Access on the way out of the VPC.

use super::gaps;
use super::index::Reachabilities;
use crate::model::gap::{GapReason, Observed};
use crate::model::net::{BlockMode, RouteTarget, SUBNETS};
use crate::model::reachability::{Condition, ConditionKind, Location, Place};
use crate::model::rule::Step;
use crate::steps;

const KIND: ConditionKind = ConditionKind::BlockPublicAccess;

impl Reachabilities<'_> {
    /// Whether Block Public Access lets a place out of the VPC. The public endpoint is in an
    /// account of AWS, so it is not closed for places outside.
    pub(super) fn block_public_access(&self, place: &Place) -> Condition {
        let Location::Vpc { subnet, .. } = &place.location else {
            return Condition::not_applicable(KIND, "it blocks the ways out of this VPC only");
        };
        if self.leaves_otherwise(place) {
            return Condition::not_applicable(
                KIND,
                "its way out is neither an internet nor a NAT gateway of this VPC",
            );
        }
        let evidence = &self.facts.evidence;
        if let Observed::Unseen(gap) = &evidence.network.subnets {
            return Condition::unknown(KIND, gap.clone());
        }
        // The state of a subnet takes account of exclusions.
        let of_subnet = subnet.as_deref().and_then(|subnet| self.subnets.get(subnet));
        let of_subnet = of_subnet.and_then(|subnet| subnet.block_mode);
        let mode = match (of_subnet, &evidence.network.vpc) {
            (Some(mode), _) => Some(mode),
            (None, Observed::Seen(vpc)) => vpc.block_mode,
            (None, Observed::Unseen(gap)) => return Condition::unknown(KIND, gap.clone()),
        };
        match mode {
            Some(BlockMode::Ingress) if self.leaves_directly(place) => {
                let why = "VPC Block Public Access is block-ingress for its subnet, and lets connections out by NAT gateways and egress-only internet gateways alone, not by an internet gateway";
                Condition::not_met(KIND, why, self.exclude("allow-bidirectional"))
            }
            Some(BlockMode::Off | BlockMode::Ingress) => {
                self.beyond_nat_gateways(place).unwrap_or_else(|| {
                    Condition::met(KIND, "VPC Block Public Access lets connections out of its subnet")
                })
            }
            Some(BlockMode::Bidirectional) => {
                let why = "VPC Block Public Access is block-bidirectional for its subnet, and drops what leaves by an internet gateway, also by way of a NAT gateway";
                Condition::not_met(KIND, why, self.exclude("allow-egress"))
            }
            None => {
                let subnet = subnet.as_deref().unwrap_or("its subnet");
                let detail = format!(
                    "BlockPublicAccessStates of {subnet} and of the VPC are not recorded, so it is not known whether they block the way out"
                );
                Condition::unknown(KIND, evidence.gap(SUBNETS, GapReason::Incomplete, detail))
            }
        }
    }

    /// Whether the ways of a place out of the VPC are internet gateways alone.
    fn leaves_directly(&self, place: &Place) -> bool {
        let targets = self.targets_out(place);
        !targets.is_empty() && targets.iter().all(|target| **target == RouteTarget::InternetGateway)
    }

    /// The condition if a place leaves by NAT gateways whose own subnets Block Public Access
    /// closes. It blocks the traffic of NAT gateways; whether that holds for connections from
    /// subnets that are not closed is not documented.
    ///
    /// <https://docs.aws.amazon.com/vpc/latest/userguide/security-vpc-bpa-basics.html>
    fn beyond_nat_gateways(&self, place: &Place) -> Option<Condition> {
        let gateways = self.facts.evidence.network.nat_gateways.seen()?;
        let closed = |target: &RouteTarget| {
            let RouteTarget::NatGateway(id) = target else { return None };
            let gateway = gateways.iter().find(|gateway| gateway.id == *id)?;
            let subnet = gateway.subnet.as_deref()?;
            let mode = self.subnets.get(subnet)?.block_mode;
            (mode == Some(BlockMode::Bidirectional)).then_some((gateway, subnet))
        };
        let closed: Option<Vec<_>> = self.targets_out(place).into_iter().map(closed).collect();
        let (gateway, subnet) = closed?.into_iter().next()?;
        let detail = format!(
            "VPC Block Public Access is block-bidirectional for {subnet}, the subnet of {}, and not for its own; whether connections pass is not known",
            gateway.id
        );
        Some(Condition::unknown(KIND, gaps::at(place, detail)))
    }

    fn exclude(&self, mode: &str) -> Vec<Step> {
        let mut fix = self.turn_private_on();
        let vpc = self.facts.evidence.cluster.vpc.as_deref().unwrap_or_default();
        let text = if mode == "allow-egress" {
            "Or exclude the VPC for outbound traffic"
        } else {
            "Or exclude the VPC; or give the subnet a default route to a NAT gateway"
        };
        fix.push(Step::new(text).command(format!(
            "aws ec2 create-vpc-block-public-access-exclusion{} --vpc-id {} --internet-gateway-exclusion-mode {mode}",
            steps::region(self.facts),
            crate::model::shell::shell_word(vpc, "VPC")
        )));
        fix
    }
}
