//! SARIF 2.1.0, as GitHub's code scanning accepts it.
//!
//! Kept until the end, since findings are sorted and GitHub accepts a limited number: as many
//! findings as it accepts, and the gaps of all clusters.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
//! <https://docs.github.com/en/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning>

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Result, Write};
use std::rc::Rc;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::answer::not_selected;
use super::compliance::requirement;
use super::entry::{Entry, Unseen, id, justification, known_id};
use super::format::{AuditFormat, ReportWriter};
use super::node_traffic;
use super::pretty::write_pretty;
use super::remediation::{Remediations, is_command};
use super::text::escape;
use super::via::read_by;
use crate::model::audit::{Audited, Summary};
use crate::model::baseline::{BaselineState, KnownFinding};
use crate::model::compliance::{Control, Standard};
use crate::model::judgment::Rank;
use crate::model::rule::{Rule, Severity};

/// The format.
pub(super) const FORMAT: AuditFormat = AuditFormat {
    name: "sarif",
    help: "SARIF 2.1.0, for GitHub's code scanning",
    write: |settings| {
        Box::new(Writer {
            rules: settings.rules,
            anchor: settings.anchor.clone(),
            findings: Findings::default(),
            gone: Vec::new(),
            gone_count: 0,
            unseen: Vec::new(),
            nodes: Map::new(),
            node_traffic: Map::new(),
        })
    },
};

/// The largest number of results that GitHub accepts in a run.
const RESULTS_MAX: usize = 25_000;
/// The largest number of tags of a rule that GitHub accepts.
const TAGS_MAX: usize = 20;
/// The largest length of a rule's description that GitHub accepts.
const DESCRIPTION_MAX: usize = 1024;

struct Writer {
    rules: &'static [&'static Rule],
    anchor: String,
    findings: Findings,
    /// Of the findings of the baseline that are gone, as many as there may be results.
    gone: Vec<Gone>,
    gone_count: usize,
    unseen: Vec<Unseen>,
    /// How the nodes of each cluster were read.
    nodes: Map<String, Value>,
    /// The path of the nodes' traffic of each cluster.
    node_traffic: Map<String, Value>,
}

/// The worst findings, as many as GitHub accepts, and what is reported of all.
#[derive(Default)]
struct Findings {
    /// By their rank and then in their order.
    worst: BTreeMap<(Rank, usize), Finding>,
    /// The number of all.
    count: usize,
    /// The highest severity of the findings of each rule.
    severities: BTreeMap<&'static str, Severity>,
}

impl Findings {
    /// Adds one, which is built only if it is one of the worst.
    fn push(&mut self, entry: &Entry<'_>, finding: impl FnOnce() -> Finding) {
        let severity = entry.judged.severity;
        let highest = self.severities.entry(entry.judged.rule.id).or_insert(severity);
        *highest = severity.max(*highest);
        let key = (entry.judged.rank(), self.count);
        self.count += 1;
        let is_full = self.worst.len() == RESULTS_MAX;
        if is_full && self.worst.last_key_value().is_some_and(|(last, _)| *last < key) {
            return;
        }
        self.worst.insert(key, finding());
        if is_full {
            self.worst.pop_last();
        }
    }
}

/// A finding as it is kept.
struct Finding {
    rule: &'static Rule,
    severity: Severity,
    cluster: String,
    subject: String,
    message: String,
    /// What resolves it, which the findings of a rule share.
    remediation: Rc<str>,
    /// Why it does not count, where it is waived.
    justification: Option<String>,
    baseline: Option<BaselineState>,
    fingerprint: Uuid,
}

