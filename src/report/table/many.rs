//! Several clusters at a glance, before each has its own section.

use std::io::{Result, Write};

use super::super::entry::about;
use super::super::text::escape;
use super::{Look, count, prose, table};
use crate::model::audit::{Audit, Audited};
use crate::model::judgment::Verdict;

pub(super) fn write(audit: &Audit, look: Look, out: &mut impl Write) -> Result<()> {
    let clusters = match audit.clusters.len() {
        0 => "no cluster was judged".to_owned(),
        number => format!(
            "{}: {} fail, {} inconclusive, {} pass",
            count(number, "cluster"),
            audit.count(Verdict::Fail),
            audit.count(Verdict::Inconclusive),
            audit.count(Verdict::Pass)
        ),
    };
    let unjudged = match audit.unjudged.len() {
        0 => String::new(),
        number => format!("; {} could not be judged at all", count(number, "thing")),
    };
    let text = clusters + &unjudged;
    let head = format!("{}  ", audit.verdict().as_str().to_uppercase());
    let text = prose(&text, &head, &" ".repeat(head.len()), look);
    // Wrapped by its plain width, then coloured.
    let behind = text.strip_prefix(&head).unwrap_or(&text);
    write!(out, "{}  {behind}", look.verdict(audit.verdict()))?;
    for unjudged in &audit.unjudged {
        let text = format!("{}: {}", unjudged.subject, unjudged.gap.detail);
        write!(out, "{}", prose(&escape(&text), "  - ", "    ", look))?;
        write!(out, "{}", prose(&escape(&unjudged.gap.hint), "    ", "    ", look))?;
    }
    if audit.clusters.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = table(look, ["Cluster", "Region", "Account", "Access", "Verdict", "Worst"]);
    for audited in audit.worst_first() {
        let cluster = &audited.facts.evidence.cluster;
        table.add_row([
            escape(&cluster.name).into_owned(),
            escape(cluster.region().unwrap_or("-")).into_owned(),
            escape(cluster.account().unwrap_or("-")).into_owned(),
            cluster.access.as_str().to_owned(),
            audited.judgment.verdict.as_str().to_uppercase(),
            escape(&worst(audited)).into_owned(),
        ]);
    }
    writeln!(out, "{}", table.trim_fmt())
}

/// What a cluster's verdict comes from.
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
