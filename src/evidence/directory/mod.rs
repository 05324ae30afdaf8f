//! The evidence directory: files with the output of standard tools (aws, dig, ss).
//!
//! A missing file is a gap, except `cluster.json`, which is required. A file that exists
//! and cannot be read or parsed is an error that names it.

mod bundles;
mod dns;
mod probes;
mod unread;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::aws::{self, eks};
use super::bundle::Bundle;
use super::error::EvidenceError;
use super::files::{COMBINED_CAPTURE, node_files, open_inside, read_inside};
use super::json::{JsonError, from_json};
use super::kubernetes;
use super::manifest::Manifest;
use super::next_step;
use crate::model::cluster::Cluster;
use crate::model::evidence::{Evidence, NextStep};
use crate::model::file::File;
use crate::model::gap::{Gap, GapReason, Observed, Subject};
use crate::model::kubernetes::{ENDPOINT_SLICES, Kubernetes, NODES};
use crate::model::name::NodeName;
use crate::model::node::Via;
use crate::model::probe::Probe;
use crate::model::shell::{saved, shell_word, written_into};
use crate::model::tools::Tools;

/// The size limit of a JSON file, far above any answer of AWS about one VPC.
const JSON_MAX: u64 = 256 << 20;
/// The size limit of a node's capture: seven million sockets.
const CAPTURE_MAX: u64 = 1 << 30;
/// The size limit of a combined capture.
const CAPTURES_MAX: u64 = 16 << 30;

/// The name of the manifest.
pub(super) const MANIFEST: &str = "manifest.json";

/// Recorded evidence, in a directory or in memory.
#[derive(Debug)]
pub struct EvidenceDir {
    source: Source,
    manifest: Manifest,
    next_step: NextStep,
    /// Bundles that are not in the directory.
    added_bundles: Vec<PathBuf>,
    /// The answers to probes that replace recorded ones.
    replaced_probe: Option<Probe>,
    /// The bundles, once they were read.
    bundles: OnceCell<Vec<Bundle>>,
    /// How the tools of the user reached the cluster, if it was collected by this run.
    tools: Arc<Tools>,
}

/// Where the files are.
#[derive(Debug)]
pub(super) enum Source {
    /// In a directory.
    Directory(PathBuf),
    /// In memory: evidence that was just collected and is not saved.
    Memory(Memory),
}

/// Evidence in memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The files, by their path in an evidence directory.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// The captures of the nodes, which may be large, as temporary files.
    pub(super) captures: BTreeMap<NodeName, tempfile::TempPath>,
}

impl EvidenceDir {
    /// Opens a directory.
    ///
    /// # Errors
    /// If it is not a directory, or its manifest cannot be read.
    pub fn open(root: &Path) -> Result<Self, EvidenceError> {
        let metadata = fs::metadata(root).map_err(EvidenceError::io("read the evidence directory", root))?;
        if !metadata.is_dir() {
            return Err(EvidenceError::Unusable(format!(
                "{} is a file; --evidence expects the directory that contains cluster.json",
                root.display()
            )));
        }
        Self::new(Source::Directory(root.to_owned()), next_step::record)
    }

    pub(super) fn new(source: Source, next_step: NextStep) -> Result<Self, EvidenceError> {
        let mut dir = Self {
            source,
            manifest: Manifest::default(),
            next_step,
            added_bundles: Vec::new(),
            replaced_probe: None,
            bundles: OnceCell::new(),
            tools: Arc::default(),
        };
        if let Some(manifest) = dir.json(MANIFEST, from_json::<Manifest>)? {
            dir.manifest = manifest;
        }
        Ok(dir)
    }

    /// The function that returns the next step for missing evidence.
    #[must_use]
    pub fn next_step(&self) -> NextStep {
        self.next_step
    }

