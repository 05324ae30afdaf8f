//! The overview of several clusters, before the section of each.

use std::io::{Result, Write};

use crate::model::audit::{Audited, Summary};
use crate::model::judgment::Verdict;
use crate::report::entry::about;
use crate::report::style::{Style, count};
use crate::report::text::{cell, escape};

/// A row of the overview.
pub(super) struct Row {
    verdict: Verdict,
    cells: [String; 6],
}

impl Row {
    pub(super) fn new(audited: &Audited) -> Self {
        let cluster = &audited.facts.evidence.cluster;
        let verdict = audited.judgment.verdict;
        let cells = [
            cell(&cluster.name),
            cell(cluster.region().unwrap_or("-")),
            cell(cluster.account().unwrap_or("-")),
            cluster.access.as_str().to_owned(),
            verdict.as_str().to_uppercase(),
            cell(&worst(audited)),
        ];
        Self { verdict, cells }
    }
}

/// Writes the overview. Clusters that fail come first, those that pass last.
pub(super) fn write(mut rows: Vec<Row>, summary: &Summary, style: Style, out: &mut dyn Write) -> Result<()> {
    let counts = summary.counts;
    let clusters = match counts.total() {
        0 => "no cluster was judged".to_owned(),
        number => format!(
            "{}: {} fail, {} inconclusive, {} pass",
            count(number, "cluster"),
            counts.fail,
            counts.inconclusive,
            counts.pass
        ),
    };
    let unjudged = match summary.unjudged.len() {
        0 => String::new(),
        number => format!("; {number} could not be judged at all"),
    };
    write!(out, "{}", style.verdict_line(summary.verdict(), &(clusters + &unjudged)))?;
    for unjudged in &summary.unjudged {
        let text = format!("{}: {}", unjudged.subject, unjudged.gap.detail);
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
        write!(out, "{}", style.prose(&escape(&unjudged.gap.hint), "    ", "    "))?;
    }
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = style.table(["Cluster", "Region", "Account", "Access", "Verdict", "Worst"]);
    rows.sort_by_key(|row| match row.verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    });
    for row in rows {
        table.add_row(row.cells);
    }
    writeln!(out, "{}", table.trim_fmt())
}

/// The finding or the gap that decides a cluster's verdict.
fn worst(audited: &Audited) -> String {
    let judgment = &audited.judgment;
    let needed = judgment.gaps.iter().find(|gap| gap.needed);
    match (judgment.findings.first(), needed) {
        (_, Some(gap)) if judgment.verdict == Verdict::Inconclusive => {
            format!("not seen: {}", gap.gap.subject)
        }
        (Some(judged), _) if judged.waived_by().is_none() => {
            format!("{}: {}", judged.rule.id, about(&judged.finding, &audited.facts.evidence.cluster))
        }
        (Some(_), _) => "waived".to_owned(),
        _ => "-".to_owned(),
    }
}
