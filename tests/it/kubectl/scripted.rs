//! What a kubectl prints that is not as it should be: a script instead of it.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::aws::Aws;

/// It is stopped as soon as the limit is passed: it would block on the pipe.
#[test]
fn a_kubectl_that_prints_without_end_is_stopped_at_once() {
    let dir = scratch();
    let script = r#"#!/bin/sh
cd "${0%/*}"
trap 'date +%s%N >ended; exit 1' TERM
date +%s%N >began
yes >&2 &
wait
"#;
    let path = dir.path().join("kubectl");
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let aws = Aws::of("study-public");
    let run = aws.run("audit").args(&["--nodes", "kubectl", "--node", "n1", "--timeout", "8"]);
    let ran = run.args(&["--format", "json"]).env("PATH", &path).run();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
    let gaps = gaps(&report, "node n1");
    let gap = gaps.first().unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(gap["why"], "too-much-output", "{gap}");
    let time = |name: &str| {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        text.trim().parse::<u64>().unwrap()
    };
    let took = Duration::from_nanos(time("ended") - time("began"));
    assert!(took < Duration::from_secs(3), "{took:?}");
}
