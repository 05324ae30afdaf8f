//! The controls of standards: which rules belong to which, and whether a cluster meets them.

use std::collections::{BTreeMap, BTreeSet};

use eks_netcheck::model::compliance::{Mapping, Standard};
use eks_netcheck::rules::ALL;

/// The rules that belong to a control other than by our own mapping.
fn rules_of(standard: Standard, id: &str) -> BTreeSet<&'static str> {
    let has = |rule: &&&eks_netcheck::model::rule::Rule| {
        rule.controls.iter().any(|control| {
            (control.standard, control.id) == (standard, id) && control.mapping != Mapping::Own
        })
    };
    ALL.iter().filter(has).map(|rule| rule.id).collect()
}

/// The controls that fail on any public access belong to the two rules that report it,
/// and to no other; those that AWS relates to EKS.1 are the same everywhere.
#[test]
fn controls_belong_to_the_rules_that_check_the_same() {
    let any = BTreeSet::from(["public-endpoint-open", "public-endpoint-enabled"]);
    for (standard, id) in [
        (Standard::AwsFsbp, "EKS.1"),
        (Standard::AwsConfig, "eks-endpoint-no-public-access"),
        (Standard::ControlTower, "CT.EKS.PR.1"),
        (Standard::PciDss, "1.4.4"),
    ] {
        assert_eq!(rules_of(standard, id), any, "{id}");
    }
    // The list of Security Hub's page on EKS.1.
    let related = [
        "AC-21", "AC-3", "AC-3(7)", "AC-4", "AC-4(21)", "AC-6", "SC-7", "SC-7(11)", "SC-7(16)", "SC-7(20)",
        "SC-7(21)", "SC-7(3)", "SC-7(4)", "SC-7(9)",
    ];
    for rule in ALL {
        let nist = rule.controls.iter().filter(|control| control.mapping == Mapping::Aws);
        let nist: BTreeSet<_> =
            nist.filter(|one| one.standard == Standard::Nist80053).map(|one| one.id).collect();
        let expected = if any.contains(rule.id) { related.into() } else { BTreeSet::new() };
        assert_eq!(nist, expected, "{}", rule.id);
    }
    let restrict = BTreeSet::from(["public-endpoint-open", "private-endpoint-disabled"]);
    assert_eq!(rules_of(Standard::CisEks, "5.4.1"), restrict);
    let private =
        BTreeSet::from(["public-endpoint-open", "public-endpoint-enabled", "private-endpoint-disabled"]);
    assert_eq!(rules_of(Standard::CisEks, "5.4.2"), private);
}

/// A control has one title, wherever it is named, and a rule names it once.
#[test]
fn controls_are_named_alike_and_once() {
    let mut titles = BTreeMap::new();
    for rule in ALL {
        let mut ids = BTreeSet::new();
        for control in rule.controls {
            assert!(ids.insert((control.standard, control.id)), "{} names {} twice", rule.id, control.id);
            let title = titles.entry((control.standard, control.id)).or_insert(control.title);
            assert_eq!(*title, control.title, "{}", control.id);
            // Only what AWS publishes or the control itself asks is more than our own mapping.
            let is_nist = control.standard == Standard::Nist80053;
            assert!(is_nist || control.mapping != Mapping::Own, "{}: {}", rule.id, control.id);
        }
    }
    let ids: BTreeSet<_> = Standard::ALL.iter().map(|standard| standard.id()).collect();
    assert_eq!(ids.len(), Standard::ALL.len());
}
