//! AWS Security Finding Format: the findings that `BatchImportFindings` of Security Hub takes,
//! one for each rule and cluster, as Security Hub's own controls have one for each resource.
//! The id of a finding does not depend on its outcome, so that a later run updates it.
//! `Workflow` and `Note` are never set: they are the user's, and no later import can change
//! them, so that what a waiver suppresses would stay suppressed when it has expired. What is
//! waived or known from the baseline is informational instead, which the next import changes.
//!
//! Each line is a batch: a JSON array of at most 100 findings of one account and region, since
//! a request holds no others. Kept until the end: of each account and region the batch that is
//! not full.
//!
//! <https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html>

use std::collections::BTreeMap;
use std::io::{Result, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::compliance::requirement;
use super::entry::{about, id, justification, mark};
use super::format::{AuditFormat, ReportWriter};
use super::node_traffic;
use super::pretty::compact;
use super::remediation;
use super::text::escape;
use crate::model::audit::{Audited, Summary};
use crate::model::cluster::{Cluster, EndpointAccess};
use crate::model::compliance::{Control, Mapping, Standard};
use crate::model::gap::Gap;
use crate::model::judgment::{Exclusion, JudgedFinding, Judgment};
use crate::model::outcome::RuleStatus;
use crate::model::rule::{Rule, Severity};

/// The format.
pub(super) const FORMAT: AuditFormat = AuditFormat {
    name: "asff",
    help: "AWS Security Finding Format, for BatchImportFindings of Security Hub: an array of at most 100 in each line",
    write: |settings| {
        let time = Timestamp::from_millisecond(settings.time).unwrap_or_default().to_string();
        Box::new(Writer { rules: settings.rules, time, batches: BTreeMap::new(), is_empty: true })
    },
};

/// The largest number of findings of a request.
const BATCH_MAX: usize = 100;
/// The size of a batch above which it gets no more findings: a request has at most 6 MB.
const BATCH_SIZE_MAX: usize = 4 << 20;
/// The longest texts of fields, in bytes: Security Hub counts either those or characters.
const ID_MAX: usize = 512;
const TITLE_MAX: usize = 256;
const DESCRIPTION_MAX: usize = 1024;
const RECOMMENDATION_MAX: usize = 512;
const PRODUCT_FIELD_MAX: usize = 2048;
const REASON_MAX: usize = 1024;
const DETAIL_MAX: usize = 512;
/// The longest name of a region.
const REGION_MAX: usize = 16;
/// The partitions that a resource may name.
const PARTITIONS: [&str; 5] = ["aws", "aws-cn", "aws-us-gov", "aws-us-iso", "aws-us-iso-b"];

struct Writer {
    rules: &'static [&'static Rule],
    /// The time of the run, as ISO 8601.
    time: String,
    batches: BTreeMap<Owner, Batch>,
    /// Whether no batch was written.
    is_empty: bool,
}

/// The account and region to which findings are imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    partition: String,
    region: String,
    account: String,
}

/// Findings that are not written yet.
#[derive(Default)]
struct Batch {
    findings: Vec<String>,
    size: usize,
}

impl Owner {
    /// The owner of a cluster, from its ARN; `None` if it is not recorded, or redacted.
    fn of(cluster: &Cluster) -> Option<Self> {
        let partition = cluster.arn.as_deref()?.split(':').nth(1)?;
        let (region, account) = (cluster.region()?, cluster.account()?);
        let is_name = |text: &str| {
            let is_of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            !text.is_empty() && text.bytes().all(is_of_name)
        };
        let is_known = is_name(partition) && is_name(region) && region.len() <= REGION_MAX;
        is_known.then(|| Self {
            partition: partition.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
        })
    }

    /// The ARN of the account's own product.
    fn product(&self) -> String {
        let Self { partition, region, account } = self;
        format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default")
    }
}

