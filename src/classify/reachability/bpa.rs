//! VPC Block Public Access on the way out of the VPC.

use std::net::IpAddr;

use super::super::block_public_access::BlockedWay;
use super::super::egress::{may_lead_elsewhere, ways_out};
use super::index::Reachabilities;
use super::route::ipv4_of;
use crate::model::egress::PublicBlock;
use crate::model::net::BlockMode;
use crate::model::reachability::{Condition, ConditionKind, Place};
use crate::model::rule::Step;
use crate::steps;

const KIND: ConditionKind = ConditionKind::BlockPublicAccess;

impl Reachabilities<'_> {
    /// Whether Block Public Access lets a place out of the VPC to one of `ends`. The public endpoint is in an
    /// account of AWS, so it is not closed for places outside.
    pub(super) fn block_public_access(&self, place: &Place, ends: &[IpAddr]) -> Condition {
        let Some(host) = Self::egress_host(place) else {
            return Condition::not_applicable(KIND, "it blocks the ways out of this VPC only");
        };
        let ways = ways_out(&self.facts.evidence, &self.tables, host, &ipv4_of(ends));
        let block = self.block_modes.on(&BlockedWay {
            host: host.id,
            subnet: host.subnet,
            targets: &self.targets_out(place, ends),
            elsewhere: may_lead_elsewhere(&ways),
        });
        match block {
            PublicBlock::Elsewhere => Condition::not_applicable(
                KIND,
                "its way out is neither an internet nor a NAT gateway of this VPC",
            ),
            PublicBlock::Unknown(gap) => Condition::unknown(KIND, gap),
            PublicBlock::Blocked(BlockMode::Ingress) => {
                let why = "VPC Block Public Access is block-ingress for its subnet, and lets connections out by NAT gateways and egress-only internet gateways alone, not by an internet gateway";
                Condition::not_met(KIND, why, self.exclude("allow-bidirectional"))
            }
            PublicBlock::Blocked(_) => {
                let why = "VPC Block Public Access is block-bidirectional for its subnet, and drops what leaves by an internet gateway, also by way of a NAT gateway";
                Condition::not_met(KIND, why, self.exclude("allow-egress"))
            }
            PublicBlock::Passes => {
                Condition::met(KIND, "VPC Block Public Access lets connections out of its subnet")
            }
        }
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
            steps::aws_options(self.facts),
            crate::model::shell::shell_word(vpc, "VPC")
        )));
        fix
    }
}
