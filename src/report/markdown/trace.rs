//! `trace` and `diff` as Markdown, for a change request: which nodes' traffic took another path,
//! and the connections between the API server and the nodes that changed.

use std::fmt::Write as _;
use std::io::{Result, Write};

use super::{harmless, list, word};
use crate::model::audit::TraceJudgment;
use crate::model::connection::Direction;
use crate::model::text::capital;
use crate::model::trace::Trace;
use crate::report::answer::reason;
use crate::report::format::TraceFormat;
use crate::report::names::Names;
use crate::report::style::{Style, count};
use crate::report::traffic_change::{self, OTHER_CLUSTER};

/// The format.
pub const FORMAT: TraceFormat =
    TraceFormat { name: "markdown", help: "Markdown, for a change request", write };

fn write(trace: &Trace, judged: Option<&TraceJudgment>, _: Style, out: &mut dyn Write) -> Result<()> {
    let names = Names::new(trace.nodes.iter().map(|node| &node.name));
    let cluster = trace.cluster.as_deref().map(|name| format!(" of {}", harmless(name)));
    let mut text = format!("## Connections between API server and nodes{}\n", cluster.unwrap_or_default());
    // Writing to a String does not fail, here and below.
    if let Some(TraceJudgment { judgment, .. }) = judged {
        let _ = write!(text, "\n{}: {}.\n", word(judgment.verdict), harmless(&reason(judgment)));
        text.push('\n');
        text.push_str(&list(judgment.findings.iter().map(|judged| {
            let finding = &judged.finding;
            let what = format!("{}: {}", finding.subject, finding.message);
            format!("- {} {}: {}\n", judged.severity.as_str(), judged.rule.id, harmless(&what))
        })));
    }
    if let Some(ran) = &trace.command {
        let command = ran.words.join(" ");
        let _ = write!(text, "\n{} (exit code {})\n", harmless(&command), ran.exit_code);
    }
    if trace.is_of_two_clusters {
        let _ = write!(text, "\n**{}**\n", capital(OTHER_CLUSTER));
    }
    for sentence in traffic_change::sentences(&trace.traffic, &names, |_, words| words.to_owned()) {
        let _ = write!(text, "\n**{}**\n", harmless(&sentence));
    }
    let compared = trace.nodes.iter().filter(|node| node.is_compared()).count();
    let of_api = trace
        .connections
        .iter()
        .filter(|traced| traced.is_change() && traced.connection.direction != Direction::None);
    let changed: Vec<_> = of_api.collect();
    let _ = write!(
        text,
        "\n{} changed between the API server and the nodes; {} compared.\n",
        count(changed.len(), "connection"),
        count(compared, "node")
    );
    if !changed.is_empty() {
        text.push_str("\n| node | process | direction | path | peer | change |\n| --- | --- | --- | --- | --- | --- |\n");
        text.push_str(&list(changed.iter().map(|traced| {
            let connection = &traced.connection;
            let process = match (connection.component, &connection.process) {
                (Some(component), _) => component.as_str(),
                (None, process) => process.as_ref().map_or("(no name)", |process| process.name.as_str()),
            };
            format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                harmless(names.name(&connection.node)),
                harmless(process),
                connection.direction.as_str(),
                connection.attribution.path.as_str(),
                harmless(&connection.socket.peer.to_string()),
                traced.presence.change().map_or("", |change| change.as_str())
            )
        })));
    }
    if !trace.gaps.is_empty() {
        text.push_str("\n### Not seen\n\n");
        text.push_str(&list(trace.gaps.iter().map(|gap| {
            let hint = if gap.hint.is_empty() { String::new() } else { format!("; {}", gap.hint) };
            format!("- {}\n", harmless(&(names.shorten(&gap.problem()).into_owned() + &hint)))
        })));
    }
    out.write_all(text.as_bytes())
}