impl ReportWriter for Writer {
    /// Findings are imported to an account and a region, which the ARN has.
    fn left_out(&self, audited: &Audited) -> Option<String> {
        let cluster = &audited.facts.evidence.cluster;
        Owner::of(cluster).is_none().then(|| {
            format!(
                "asff leaves out cluster {}, whose account and region are not known: cluster.json has no ARN with them; record it again with: aws eks describe-cluster",
                cluster.name
            )
        })
    }

    fn cluster(&mut self, audited: &Audited, out: &mut dyn Write) -> Result<()> {
        let cluster = &audited.facts.evidence.cluster;
        let Some(owner) = Owner::of(cluster) else { return Ok(()) };
        // Of a rule that is not selected, what an earlier run imported stays as it is.
        let is_selected = |rule: &&&Rule| audited.judgment.exclusion(rule) != Some(Exclusion::CommandLine);
        for rule in self.rules.iter().filter(is_selected) {
            let finding = compact(&finding(rule, audited, &owner, &self.time))?;
            let batch = self.batches.entry(owner.clone()).or_default();
            if batch.findings.len() == BATCH_MAX || batch.size + finding.len() > BATCH_SIZE_MAX {
                write_batch(&std::mem::take(batch), out)?;
                self.is_empty = false;
            }
            batch.size += finding.len();
            batch.findings.push(finding);
        }
        Ok(())
    }

    fn end(mut self: Box<Self>, _: &Summary, out: &mut dyn Write) -> Result<()> {
        if self.is_empty && self.batches.is_empty() {
            // There is no cluster with an account to import findings to.
            self.batches.insert(
                Owner { partition: String::new(), region: String::new(), account: String::new() },
                Batch::default(),
            );
        }
        self.batches.values().try_for_each(|batch| write_batch(batch, out))
    }
}

fn write_batch(batch: &Batch, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "[{}]", batch.findings.join(","))
}

/// The outcome of a rule in a cluster, in the words of the format.
struct Words<'a> {
    status: &'static str,
    label: &'static str,
    description: String,
    findings: Vec<&'a JudgedFinding>,
    gap: Option<&'a Gap>,
    /// The waiver or acceptance by which it does not count.
    waiver: Option<String>,
    /// Whether the rule is off, so that what an earlier run imported is no longer true.
    is_off: bool,
    controls: Vec<&'static Control>,
}

impl<'a> Words<'a> {
    fn of(rule: &Rule, judgment: &'a Judgment, cluster: &Cluster) -> Self {
        let outcome = judgment.outcome(rule);
        let gap = outcome.gap();
        let status = match outcome.status() {
            // What is missing does not change that the cluster fails the check.
            RuleStatus::Inconclusive if !outcome.below.is_empty() => RuleStatus::Below,
            status => status,
        };
        let findings: Vec<_> = outcome.findings().collect();
        let of_waiver = || findings.iter().find_map(|judged| judged.waived_by());
        let waiver = match (status, gap) {
            (RuleStatus::Excepted, _) => {
                of_waiver().map(|waiver| justification(&waiver.owner, &waiver.reason, &waiver.expires))
            }
            (RuleStatus::Accepted, Some((_, Some(accepted)))) => {
                Some(justification(&accepted.owner, &accepted.reason, &accepted.expires))
            }
            _ => None,
        };
        let is_found = matches!(status, RuleStatus::Fails | RuleStatus::Below | RuleStatus::Excepted);
        let mut description = Vec::new();
        if let Some((gap, accepted)) = gap.filter(|_| !is_found) {
            let until = accepted.map(|accepted| format!(" (accepted until {})", accepted.expires));
            description.push(format!("Not seen: {}{}", gap.problem(), until.unwrap_or_default()));
        }
        if !findings.is_empty() {
            let room = DESCRIPTION_MAX.saturating_sub(description.iter().map(|text| text.len() + 2).sum());
            description.push(list_findings(&findings, cluster, room));
        }
        let worst = outcome.counted().next();
        Self {
            status: match status {
                RuleStatus::Fails | RuleStatus::Below | RuleStatus::Excepted => "FAILED",
                RuleStatus::Inconclusive | RuleStatus::Excluded(_) => "NOT_AVAILABLE",
                RuleStatus::Unseen | RuleStatus::Accepted => "WARNING",
                RuleStatus::Passes => "PASSED",
            },
            label: match (status, worst) {
                (RuleStatus::Fails | RuleStatus::Below, Some(worst)) => label(worst.severity),
                (RuleStatus::Inconclusive, _) => label(rule.severity),
                // What the verdict does not depend on needs no attention.
                _ => INFORMATIONAL,
            },
            description: match (status, description.is_empty()) {
                (RuleStatus::Excluded(_), _) => "Switched off by the policy".to_owned(),
                (_, true) => "Nothing found".to_owned(),
                (_, false) => description.join("; "),
            },
            findings,
            gap: gap.map(|(gap, _)| gap),
            waiver,
            is_off: matches!(status, RuleStatus::Excluded(_)),
            controls: match status {
                // A rule that passes does not show that its control is met.
                RuleStatus::Passes => judgment.controls_met(rule).collect(),
                _ => rule.controls.iter().collect(),
            },
        }
    }
}

