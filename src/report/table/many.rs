//! The overview of several clusters, before the section of each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Result, Write};

use crate::model::audit::{Audited, Summary};
use crate::model::judgment::Verdict;
use crate::model::rule::{Severity, Threshold};
use crate::model::traffic::TrafficPath;
use crate::report::answer::{PATHS, not_selected, path_words};
use crate::report::entry::{about, mark};
use crate::report::names::Names;
use crate::report::style::{Style, Tone, count};
use crate::report::text::{cell, escape};

/// A row of the overview.
pub(super) struct Row {
    verdict: Verdict,
    threshold: Threshold,
    /// The numbers of nodes by path, in the order of [`PATHS`].
    traffic: [usize; PATHS.len()],
    /// The number of known nodes that were not read.
    unread: usize,
    /// Whether it is known that there are no nodes.
    has_no_nodes: bool,
    cluster: String,
    region: String,
    account: String,
    access: &'static str,
    worst: String,
}

impl Row {
    pub(super) fn new(audited: &Audited) -> Self {
        let cluster = &audited.facts.evidence.cluster;
        let of_path = |path| audited.facts.traffic.iter().filter(|traffic| traffic.path == path).count();
        Self {
            verdict: audited.judgment.verdict,
            threshold: audited.judgment.threshold,
            traffic: PATHS.map(|(path, _)| of_path(path)),
            unread: audited.facts.unread_nodes(),
            has_no_nodes: audited.facts.evidence.has_no_nodes(),
            cluster: cell(&cluster.name),
            region: cell(cluster.region().unwrap_or("-")),
            account: cell(cluster.account().unwrap_or("-")),
            access: cluster.access.as_str(),
            worst: cell(&worst(audited)),
        }
    }

    /// Whether it is not known how many nodes there are, and none was read.
    fn is_unknown(&self) -> bool {
        self.unread == 0 && !self.has_no_nodes && self.traffic.iter().all(|number| *number == 0)
    }

    /// The paths of the nodes: `1 public, 2 private, 3 not read`.
    fn traffic(&self, style: Style) -> String {
        let numbers = PATHS.iter().zip(self.traffic).filter(|(_, number)| *number > 0);
        let unread = (self.unread > 0).then(|| format!("{} not read", self.unread));
        let parts: Vec<_> = numbers
            .map(|((path, words), number)| format!("{number} {}", toned(*path, words, style)))
            .chain(unread)
            .collect();
        match parts.as_slice() {
            [] if self.has_no_nodes => "no node".to_owned(),
            [] => "not known".to_owned(),
            parts => parts.join(", "),
        }
    }
}

fn toned(path: TrafficPath, words: &str, style: Style) -> String {
    style.tone(Tone::of_traffic(path), words)
}

/// The verdict of the run and the path of the nodes' traffic, each in a sentence.
pub(super) fn verdict(rows: &[Row], summary: &Summary, style: Style) -> String {
    let counts = summary.counts;
    let thresholds: BTreeSet<_> =
        rows.iter().map(|row| row.threshold.map_or("never", Severity::as_str)).collect();
    let threshold = match Vec::from_iter(thresholds).as_slice() {
        [] => String::new(),
        [one] => format!("; threshold: {one}"),
        several => format!("; thresholds: {}", several.join(", ")),
    };
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
    let skipped = not_selected(&summary.skipped).map(|text| format!("; {text}")).unwrap_or_default();
    let verdict = summary.verdict();
    let first = style.verdict_line(verdict, &(clusters + &unjudged + &threshold + &skipped));
    let mut traffic: BTreeMap<usize, usize> = BTreeMap::new();
    for row in rows {
        for (rank, number) in row.traffic.iter().enumerate().filter(|(_, number)| **number > 0) {
            *traffic.entry(rank).or_default() += number;
        }
    }
    let all: usize = traffic.values().sum();
    let parts = traffic.iter().filter_map(|(rank, number)| {
        let (path, _) = PATHS.get(*rank)?;
        let words = toned(*path, path_words(*path), style);
        Some(format!("{words} on {number} of {}", count(all, "node")))
    });
    let unread = match (rows.iter().map(|row| row.unread).sum(), all) {
        (0, _) => None,
        (number, 0) => Some(format!("not known, since none of {} was read", count(number, "node"))),
        (1, _) => Some("not known on 1 more node, which was not read".to_owned()),
        (number, _) => Some(format!("not known on {number} more nodes, which were not read")),
    };
    let unknown = match rows.iter().filter(|row| row.is_unknown()).count() {
        0 => None,
        number => Some(format!("not known in {}, of which no node was read", count(number, "cluster"))),
    };
    let parts: Vec<_> = parts.chain(unread).chain(unknown).collect();
    if parts.is_empty() {
        return first;
    }
    let indent = " ".repeat(verdict.as_str().len() + 2);
    first + &style.prose(&format!("node traffic: {}", parts.join(", ")), &indent, &indent)
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

/// Writes a row for each cluster. Clusters that fail come first, those that pass last. Of what
/// is the same for all there is no column.
pub(super) fn write_rows(mut rows: Vec<Row>, style: Style, out: &mut dyn Write) -> Result<()> {
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
    rows.sort_by_key(|row| match row.verdict {
        Verdict::Fail => 0,
        Verdict::Inconclusive => 1,
        Verdict::Pass => 2,
    });
    for row in rows {
        let verdict = row.verdict.as_str().to_uppercase();
        let cells = [
            Some(row.cluster.clone()),
            has_regions.then(|| row.region.clone()),
            has_accounts.then(|| row.account.clone()),
            Some(row.access.to_owned()),
            Some(row.traffic(style)),
            Some(style.tone(Tone::of_verdict(row.verdict), &verdict)),
            Some(row.worst),
        ];
        table.add_row(cells.into_iter().flatten());
    }
    style.write_table(&table, out)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn row(traffic: [usize; PATHS.len()], unread: usize, has_no_nodes: bool) -> Row {
        Row {
            verdict: Verdict::Pass,
            threshold: None,
            traffic,
            unread,
            has_no_nodes,
            cluster: "c".to_owned(),
            region: "r".to_owned(),
            account: "a".to_owned(),
            access: "private",
            worst: "-".to_owned(),
        }
    }

    #[test]
    fn nodes_that_were_not_read_are_counted() {
        let none = [0; PATHS.len()];
        let private = [0, 0, 2, 0, 0];
        for (rows, cells, sentence) in [
            (vec![row(private, 0, false)], vec!["2 private"], "private on 2 of 2 nodes"),
            (
                vec![row(private, 997, false), row(none, 1, false)],
                vec!["2 private, 997 not read", "1 not read"],
                "private on 2 of 2 nodes, not known on 998 more nodes, which were not read",
            ),
            (vec![row(none, 3, false)], vec!["3 not read"], "not known, since none of 3 nodes was read"),
            (
                vec![row(private, 0, false), row(none, 0, false)],
                vec!["2 private", "not known"],
                "private on 2 of 2 nodes, not known in 1 cluster, of which no node was read",
            ),
            (vec![row(none, 0, true)], vec!["no node"], ""),
        ] {
            let style = Style { width: 200, color: false };
            let shown: Vec<_> = rows.iter().map(|row| row.traffic(style)).collect();
            assert_eq!(shown, cells);
            let text = verdict(&rows, &Summary::default(), style);
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let expected = format!("node traffic: {sentence}");
            assert!(
                if sentence.is_empty() { !text.contains("traffic") } else { text.contains(&expected) },
                "{text}"
            );
        }
    }
}
