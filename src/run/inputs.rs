//! The files and directories that a run reads, which no report may overwrite.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::files::is_stdin;
use super::search::found_path;
use crate::cli::options::{
    AuditOptions, ChangeSource, ClusterSource, CollectionOptions, DiffOptions, ReachOptions, SimulateOptions,
    Source, TraceOptions, TransportOptions,
};

/// All of them.
pub(super) struct Inputs(Vec<Input>);

/// A file or a directory that a run reads.
struct Input {
    /// What it is, in messages.
    what: &'static str,
    path: PathBuf,
}

impl Inputs {
    /// Those of `audit`.
    pub(super) fn of_audit(options: &AuditOptions) -> Self {
        let inputs = Self::of_any().and("the policy", &options.judgment.policy);
        let inputs = inputs.and("the baseline", &options.baseline);
        let inputs = inputs.and("the file at which findings are shown", &options.anchor);
        match &options.source {
            Source::Recorded { dir, bundles, .. } => inputs.and(EVIDENCE, [dir]).and(BUNDLE, bundles),
            Source::Live(fleet) => inputs
                .and("the file of accounts", &fleet.accounts)
                .and(BUNDLE, &fleet.bundles)
                .and_collection(&fleet.collection),
        }
    }

    /// Those of `trace`.
    pub(super) fn of_trace(options: &TraceOptions) -> Self {
        let policy = options.judgment.as_ref().and_then(|judgment| judgment.policy.as_ref());
        Self::of_any().and("the policy", policy).and_collection(&options.cluster.collection)
    }

    /// Those of `simulate`.
    pub(super) fn of_simulate(options: &SimulateOptions) -> Self {
        let plan = match &options.change {
            ChangeSource::Plan(path) => Some(path),
            ChangeSource::Named(_) => None,
        };
        Self::of_any().and("the plan", plan).and_source(&options.source)
    }

    /// Those of `reach`.
    pub(super) fn of_reach(options: &ReachOptions) -> Self {
        Self::of_any().and_source(&options.source)
    }

    /// Those of `diff`.
    pub(super) fn of_diff(options: &DiffOptions) -> Self {
        Self::of_any().and("one of the recordings to compare", [&options.before, &options.after])
    }

    /// The policy that is found. A report over it would be an error in each later run, also where
    /// this run does not judge.
    fn of_any() -> Self {
        Self(Vec::new()).and("the policy", &found_path())
    }

    fn and<'a>(mut self, what: &'static str, paths: impl IntoIterator<Item = &'a PathBuf>) -> Self {
        self.0.extend(paths.into_iter().map(|path| Input { what, path: path.clone() }));
        self
    }

    fn and_source(self, source: &ClusterSource) -> Self {
        match source {
            ClusterSource::Recorded { dir, .. } => self.and(EVIDENCE, [dir]),
            ClusterSource::Live(cluster) => self.and_collection(&cluster.collection),
        }
    }

    fn and_collection(self, collection: &CollectionOptions) -> Self {
        let transports = collection.nodes.iter().flat_map(|nodes| &nodes.transports);
        self.and(
            "the kubeconfig file",
            transports.filter_map(|transport| match transport {
                TransportOptions::Kubectl { kubeconfig, .. } => kubeconfig.as_ref(),
                TransportOptions::Ssh { .. } | TransportOptions::Ssm { .. } => None,
            }),
        )
    }

    /// Checks that a report at a path, in a directory, overwrites none of them.
    ///
    /// # Errors
    /// If it does, or is in a directory of evidence.
    pub(super) fn check(&self, path: &Path, dir: &Path) -> Result<()> {
        let target = path.metadata().ok();
        let dir = dir.canonicalize().ok();
        for Input { what, path: input } in &self.0 {
            // A hard link to a file, too, is that file.
            if let (Some(target), Some(input)) = (&target, metadata(input))
                && (target.dev(), target.ino()) == (input.dev(), input.ino())
            {
                bail!("{} is {what}; write the report elsewhere", path.display());
            }
            if let (Some(dir), Ok(input)) = (&dir, input.canonicalize())
                && dir.starts_with(&input)
            {
                bail!(
                    "{} is in {what}, and a report there would falsify the evidence; write it elsewhere",
                    path.display()
                );
            }
        }
        Ok(())
    }
}

const EVIDENCE: &str = "the evidence directory";
const BUNDLE: &str = "one of the bundles";

/// The metadata of an input; `-` is standard input, which may be a file.
fn metadata(input: &Path) -> Option<Metadata> {
    fs::metadata(if is_stdin(input) { Path::new("/dev/stdin") } else { input }).ok()
}
