//! The overview of several clusters, before the section of each.

use std::collections::BTreeSet;
use std::io::{Result, Write};

use crate::model::audit::{Audited, Summary};
use crate::model::judgment::Verdict;
use crate::model::rule::{Severity, Threshold};
use crate::model::traffic::TrafficPath;
use crate::report::answer::{not_selected, unjudged, verdicts};
use crate::report::entry::{about, mark};
use crate::report::names::Names;
use crate::report::node_traffic::{NodeCounts, of_all};
use crate::report::style::{Style, Tone};
use crate::report::text::{cell, escape};

/// A row of the overview.
pub(super) struct Row {
    verdict: Verdict,
    threshold: Threshold,
    nodes: NodeCounts,
    cluster: String,
    region: String,
    account: String,
    access: &'static str,
    worst: String,
}

impl Row {
    pub(super) fn new(audited: &Audited) -> Self {
        let cluster = &audited.facts.evidence.cluster;
        Self {
            verdict: audited.judgment.verdict,
            threshold: audited.judgment.threshold,
            nodes: NodeCounts::of(&audited.facts),
            cluster: cell(&cluster.name),
            region: cell(cluster.region().unwrap_or("-")),
            account: cell(cluster.account().unwrap_or("-")),
            access: cluster.access.as_str(),
            worst: cell(&worst(audited)),
        }
    }

    fn traffic(&self, style: Style) -> String {
        self.nodes.text(|path, words| toned(path, words, style))
    }
}

fn toned(path: TrafficPath, words: &str, style: Style) -> String {
    style.tone(Tone::of_traffic(path), words)
}

/// The verdict of the run and the path of the nodes' traffic, each in a sentence.
pub(super) fn verdict(rows: &[Row], summary: &Summary, style: Style) -> String {
    let thresholds: BTreeSet<_> =
        rows.iter().map(|row| row.threshold.map_or("never", Severity::as_str)).collect();
    let threshold = match Vec::from_iter(thresholds).as_slice() {
        [] => String::new(),
        [one] => format!("; threshold: {one}"),
        several => format!("; thresholds: {}", several.join(", ")),
    };
    let clusters = verdicts(summary.counts);
    let part = |text: Option<String>| text.map(|text| format!("; {text}")).unwrap_or_default();
    let (unjudged, skipped) = (part(unjudged(summary)), part(not_selected(&summary.skipped)));
    let verdict = summary.verdict();
    let first = style.verdict_line(verdict, &(clusters + &unjudged + &threshold + &skipped));
    let paint = |path, words: &str| toned(path, words, style);
    let Some(traffic) = of_all(rows.iter().map(|row| &row.nodes), paint) else { return first };
    let indent = " ".repeat(verdict.as_str().len() + 2);
    first + &style.prose(&traffic, &indent, &indent)
}

/// Writes what could not be judged at all.
pub(super) fn write_unjudged(summary: &Summary, style: Style, out: &mut dyn Write) -> Result<()> {
    for unjudged in &summary.unjudged {
        let text = format!("{}: {}", unjudged.subject, unjudged.gap.detail);
        write!(out, "{}", style.prose(&escape(&text), "  - ", "    "))?;
        write!(out, "{}", style.next_step(&escape(&unjudged.gap.hint), "    ", "    "))?;
    }
    Ok(())
}

/// The columns that the last one needs to be read with ease.
const WORST_MIN: usize = 30;

/// Writes a row for each cluster. Clusters that fail come first, those that pass last. Of what
/// is the same for all there is no column. What is too wide for a table is written as text.
pub(super) fn write_rows(mut rows: Vec<Row>, style: Style, out: &mut dyn Write) -> Result<()> {
    rows.sort_by_key(|row| match row.verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    });
    let Some(first) = rows.first() else { return Ok(()) };
    let has_regions = rows.iter().any(|row| row.region != first.region);
    let has_accounts = rows.iter().any(|row| row.account != first.account);
    let same = [
        (!has_accounts).then(|| format!("account {}", first.account)),
        (!has_regions).then(|| first.region.clone()),
    ];
    let same: Vec<_> = same.into_iter().flatten().collect();
    if !same.is_empty() {
        write!(out, "\n{}", style.prose(&format!("All in {}:", same.join(", ")), "", ""))?;
    }
    writeln!(out)?;
    let columns = [
        Some("Cluster"),
        has_regions.then_some("Region"),
        has_accounts.then_some("Account"),
        Some("Access"),
        Some("Node traffic"),
        Some("Verdict"),
        Some("Worst"),
    ];
    let mut table = style.table(columns.into_iter().flatten());
    for row in &rows {
        let verdict = row.verdict.as_str().to_uppercase();
        let cells = [
            Some(row.cluster.clone()),
            has_regions.then(|| row.region.clone()),
            has_accounts.then(|| row.account.clone()),
            Some(row.access.to_owned()),
            Some(row.traffic(style)),
            Some(style.tone(Tone::of_verdict(row.verdict), &verdict)),
            Some(row.worst.clone()),
        ];
        table.add_row(cells.into_iter().flatten());
    }
    if style.has_room(&table, WORST_MIN) {
        return style.write_table(&table, out);
    }
    for row in &rows {
        let place = [has_regions.then_some(&row.region), has_accounts.then_some(&row.account)];
        let place: Vec<_> = place.into_iter().flatten().map(String::as_str).collect();
        let place = if place.is_empty() { String::new() } else { format!(" ({})", place.join(", ")) };
        let worst = if row.worst == "-" { String::new() } else { format!("; {}", row.worst) };
        let (cluster, access, traffic) = (&row.cluster, row.access, row.traffic(style));
        let text = format!("{cluster}{place}: {access}, node traffic: {traffic}{worst}");
        write!(out, "{}", style.verdict_line(row.verdict, &text))?;
    }
    Ok(())
}

/// The finding or the gap that decides a cluster's verdict.
fn worst(audited: &Audited) -> String {
    let Audited { facts, judgment } = audited;
    let needed = judgment.gaps.iter().find(|gap| gap.needed);
    let text = match (judgment.findings.first(), needed) {
        (_, Some(gap)) if judgment.verdict == Verdict::Inconclusive => {
            format!("not seen: {}", gap.gap.subject)
        }
        (Some(judged), _) if judged.counts() => {
            format!("{}: {}", judged.rule.id, about(&judged.finding, &facts.evidence.cluster))
        }
        (Some(judged), _) => mark(judged).unwrap_or_default().to_owned(),
        _ => "-".to_owned(),
    };
    Names::of(facts).shorten(&text).into_owned()
}
