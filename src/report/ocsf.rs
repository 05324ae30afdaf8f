//! OCSF 1.6 Compliance Findings (class 2003), as Security Hub takes them.
//!
//! <https://schema.ocsf.io/1.6.0/classes/compliance_finding>

use std::io::{Result, Write};

use serde_json::{Value, json};
use uuid::Uuid;

use super::entry::{entries, id, unjudged};
use super::json::write_pretty;
use super::remediation::fill;
use crate::model::audit::Audit;
use crate::model::cluster::Cluster;
use crate::model::rule::{Rule, Severity};

/// Writes the report: findings, passes, and what could not be judged.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, out: &mut impl Write) -> Result<()> {
    let mut events = Vec::new();
    for entry in entries(audit) {
        let judged = entry.judged;
        let cluster = &entry.audited.facts.evidence.cluster;
        let mut event = event_of_rule(audit, judged.rule, &entry.fingerprint, judged.severity);
        event["compliance"]["status"] = "Fail".into();
        event["compliance"]["status_id"] = 3.into();
        event["message"] = entry.message_of_cluster().into();
        event["finding_info"]["desc"] = entry.message().into();
        event["remediation"]["desc"] = fill(judged.rule.remediation, &entry.audited.facts).into();
        if let Some(waiver) = judged.waived_by() {
            event["status"] = "Suppressed".into();
            event["status_id"] = 3.into();
            event["comment"] =
                format!("{}: {} (until {})", waiver.owner, waiver.reason, waiver.expires).into();
        }
        about(&mut event, cluster);
        events.push(event);
    }
    for audited in &audit.clusters {
        let judgment = &audited.judgment;
        let cluster = &audited.facts.evidence.cluster;
        for rule in audit.rules {
            let found = judgment.findings.iter().any(|judged| judged.rule.id == rule.id);
            let gap = judgment.gaps.iter().find(|judged| judged.rules.iter().any(|one| one.id == rule.id));
            // What was found is told above; that there may be more is told here.
            let is_told = found && gap.is_none();
            if is_told || judgment.off.iter().any(|off| off.id == rule.id) {
                continue;
            }
            let uid = id(&[Some("rule"), Some(rule.id), Some(cluster.subject())]);
            let mut event = event_of_rule(audit, rule, &uid, rule.severity);
            let (status, id, message) = match gap {
                None => ("Pass", 1, format!("{}: nothing found", cluster.name)),
                // A pass is what was seen.
                Some(judged) => {
                    ("Inconclusive", 99, format!("{}: not seen: {}", cluster.name, judged.gap.problem()))
                }
            };
            event["compliance"]["status"] = status.into();
            event["compliance"]["status_id"] = id.into();
            if id == 1 {
                event["severity"] = "Informational".into();
                event["severity_id"] = 1.into();
            }
            event["message"] = message.into();
            about(&mut event, cluster);
            events.push(event);
        }
    }
    for unseen in unjudged(audit) {
        let uid = id(&[Some("not-judged"), Some(unseen.subject)]);
        let mut event =
            event(audit, &uid, "describe-cluster", "A cluster could not be judged", Severity::High);
        event["compliance"]["status"] = "Inconclusive".into();
        event["compliance"]["status_id"] = 99.into();
        event["message"] = unseen.text.into();
        event["resources"] = json!([{ "uid": unseen.subject, "type": "AwsEksCluster" }]);
        events.push(event);
    }
    write_pretty(&events, out)
}

/// What every event of a rule has.
fn event_of_rule(audit: &Audit, rule: &Rule, uid: &Uuid, severity: Severity) -> Value {
    let mut event = event(audit, uid, rule.id, rule.summary, severity);
    event["compliance"]["desc"] = rule.summary.into();
    event["finding_info"]["desc"] = rule.why.into();
    event["remediation"] = json!({ "desc": rule.remediation, "references": [rule.reference] });
    event
}

/// What every event has.
fn event(audit: &Audit, uid: &Uuid, control: &str, title: &str, severity: Severity) -> Value {
    let (severity, severity_id) = match severity {
        Severity::Low => ("Low", 2),
        Severity::Medium => ("Medium", 3),
        Severity::High => ("High", 4),
        Severity::Critical => ("Critical", 5),
    };
    json!({
        "activity_id": 1, "activity_name": "Create",
        "category_uid": 2, "category_name": "Findings",
        "class_uid": 2003, "class_name": "Compliance Finding",
        "type_uid": 200_301, "type_name": "Compliance Finding: Create",
        "time": audit.time,
        "severity": severity, "severity_id": severity_id,
        "status": "New", "status_id": 1,
        "compliance": { "control": control, "standards": ["eks-netcheck"] },
        "finding_info": {
            "uid": uid.to_string(), "title": title, "created_time": audit.time, "types": ["eks-netcheck"],
        },
        "metadata": {
            "version": "1.6.0",
            "product": {
                "name": "eks-netcheck", "vendor_name": "eks-netcheck", "version": env!("CARGO_PKG_VERSION"),
            },
            "event_code": control,
        },
    })
}

/// The cluster that an event is about.
fn about(event: &mut Value, cluster: &Cluster) {
    let partition = cluster.arn.as_deref().and_then(|arn| arn.split(':').nth(1));
    let mut resource = json!({
        "uid": cluster.subject(), "name": cluster.name, "type": "AwsEksCluster",
    });
    if let (Some(region), Some(partition)) = (cluster.region(), partition) {
        resource["region"] = region.into();
        resource["cloud_partition"] = partition.into();
        event["metadata"]["profiles"] = json!(["cloud"]);
        event["cloud"] = json!({ "provider": "AWS", "region": region });
        if let Some(account) = cluster.account() {
            event["cloud"]["account"] = json!({ "uid": account });
        }
    }
    event["resources"] = json!([resource]);
}
