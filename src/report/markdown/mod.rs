//! Markdown, for `$GITHUB_STEP_SUMMARY` and comments.
//!
//! Kept until the end, since the worst clusters come first: of several clusters a row for each,
//! up to a number, and a section for each of which there is something to say, up to a limit on
//! the size.

mod section;
pub mod simulation;
mod steps;
mod text;
pub mod trace;

use std::fmt::Write as _;
use std::io::{Result, Write};

use self::section::section;
use self::text::{harmless, list, word};
use crate::model::audit::{Audited, PolicyUsed, Summary};
use crate::model::judgment::Verdict;
use crate::model::text::capital;
use crate::report::answer::{not_selected, reason};
use crate::report::entry::Unseen;
use crate::report::format::{AuditFormat, ReportSettings, ReportWriter};
use crate::report::names::Names;
use crate::report::node_traffic::{self, NodeCounts};
use crate::report::style::count;

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "markdown",
    help: "Markdown, for a step summary or a comment",
    write: |settings| {
        let ReportSettings { is_many, explain_paths, .. } = *settings;
        Box::new(Writer { is_many, explain_paths, nodes: Vec::new(), clusters: Default::default() })
    },
};

/// The limit of a step summary is 1 MiB: clusters that would exceed this size are counted only.
const SIZE_MAX: usize = 900 << 10;

struct Writer {
    is_many: bool,
    explain_paths: bool,
    nodes: Vec<NodeCounts>,
    /// By verdict, worst first.
    clusters: [Clusters; 3],
}

/// The clusters with one verdict.
#[derive(Default)]
struct Clusters {
    /// Their rows in the overview.
    rows: Vec<String>,
    sections: Vec<String>,
    size: usize,
    /// The number of sections that are not kept.
    left_out: usize,
}

impl Clusters {
    fn push(&mut self, section: String) {
        if self.size + section.len() > SIZE_MAX {
            self.left_out += 1;
        } else {
            self.size += section.len();
            self.sections.push(section);
        }
    }
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        let at = match audited.judgment.verdict {
            Verdict::Fail => 0,
            Verdict::Inconclusive => 1,
            Verdict::Pass => 2,
        };
        self.nodes.push(NodeCounts::of(&audited.facts));
        if self.is_many {
            self.clusters[at].rows.push(row(audited));
        }
        if !self.is_many || self.explain_paths || has_problems(audited) {
            self.clusters[at].push(section(audited, self.explain_paths));
        }
        Ok(())
    }

    fn end(self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let mut text = format!("## eks-netcheck: {}\n", word(summary.verdict()));
        if self.is_many {
            text.push_str(&self.overview(summary));
        }
        if let Some(number) = not_selected(&summary.skipped) {
            let ids: Vec<_> = summary.skipped.iter().map(|rule| rule.id).collect();
            let _ = write!(text, "\n{number}: {}.\n", ids.join(", "));
        }
        let tail = tail(summary);
        let mut left_out = 0;
        for clusters in &self.clusters {
            left_out += clusters.left_out;
            for section in &clusters.sections {
                if text.len() + section.len() + tail.len() > SIZE_MAX {
                    left_out += 1;
                } else {
                    text.push_str(section);
                }
            }
        }
        if left_out > 0 {
            // Writing to a String does not fail, here and below.
            let _ = write!(
                text,
                "\nThe sections of {} are left out to limit the size; the full report has them.\n",
                count(left_out, "more cluster")
            );
        }
        text.push_str(&tail);
        out.write_all(text.as_bytes())
    }
}

impl Writer {
    /// The verdict and the answer for all clusters, and a row for each.
    fn overview(&self, summary: &Summary) -> String {
        let counts = summary.counts;
        let mut text = format!(
            "\n**{}: {} fail, {} inconclusive, {} pass; {} could not be judged at all.**\n",
            count(counts.total(), "cluster"),
            counts.fail,
            counts.inconclusive,
            counts.pass,
            summary.unjudged.len()
        );
        if let Some(traffic) = node_traffic::of_all(self.nodes.iter(), |_, words| words.to_owned()) {
            let _ = write!(text, "\n**{}.**\n", capital(&traffic));
        }
        let mut rows = self.clusters.iter().flat_map(|clusters| &clusters.rows).cloned().peekable();
        if rows.peek().is_some() {
            text.push_str("\n| verdict | cluster | region | node traffic | why |\n|");
            text.push_str(&" --- |".repeat(5));
            text.push('\n');
            text.push_str(&list(rows));
        }
        text
    }
}

/// The row of a cluster in the overview.
fn row(audited: &Audited) -> String {
    let Audited { facts, judgment } = audited;
    let cluster = &facts.evidence.cluster;
    format!(
        "| {} | {} | {} | {} | {} |\n",
        word(judgment.verdict),
        harmless(&cluster.name),
        harmless(cluster.region().unwrap_or("-")),
        NodeCounts::of(facts).text(|_, words| words.to_owned()),
        harmless(&Names::of(facts).shorten(&reason(judgment)))
    )
}

/// Whether there is more to say of a cluster than its row does.
fn has_problems(audited: &Audited) -> bool {
    let judgment = &audited.judgment;
    judgment.verdict != Verdict::Pass
        || !judgment.findings.is_empty()
        || judgment.gaps.iter().any(|judged| !judged.rules.is_empty())
}

/// What comes after the clusters: what could not be judged, and the policy.
fn tail(summary: &Summary) -> String {
    let mut tail = String::new();
    if !summary.unjudged.is_empty() {
        tail.push_str("\n### Could not be judged\n\n");
        let rows = summary.unjudged.iter().map(Unseen::from);
        tail.push_str(&list(rows.map(|unseen| format!("- {}\n", harmless(&unseen.text)))));
    }
    let PolicyUsed { notes, .. } = &summary.policy;
    let _ = writeln!(tail, "\nPolicy: {}", harmless(&summary.policy.name()));
    if !notes.is_empty() {
        let notes = notes.iter().map(|note| format!("- line {}: {}\n", note.line, harmless(&note.text)));
        tail.push('\n');
        tail.push_str(&list(notes));
    }
    tail
}
