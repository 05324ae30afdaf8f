//! `simulate`: its verdicts, and its reports.

mod every_change;
mod lists;
mod plan;
mod refusals;
mod reports;
mod verdicts;

use serde_json::Value;

use crate::common::{Netcheck, Ran, root};

fn run(dir: &std::path::Path, args: &[&str]) -> Ran {
    Netcheck::new(["simulate", "--cluster", "myeks", "--evidence"]).arg(dir).args(args).run()
}

fn json(dir: &std::path::Path, args: &[&str]) -> (Value, i32) {
    let ran = run(dir, &[args, &["--format", "json"]].concat());
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    is_valid(&report);
    (report, ran.code)
}

/// Validates a JSON report against its schema.
fn is_valid(report: &Value) {
    let schema = root().join("src/report/simulation.v1.schema.json");
    let schema = std::fs::read_to_string(schema).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<_> = schema.iter_errors(report).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn client<'a>(report: &'a Value, name: &str) -> &'a Value {
    let clients = report["clients"].as_array().unwrap();
    clients.iter().find(|client| client["name"] == name).unwrap_or_else(|| panic!("{name}: {clients:#?}"))
}