    /// Reads everything except the captures of the nodes. `name` is the expected name of
    /// the cluster, if one is expected.
    ///
    /// # Errors
    /// If `cluster.json` is missing or describes another cluster, or a file exists and
    /// cannot be read.
    pub fn read<'a>(&self, name: impl Into<Option<&'a str>>) -> Result<Evidence, EvidenceError> {
        let cluster = self.cluster(name.into())?;
        self.read_rest(cluster, self.other_gaps())
    }

    /// Reads everything except the captures of the nodes, for a cluster of any name. A
    /// missing `cluster.json` is a gap.
    ///
    /// # Errors
    /// If a file exists and cannot be read.
    pub fn read_any(&self) -> Result<Evidence, EvidenceError> {
        let mut gaps = self.other_gaps();
        let cluster = self.json(File::CLUSTER.name(), eks::parse_cluster)?.unwrap_or_else(|| {
            let cluster = Cluster::unknown();
            let detail = "not recorded, so no path to the API server is known";
            gaps.push(self.gap(&cluster, File::CLUSTER.into(), GapReason::NotRecorded, detail));
            cluster
        });
        self.read_rest(cluster, gaps)
    }

    /// Reads everything except the cluster and the captures of the nodes.
    fn read_rest(&self, cluster: Cluster, gaps: Vec<Gap>) -> Result<Evidence, EvidenceError> {
        let read = |file: File| -> Result<Observed<Cow<'_, [u8]>>, EvidenceError> {
            Ok(match self.bytes(file.name(), JSON_MAX)? {
                Some(bytes) => Observed::Seen(bytes),
                None => Observed::Unseen(self.missing(&cluster, file)),
            })
        };
        let malformed = |file: File, error| self.malformed(file.name(), error);
        let absent =
            |file: File, detail: String| self.gap(&cluster, file.into(), GapReason::Malformed, &detail);
        let network = aws::read_network(cluster.vpc.as_deref().unwrap_or("VPC"), read, malformed, absent)?;
        let kubernetes = self.kubernetes(&cluster)?;
        let not_read = self.files_not_read(&cluster)?;
        self.check_bundles(&cluster)?;
        let host = cluster.endpoint.as_ref().map(|endpoint| endpoint.host.as_str());
        let (dns, failed_queries) = self.dns(&cluster, host)?;
        let gaps = gaps.into_iter().chain(failed_queries).chain(not_read).collect();
        Ok(Evidence {
            network,
            kubernetes,
            dns,
            probes: self.probes(&cluster)?,
            gaps,
            next_step: self.next_step,
            directory: self.directory().map(Path::to_owned),
            tools: Arc::clone(&self.tools),
            cluster,
        })
    }

    fn kubernetes(&self, cluster: &Cluster) -> Result<Kubernetes, EvidenceError> {
        let nodes = self.json(NODES.name(), kubernetes::parse_nodes)?;
        let addresses = self.json(ENDPOINT_SLICES.name(), kubernetes::parse_api_addresses)?;
        let no_slice = || {
            let detail = "no slice of the Service `kubernetes` is in it";
            self.gap(cluster, ENDPOINT_SLICES.into(), GapReason::Incomplete, detail)
        };
        Ok(Kubernetes {
            nodes: nodes.map_or_else(|| Observed::Unseen(self.missing(cluster, NODES)), Observed::Seen),
            api_addresses: match addresses {
                Some(Some(addresses)) => Observed::Seen(addresses),
                Some(None) => Observed::Unseen(no_slice()),
                None => Observed::Unseen(self.missing(cluster, ENDPOINT_SLICES)),
            },
        })
    }

    /// Reads the description of the cluster. `name` is its expected name, if one is expected.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub fn cluster(&self, name: Option<&str>) -> Result<Cluster, EvidenceError> {
        let Some(cluster) = self.json(File::CLUSTER.name(), eks::parse_cluster)? else {
            return Err(self.without_cluster(name));
        };
        if let Some(name) = name.filter(|name| cluster.name != *name) {
            return Err(EvidenceError::OtherCluster(format!(
                "{} describes the cluster {:?}, not {name:?}, which --cluster names; pass --cluster {}, or the evidence of {name:?} with --evidence",
                self.path(File::CLUSTER.name()).display(),
                cluster.name,
                shell_word(&cluster.name, "NAME")
            )));
        }
        Ok(cluster)
    }

    /// The error about a directory without a description of the cluster: it may be the one that
    /// evidence directories are in.
    fn without_cluster(&self, name: Option<&str>) -> EvidenceError {
        let path = self.path("");
        let next_step = if let Some(below) = self.directory_below() {
            format!("{} has one: name a single directory", below.display())
        } else {
            let name = shell_word(name.unwrap_or("NAME"), "NAME");
            let file = self.path(File::CLUSTER.name());
            let command = saved(&format!("aws eks describe-cluster --name {name}"), &file.to_string_lossy());
            format!("record it with: {command}")
        };
        let path = path.display();
        EvidenceError::Unusable(format!(
            "{path} has no cluster.json, which is required in every evidence directory; {next_step}"
        ))
    }

    /// A subdirectory that is an evidence directory; of several, the first by name.
    fn directory_below(&self) -> Option<PathBuf> {
        /// The maximum number of entries that are read.
        const ENTRIES_MAX: usize = 1000;
        let Source::Directory(root) = &self.source else { return None };
        let entries = fs::read_dir(root).ok()?.take(ENTRIES_MAX).flatten();
        entries.map(|entry| entry.path()).filter(|path| path.join(File::CLUSTER.name()).is_file()).min()
    }

    /// The captures of single nodes, as name and path, sorted by name.
    ///
    /// # Errors
    /// If `nodes/` cannot be listed, or the name of a file in it is not `NAME.txt` with a
    /// valid node name.
    pub fn node_files(&self) -> Result<Vec<(NodeName, PathBuf)>, EvidenceError> {
        match &self.source {
            Source::Directory(root) => node_files(root, "nodes"),
            Source::Memory(memory) => {
                let captures = memory.captures.iter();
                Ok(captures.map(|(name, path)| (name.clone(), path.to_path_buf())).collect())
            }
        }
    }

    /// Opens the capture of a single node.
    ///
    /// # Errors
    /// If it is not a regular file in the directory, or too large.
    pub(super) fn open_node_file(&self, path: &Path) -> Result<fs::File, EvidenceError> {
        let Source::Directory(root) = &self.source else {
            return fs::File::open(path).map_err(EvidenceError::io("read", path));
        };
        let removed = || EvidenceError::io("read", path)(ErrorKind::NotFound.into());
        open_inside(root, path, CAPTURE_MAX)?.ok_or_else(removed)
    }

    /// Whether the captures are known to be complete: `collect` checks how each ended.
    #[must_use]
    pub fn has_complete_captures(&self) -> bool {
        matches!(self.source, Source::Memory(_)) || self.manifest.version.is_some()
    }

    /// Adds bundles of nodes' logs that are not in the directory.
    #[must_use]
    pub fn with_bundles(mut self, paths: &[PathBuf]) -> Self {
        self.added_bundles.extend_from_slice(paths);
        self
    }

    /// Sets how the tools of the user reached the cluster.
    #[must_use]
    pub(super) fn with_tools(mut self, tools: Tools) -> Self {
        self.tools = Arc::new(tools);
        self
    }

    /// Replaces the recorded answers to the probes from a vantage point.
    #[must_use]
    pub fn with_probe(mut self, probe: Probe) -> Self {
        self.replaced_probe = Some(probe);
        self
    }

    /// The contents of a file; `None` if it is missing.
    fn bytes(&self, file: &str, max: u64) -> Result<Option<Cow<'_, [u8]>>, EvidenceError> {
        match &self.source {
            Source::Directory(root) => Ok(read_inside(root, &root.join(file), max)?.map(Cow::Owned)),
            Source::Memory(memory) => Ok(memory.files.get(file).map(|bytes| Cow::Borrowed(bytes.as_slice()))),
        }
    }

    /// Opens the combined capture `nodes.txt`, if it exists.
    ///
    /// # Errors
    /// If it is not a regular file in the directory, or too large.
    pub(super) fn open_nodes_file(&self) -> Result<Option<(PathBuf, fs::File)>, EvidenceError> {
        let Source::Directory(root) = &self.source else { return Ok(None) };
        let path = root.join(COMBINED_CAPTURE);
        Ok(open_inside(root, &path, CAPTURES_MAX)?.map(|file| (path, file)))
    }

    /// By which way the capture of a node came.
    #[must_use]
    pub(super) fn via(&self, node: &NodeName) -> Via {
        self.manifest.recorded(node).map_or(Via::File, |recorded| recorded.via)
    }

    /// Whether the capture of a node was added to the recording: its gap was closed.
    #[must_use]
    pub(super) fn is_added(&self, node: &NodeName) -> bool {
        self.manifest.nodes.is_some() && self.manifest.recorded(node).is_none()
    }

    /// The nodes that could not be read according to the manifest, sorted by name.
    #[must_use]
    pub fn unread_nodes(&self) -> Vec<(NodeName, Gap)> {
        let nodes = self.manifest.gaps.iter().filter_map(|gap| match &gap.subject {
            Subject::Node(name) => Some((name.clone(), gap.clone())),
            _ => None,
        });
        let mut unread: Vec<_> = nodes.collect();
        unread.sort();
        unread
    }

    /// The gaps of the manifest, except those that are reported with their node, vantage
    /// point or missing file.
    fn other_gaps(&self) -> Vec<Gap> {
        let is_reported_elsewhere = |gap: &&Gap| match &gap.subject {
            Subject::Node(_) => true,
            // Bundles are read instead.
            Subject::Nodes if gap.is_left_out() => !self.added_bundles.is_empty(),
            Subject::Vantage(name) => !self.has(&format!("dns/{name}.txt")),
            Subject::File(file) => *file != File::CLUSTER && !self.has(file.name()),
            _ => false,
        };
        self.manifest.gaps.iter().filter(|gap| !is_reported_elsewhere(gap)).cloned().collect()
    }

    /// The gap for a missing file, from the manifest if it has one.
    fn missing(&self, cluster: &Cluster, file: File) -> Gap {
        let recorded = self.manifest.gaps.iter().find(|gap| gap.subject == Subject::File(file));
        recorded.cloned().unwrap_or_else(|| {
            let detail = match self.source {
                Source::Directory(_) => "not in the evidence directory",
                Source::Memory(_) => "this run did not ask for it",
            };
            self.gap(cluster, file.into(), GapReason::NotRecorded, detail)
        })
    }

    fn gap(&self, cluster: &Cluster, subject: Subject, why: GapReason, detail: &str) -> Gap {
        let hint = (self.next_step)(cluster, &subject, why);
        let hint = match self.directory() {
            Some(directory) => written_into(directory, hint),
            None => hint,
        };
        Gap { subject, why, detail: detail.to_owned(), hint }
    }

    /// The directory, if there is one.
    pub(super) fn directory(&self) -> Option<&Path> {
        match &self.source {
            Source::Directory(root) => Some(root),
            Source::Memory(_) => None,
        }
    }

    /// The contents of a JSON file; `None` if it is missing.
    fn json<T>(
        &self,
        file: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, JsonError>,
    ) -> Result<Option<T>, EvidenceError> {
        let Some(bytes) = self.bytes(file, JSON_MAX)? else { return Ok(None) };
        parse(&bytes).map(Some).map_err(|error| self.malformed(file, error))
    }

    /// The list in a JSON file; `None` if it is missing or cannot be parsed.
    pub(super) fn listed<T>(
        &self,
        file: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, JsonError>,
    ) -> Option<T> {
        self.json(file, parse).ok().flatten()
    }

    fn malformed(&self, file: &str, error: JsonError) -> EvidenceError {
        let path = self.path(file);
        if file == MANIFEST {
            let problem = format!("{}: {error}; correct it, or delete it", path.display());
            return EvidenceError::Unusable(problem);
        }
        EvidenceError::Json { path, next_step: next_step::record_again(file, &error), error }
    }

    fn has(&self, file: &str) -> bool {
        match &self.source {
            Source::Directory(root) => root.join(file).is_file(),
            Source::Memory(memory) => memory.files.contains_key(file),
        }
    }

    /// The path of a file, for messages.
    fn path(&self, file: &str) -> PathBuf {
        match &self.source {
            Source::Directory(root) => root.join(file),
            Source::Memory(_) => PathBuf::from(file),
        }
    }
}
