//! Reports are accepted by the validators of the programs that read them.
//!
//! `tests/validate --install` installs the validators, from `PyPI` and npm. They are
//! needed with the feature `live` only, so that the tests without it need nothing but
//! Rust.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Netcheck, root, scratch, story, subdirs};
use crate::docs::code_block;
use crate::formats::{audit_of, hostile, mixed};

/// The documented alerts fire where they should, and nowhere else.
const ALERTS: &str = r#"
rule_files: [alerts.rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'eks_netcheck_run_verdict{verdict="fail"}', values: "1+0x200"}
      - {series: 'eks_netcheck_run_verdict{verdict="inconclusive"}', values: "0+0x200"}
      - {series: 'eks_netcheck_last_run_timestamp_seconds', values: "0+0x6000"}
      - {series: 'eks_netcheck_findings{cluster="c",region="r",account="a",rule="public-endpoint-open",severity="high"}', values: "0+0x200"}
      - {series: 'eks_netcheck_node_traffic_nodes{cluster="c",region="r",account="a",path="mixed"}', values: "3+0x200"}
      - {series: 'eks_netcheck_node_traffic_nodes{cluster="c",region="r",account="a",path="public"}', values: "0+0x200"}
      - {series: 'eks_netcheck_certificate_expiry_timestamp_seconds{cluster="c",ca="cluster",target="endpoint"}', values: "1300000+0x200"}
    alert_rule_test:
      - {eval_time: 10m, alertname: EksNetcheckFails, exp_alerts: [{exp_labels: {verdict: fail}}]}
      - {eval_time: 3h, alertname: EksNetcheckInconclusive, exp_alerts: []}
      - {eval_time: 10m, alertname: EksNetcheckDoesNotRun, exp_alerts: []}
      - {eval_time: 49h, alertname: EksNetcheckDoesNotRun, exp_alerts: [{exp_labels: {}}]}
      - {eval_time: 10m, alertname: EksPublicEndpointOpen, exp_alerts: []}
      - {eval_time: 10m, alertname: EksNodesOnPublicEndpoint, exp_alerts: [{exp_labels: {cluster: c, region: r, account: a}}]}
      - {eval_time: 0m, alertname: EksCertificateExpires, exp_alerts: []}
      - {eval_time: 3h, alertname: EksCertificateExpires, exp_alerts: []}
  - interval: 1m
    input_series:
      - {series: 'eks_netcheck_run_verdict{verdict="inconclusive"}', values: "1+0x200"}
      - {series: 'eks_netcheck_findings{cluster="c",region="r",account="a",rule="public-endpoint-open",severity="high"}', values: "1+0x200"}
      - {series: 'eks_netcheck_certificate_expiry_timestamp_seconds{cluster="c",ca="cluster",target="endpoint"}', values: "1200000+0x200"}
    alert_rule_test:
      - {eval_time: 1h, alertname: EksNetcheckInconclusive, exp_alerts: []}
      - {eval_time: 3h, alertname: EksNetcheckInconclusive, exp_alerts: [{exp_labels: {verdict: inconclusive}}]}
      - {eval_time: 3h, alertname: EksNetcheckDoesNotRun, exp_alerts: [{exp_labels: {}}]}
      - {eval_time: 3h, alertname: EksPublicEndpointOpen, exp_alerts: [{exp_labels: {cluster: c, region: r, account: a}}]}
      - {eval_time: 3h, alertname: EksCertificateExpires, exp_alerts: [{exp_labels: {cluster: c, ca: cluster, target: endpoint}}]}
"#;

#[test]
fn formats_are_accepted_by_their_consumers() {
    let dir = scratch();
    let write = |run: Netcheck, name: &str| {
        let file = |format: &str, extension: &str| {
            format!("{format}={}", dir.path().join(format!("{name}.{extension}")).display())
        };
        let ran = run
            .args(&["--write", &file("sarif", "sarif"), "--write", &file("junit", "xml")])
            .args(&["--write", &file("ocsf", "ocsf.json"), "--write", &file("asff", "asff.json")])
            .args(&["--write", &file("openmetrics", "prom")])
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
    fs::write(dir.path().join("alerts.rules.yml"), code_block("docs/report.md", "alerts")).unwrap();
    fs::write(dir.path().join("alerts.test.yml"), ALERTS).unwrap();
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
    change("mixed.asff.json", "\"GeneratorId\"", "\"Generator\"");
    change("mixed.prom", "# TYPE eks_netcheck_findings gauge", "# TYPE eks_netcheck_findings info");
    change("alerts.test.yml", "alertname: EksNetcheckFails", "alertname: EksNetcheckInconclusive");
    let (accepted, output) = validate(dir.path());
    assert!(!accepted);
    let changed =
        ["mixed.sarif", "mixed.xml", "mixed.ocsf.json", "mixed.asff.json", "mixed.prom", "alerts.test.yml"];
    for file in changed {
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
