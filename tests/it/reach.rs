//! How much of the internet `publicAccessCidrs` covers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use eks_netcheck::classify::Classifier;
use eks_netcheck::evidence::directory::EvidenceDir;
use eks_netcheck::model::cluster::EndpointAccess;
use eks_netcheck::model::expectations::Expectations;
use eks_netcheck::model::facts::Facts;
use eks_netcheck::model::rule::Outcome;
use eks_netcheck::rules;
use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, story};

/// An audit of a public-and-private cluster with these blocks: which of the two rules
/// fires, and its message.
fn audit(cidrs: &Value) -> (String, String) {
    let copy = copy_of("private-only");
    let path = copy.path().join("cluster.json");
    let mut cluster: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let config = &mut cluster["cluster"]["resourcesVpcConfig"];
    config["endpointPublicAccess"] = true.into();
    config["publicAccessCidrs"] = cidrs.clone();
    std::fs::write(&path, cluster.to_string()).unwrap();
    let (report, _) = Netcheck::audit(copy.path()).json();
    let findings = report["findings"].as_array().unwrap().iter();
    let word = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let found: Vec<_> = findings
        .filter(|finding| word(finding, "rule").starts_with("public-endpoint-"))
        .map(|finding| (word(finding, "rule"), word(finding, "message")))
        .collect();
    let [only] = found.as_slice() else { panic!("{cidrs}: {found:?}") };
    only.clone()
}

#[test]
fn forty_wide_blocks_are_the_internet() {
    let forty: Vec<_> = (0..40).map(|number| format!("{}.0.0.0/8", number * 2)).collect();
    let (rule, message) = audit(&json!(forty));
    assert_eq!(rule, "public-endpoint-open");
    let sum = "the 40 blocks of publicAccessCidrs together have 671,088,640 addresses";
    assert!(message.ends_with(sum), "{message}");
    // The offices and CI runners of a company.
    let forty: Vec<_> = (0..40).map(|number| format!("20.{}.0.0/16", number * 2)).collect();
    assert_eq!(audit(&json!(forty)).0, "public-endpoint-enabled");
}

#[test]
fn ipv4_written_as_ipv6_is_ipv4() {
    for cidrs in [json!(["::ffff:0:0/96"]), json!(["::ffff:0.0.0.0/97", "128.0.0.0/1"]), json!(["::/0"])] {
        assert_eq!(audit(&cidrs).0, "public-endpoint-open", "{cidrs}");
    }
    let (rule, message) = audit(&json!(["::ffff:203.0.113.0/120"]));
    assert_eq!(rule, "public-endpoint-enabled");
    assert!(message.starts_with("203.0.113.0/24 can reach"), "{message}");
}

#[test]
fn a_policy_with_mapped_blocks_allows_the_same_blocks() {
    let dir = crate::common::scratch();
    let text = "[[allowed-cidr]]\ncidr = \"::ffff:203.0.113.0/120\"\nowner = \"o\"\nreason = \"r\"\n";
    std::fs::write(dir.path().join("eks-netcheck.toml"), text).unwrap();
    // The cluster admits 203.0.113.0/24.
    let (report, _) = Netcheck::audit(&story("public-and-private-stale")).dir(dir.path()).json();
    let rules: Vec<_> = report["findings"].as_array().unwrap().iter().map(|one| &one["rule"]).collect();
    assert!(rules.iter().any(|rule| *rule == "public-endpoint-enabled"), "{rules:?}");
    assert!(rules.iter().all(|rule| *rule != "cidr-not-allowed"), "{rules:?}");
}

fn facts() -> Facts {
    let dir = EvidenceDir::open(&story("public-and-private-stale")).unwrap();
    Classifier::new(dir.read("myeks").unwrap()).finish(Vec::new())
}

fn outcome(id: &str, facts: &Facts, expected: &Expectations) -> Outcome {
    let rule = rules::ALL.into_iter().find(|rule| rule.id == id).unwrap();
    (rule.check)(facts, expected)
}

fn block() -> impl Strategy<Value = IpNet> {
    let v4 = (any::<u32>(), 0u8..=32).prop_map(|(bits, prefix)| (IpAddr::V4(Ipv4Addr::from(bits)), prefix));
    let v6 = (any::<u128>(), 0u8..=128).prop_map(|(bits, prefix)| (IpAddr::V6(Ipv6Addr::from(bits)), prefix));
    let mapped = (any::<u32>(), 96u8..=128)
        .prop_map(|(bits, prefix)| (IpAddr::V6(Ipv4Addr::from(bits).to_ipv6_mapped()), prefix));
    prop_oneof![4 => v4, 1 => v6, 1 => mapped]
        .prop_map(|(address, prefix)| IpNet::new(address, prefix).unwrap().trunc())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// While public access is on, exactly one of the two rules fires, whatever the blocks
    /// and the policy.
    #[test]
    fn a_public_endpoint_is_either_open_or_restricted(
        cidrs in prop::collection::vec(block(), 0..40),
        widest_v4 in 0u8..=32,
        widest_v6 in 0u8..=128,
    ) {
        let mut facts = facts();
        let expected = Expectations { widest_v4, widest_v6, ..Expectations::default() };
        facts.evidence.cluster.access = EndpointAccess::PublicAndPrivate { cidrs };
        let open = outcome("public-endpoint-open", &facts, &expected);
        let enabled = outcome("public-endpoint-enabled", &facts, &expected);
        prop_assert_eq!(open.findings.len() + enabled.findings.len(), 1);
        facts.evidence.cluster.access = EndpointAccess::Private;
        for rule in ["public-endpoint-open", "public-endpoint-enabled"] {
            prop_assert_eq!(outcome(rule, &facts, &expected), Outcome::pass());
        }
    }
}
