//! The rejected lines of captures, which `-v` lists.

use std::io::{BufWriter, Write};

use crate::model::node::Node;
use crate::report::text::escape;

/// Lists the rejected lines of captures on standard error.
pub(super) fn list_rejected<'a>(nodes: impl IntoIterator<Item = &'a Node>) {
    let mut err = BufWriter::new(anstream::stderr());
    for node in nodes {
        for line in &node.rejected {
            // Standard error may be closed; the report matters more.
            let _ = writeln!(
                err,
                "node {}, line {}: {}: {}",
                node.name,
                line.number,
                line.reason.as_str(),
                escape(&line.text)
            );
        }
        let more = node.tally.rejected - node.rejected.len() as u64;
        if more > 0 {
            let _ = writeln!(err, "node {}: {more} more lines that are not sockets", node.name);
        }
    }
}
