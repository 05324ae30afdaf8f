//! VPC Block Public Access on the way out of the VPC.

use super::index::Reachabilities;
use crate::model::gap::{GapReason, Observed};
use crate::model::net::{BlockMode, SUBNETS};
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
            Some(BlockMode::Off | BlockMode::Ingress) => {
                Condition::met(KIND, "VPC Block Public Access lets connections out of its subnet")
            }
            Some(BlockMode::Bidirectional) => {
                let why = "VPC Block Public Access is block-bidirectional for its subnet, and drops what leaves by an internet gateway, also by way of a NAT gateway";
                Condition::not_met(KIND, why, self.exclude())
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

    fn exclude(&self) -> Vec<Step> {
        let mut fix = self.turn_private_on();
        let vpc = self.facts.evidence.cluster.vpc.as_deref().unwrap_or_default();
        fix.push(Step::new("Or exclude the VPC for outbound traffic").command(format!(
            "aws ec2 create-vpc-block-public-access-exclusion{} --vpc-id {} --internet-gateway-exclusion-mode allow-egress",
            steps::region(self.facts),
            crate::model::shell::shell_word(vpc, "VPC")
        )));
        fix
    }
}
