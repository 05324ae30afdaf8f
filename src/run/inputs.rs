//! The files and directories that a run reads, which no report may overwrite. What an option or a
//! variable names is one of them also where the run does not read it: to name it means that
//! something does.

use std::env;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::files::is_stdin;
use super::search::found_path;
use crate::cli::options::{
    AuditOptions, ChangeSource, ClusterSource, CollectionOptions, DiffOptions, ReachOptions, SimulateOptions,
    Source, TraceOptions,
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
    /// Those of a run that reads none.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Those of `audit`.
    pub(super) fn of_audit(options: &AuditOptions) -> Self {
        let inputs = Self::of_any().and(POLICY, &options.judgment.policy);
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
        let program = options.command.first().map(PathBuf::from);
        // Of a name alone, the program is in a directory of PATH.
        let program = program.filter(|program| program.components().count() > 1);
        let inputs = Self::of_any().and(POLICY, policy).and("the command", &program);
        inputs.and_collection(&options.cluster.collection)
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

    /// The policy that is found, and what the environment names. A report over the policy would be
    /// an error in each later run, also where this run does not judge.
    fn of_any() -> Self {
        let mut inputs = Self::none().and(POLICY, &found_path());
        for Variable { name, what, default } in &VARIABLES {
            let value = env::var_os(name).filter(|value| !value.is_empty());
            let value = value.or_else(|| default.map(Into::into));
            let paths: Vec<_> = value.iter().flat_map(env::split_paths).collect();
            inputs = inputs.and(what, &paths.iter().map(|path| in_home(path)).collect::<Vec<_>>());
        }
        inputs
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
        let named = collection.named_files.iter();
        named.fold(self, |inputs, named| inputs.and(named.what, &[in_home(&named.path)]))
    }

    /// Checks that a report at a path, in a directory, overwrites none of them, nor the file that
    /// is standard output or standard error.
    ///
    /// # Errors
    /// If it does, or is in a directory of evidence.
    pub(super) fn check(&self, path: &Path, dir: &Path) -> Result<()> {
        let target = path.metadata().ok();
        let dir = dir.canonicalize().ok();
        for Input { what, path: input } in &self.0 {
            if is_same(target.as_ref(), metadata(input).as_ref()) {
                bail!("{} is {what}; write the report elsewhere", path.display());
            }
            let Some(input) = input.canonicalize().ok().filter(|input| input.is_dir()) else { continue };
            if *what == CERTIFICATES {
                // A new file there replaces none.
                if target.is_some() && dir.as_ref() == Some(&input) {
                    bail!("{} is one of {what}; write the report elsewhere", path.display());
                }
            } else if dir.as_ref().is_some_and(|dir| dir.starts_with(&input)) {
                bail!(
                    "{} is in {what}, and a report there would falsify the evidence; write it elsewhere",
                    path.display()
                );
            }
        }
        for (name, stream) in
            [("standard output", metadata_of(&io::stdout())), ("standard error", metadata_of(&io::stderr()))]
        {
            if is_same(target.as_ref(), stream.as_ref()) {
                bail!(
                    "{} is also {name}, of which the report would leave nothing; write it elsewhere",
                    path.display()
                );
            }
        }
        Ok(())
    }
}

const POLICY: &str = "the policy";
const EVIDENCE: &str = "the evidence directory";
const BUNDLE: &str = "one of the bundles";
const CERTIFICATES: &str = "the root certificates";

/// A variable that names files or directories, separated by colons.
struct Variable {
    name: &'static str,
    /// What they are, in messages.
    what: &'static str,
    /// The file that is read where the variable is not set.
    default: Option<&'static str>,
}

/// The variables that kubectl, the SDK of AWS and this program obey.
const VARIABLES: [Variable; 8] = [
    Variable { name: "KUBECONFIG", what: "the kubeconfig file", default: Some("~/.kube/config") },
    Variable { name: "AWS_CONFIG_FILE", what: "the configuration of AWS", default: Some("~/.aws/config") },
    Variable {
        name: "AWS_SHARED_CREDENTIALS_FILE",
        what: "the file of AWS credentials",
        default: Some("~/.aws/credentials"),
    },
    Variable { name: "AWS_WEB_IDENTITY_TOKEN_FILE", what: "the token for AWS", default: None },
    Variable { name: "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", what: "the token for AWS", default: None },
    Variable { name: "AWS_CA_BUNDLE", what: CERTIFICATES, default: None },
    Variable { name: "SSL_CERT_FILE", what: CERTIFICATES, default: None },
    Variable { name: "SSL_CERT_DIR", what: CERTIFICATES, default: None },
];

/// The path in the home directory of one that begins with `~/`.
fn in_home(path: &Path) -> PathBuf {
    let home = || Some(env::home_dir()?.join(path.strip_prefix("~").ok()?));
    home().unwrap_or_else(|| path.to_owned())
}

/// Whether two paths lead to one file: a hard link to a file, too, is that file.
fn is_same(one: Option<&Metadata>, other: Option<&Metadata>) -> bool {
    let id = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    one.is_some() && one.map(id) == other.map(id)
}

/// The metadata of an input; `-` is standard input, which may be a file.
fn metadata(input: &Path) -> Option<Metadata> {
    fs::metadata(if is_stdin(input) { Path::new("/dev/stdin") } else { input }).ok()
}

/// The metadata of what an open stream leads to.
fn metadata_of(stream: &impl AsFd) -> Option<Metadata> {
    File::from(stream.as_fd().try_clone_to_owned().ok()?).metadata().ok()
}
