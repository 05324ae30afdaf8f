//! SARIF: its schema, and what GitHub requires.

use std::fs;

use super::{list, parsed, text};
use crate::common::{Netcheck, root, story, subdirs};

#[test]
fn sarif_matches_the_schema_and_githubs_requirements() {
    let schema = fs::read_to_string(root().join("fixtures/schemas/sarif-2.1.0.schema.json")).unwrap();
    // One of its patterns is valid in JavaScript only.
    let schema = schema.replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}$");
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    for name in subdirs(&root().join("fixtures/evidence")) {
        let dir = story(&name);
        let (report, code) = Netcheck::audit(&dir).json();
        let log = parsed(&dir, "sarif", &[]);
        let errors: Vec<_> = schema.iter_errors(&log).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let run = &log["runs"][0];
        let rules = list(&run["tool"]["driver"]["rules"]);
        let results = list(&run["results"]);
        assert_eq!(results.len(), list(&report["findings"]).len(), "{name}");
        for result in results {
            let location = &result["locations"][0]["physicalLocation"];
            assert_eq!(location["artifactLocation"]["uri"], "eks-netcheck.toml", "{name}");
            assert_eq!(location["region"]["startLine"], 1, "{name}");
            let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
            assert_eq!(rule["id"], result["ruleId"]);
        }
        // A cluster that fails may have gaps as well.
        let is_successful = run["invocations"][0]["executionSuccessful"].as_bool().unwrap();
        assert!(code == 1 || is_successful == (code == 0), "{name}");
    }
    let log = parsed(&story("study-public"), "sarif", &[]);
    for rule in list(&log["runs"][0]["tool"]["driver"]["rules"]) {
        for field in ["/shortDescription/text", "/fullDescription/text"] {
            assert!((1..=1024).contains(&text(rule.pointer(field).unwrap()).len()), "{rule}");
        }
        // GitHub expects a number in a string.
        let score: f64 = text(&rule["properties"]["security-severity"]).parse().unwrap();
        assert!((0.1..=10.0).contains(&score));
        assert!(list(&rule["properties"]["tags"]).contains(&"security".into()));
    }
}
