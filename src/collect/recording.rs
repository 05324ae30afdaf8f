//! The evidence of one cluster, recorded into a directory or into memory.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;
use tempfile::TempDir;

use super::aws::batch::Batch;
use super::aws::client::Client;
use super::cluster::{Request, record};
use super::error::{CollectError, Result};
use super::next_step::next_step;
use super::probe::peers::probe_peers;
use super::progress::Progress;
use super::reader::Reader;
use super::runtime;
use super::signals::interruption;
use crate::cleanup::{self, Kind, Temporary};
use crate::evidence::directory::EvidenceDir;
use crate::evidence::error::EvidenceError;
use crate::evidence::write::EvidenceWriter;
use crate::model::gap::Gap;

/// A recording in a directory.
#[derive(Debug)]
pub struct Recorded {
    /// Why it is not complete, if it is not.
    pub ended: Result<()>,
    /// What is missing; `None` if nothing was recorded, and the directory was removed.
    pub gaps: Option<Vec<Gap>>,
}

/// Records a cluster into a directory, and writes the manifest even if the recording
/// fails. Peers that nothing explains are probed once everything else is recorded.
///
/// # Errors
/// If the directory cannot be written.
pub fn record_to<T>(
    dir: &Path,
    request: &Request,
    reader: Reader<T>,
    hides_progress: bool,
) -> Result<Recorded> {
    let writer = EvidenceWriter::create(dir)?;
    request.left_out().into_iter().for_each(|gap| writer.gap(gap));
    let ended = record_with(&writer, request, hides_progress);
    // An empty directory would have to be removed before the next run.
    let finished = match &ended {
        Err(_) if writer.is_empty() => writer.discard().map(|()| None),
        _ => finish(&writer).map(Some),
    };
    match (ended, finished) {
        (Ok(()), Ok(gaps)) => {
            let ended = record_peers(dir, &writer, request, reader, hides_progress);
            Ok(Recorded { ended, gaps })
        }
        (ended, Ok(gaps)) => Ok(Recorded { ended, gaps }),
        // The first error is the cause.
        (Err(error), Err(_)) => Err(error),
        (Ok(()), Err(error)) => Err(error.into()),
    }
}

/// Probes the peers of nodes that nothing in a recording explains, and records the answers with
/// those of the endpoint.
fn record_peers<T>(
    dir: &Path,
    writer: &EvidenceWriter,
    request: &Request,
    reader: Reader<T>,
    hides_progress: bool,
) -> Result<()> {
    let (Some(probe), Some(_)) = (&request.probe, &request.nodes) else { return Ok(()) };
    // What cannot be read is recorded all the same; an audit of it says why.
    let read = EvidenceDir::open(dir).and_then(|dir| (reader.read)(&dir, &request.cluster));
    let Some(peers) = read.ok().and_then(|value| (reader.unexplained)(&value)) else { return Ok(()) };
    let progress = Progress::new(hides_progress);
    progress.expect_step("probes of peers of nodes");
    let runtime = runtime::start(0).map_err(CollectError::Runtime)?;
    let answers = runtime.block_on(async {
        tokio::select! {
            answers = probe_peers(probe, peers) => Ok(answers),
            signal = interruption() => Err(progress.interrupted(signal)),
        }
    })?;
    if let Some(answers) = answers {
        writer.write_probe(&answers.sorted())?;
    }
    Ok(())
}

/// Records a cluster into memory. Its nodes are not read, and its endpoint is not probed.
///
/// # Errors
/// If the cluster cannot be described, or the run is interrupted.
pub fn describe(request: &Request, hides_progress: bool) -> Result<EvidenceDir> {
    // Only the captures of nodes are files.
    let writer = EvidenceWriter::in_memory(Path::new(""), next_step);
    let request = Request { probe: None, ..request.clone() };
    record_with(&writer, &request, hides_progress)?;
    finish(&writer)?;
    Ok(writer.into_evidence()?)
}

fn record_with(writer: &EvidenceWriter, request: &Request, hides_progress: bool) -> Result<()> {
    let runtime = runtime::start(0).map_err(CollectError::Runtime)?;
    let progress = Progress::new(hides_progress);
    let ended = runtime.block_on(async {
        tokio::select! {
            ended = async {
                let client = Client::open(&request.aws).await?;
                let batch = Batch::new(client, vec![request.cluster.clone()]);
                Box::pin(record(request, &batch, writer, &progress)).await
            } => ended,
            signal = interruption() => {
                request.cancel().await;
                Err(progress.interrupted(signal))
            }
        }
    });
    // A name lookup that is still running in a system call must not delay the end.
    runtime.shutdown_background();
    ended
}

/// Writes the manifest. Returns the gaps.
pub(super) fn finish(writer: &EvidenceWriter) -> Result<Vec<Gap>, EvidenceError> {
    writer.finish(env!("CARGO_PKG_VERSION"), format!("{:.0}", Timestamp::now()))
}

/// A private directory for temporary captures.
pub(super) fn scratch() -> Result<Temporary<TempDir>> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("eks-netcheck-").permissions(Permissions::from_mode(0o700));
    // An image with this program alone has no directory for them.
    let create = || match builder.tempdir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => builder.tempdir_in("/").map_err(|_| error),
        created => created,
    };
    cleanup::create(Kind::Tree, create, TempDir::path).map_err(CollectError::Scratch)
}
