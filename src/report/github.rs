//! Workflow commands of GitHub Actions, which shows them as annotations.
//!
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::io::{Result, Write};

use super::entry::{entries, unseen};
use super::text::escape;
use crate::model::audit::Audit;
use crate::model::judgment::Verdict;
use crate::model::rule::Severity;

/// A step shows so many of each level and no more.
const SHOWN: usize = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Error,
    Warning,
    Notice,
}

impl Level {
    const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Notice];

    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "notice",
        }
    }
}

/// Writes the annotations, the worst first, and how many there is no room for.
///
/// # Errors
/// If `out` cannot be written to.
pub fn write(audit: &Audit, out: &mut impl Write) -> Result<()> {
    let verdict = audit.verdict();
    let seen = entries(audit);
    let found = seen.iter().map(|entry| {
        let level = match (entry.judged.waived_by(), entry.judged.severity) {
            (None, Severity::Critical | Severity::High) => Level::Error,
            (None, Severity::Medium) => Level::Warning,
            (Some(_), _) | (None, Severity::Low) => Level::Notice,
        };
        (level, audit.anchor.as_str(), entry.judged.rule.id, entry.message_of_cluster(), 1)
    });
    let unseen = unseen(audit).filter(|unseen| unseen.needed).map(|unseen| {
        let level = if verdict == Verdict::Inconclusive { Level::Error } else { Level::Warning };
        (level, audit.anchor.as_str(), "not-seen", unseen.text, 1)
    });
    let notes = audit.policy.iter().flat_map(|policy| policy.notes.iter().map(|note| (&policy.place, note)));
    let notes = notes.map(|(place, note)| {
        (Level::Warning, place.as_str(), note.kind.as_str(), escape(&note.text).into_owned(), note.line)
    });
    let all: Vec<_> = found.chain(unseen).chain(notes).collect();
    let of = |level| all.iter().filter(move |(own, ..)| *own == level);
    let is_expired = Level::ALL.into_iter().any(|level| of(level).count() > SHOWN);
    let mut left_out = 0;
    for level in Level::ALL {
        // The last notice tells what there was no room for.
        let room = if is_expired && level == Level::Notice { SHOWN - 1 } else { SHOWN };
        for (_, file, title, message, line) in of(level).take(room) {
            writeln!(
                out,
                "::{} file={},line={line},title={}::{}",
                level.as_str(),
                property(file),
                property(&format!("eks-netcheck: {title}")),
                data(message)
            )?;
        }
        left_out += of(level).count().saturating_sub(room);
    }
    if left_out > 0 {
        let text = format!("{left_out} more are not shown here: the report has them");
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