/// The label of what needs no attention.
const INFORMATIONAL: &str = "INFORMATIONAL";

/// The messages of findings, as many as there is room for; at least one.
fn list_findings(findings: &[&JudgedFinding], cluster: &Cluster, room: usize) -> String {
    let mut text = String::new();
    for (at, judged) in findings.iter().enumerate() {
        let until = judged.waived_by().map(|waiver| format!(" (waived until {})", waiver.expires));
        let mark = until.or_else(|| mark(judged).map(|mark| format!(" ({mark})"))).unwrap_or_default();
        let message = format!("{}{mark}", escape(&about(&judged.finding, cluster)));
        let more = format!(" and {} more", findings.len() - at);
        if at > 0 && text.len() + message.len() + more.len() + 2 > room {
            return text + &more;
        }
        let separator = if at == 0 { "" } else { "; " };
        text = format!("{text}{separator}{message}");
    }
    text
}

/// What resolves findings: whole lines only, since half a command is none.
fn recommendation(judged: &JudgedFinding, audited: &Audited) -> String {
    let whole = remediation::of(judged, &audited.facts);
    if whole.len() <= RECOMMENDATION_MAX {
        return whole;
    }
    let more = format!("There are further steps: eks-netcheck audit, or explain {}", judged.rule.id);
    let mut text = String::new();
    for line in whole.lines() {
        if text.len() + line.len() + 1 + more.len() > RECOMMENDATION_MAX {
            break;
        }
        text.push_str(line);
        text.push('\n');
    }
    text + &more
}

/// The finding of a rule in a cluster.
fn finding(rule: &Rule, audited: &Audited, owner: &Owner, time: &str) -> Value {
    let cluster = &audited.facts.evidence.cluster;
    let outcome = Words::of(rule, &audited.judgment, cluster);
    let mut finding = json!({
        "SchemaVersion": "2018-10-08",
        "Id": finding_id(rule, cluster),
        "ProductArn": owner.product(),
        "ProductName": "eks-netcheck",
        "CompanyName": "eks-netcheck",
        "GeneratorId": format!("eks-netcheck/{}", rule.id),
        "AwsAccountId": owner.account,
        "CreatedAt": time,
        "UpdatedAt": time,
        "Title": cut(rule.summary, TITLE_MAX),
        "Description": cut(&outcome.description, DESCRIPTION_MAX),
        "Types": TYPES,
        "Severity": severity(rule, &outcome),
        "FindingProviderFields": { "Severity": severity(rule, &outcome), "Types": TYPES },
        "Resources": [resource(cluster, owner)],
        "Compliance": compliance(&outcome),
        "RecordState": if outcome.is_off { "ARCHIVED" } else { "ACTIVE" },
        "ProductFields": {
            "eks-netcheck/rule": rule.id,
            "eks-netcheck/version": env!("CARGO_PKG_VERSION"),
            "eks-netcheck/findings": outcome.findings.len().to_string(),
            "eks-netcheck/node-traffic": node_traffic::words(&audited.facts),
        },
    });
    let recommended = outcome.findings.iter().find(|judged| judged.counts());
    let text = recommended.map(|judged| recommendation(judged, audited));
    finding["Remediation"]["Recommendation"]["Url"] = rule.reference.into();
    finding["Remediation"]["Recommendation"]["Text"] =
        text.unwrap_or_else(|| format!("eks-netcheck explain {}", rule.id)).into();
    if let Some(waiver) = &outcome.waiver {
        finding["ProductFields"]["eks-netcheck/waiver"] = cut(waiver, PRODUCT_FIELD_MAX).into();
    }
    finding
}

