//! Audits of many clusters in one run, across regions and accounts, with one verdict.

mod failures;
mod reports;
mod selection;

use std::path::PathBuf;

use eks_netcheck_lab::aws::{Account, Api};
use serde_json::{Value, json};

use crate::common::{Netcheck, root, story};

const REGIONS: [&str; 2] = ["ap-northeast-2", "eu-west-1"];

/// An account whose clusters are copies of a story's, with the given names.
fn account(story_name: &str, id: &str, region: &str, names: &[&str]) -> Account {
    let mut account = Account::from_evidence(&story(story_name)).unwrap();
    let original = account.clusters.remove("myeks").unwrap();
    for name in names {
        let mut cluster = original.clone();
        cluster["name"] = json!(name);
        cluster["arn"] = json!(format!("arn:aws:eks:{region}:{id}:cluster/{name}"));
        account.clusters.insert((*name).to_owned(), cluster);
    }
    account.id = id.into();
    account.regions = REGIONS.map(str::to_owned).to_vec();
    account
}

/// The account of the run's own credentials.
const HERE: &str = "111122223333";

/// An AWS with `private` clusters in two regions.
fn two_regions() -> Api {
    let aws = Api::serve(account("private-only", HERE, REGIONS[0], &["a", "b"])).unwrap();
    aws.set_account_in(REGIONS[1], account("private-only", HERE, REGIONS[1], &["b", "c"]));
    aws
}

fn audit(aws: &Api, args: &[&str]) -> Netcheck {
    Netcheck::new(["audit", "--nodes", "none"])
        .args(args)
        .env("AWS_ENDPOINT_URL", &aws.url())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .env("AWS_REGION", REGIONS[0])
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        // The endpoints' names do not resolve: judge only what AWS answers.
        .arg("--policy")
        .arg(policy())
}

/// A policy without the rules that need DNS answers.
fn policy() -> PathBuf {
    root().join("tests/it/fleet.toml")
}

/// Checks a combined report against its schema; `region name verdict` of each cluster.
fn reports(report: &Value) -> Vec<String> {
    let schema = root().join("src/report/reports.v1.schema.json");
    let schema = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let errors: Vec<_> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(report)
        .map(|error| error.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(report["schema"], "eks-netcheck.reports.v1");
    let all = report["reports"].as_array().unwrap().iter();
    all.map(|one| {
        let word = |key: &str| one["cluster"][key].as_str().unwrap().to_owned();
        format!("{} {} {}", word("region"), word("name"), one["verdict"].as_str().unwrap())
    })
    .collect()
}

/// The subject and reason of each cluster or region that could not be judged.
fn unjudged(report: &Value) -> Vec<(&str, &str)> {
    let all = report["unjudged"].as_array().unwrap().iter();
    all.map(|one| (one["subject"].as_str().unwrap(), one["why"].as_str().unwrap())).collect()
}