/// A finding of the baseline that is gone, as it is kept.
struct Gone {
    rule: String,
    cluster: String,
    subject: String,
    text: String,
    fingerprint: Uuid,
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let mut remediations = Remediations::new(&audited.facts);
        for entry in Entry::all_of(audited) {
            self.findings.push(&entry, || Finding::new(&entry, remediations.of(entry.judged)));
        }
        let gone = || audited.judgment.comparison.iter().flat_map(|one| &one.gone);
        self.gone_count += gone().count();
        let room = RESULTS_MAX - self.gone.len();
        self.gone.extend(gone().take(room).map(|known| Gone::new(known, audited)));
        self.unseen.extend(Unseen::all_of(audited));
        let cluster = escape(audited.facts.evidence.cluster.subject()).into_owned();
        self.node_traffic.insert(cluster.clone(), node_traffic::words(&audited.facts).into());
        if let Some(nodes) = read_by(&audited.facts) {
            self.nodes.insert(cluster, nodes.into());
        }
        Ok(())
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let found = self.findings.worst.values().map(|finding| finding.result(&self));
        let gone = self.gone.iter().map(|gone| gone.result(&self));
        let results: Vec<_> = found.chain(gone).take(RESULTS_MAX).collect();
        let severity = |rule: &Rule| self.findings.severities.get(rule.id).copied().unwrap_or(rule.severity);
        let rules: Vec<_> = self.rules.iter().map(|rule| descriptor(rule, severity(rule))).collect();
        let log = json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "eks-netcheck",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "informationUri": "https://docs.aws.amazon.com/eks/latest/userguide/cluster-endpoint.html",
                    "rules": rules,
                } },
                "taxonomies": taxonomies(self.rules),
                "automationDetails": { "id": run_id(&summary.skipped) },
                "invocations": [self.invocation(summary)],
                "results": results,
                "columnKind": "unicodeCodePoints",
                "properties": {
                    "policy": escape(&summary.policy.name()),
                    "nodes": self.nodes,
                    "nodeTraffic": self.node_traffic,
                },
            }],
        });
        write_pretty(&log, out)
    }
}

/// The id of runs that judge the same rules. GitHub closes what the last run of an id found and
/// this one did not, which is right only if the same rules were judged.
fn run_id(skipped: &[&Rule]) -> String {
    if skipped.is_empty() {
        return "eks-netcheck/".to_owned();
    }
    let mut names: Vec<_> = skipped.iter().map(|rule| Some(rule.id)).collect();
    names.sort_unstable();
    format!("eks-netcheck-without-{}/", id(&names).simple())
}

impl Writer {
    fn invocation(&self, summary: &Summary) -> Value {
        let mut invocation = json!({
            "executionSuccessful": summary.unjudged.is_empty()
                && self.unseen.iter().all(|unseen| !unseen.needed),
            "toolExecutionNotifications": self.notifications(summary),
        });
        if let Some(text) = not_selected(&summary.skipped) {
            let disabled = |rule: &&'static Rule| {
                let index = self.rules.iter().position(|one| one.id == rule.id);
                json!({
                    "descriptor": { "id": rule.id, "index": index },
                    "configuration": { "enabled": false },
                })
            };
            invocation["ruleConfigurationOverrides"] = summary.skipped.iter().map(disabled).collect();
            invocation["toolConfigurationNotifications"] =
                json!([{ "level": "note", "message": { "text": text } }]);
        }
        invocation
    }

    fn notifications(&self, summary: &Summary) -> Vec<Value> {
        let of_gap = |unseen: &Unseen| {
            let level = if unseen.needed { "error" } else { "note" };
            json!({ "level": level, "message": { "text": plain(&unseen.text) }, "descriptor": { "id": unseen.why } })
        };
        let unjudged = summary.unjudged.iter().map(|unjudged| of_gap(&Unseen::from(unjudged)));
        let mut notifications: Vec<_> = unjudged.chain(self.unseen.iter().map(of_gap)).collect();
        for note in &summary.policy.notes {
            let text = format!("line {} of the policy: {}", note.line, note.text);
            notifications.push(json!({
                "level": "warning", "message": { "text": plain(&escape(&text)) }, "descriptor": { "id": note.kind.as_str() },
            }));
        }
        let more = (self.findings.count + self.gone_count).saturating_sub(RESULTS_MAX);
        if more > 0 {
            let text = format!("{more} more findings are left out: GitHub accepts at most {RESULTS_MAX}");
            notifications.push(json!({ "level": "warning", "message": { "text": text } }));
        }
        notifications
    }
}

