//! What admits a place to the EKS-owned ENIs: security groups, network ACLs, and the routes of other networks.

use eks_netcheck::model::gap::Observed;
use eks_netcheck::model::net::{AclEntry, Route, RouteTarget, RulePeer};
use eks_netcheck::model::reachability::{ConditionKind, ConditionResult, Reaches};

use super::{
    BASTION, ENI_SUBNETS, PEERED, add_entry, add_route, add_rule, allow, ask, block, both, evidence, facts,
    obstacle, public, result, today, without_bastion,
};

#[test]
fn a_bastion_needs_a_rule_for_its_group() {
    let mut evidence = evidence();
    assert_eq!(today(&facts(evidence.clone()), BASTION).reaches(), Reaches::Yes);
    without_bastion(&mut evidence);
    let (kind, text) = obstacle(&today(&facts(evidence.clone()), BASTION));
    assert_eq!(kind, ConditionKind::SecurityGroups);
    assert!(
        text.contains(
            "aws ec2 authorize-security-group-ingress --region ap-northeast-2 --group-id sg-043c307828ef68129"
        ),
        "{text}"
    );
    assert!(text.contains("GroupId=sg-051dadfda260b0305"), "{text}");
    // One for another port is none.
    add_rule(&mut evidence, (80, 442), RulePeer::Block(block("192.168.11.0/24")));
    assert_eq!(today(&facts(evidence.clone()), BASTION).reaches(), Reaches::No);
    add_rule(&mut evidence, (443, 443), RulePeer::Block(block("192.168.11.0/24")));
    assert_eq!(today(&facts(evidence), BASTION).reaches(), Reaches::Yes);
}

#[test]
fn a_bastion_hangs_once_the_name_resolves_to_enis_that_do_not_admit_it() {
    let mut evidence = evidence();
    without_bastion(&mut evidence);
    evidence.cluster.access = public(&["0.0.0.0/0"]);
    evidence.dns.clear();
    let facts = facts(evidence);
    assert_eq!(today(&facts, BASTION).reaches(), Reaches::Yes);
    assert_eq!(obstacle(&ask(&facts, &both(&["0.0.0.0/0"]), BASTION)).0, ConditionKind::SecurityGroups);
}

#[test]
fn an_address_without_an_interface_has_unknown_groups() {
    let facts = facts(evidence());
    let reachability = today(&facts, "192.168.11.77");
    assert_eq!(reachability.reaches(), Reaches::Unknown);
    assert_eq!(result(&reachability, ConditionKind::SecurityGroups), Some(ConditionResult::Unknown));
    assert_eq!(result(&reachability, ConditionKind::Route), Some(ConditionResult::Met));
    // If the groups of the ENIs admit nothing at all, its own do not matter.
    let mut closed = evidence();
    let Observed::Seen(groups) = &mut closed.network.security_groups else { unreachable!() };
    for group in groups.iter_mut() {
        group.ingress = Some(Vec::new());
    }
    assert_eq!(today(&super::facts(closed), "192.168.11.77").reaches(), Reaches::No);
}

#[test]
fn a_peered_network_needs_a_route_back_and_a_rule() {
    let mut evidence = evidence();
    let (kind, text) = obstacle(&today(&facts(evidence.clone()), PEERED));
    assert_eq!(kind, ConditionKind::Route);
    assert!(text.contains("no route back to 10.50.0.0/16") && text.contains("create-route"), "{text}");
    for (target, expected) in [
        (RouteTarget::Blackhole, Some(ConditionResult::NotMet)),
        (RouteTarget::NatGateway("nat-1".to_owned()), Some(ConditionResult::NotMet)),
        (RouteTarget::InternetGateway, Some(ConditionResult::NotMet)),
        (RouteTarget::Other("pcx-1".to_owned()), Some(ConditionResult::Met)),
        (RouteTarget::Other("tgw-1".to_owned()), Some(ConditionResult::Met)),
        (RouteTarget::Other("vgw-1".to_owned()), Some(ConditionResult::Met)),
    ] {
        let mut evidence = evidence.clone();
        add_route(&mut evidence, "10.50.0.0/16", &target);
        let reachability = today(&facts(evidence), PEERED);
        assert_eq!(result(&reachability, ConditionKind::Route), expected, "{target:?}: {reachability:#?}");
        if target == RouteTarget::Blackhole {
            let (_, text) = obstacle(&reachability);
            assert!(text.contains("replace-route --region ap-northeast-2 --route-table-id rtb-"), "{text}");
        }
    }
    add_route(&mut evidence, "10.0.0.0/8", &RouteTarget::Other("pcx-1".to_owned()));
    let (kind, text) = obstacle(&today(&facts(evidence.clone()), PEERED));
    assert_eq!(kind, ConditionKind::SecurityGroups);
    assert!(text.contains("CidrIp=10.50.0.0/16"), "{text}");
    // A rule for a part of it: not known which address is used.
    let mut half = evidence.clone();
    add_rule(&mut half, (443, 443), RulePeer::Block(block("10.50.0.0/17")));
    let reachability = today(&facts(half.clone()), PEERED);
    assert_eq!(reachability.reaches(), Reaches::Unknown);
    let groups =
        reachability.conditions.iter().find(|one| one.kind == ConditionKind::SecurityGroups).unwrap();
    assert!(groups.why.contains("10.50.0.0/17"), "{groups:?}");
    add_rule(&mut half, (0, 65535), RulePeer::Block(block("10.50.128.0/17")));
    assert_eq!(today(&facts(half), PEERED).reaches(), Reaches::Yes);
    // A route for a part of it, which is a blackhole.
    add_route(&mut evidence, "10.50.7.0/24", &RouteTarget::Blackhole);
    let reachability = today(&facts(evidence), PEERED);
    assert_eq!(result(&reachability, ConditionKind::Route), Some(ConditionResult::Unknown));
}

