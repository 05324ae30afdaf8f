//! `collect`: the evidence of one cluster is recorded into a directory.

use std::io::BufWriter;

use anyhow::Result;

use super::exit::{Ending, Exit};
use super::live::{READER, cluster_request, ending};
use super::missing::list_missing;
use super::rejected::list_rejected;
use crate::cli::options::{CollectOptions, Verbosity};
use crate::collect::cluster::Request;
use crate::collect::log::log_to_stderr;
use crate::collect::recording::record_to;
use crate::evidence::directory::EvidenceDir;
use crate::evidence::nodes::read_nodes;
use crate::model::file::File;

/// Records a cluster, and lists what is missing. The run is inconclusive if anything is that
/// was requested.
pub(super) fn collect(options: &CollectOptions) -> Result<Ending> {
    if options.verbosity == Verbosity::Requests {
        log_to_stderr();
    }
    let request = Request { network_acls: true, ..cluster_request(&options.cluster)? };
    let recorded = match record_to(&options.out, &request, READER, !options.verbosity.shows_progress()) {
        Ok(recorded) => recorded,
        Err(error) => return ending(error),
    };
    // What is missing is not progress, which --quiet hides.
    let is_quiet = options.verbosity == Verbosity::Quiet;
    // Nodes that are left out were not requested.
    let is_whole = recorded.gaps.iter().flatten().all(|gap| gap.is_left_out() || gap.is_optional());
    if let Some(gaps) = recorded.gaps.filter(|gaps| !(is_quiet && gaps.is_empty())) {
        let files = EvidenceDir::open(&options.out).and_then(|dir| dir.node_files());
        let captures = files.map_or(1, |files| files.len());
        // Standard error may be closed; the files are written.
        let _ = list_missing(&options.out, &gaps, captures, &mut BufWriter::new(anstream::stderr()));
    }
    if options.verbosity >= Verbosity::RejectedLines && options.out.is_dir() {
        list_rejected(&read_nodes(&EvidenceDir::open(&options.out)?, |_, _| {})?);
    }
    match recorded.ended {
        Ok(()) if is_whole => Ok(Exit::Pass.into()),
        Ok(()) => Ok(Exit::Inconclusive.into()),
        Err(error) => ending(error).map(|ending| with_state(ending, options)),
    }
}

/// The same with the state of the directory, if a signal interrupted the run.
fn with_state(ending: Ending, options: &CollectOptions) -> Ending {
    let (Exit::Signal(_), Some(message)) = (ending.exit, &ending.message) else { return ending };
    let dir = options.out.display();
    let state = if options.out.join(File::CLUSTER.name()).is_file() {
        format!("{dir} has what was received, and manifest.json lists what is missing")
    } else {
        format!("{dir} has no {}, so that it cannot be judged", File::CLUSTER)
    };
    Ending::with_message(ending.exit, format!("{message}; {state}"))
}
