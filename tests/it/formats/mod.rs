//! The report formats of CI systems: their content, and whether their consumers
//! accept them.

mod every_format;
mod github;
mod identity;
mod junit;
mod sarif;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common::{Netcheck, copy_of};

/// A policy with which rules have different outcomes: finding, waived, off,
/// inconclusive.
const MIXED: &str = r#"
[[waiver]]
rule = "public-endpoint-open"
resource = "*"
reason = "moves <behind> the VPN"
owner = "platform"
expires = 9999-12-31
[rules]
control-plane-enis-missing = "off"
unattributed-connection = "high"
"#;

/// An audit's standard output in a format.
fn written(evidence: &Path, format: &str, args: &[&str]) -> String {
    Netcheck::audit(evidence).args(args).args(&["--format", format]).run().stdout
}

/// The same, parsed as JSON.
fn parsed(evidence: &Path, format: &str, args: &[&str]) -> Value {
    serde_json::from_str(&written(evidence, format, args)).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A copy of a story without one node's capture, and the arguments that select the
/// policy `MIXED`.
pub(crate) fn mixed() -> (tempfile::TempDir, [String; 2]) {
    let copy = copy_of("study-public");
    fs::remove_file(copy.path().join("nodes/n1.txt")).unwrap();
    let policy = copy.path().join("eks-netcheck.toml");
    fs::write(&policy, MIXED).unwrap();
    (copy, ["--policy".to_owned(), policy.into_os_string().into_string().unwrap()])
}

/// A story with hostile process names, whose cluster name is hostile to every format.
pub(crate) fn hostile() -> tempfile::TempDir {
    let name = "www.evil.example \u{ffff}##[error]x\u{1b}[2J\r\n::error::<script>|[a](http://b)**c**]]>&amp;%0A@me #1`d`\u{202e}\u{0}";
    let copy = copy_of("hostile-names");
    let path = copy.path().join("cluster.json");
    let mut cluster: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    cluster["cluster"]["name"] = name.into();
    cluster["cluster"]["arn"] = format!("arn:aws:eks:ap-northeast-2:111122223333:cluster/{name}").into();
    fs::write(&path, cluster.to_string()).unwrap();
    copy
}

/// An audit of the cluster in a directory, whatever its name.
pub(crate) fn audit_of(dir: &Path) -> Netcheck {
    let cluster: Value = serde_json::from_slice(&fs::read(dir.join("cluster.json")).unwrap()).unwrap();
    // A NUL cannot be passed in an argument: remove it from both.
    let name = text(&cluster["cluster"]["name"]).replace('\0', "");
    let path = dir.join("cluster.json");
    fs::write(&path, cluster.to_string().replace("\\u0000", "")).unwrap();
    Netcheck::new(["audit", "--cluster", &name, "--evidence"]).arg(dir)
}
