//! Long texts.

use std::path::Path;

use serde_json::json;

use super::{Kind, assert_linear, audit, edit_list, write};
use crate::common::edit_json;

/// Long texts.
const TEXTS: [Kind; 16] = [
    ("dots in a DNS answer", 30_000, |dir, items| write(dir, "dns/n1.txt", &".".repeat(items))),
    ("a long DNS answer", 30_000, |dir, items| write(dir, "dns/n1.txt", &"a.example. ".repeat(items / 11))),
    ("a requester id", 30_000, |dir, items| interface(dir, "RequesterId", &"r".repeat(items))),
    ("a requester id with blanks", 30_000, |dir, items| {
        interface(dir, "RequesterId", &"r ".repeat(items / 2));
    }),
    ("a requester id with colons", 30_000, |dir, items| interface(dir, "RequesterId", &":".repeat(items))),
    ("a requester id of control characters", 10_000, |dir, items| {
        interface(dir, "RequesterId", &"\u{1b}".repeat(items));
    }),
    ("a requester id of wide characters", 10_000, |dir, items| {
        interface(dir, "RequesterId", &"한".repeat(items));
    }),
    ("a requester id of joined characters", 10_000, |dir, items| {
        interface(dir, "RequesterId", &format!("e{}", "\u{301}".repeat(items)));
    }),
    ("the description of an interface", 30_000, |dir, items| {
        interface(dir, "Description", &format!("Amazon EKS {}", "x".repeat(items)));
    }),
    ("the id of an interface", 30_000, |dir, items| {
        interface(dir, "NetworkInterfaceId", &"x".repeat(items));
    }),
    ("the zone of an interface", 30_000, |dir, items| {
        interface(dir, "AvailabilityZone", &"x".repeat(items));
    }),
    ("a tag", 30_000, |dir, items| {
        edit_list(dir, "instances.json", "/Reservations/0/Instances/0/Tags", |tags| {
            tags.push(json!({"Key": "Name", "Value": "x ".repeat(items / 2)}));
        });
    }),
    ("the status of the cluster", 30_000, |dir, items| {
        edit_json(dir, "cluster.json", |json| json["cluster"]["status"] = "x ".repeat(items / 2).into());
    }),
    ("the egress mode of the control plane", 30_000, |dir, items| {
        edit_json(dir, "cluster.json", |json| {
            json["cluster"]["resourcesVpcConfig"]["controlPlaneEgressMode"] = "x".repeat(items).into();
        });
    }),
    ("the detail of a gap", 30_000, |dir, items| {
        let gap = json!({"what": "x".repeat(items), "why": "failed", "detail": ".".repeat(items), "hint": "x ".repeat(items)});
        write(dir, "manifest.json", &json!({"gaps": [gap]}).to_string());
    }),
    ("the reason of a waiver", 30_000, |dir, items| {
        let reason = "x. ".repeat(items / 3 + 1);
        write(
            dir,
            "eks-netcheck.toml",
            &format!(
                "[[waiver]]\nrule = \"node-on-public-path\"\nresource = \"*\"\nreason = \"{reason}\"\nowner = \"o\"\nexpires = 2999-01-01\n"
            ),
        );
    }),
];

/// Sets an attribute of the first EKS-owned ENI.
fn interface(dir: &Path, attribute: &str, value: &str) {
    edit_list(dir, "network-interfaces.json", "/NetworkInterfaces", |list| list[0][attribute] = value.into());
}

#[test]
fn time_is_linear_in_the_length_of_texts() {
    assert_linear(&audit(), &TEXTS);
}
