//! Workflow commands of GitHub Actions, which shows them as annotations.
//!
//! Kept until the end: the few annotations of each level that GitHub shows, and the
//! number of the others.
//!
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::io::{Result, Write};

use super::answer::not_selected;
use super::entry::{Entry, Unseen, exception};
use super::format::{AuditFormat, ReportWriter};
use super::node_traffic::{self, NodeCounts};
use super::remediation::Remediations;
use super::text::escape;
use crate::model::audit::{Audited, Summary};
use crate::model::judgment::{JudgedFinding, Judgment, Rank, Verdict};

/// The format.
pub const FORMAT: AuditFormat = AuditFormat {
    name: "github",
    help: "Workflow commands, which GitHub Actions shows as annotations",
    write: |settings| {
        Box::new(Writer {
            anchor: settings.anchor.clone(),
            findings: Level::ALL.map(|_| Findings::default()),
            unseen: Shown::default(),
            accepted: Shown::default(),
            is_many: settings.is_many,
            answer: None,
            nodes: Vec::new(),
        })
    },
};

/// The number of annotations of each level that GitHub shows for a step.
const SHOWN: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Notice,
}

impl Level {
    const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Notice];

    /// That of a finding, so that errors are what makes the step fail.
    fn of(judged: &JudgedFinding, judgment: &Judgment) -> Self {
        match (judgment.fails(judged), judged.counts()) {
            (true, _) => Self::Error,
            (false, true) => Self::Warning,
            (false, false) => Self::Notice,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

struct Annotation {
    file: String,
    line: usize,
    title: &'static str,
    message: String,
}

/// The first annotations, and the number of all.
#[derive(Default)]
struct Shown {
    first: Vec<Annotation>,
    count: usize,
}

impl Shown {
    fn push(&mut self, annotation: Annotation) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(annotation);
        }
    }

    /// Adds one before all others.
    fn push_first(&mut self, annotation: Annotation) {
        self.count += 1;
        self.first.insert(0, annotation);
        self.first.truncate(SHOWN);
    }

    /// Adds those of another list after its own.
    fn append(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(SHOWN);
    }
}

/// The worst findings of a level, sorted, and the number of all.
#[derive(Default)]
struct Findings {
    worst: Vec<(Rank, Annotation)>,
    count: usize,
}

impl Findings {
    /// Adds one; its annotation is built only if it is one of the worst.
    fn push(&mut self, rank: Rank, annotation: impl FnOnce() -> Annotation) {
        self.count += 1;
        let at = self.worst.partition_point(|(other, _)| *other <= rank);
        if at < SHOWN {
            self.worst.insert(at, (rank, annotation()));
            self.worst.truncate(SHOWN);
        }
    }
}

impl From<Findings> for Shown {
    fn from(findings: Findings) -> Self {
        let first = findings.worst.into_iter().map(|(_, annotation)| annotation);
        Self { first: first.collect(), count: findings.count }
    }
}

struct Writer {
    anchor: String,
    /// By level.
    findings: [Findings; 3],
    /// Gaps that a verdict needed.
    unseen: Shown,
    /// Gaps that the policy accepts.
    accepted: Shown,
    /// Whether the report is on several clusters.
    is_many: bool,
    /// The path of the nodes' traffic in the only cluster.
    answer: Option<String>,
    /// The nodes of each cluster.
    nodes: Vec<NodeCounts>,
}

impl Writer {
    fn annotation(&self, title: &'static str, message: String) -> Annotation {
        Annotation { file: self.anchor.clone(), line: 1, title, message }
    }
}

impl ReportWriter for Writer {
    fn cluster(&mut self, audited: &Audited, _: &mut dyn Write) -> Result<()> {
        self.nodes.push(NodeCounts::of(&audited.facts));
        let name = escape(&audited.facts.evidence.cluster.name);
        self.answer =
            Some(format!("{name}: {}", node_traffic::sentence(audited, |_, words| words.to_owned())));
        let mut remediations = Remediations::new(&audited.facts);
        for entry in Entry::all_of(audited) {
            let level = Level::of(entry.judged, &audited.judgment);
            let file = &self.anchor;
            self.findings[level as usize].push(entry.judged.rank(), || {
                let remediation = entry.remediation(&mut remediations).map(|text| format!("\n{text}"));
                let exception = || exception(entry.judged).map(|why| format!(" ({})", escape(&why)));
                let message =
                    entry.message_of_cluster() + &remediation.or_else(exception).unwrap_or_default();
                Annotation { file: file.clone(), line: 1, title: entry.judged.rule.id, message }
            });
        }
        for unseen in Unseen::all_of(audited).filter(|unseen| unseen.needed || unseen.is_accepted) {
            let annotation = self.annotation("not-seen", unseen.text);
            if unseen.needed {
                self.unseen.push(annotation);
            } else {
                self.accepted.push(annotation);
            }
        }
        Ok(())
    }

    fn end(mut self: Box<Self>, summary: &Summary, out: &mut dyn Write) -> Result<()> {
        let mut unseen = Shown::default();
        for unjudged in &summary.unjudged {
            unseen.push(self.annotation("not-seen", Unseen::from(unjudged).text));
        }
        let skipped = not_selected(&summary.skipped).map(|text| self.annotation("not-judged", text));
        unseen.append(std::mem::take(&mut self.unseen));
        let mut levels = std::mem::take(&mut self.findings).map(Shown::from);
        if let Some(skipped) = skipped {
            levels[Level::Notice as usize].push_first(skipped);
        }
        let of_all = || node_traffic::of_all(self.nodes.iter(), |_, words| words.to_owned());
        let answer = if self.is_many { of_all() } else { self.answer.clone() };
        if let Some(answer) = answer {
            levels[Level::Notice as usize].push_first(self.annotation("node-traffic", answer));
        }
        let level = if summary.verdict() == Verdict::Inconclusive { Level::Error } else { Level::Warning };
        levels[level as usize].append(unseen);
        levels[Level::Notice as usize].append(self.accepted);
        for note in &summary.policy.notes {
            levels[Level::Warning as usize].push(Annotation {
                file: summary.policy.place.clone(),
                line: note.line,
                title: note.kind.as_str(),
                message: escape(&note.text).into_owned(),
            });
        }
        write(&levels, out)
    }
}

fn write(levels: &[Shown; 3], out: &mut dyn Write) -> Result<()> {
    let is_cut = levels.iter().any(|shown| shown.count > SHOWN);
    let mut left_out = 0;
    for level in Level::ALL {
        // The last notice says how many annotations are left out.
        let room = if is_cut && level == Level::Notice { SHOWN - 1 } else { SHOWN };
        let shown = &levels[level as usize];
        for Annotation { file, line, title, message } in shown.first.iter().take(room) {
            writeln!(
                out,
                "::{} file={},line={line},title={}::{}",
                level.as_str(),
                property(&escape(file)),
                property(&format!("eks-netcheck: {title}")),
                data(message)
            )?;
        }
        left_out += shown.count.saturating_sub(room);
    }
    if left_out > 0 {
        let text = format!("{left_out} more are not shown here; the full report lists them");
        writeln!(out, "::notice title=eks-netcheck::{}", data(&text))?;
    }
    Ok(())
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
