//! Files of an evidence directory that are not read.

use super::super::aws;
use super::super::error::EvidenceError;
use super::super::files::{BUNDLE, COMBINED_CAPTURE, Stray, names};
use super::{EvidenceDir, MANIFEST, Source};
use crate::model::cluster::Cluster;
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, NODES};

/// The subdirectories of an evidence directory.
const SUBDIRECTORIES: [&str; 4] = ["dns", "kubernetes", "nodes", "probe"];
/// How many unknown files are listed.
const UNKNOWN_MAX: usize = 10;

impl EvidenceDir {
    /// The gaps for files that are not read: those of later versions, and unknown ones.
    pub(super) fn files_not_read(&self, cluster: &Cluster) -> Result<Vec<Gap>, EvidenceError> {
        let Source::Directory(root) = &self.source else { return Ok(Vec::new()) };
        let gap = |name: String, why, detail: &str| self.gap(cluster, Subject::Other(name), why, detail);
        let mut gaps = Vec::new();
        for name in names(root, "nodes")? {
            let Some(node) = name.strip_suffix(BUNDLE) else { continue };
            if root.join(format!("nodes/{node}.txt")).exists() {
                let detail = "a bundle of logs, which is not read, since the node's capture is";
                gaps.push(gap(format!("nodes/{name}"), GapReason::NotSupported, detail));
            }
        }
        let known: Vec<_> = aws::CALLS
            .iter()
            .map(|call| call.file)
            .chain([File::CLUSTER, NODES, ENDPOINT_SLICES])
            .map(File::name)
            .collect();
        let is_known = |name: &str| {
            known.contains(&name)
                || name == MANIFEST
                || name == COMBINED_CAPTURE
                || SUBDIRECTORIES.contains(&name)
        };
        let of_kubernetes = names(root, "kubernetes")?.into_iter().map(|name| format!("kubernetes/{name}"));
        let unknown = names(root, "")?.into_iter().chain(of_kubernetes).filter(|name| !is_known(name));
        let mut unknown: Vec<_> = unknown.collect();
        for sub in ["dns", "nodes", "probe"] {
            let stray = names(root, sub)?.into_iter().map(|name| format!("{sub}/{name}"));
            unknown.extend(stray.filter(|name| Stray::of(&root.join(name)).is_some()));
        }
        unknown.sort();
        let omitted = unknown.len().saturating_sub(UNKNOWN_MAX);
        unknown.truncate(UNKNOWN_MAX);
        for name in unknown {
            let similar = known.iter().find(|known| letters(known) == letters(&name));
            let detail = match (Stray::of(&root.join(&name)), similar) {
                (Some(Stray::Copy(original)), _) => format!("a copy of {original}, and not read"),
                (Some(Stray::Unfinished(finished)), _) => {
                    format!("what a command left that was to write {finished} and failed, and not read")
                }
                (Some(Stray::System), _) => "a file of an operating system, and not read".to_owned(),
                (None, Some(similar)) => format!("not read; the name of that file is {similar}"),
                (None, None) => "not a file of an evidence directory, and not read".to_owned(),
            };
            gaps.push(gap(name, GapReason::NotSupported, &detail));
        }
        if omitted > 0 {
            let detail = "not files of an evidence directory, and not read";
            gaps.push(gap(format!("{omitted} more files"), GapReason::NotSupported, detail));
        }
        Ok(gaps)
    }
}

/// The letters of the name of a file, by which a misspelt name is recognised.
fn letters(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    letters.to_ascii_lowercase().replacen("describe", "", 1)
}
