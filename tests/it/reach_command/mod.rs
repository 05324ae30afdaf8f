//! `reach` as its users meet it: tables, JSON, exit codes, and arguments that are wrong.

mod evidence;
#[cfg(feature = "live")]
mod live;
mod nodes;
mod places;
mod report;

use std::ffi::OsStr;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::{Netcheck, copy_of, edit_json};

fn reach(dir: &Path, from: &str) -> Netcheck {
    let args = [OsStr::new("reach"), OsStr::new("--cluster"), OsStr::new("myeks"), OsStr::new("--evidence")];
    Netcheck::new(args).arg(dir).args(&["--from", from])
}

/// The evidence of a private-only cluster with network ACLs.
fn with_acls() -> tempfile::TempDir {
    let copy = copy_of("private-only");
    let entry = |number: u32, egress: bool, action: &str| json!({"RuleNumber": number, "Egress": egress, "RuleAction": action, "Protocol": "-1", "CidrBlock": "0.0.0.0/0"});
    let subnets: Value =
        serde_json::from_slice(&std::fs::read(copy.path().join("subnets.json")).unwrap()).unwrap();
    let of_subnet = |subnet: &Value| json!({"SubnetId": subnet["SubnetId"]});
    let associations: Vec<_> = subnets["Subnets"].as_array().unwrap().iter().map(of_subnet).collect();
    let acl = json!({"NetworkAcls": [{
        "NetworkAclId": "acl-0a1b2c3d4e5f60718", "VpcId": "vpc-0743da384fd1e48f4", "IsDefault": true,
        "Associations": associations,
        "Entries": [entry(100, false, "allow"), entry(100, true, "allow"), entry(32767, false, "deny"), entry(32767, true, "deny")],
    }]});
    std::fs::write(copy.path().join("network-acls.json"), acl.to_string()).unwrap();
    copy
}

fn without_the_bastion(dir: &Path) {
    edit_json(dir, "security-groups.json", |json| {
        for group in json["SecurityGroups"].as_array_mut().unwrap() {
            group["IpPermissions"].as_array_mut().unwrap().retain(|rule| rule["FromPort"] != 443);
        }
    });
}

fn step<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap()
}
