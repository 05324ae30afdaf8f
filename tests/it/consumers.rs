//! Reports are accepted by the validators of the programs that read them.
//!
//! `tests/validate --install` installs the validators, from `PyPI` and npm. They are
//! needed with the feature `live` only, so that the tests without it need nothing but
//! Rust.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Netcheck, root, scratch, story, subdirs};
use crate::formats::{audit_of, hostile, mixed};

#[test]
fn formats_are_accepted_by_their_consumers() {
    let dir = scratch();
    let write = |run: Netcheck, name: &str| {
        let file = |format: &str, extension: &str| {
            format!("{format}={}", dir.path().join(format!("{name}.{extension}")).display())
        };
        let ran = run
            .args(&["--write", &file("sarif", "sarif"), "--write", &file("junit", "xml")])
            .args(&["--write", &file("ocsf", "ocsf.json")])
            .run();
        assert!(ran.code == 0 || ran.code == 1 || ran.code == 3, "{name}: {}", ran.stderr);
    };
    for name in subdirs(&root().join("fixtures/evidence")) {
        write(Netcheck::audit(&story(&name)), &name);
    }
    let (copy, policy) = mixed();
    write(Netcheck::audit(copy.path()).args(&policy.each_ref().map(String::as_str)), "mixed");
    let hostile = hostile();
    write(audit_of(hostile.path()), "hostile");
    let (accepted, output) = validate(dir.path());
    assert!(accepted, "{output}");
    // They also reject reports: each of these lacks something required.
    let change = |name: &str, from: &str, to: &str| {
        let path = dir.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name} does not contain {from}");
        fs::write(path, text.replace(from, to)).unwrap();
    };
    change("mixed.sarif", "\"locations\"", "\"relatedLocations\"");
    change("mixed.xml", "<testcase name=", "<testcase nome=");
    change("mixed.ocsf.json", "\"finding_info\"", "\"finding\"");
    let (accepted, output) = validate(dir.path());
    assert!(!accepted);
    for file in ["mixed.sarif", "mixed.xml", "mixed.ocsf.json"] {
        assert!(output.contains(file), "{output}");
    }
    assert!(!output.contains("hostile"), "{output}");
}

/// Whether the validators accept all reports in a directory, and their output.
fn validate(dir: &Path) -> (bool, String) {
    let output = Command::new(root().join("tests/validate")).arg(dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}
