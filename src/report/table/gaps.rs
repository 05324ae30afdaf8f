//! What was not seen, and the rules that were not judged.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{Result, Write};

use crate::model::gap::Gap;
use crate::model::groups::gap_groups;
use crate::model::judgment::{JudgedGap, NotJudged};
use crate::model::text::list;
use crate::report::alike;
use crate::report::entry::accepted_by;
use crate::report::names::Names;
use crate::report::style::Style;
use crate::report::text::escape;

/// How many names of a group, and how many groups the short form has.
const NAMED: usize = 5;
const GROUPS: usize = 20;
/// The most rules that are named again where the gap above has the same.
const SAME_MIN: usize = 2;

/// Whether the short form shows a gap: the verdict, or a rule, depends on it, or the policy
/// names it.
fn is_shown(judged: &JudgedGap) -> bool {
    judged.needed || judged.accepted.is_some() || !judged.rules.is_empty()
}

/// Writes every gap.
pub(super) fn write_gaps(gaps: &[JudgedGap], names: &Names, style: Style, out: &mut dyn Write) -> Result<()> {
    if gaps.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Not seen"))?;
    let (shown, unneeded): (Vec<_>, Vec<_>) = gaps.iter().partition(|judged| is_shown(judged));
    for judged in shown {
        write_gap(judged, &judged.gap.problem(), false, names, style, out)?;
        write_rules(judged, false, style, out)?;
    }
    if !unneeded.is_empty() {
        writeln!(out, "  Not needed by any rule:")?;
    }
    for JudgedGap { gap, .. } in unneeded {
        write!(out, "{}", style.prose(&escape(&names.shorten(&gap.problem())), "  - ", "    "))?;
    }
    Ok(())
}

/// Writes the gaps that a rule needs, those with one cause as one, and the number of others.
pub(super) fn write_gap_groups(
    gaps: &[JudgedGap],
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let groups = gap_groups(gaps);
    let (mut shown, unneeded): (Vec<_>, Vec<_>) = groups.iter().partition(|group| is_shown(group.gaps[0]));
    if !shown.is_empty() {
        writeln!(out, "\n{}", style.bold("Not seen"))?;
    }
    // The verdict depends on the first ones; of those, what concerns most.
    shown.sort_by_key(|group| (!group.gaps[0].needed, Reverse(group.gaps.len())));
    let mut before: Vec<&str> = Vec::new();
    for group in shown.iter().take(GROUPS) {
        let first = group.gaps[0];
        write_gap(first, &alike::gap_text(group, names), group.gaps.len() > 1, names, style, out)?;
        let rules: Vec<_> = first.rules.iter().map(|rule| rule.id).collect();
        write_rules(first, rules.len() > SAME_MIN && before == rules, style, out)?;
        before = rules;
    }
    if shown.len() > GROUPS {
        let more: usize = shown[GROUPS..].iter().map(|group| group.gaps.len()).sum();
        writeln!(out, "  - and {more} more; --all lists them")?;
    }
    let unneeded: Vec<_> = unneeded.iter().flat_map(|group| &group.gaps).collect();
    if !unneeded.is_empty() {
        // These exist.
        let (unread, unseen): (Vec<&JudgedGap>, Vec<_>) =
            unneeded.into_iter().partition(|judged| judged.gap.is_unread_file());
        writeln!(out)?;
        for (head, gaps) in
            [("Not seen, and not needed by any rule", unseen), ("Files that are not read", unread)]
        {
            if !gaps.is_empty() {
                let subjects: Vec<_> = gaps.iter().map(|judged| judged.gap.subject.to_string()).collect();
                let text = format!("{head}: {}", names.shorten(&list(&subjects, NAMED)));
                write!(out, "{}", style.prose(&escape(&text), "", "  "))?;
            }
        }
    }
    Ok(())
}

/// Writes a gap, with the next step.
fn write_gap(
    judged: &JudgedGap,
    problem: &str,
    is_many: bool,
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    let gap = &judged.gap;
    write!(out, "{}", style.prose(&escape(&names.shorten(problem)), "  - ", "    "))?;
    if let Some(accepted) = &judged.accepted {
        write!(out, "{}", style.prose(&escape(&accepted_by(accepted)), "    ", "    "))?;
    }
    if !gap.hint.is_empty() && judged.accepted_by().is_none() {
        let hint = alike::gap_hint(gap, is_many);
        write!(out, "{}", style.next_step(&escape(&hint), "    ", "    "))?;
    }
    Ok(())
}

/// Writes the rules that a gap has an effect on, or that they are those of the gap above.
fn write_rules(judged: &JudgedGap, are_same: bool, style: Style, out: &mut dyn Write) -> Result<()> {
    let rules: Vec<_> = judged.rules.iter().map(|rule| rule.id).collect();
    if rules.is_empty() {
        return Ok(());
    }
    let rules = if are_same { format!("the same {} rules", rules.len()) } else { rules.join(", ") };
    let without = if judged.needed { "Inconclusive without it" } else { "Not judged without it" };
    write!(out, "{}", style.prose(&format!("{without}: {rules}"), "    ", "    "))
}

/// Writes the rules that were not judged, with the missing evidence, each gap once.
pub(super) fn write_not_judged(
    not_judged: &[NotJudged],
    names: &Names,
    style: Style,
    out: &mut dyn Write,
) -> Result<()> {
    if not_judged.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.bold("Not judged, without effect on the verdict"))?;
    for (gap, rules) in by_gap(not_judged) {
        write!(out, "{}", style.prose(&rules.join(", "), "  - ", "    "))?;
        write!(out, "{}", style.prose(&escape(&names.shorten(&gap.problem())), "    ", "    "))?;
    }
    Ok(())
}

/// The rules that were not judged, by the missing evidence.
fn by_gap(not_judged: &[NotJudged]) -> BTreeMap<&Gap, Vec<&'static str>> {
    let mut rules: BTreeMap<&Gap, Vec<&str>> = BTreeMap::new();
    for NotJudged { rule, gap } in not_judged {
        rules.entry(gap).or_default().push(rule.id);
    }
    rules
}

/// The rules that were not judged, in one sentence.
pub(super) fn not_judged(not_judged: &[NotJudged]) -> Option<String> {
    let mut rules: Vec<_> = not_judged.iter().map(|one| one.rule.id).collect();
    rules.sort_unstable();
    rules.dedup();
    (!rules.is_empty()).then(|| format!("Not judged, without effect on the verdict: {}", rules.join(", ")))
}
