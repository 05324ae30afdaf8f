//! OCSF 1.6 Compliance Findings (class 2003): a JSON array that is written cluster by
//! cluster. Nothing is kept.
//!
//! <https://schema.ocsf.io/1.6.0/classes/compliance_finding>

use std::io::{Result, Write};

use serde_json::{Value, json};
use uuid::Uuid;

use super::compliance::{requirement, standards};
use super::entry::{Entry, KNOWN, Unseen, id, justification};
use super::format::{AuditFormat, ReportWriter};
use super::node_traffic;
use super::pretty::Array;
use super::remediation::Remediations;
use super::via::read_by;
use crate::model::audit::{Audited, Summary};
use crate::model::cluster::Cluster;
use crate::model::compliance::Control;
use crate::model::rule::{Rule, Severity};

/// The format.
pub(super) const FORMAT: AuditFormat = AuditFormat {
    name: "ocsf",
    help: "OCSF Compliance Findings (2003), as a JSON array",
    write: |settings| {
        Box::new(Writer { rules: settings.rules, time: settings.time, events: Array::new("  ") })
    },
};

struct Writer {
    rules: &'static [&'static Rule],
    time: i64,
    events: Array,
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        let read_by = read_by(&audited.facts);
        let node_traffic = node_traffic::words(&audited.facts);
        let with_nodes = |mut event: Value| {
            event["unmapped"] = json!({ "node_traffic": node_traffic });
            if let Some(read_by) = &read_by {
                event["unmapped"]["nodes"] = read_by.as_str().into();
            }
            event
        };
        let mut remediations = Remediations::new(&audited.facts);
        for entry in Entry::all_of(audited) {
            let remediation = remediations.of(entry.judged);
            self.events.element(&with_nodes(found(&entry, &remediation, self.time)), out)?;
        }
        for rule in self.rules {
            if let Some(event) = not_found(rule, audited, self.time).map(with_nodes) {
                self.events.element(&event, out)?;
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        for unseen in summary.unjudged.iter().map(Unseen::from) {
            self.events.element(&not_judged(&unseen, self.time), out)?;
        }
        self.events.end(out)?;
        out.write_all(b"\n")
    }
}

/// The event of a finding.
fn found(entry: &Entry<'_>, remediation: &str, time: i64) -> Value {
    let judged = entry.judged;
    let mut event = event_of_rule(time, judged.rule, &entry.fingerprint, judged.severity);
    event["compliance"]["status"] = "Fail".into();
    event["compliance"]["status_id"] = 3.into();
    event["message"] = entry.message_of_cluster().into();
    requirements(&mut event, &judged.rule.controls.iter().collect::<Vec<_>>());
    event["finding_info"]["desc"] = entry.message().into();
    event["remediation"]["desc"] = remediation.into();
    let known = judged.is_known().then(|| KNOWN.to_owned());
    let waiver =
        judged.waived_by().map(|waiver| justification(&waiver.owner, &waiver.reason, &waiver.expires));
    if let Some(comment) = waiver.or(known) {
        suppress(&mut event, &comment);
    }
    about(&mut event, entry.cluster);
    event
}

/// Adds the controls that an event is about, with their standards.
fn requirements(event: &mut Value, controls: &[&Control]) {
    let own = ["eks-netcheck"].into_iter();
    event["compliance"]["standards"] = own.chain(standards(controls)).collect();
    if !controls.is_empty() {
        event["compliance"]["requirements"] = controls.iter().map(|control| requirement(control)).collect();
    }
}

/// Marks an event as one that does not count, and says why.
fn suppress(event: &mut Value, comment: &str) {
    event["status"] = "Suppressed".into();
    event["status_id"] = 3.into();
    event["comment"] = comment.into();
}

/// The event of a rule that found nothing or is inconclusive. None if the rule is off or
/// not selected, or if its findings are the whole answer.
fn not_found(rule: &Rule, audited: &Audited, time: i64) -> Option<Value> {
    let judgment = &audited.judgment;
    let cluster = &audited.facts.evidence.cluster;
    let outcome = judgment.outcome(rule);
    let gap = outcome.gap();
    // With a gap, there may be more than the findings.
    let is_answered = outcome.findings().next().is_some() && gap.is_none();
    if is_answered || outcome.exclusion.is_some() {
        return None;
    }
    let uid = id(&[Some("rule"), Some(rule.id), Some(cluster.subject())]);
    let mut event = event_of_rule(time, rule, &uid, rule.severity);
    let (status, id, message) = match gap {
        None => ("Pass", 1, format!("{}: nothing found", cluster.name)),
        Some((gap, _)) => ("Inconclusive", 99, format!("{}: not seen: {}", cluster.name, gap.problem())),
    };
    if let Some((_, Some(accepted))) = gap {
        suppress(&mut event, &justification(&accepted.owner, &accepted.reason, &accepted.expires));
    }
    event["compliance"]["status"] = status.into();
    event["compliance"]["status_id"] = id.into();
    // A rule that passes does not show that its control is met if another one has findings.
    let controls = if id == 1 {
        judgment.controls_met(rule).collect()
    } else {
        rule.controls.iter().collect::<Vec<_>>()
    };
    requirements(&mut event, &controls);
    // What the verdict does not depend on needs no attention.
    if outcome.needed.is_empty() {
        event["severity"] = "Informational".into();
        event["severity_id"] = 1.into();
    }
    event["message"] = message.into();
    about(&mut event, cluster);
    Some(event)
}

/// The event of a cluster that could not be judged at all.
fn not_judged(unseen: &Unseen, time: i64) -> Value {
    let uid = id(&[Some("not-judged"), Some(&unseen.subject)]);
    let mut event = event(time, &uid, "describe-cluster", "A cluster could not be judged", Severity::High);
    event["compliance"]["status"] = "Inconclusive".into();
    event["compliance"]["status_id"] = 99.into();
    event["message"] = unseen.text.as_str().into();
    event["resources"] = json!([{ "uid": unseen.subject, "type": "AwsEksCluster" }]);
    event
}

/// The fields that every event of a rule has.
fn event_of_rule(time: i64, rule: &Rule, uid: &Uuid, severity: Severity) -> Value {
    let mut event = event(time, uid, rule.id, rule.summary, severity);
    event["compliance"]["desc"] = rule.summary.into();
    event["finding_info"]["desc"] = rule.why.into();
    event["remediation"] = json!({ "desc": rule.remediation, "references": [rule.reference] });
    event
}

/// The fields that every event has.
fn event(time: i64, uid: &Uuid, control: &str, title: &str, severity: Severity) -> Value {
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
        "time": time,
        "severity": severity, "severity_id": severity_id,
        "status": "New", "status_id": 1,
        "compliance": { "control": control, "standards": ["eks-netcheck"] },
        "finding_info": {
            "uid": uid.to_string(), "title": title, "created_time": time, "types": ["eks-netcheck"],
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

/// Adds the cluster to an event.
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
