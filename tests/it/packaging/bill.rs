//! The bill of materials.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::{DIST, stem, succeeds, validator};
use crate::common::{root, scratch};

/// A bill of materials that fits the schema.
pub(super) fn bill(text: &str) -> Value {
    let dir = scratch();
    let path = dir.path().join("bill.json");
    fs::write(&path, text).unwrap();
    let check = "import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
sys.exit(error and str(error))";
    succeeds(validator("python").args(["-c", check]).arg(&path));
    serde_json::from_str(text).unwrap()
}

pub(super) fn named<'a>(bill: &'a Value, name: &str) -> &'a Value {
    bill["components"].as_array().unwrap().iter().find(|component| component["name"] == name).unwrap()
}

#[test]
fn the_bill_of_materials_lists_what_is_in_the_binary() {
    let bill = bill(&DIST.text(&format!("{}.cdx.json", stem())));
    let listed: BTreeSet<_> = bill["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|component| {
            assert!(component["licenses"][0]["expression"].is_string(), "{component}");
            format!("{}-{}", component["name"].as_str().unwrap(), component["version"].as_str().unwrap())
        })
        .collect();
    // Places of panics have the crate in their path.
    let binary = fs::read(&DIST.binary).unwrap();
    let mut seen = BTreeSet::new();
    for at in memchr::memmem::find_iter(&binary, "/registry/src/") {
        let path = &binary[at..(at + 200).min(binary.len())];
        let parts: Vec<_> = path.split(|&byte| byte == b'/').take(5).collect();
        if let [_, _, _, _, krate] = parts[..] {
            seen.insert(String::from_utf8_lossy(krate).into_owned());
        }
    }
    assert!(seen.len() > 50, "{seen:?}");
    // The profile dev has the features that crates of the tests turn on: this one is hashbrown's.
    let of_tests = |name: &&String| name.starts_with("allocator-api2-");
    let missing: Vec<_> = seen.difference(&listed).filter(|name| !of_tests(name)).collect();
    assert!(missing.is_empty(), "in the binary, not in the bill: {missing:?}");
    // Nothing that is not in it: crates of the tests, of features that are off, and of the compiler.
    for name in ["insta-", "proptest-", "ring-", "openssl-sys-", "syn-", "serde_derive-"] {
        assert!(!listed.iter().any(|one| one.starts_with(name)), "{name}");
    }
    let locked: toml::Value =
        toml::from_str(&fs::read_to_string(root().join("Cargo.lock")).unwrap()).unwrap();
    let locked = locked["package"].as_array().unwrap();
    let checksum =
        locked.iter().find(|one| one["name"].as_str() == Some("aws-sdk-ec2")).unwrap()["checksum"].as_str();
    assert_eq!(named(&bill, "aws-sdk-ec2")["hashes"][0]["content"].as_str(), checksum);
    for name in ["glibc", "rust-std"] {
        assert!(named(&bill, name)["version"].is_string());
    }
    // Every component is in the graph, and is reached from the tool.
    let graph: BTreeMap<_, _> = bill["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["ref"].as_str().unwrap(), one["dependsOn"].as_array().cloned().unwrap_or_default()))
        .collect();
    let mut reached = BTreeSet::new();
    let mut left = vec![bill["metadata"]["component"]["bom-ref"].as_str().unwrap()];
    while let Some(one) = left.pop() {
        if reached.insert(one) {
            left.extend(graph[one].iter().map(|other| other.as_str().unwrap()));
        }
    }
    for component in bill["components"].as_array().unwrap() {
        assert!(reached.contains(component["bom-ref"].as_str().unwrap()), "{component}");
    }
    // The package that Debian has the static C library in, which has the fixes of its version.
    let query = ["--show", "--showformat=${Version}", "libc6-dev"];
    let package = succeeds(Command::new("dpkg-query").args(query));
    let glibc = named(&bill, "glibc");
    assert_eq!(glibc["version"], package.as_str());
    let start = format!("/libc6-dev@{}?arch=", package.replace('+', "%2B").replace(':', "%3A"));
    let purl = glibc["purl"].as_str().unwrap();
    assert!(purl.starts_with("pkg:deb/") && purl.contains(&start), "{purl}");
}