#[test]
fn a_route_by_a_prefix_list_may_lead_back() {
    let mut evidence = evidence();
    let Observed::Seen(tables) = &mut evidence.network.route_tables else { unreachable!() };
    for table in tables {
        table.routes.push(Route { destination: None, target: RouteTarget::Other("tgw-1".to_owned()) });
    }
    let reachability = today(&facts(evidence), PEERED);
    assert_eq!(result(&reachability, ConditionKind::Route), Some(ConditionResult::Unknown));
}

#[test]
fn network_acls_are_stateless() {
    let deny = |is_outbound, cidr: &str, ports| AclEntry {
        number: 50,
        allows: false,
        ..allow(is_outbound, cidr, ports)
    };
    let at = |subnets: &[&str], entries: &[AclEntry], from: &str| {
        let mut evidence = evidence();
        let Observed::Seen(acls) = &mut evidence.network.network_acls else { unreachable!() };
        let mut own = acls[0].clone();
        own.id = "acl-2".to_owned();
        own.subnets = subnets.iter().map(|&subnet| subnet.to_owned()).collect();
        own.entries.extend(entries.iter().cloned());
        own.entries.sort_by_key(|entry| entry.number);
        acls.push(own);
        today(&facts(evidence), from)
    };
    let bastion_subnet = ["subnet-0b570066cb4c28a4d"];
    for (subnets, entry, expected) in [
        (&ENI_SUBNETS[..], deny(false, "192.168.11.0/24", (443, 443)), Reaches::No),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (1024, 65535)), Reaches::No),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (0, 1023)), Reaches::Yes),
        // Linux sends from 32768-60999.
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (1024, 32767)), Reaches::Yes),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (61000, 65535)), Reaches::Yes),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (32768, 60999)), Reaches::No),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (32768, 32768)), Reaches::Unknown),
        (&ENI_SUBNETS, deny(true, "192.168.11.10/32", (49152, 65535)), Reaches::Unknown),
        (&ENI_SUBNETS, deny(false, "192.168.11.10/32", (444, 65535)), Reaches::Yes),
        (&ENI_SUBNETS, deny(false, "192.168.12.0/24", (443, 443)), Reaches::Yes),
        // The other ENI is enough.
        (&ENI_SUBNETS[..1], deny(false, "0.0.0.0/0", (443, 443)), Reaches::Yes),
        (&bastion_subnet, deny(true, "0.0.0.0/0", (443, 443)), Reaches::No),
        (&bastion_subnet, deny(false, "192.168.0.0/16", (1024, 65535)), Reaches::No),
        (&bastion_subnet, deny(false, "0.0.0.0/0", (443, 443)), Reaches::Yes),
    ] {
        let reachability = at(subnets, std::slice::from_ref(&entry), BASTION);
        assert_eq!(reachability.reaches(), expected, "{subnets:?} {entry:?}: {reachability:#?}");
    }
    let (kind, text) = obstacle(&at(&ENI_SUBNETS, &[deny(false, "192.168.11.0/24", (443, 443))], BASTION));
    assert_eq!(kind, ConditionKind::NetworkAcl);
    assert!(text.contains("create-network-acl-entry") && text.contains("--rule-number 49"), "{text}");
    // What AWS recommends is admitted, not what Linux alone uses.
    let (_, text) = obstacle(&at(&ENI_SUBNETS, &[deny(true, "192.168.11.10/32", (32768, 60999))], BASTION));
    assert!(text.contains("denies outbound TCP ports 32768-60999, to which answers go,"), "{text}");
    assert!(text.contains("From=1024,To=65535") && text.contains("that AWS recommends"), "{text}");
    // A port that no answer goes to is all that it admits.
    let kubelet = [
        deny(true, "0.0.0.0/0", (0, 65535)),
        AclEntry { number: 10, ..allow(true, "0.0.0.0/0", (10250, 10250)) },
    ];
    assert_eq!(obstacle(&at(&ENI_SUBNETS, &kubelet, BASTION)).0, ConditionKind::NetworkAcl);
    // Within a subnet, none applies; n1 is beside an ENI.
    assert_eq!(at(&ENI_SUBNETS, &[deny(false, "0.0.0.0/0", (0, 65535))], "n1").reaches(), Reaches::Yes);
    // Ranges that allow it together.
    let halves = [
        deny(true, "0.0.0.0/0", (0, 65535)),
        AclEntry { number: 10, ..allow(true, "0.0.0.0/0", (1024, 40000)) },
        AclEntry { number: 20, ..allow(true, "0.0.0.0/0", (40001, 65535)) },
    ];
    assert_eq!(at(&ENI_SUBNETS, &halves, BASTION).reaches(), Reaches::Yes);
    // Blocks that allow it together.
    let mut peered = evidence();
    add_route(&mut peered, PEERED, &RouteTarget::Other("pcx-1".to_owned()));
    add_rule(&mut peered, (443, 443), RulePeer::Block(block(PEERED)));
    add_entry(&mut peered, deny(false, PEERED, (443, 443)));
    assert_eq!(obstacle(&today(&facts(peered.clone()), PEERED)).0, ConditionKind::NetworkAcl);
    add_entry(&mut peered, AclEntry { number: 1, ..allow(false, "10.50.0.0/17", (443, 443)) });
    assert_eq!(today(&facts(peered.clone()), PEERED).reaches(), Reaches::Unknown);
    add_entry(&mut peered, AclEntry { number: 2, ..allow(false, "10.50.128.0/17", (443, 443)) });
    assert_eq!(today(&facts(peered), PEERED).reaches(), Reaches::Yes);
}