impl Finding {
    fn new(entry: &Entry<'_>, remediation: Rc<str>) -> Self {
        let judged = entry.judged;
        let waiver = judged.waived_by();
        let justification =
            waiver.map(|waiver| justification(&waiver.owner, &waiver.reason, &waiver.expires));
        Self {
            rule: judged.rule,
            severity: judged.severity,
            cluster: entry.cluster.subject().to_owned(),
            subject: judged.finding.subject.clone(),
            message: entry.message_of_cluster(),
            remediation,
            justification,
            baseline: judged.baseline,
            fingerprint: entry.fingerprint,
        }
    }

    fn result(&self, writer: &Writer) -> Value {
        let mut result = json!({
            "ruleId": self.rule.id,
            "ruleIndex": writer.rules.iter().position(|rule| rule.id == self.rule.id),
            "level": level(self.severity),
            "message": { "text": plain(&format!("{}\n\n{}", self.message, self.remediation)) },
            "locations": location(writer, &self.cluster),
            "partialFingerprints": { "primaryLocationLineHash": self.fingerprint.simple().to_string() },
            "properties": {
                "cluster": self.cluster,
                "subject": self.subject,
                "security-severity": security_severity(self.severity),
            },
        });
        if let Some(justification) = &self.justification {
            result["suppressions"] =
                json!([{ "kind": "external", "status": "accepted", "justification": justification }]);
        }
        if let Some(state) = self.baseline {
            result["baselineState"] = match state {
                BaselineState::New => "new",
                BaselineState::Worse => "updated",
                BaselineState::Unchanged => "unchanged",
            }
            .into();
        }
        result
    }
}

impl Gone {
    fn new(known: &KnownFinding, audited: &Audited) -> Self {
        let cluster = &audited.facts.evidence.cluster;
        Self {
            rule: known.id.rule.clone(),
            cluster: cluster.subject().to_owned(),
            subject: known.id.subject.clone(),
            text: escape(&format!("{}: gone: {}", cluster.name, known.message)).into_owned(),
            fingerprint: known_id(known, cluster),
        }
    }

    /// The result: the rule was judged and did not find it again.
    fn result(&self, writer: &Writer) -> Value {
        json!({
            "ruleId": self.rule,
            "ruleIndex": writer.rules.iter().position(|rule| rule.id == self.rule),
            "kind": "pass",
            "level": "none",
            "baselineState": "absent",
            "message": { "text": plain(&self.text) },
            "locations": location(writer, &self.cluster),
            "partialFingerprints": { "primaryLocationLineHash": self.fingerprint.simple().to_string() },
            "properties": { "cluster": self.cluster, "subject": self.subject },
        })
    }
}

/// The place of a result: the anchor, and the cluster.
fn location(writer: &Writer, cluster: &str) -> Value {
    json!([{
        "physicalLocation": {
            "artifactLocation": { "uri": uri(&writer.anchor) },
            "region": { "startLine": 1 },
        },
        "logicalLocations": [{ "fullyQualifiedName": cluster, "kind": "resource" }],
    }])
}

/// A rule. GitHub reads the severity of its findings here, which a policy may have changed.
fn descriptor(rule: &Rule, severity: Severity) -> Value {
    let summary = format!("{}.", rule.summary);
    let mut markdown = format!("{}\n\n", rule.why);
    for chunk in rule.remediation.lines().collect::<Vec<_>>().chunk_by(|a, b| is_command(a) == is_command(b))
    {
        let text = chunk.iter().map(|line| line.trim_start()).collect::<Vec<_>>().join("\n");
        // Writing to a String does not fail.
        let _ = if is_command(chunk[0]) {
            write!(markdown, "```sh\n{text}\n```\n\n")
        } else {
            write!(markdown, "{text}\n\n")
        };
    }
    json!({
        "id": rule.id,
        "name": pascal(rule.id),
        "shortDescription": { "text": summary },
        "fullDescription": { "text": rule.why.chars().take(DESCRIPTION_MAX).collect::<String>() },
        "help": { "text": format!("{}\n\n{}", rule.why, rule.remediation), "markdown": markdown.trim_end() },
        "helpUri": rule.reference,
        "relationships": rule.controls.iter().map(relationship).collect::<Vec<_>>(),
        "defaultConfiguration": { "level": level(severity) },
        "properties": {
            "tags": tags(rule),
            "precision": "very-high",
            "problem.severity": problem_severity(severity),
            "security-severity": security_severity(severity),
        },
    })
}