/// The type of all findings, in the taxonomy of Security Hub.
const TYPES: [&str; 1] =
    ["Software and Configuration Checks/AWS Security Best Practices/Network Reachability"];

/// The id of the finding of a rule in a cluster, the same in every run.
fn finding_id(rule: &Rule, cluster: &Cluster) -> String {
    let name = format!("{}/eks-netcheck/{}", cluster.subject(), rule.id);
    if name.len() <= ID_MAX {
        return name;
    }
    format!("eks-netcheck/{}/{}", rule.id, id(&[Some(rule.id), Some(cluster.subject())]))
}

fn severity(rule: &Rule, outcome: &Words<'_>) -> Value {
    let found = outcome.findings.first().map(|worst| worst.severity);
    json!({ "Label": outcome.label, "Original": found.unwrap_or(rule.severity).as_str() })
}

fn label(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "LOW",
        Severity::Medium => "MEDIUM",
        Severity::High => "HIGH",
        Severity::Critical => "CRITICAL",
    }
}

fn compliance(outcome: &Words<'_>) -> Value {
    let mut compliance = json!({ "Status": outcome.status });
    let requirements: Vec<_> = outcome.controls.iter().map(|control| requirement(control)).collect();
    if !requirements.is_empty() {
        compliance["RelatedRequirements"] = requirements.into();
    }
    let of_hub = outcome.controls.iter().filter(|control| control.mapping != Mapping::Own);
    let mut standards: Vec<_> = of_hub.filter_map(|control| standard_id(control.standard)).collect();
    standards.dedup();
    if !standards.is_empty() {
        compliance["AssociatedStandards"] =
            standards.into_iter().map(|id| json!({ "StandardsId": id })).collect();
    }
    if let Some(gap) = outcome.gap {
        compliance["StatusReasons"] =
            json!([{ "ReasonCode": gap.why.as_str(), "Description": cut(&gap.to_string(), REASON_MAX) }]);
    }
    compliance
}

/// The id of a standard that Security Hub has.
fn standard_id(standard: Standard) -> Option<&'static str> {
    match standard {
        Standard::AwsFsbp => Some("standards/aws-foundational-security-best-practices/v/1.0.0"),
        Standard::PciDss => Some("standards/pci-dss/v/4.0.1"),
        Standard::Nist80053 => Some("standards/nist-800-53/v/5.0.0"),
        Standard::CisEks | Standard::AwsConfig | Standard::ControlTower => None,
    }
}

/// The cluster.
fn resource(cluster: &Cluster, owner: &Owner) -> Value {
    let mut details = json!({ "Arn": cut(cluster.subject(), ID_MAX) });
    let endpoint = cluster.endpoint.as_ref().map(|endpoint| endpoint.url.as_str());
    let texts = [
        ("Name", Some(&*cluster.name)),
        ("Endpoint", endpoint),
        ("ClusterStatus", cluster.status.as_deref()),
    ];
    for (key, value) in texts {
        if let Some(value) = value.filter(|value| !value.trim().is_empty()) {
            details[key] = cut(value, DETAIL_MAX).into();
        }
    }
    if let Some(public) = EndpointAccess::public(&cluster.access) {
        details["ResourcesVpcConfig"]["EndpointPublicAccess"] = public.into();
    }
    let mut resource = json!({
        "Type": "AwsEksCluster",
        "Id": cut(cluster.subject(), ID_MAX),
        "Region": owner.region,
        "Details": { "AwsEksCluster": details },
    });
    if PARTITIONS.contains(&owner.partition.as_str()) {
        resource["Partition"] = owner.partition.as_str().into();
    }
    resource
}

/// A text, escaped, and cut at a number of bytes between characters.
fn cut(text: &str, max: usize) -> String {
    const MORE: &str = "...";
    let text = escape(text);
    if text.len() <= max {
        return text.into_owned();
    }
    let end = (0..=max - MORE.len()).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}{MORE}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::format::tests::{cluster as named, settings};
    use crate::rules;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abc...");
        // Three bytes for each character.
        assert_eq!(cut("\u{20ac}\u{20ac}\u{20ac}", 8), "\u{20ac}...");
        assert_eq!(cut("\u{20ac}\u{20ac}\u{20ac}", 9), "\u{20ac}\u{20ac}\u{20ac}");
    }

    fn cluster(arn: &str) -> Audited {
        named("", Some(arn))
    }

    fn written(clusters: &[Audited]) -> Result<String> {
        let mut writer = (FORMAT.write)(&settings());
        let mut out = Vec::new();
        clusters.iter().try_for_each(|cluster| writer.cluster(cluster, &mut out))?;
        writer.end(&Summary::default(), &mut out)?;
        String::from_utf8(out).map_err(std::io::Error::other)
    }

    /// Whatever the order of the clusters, a batch holds at most 100 findings of one account
    /// and region, and no finding is lost.
    #[test]
    fn batches_hold_findings_of_one_account_and_region() {
        let regions = ["eu-west-1", "us-east-1", "cn-north-1"];
        let arns = (0..40).map(|number| {
            let region = regions[number % 3];
            let partition = if region.starts_with("cn-") { "aws-cn" } else { "aws" };
            format!("arn:{partition}:eks:{region}:{:012}:cluster/c{number}", number % 2)
        });
        let clusters: Vec<_> = arns.map(|arn| cluster(&arn)).collect();
        let text = written(&clusters).expect("memory");
        let mut ids = std::collections::BTreeSet::new();
        let mut sizes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for line in text.lines() {
            let batch: Vec<Value> = serde_json::from_str(line).expect("an array");
            assert!(batch.len() <= BATCH_MAX);
            let owner = batch[0]["ProductArn"].as_str().expect("text").to_owned();
            for finding in &batch {
                assert_eq!(finding["ProductArn"], owner.as_str());
                assert!(ids.insert(finding["Id"].to_string()), "{finding}");
            }
            sizes.entry(owner).or_default().push(batch.len());
        }
        assert_eq!(ids.len(), 40 * rules::ALL.len());
        assert_eq!(sizes.len(), 6);
        // Only the last batch of an account and region is not full.
        for (owner, sizes) in sizes {
            let (_, full) = sizes.split_last().expect("a batch");
            assert!(full.iter().all(|size| *size == BATCH_MAX), "{owner}: {sizes:?}");
        }
        let china = "arn:aws-cn:securityhub:cn-north-1:000000000000:product/000000000000/default";
        assert!(text.contains(china));
    }

    #[test]
    fn a_cluster_without_an_account_is_left_out() {
        let writer = (FORMAT.write)(&settings());
        for arn in [
            "",
            "arn:aws:eks:eu-west-1:XXXXXXXXXXXX:cluster/c",
            "arn:aws:eks::111122223333:cluster/c",
            "arn:a\"b:eks:eu-west-1:111122223333:cluster/c",
            "arn:aws:eks:a-region-with-a-long-name:111122223333:cluster/c",
        ] {
            let without = cluster(arn);
            assert!(writer.left_out(&without).is_some(), "{arn}");
            assert_eq!(written(&[without]).expect("memory"), "[]\n", "{arn}");
        }
        let with = cluster("arn:aws:eks:eu-west-1:111122223333:cluster/c");
        assert_eq!(writer.left_out(&with), None);
        assert_eq!(written(&[]).expect("memory"), "[]\n");
    }
}