/// The tags of a rule: first those by which a reader filters, then its controls.
fn tags(rule: &Rule) -> Vec<String> {
    let general = ["security", "eks", "network"].into_iter().map(str::to_owned);
    general.chain(rule.controls.iter().map(requirement)).take(TAGS_MAX).collect()
}

/// The relation of a rule to a control, which `taxonomies` describes.
fn relationship(control: &Control) -> Value {
    let target = json!({ "id": control.id, "toolComponent": { "name": control.standard.id() } });
    let mut relationship = json!({ "target": target, "kinds": ["relevant"] });
    if !control.mapping.note().is_empty() {
        relationship["description"] = json!({ "text": control.mapping.note() });
    }
    relationship
}

/// The standards with those of their controls that rules belong to.
fn taxonomies(rules: &[&Rule]) -> Vec<Value> {
    let taxonomy = |standard: Standard| {
        let all = rules.iter().flat_map(|rule| rule.controls);
        let taxa: BTreeMap<_, _> = all
            .filter(|control| control.standard == standard)
            .map(|control| (control.id, control.title))
            .collect();
        let taxon = |(id, title)| json!({ "id": id, "shortDescription": { "text": format!("{title}.") } });
        json!({
            "name": standard.id(),
            "fullName": standard.name(),
            "informationUri": standard.url(),
            "isComprehensive": false,
            "taxa": taxa.into_iter().map(taxon).collect::<Vec<_>>(),
        })
    };
    Standard::ALL.into_iter().map(taxonomy).collect()
}

/// A rule's id as a name: `public-endpoint-open` is `PublicEndpointOpen`.
fn pascal(id: &str) -> String {
    let words = id.split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect()
}

/// A plain text message with brackets escaped, which would begin a link.
///
/// <https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html#_Toc34317462>
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

fn problem_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "recommendation",
    }
}

/// A score, as a string: GitHub does not accept a number here.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
    }
}

/// A path as a relative reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(byte.into());
        } else {
            // Writing to a String does not fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::judgment::JudgedFinding;
    use crate::report::format::tests::cluster;
    use crate::rules;

    /// The worst findings are kept, in whatever order they come, and all are counted.
    #[test]
    fn as_many_findings_are_kept_as_github_accepts() {
        let mut audited = cluster("c", None);
        let finding = |severity, subject: String| JudgedFinding {
            rule: rules::ALL[0],
            severity,
            finding: crate::model::rule::Finding::new(subject, "m"),
            steps: Vec::new().into(),
            waiver: None,
            baseline: None,
        };
        let findings = &mut audited.judgment.findings;
        findings.extend((0..RESULTS_MAX + 5).map(|number| finding(Severity::Medium, format!("m{number}"))));
        findings.extend((0..10).map(|number| finding(Severity::High, format!("h{number}"))));
        let mut kept = Findings::default();
        let mut built = 0;
        for entry in Entry::all_of(&audited) {
            kept.push(&entry, || {
                built += 1;
                Finding::new(&entry, "".into())
            });
        }
        assert_eq!((kept.count, kept.worst.len(), built), (RESULTS_MAX + 15, RESULTS_MAX, RESULTS_MAX + 10));
        let subjects: Vec<_> = kept.worst.values().map(|finding| finding.subject.as_str()).collect();
        assert_eq!(subjects[..11], ["h0", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9", "m0"]);
        assert_eq!(subjects.last(), Some(&format!("m{}", RESULTS_MAX - 11).as_str()));
        assert_eq!(kept.severities, BTreeMap::from([(rules::ALL[0].id, Severity::High)]));
    }
}
