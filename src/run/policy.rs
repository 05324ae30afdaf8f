//! Policies: found, read, written and checked.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;

use super::output::to_stdout;
use crate::cli::PolicyCommand;
use crate::exit::Exit;
use crate::model::verdict::PolicyNoteKind;
use crate::policy::{Policy, file};
use crate::report::text::escape;
use crate::rules;

/// More than any policy holds.
const SIZE_MAX: u64 = 4 << 20;

/// A policy and where it was found.
pub(super) struct Loaded {
    /// The file; `None` where there is none, and the usual holds.
    pub(super) path: Option<PathBuf>,
    pub(super) rules: Policy,
}

/// The policy that was named, or else the one that is found from here upwards.
pub(super) fn load(named: Option<&Path>) -> Result<Loaded> {
    let path = match named {
        Some(path) => Some(path.to_owned()),
        None => find(&std::env::current_dir().context("cannot tell the working directory")?),
    };
    let rules = match &path {
        Some(path) => read(path)?,
        None => Policy::default(),
    };
    Ok(Loaded { path, rules })
}

fn find(from: &Path) -> Option<PathBuf> {
    from.ancestors().map(|dir| dir.join(file::NAME)).find(|path| path.is_file())
}

fn read(path: &Path) -> Result<Policy> {
    let what = || format!("cannot read the policy {}", path.display());
    let meta = fs::metadata(path).with_context(what)?;
    if meta.is_dir() || meta.len() > SIZE_MAX {
        bail!("{} is no policy: it is a directory, or larger than {} MiB", path.display(), SIZE_MAX >> 20);
    }
    let text = fs::read_to_string(path).with_context(what)?;
    let ids: Vec<_> = rules::ALL.iter().map(|rule| rule.id).collect();
    file::parse(&text, &ids, Timestamp::now()).map_err(|error| anyhow!("{}:{error}", path.display()))
}

/// `policy init` and `policy check`.
pub(super) fn run(command: &PolicyCommand) -> Result<Exit> {
    match command {
        PolicyCommand::Init { file } => init(file)?,
        PolicyCommand::Check { files } if files.is_empty() => check(None)?,
        PolicyCommand::Check { files } => files.iter().try_for_each(|file| check(Some(file)))?,
    }
    Ok(Exit::Pass)
}

fn init(path: &Path) -> Result<()> {
    if path.as_os_str() == "-" {
        return to_stdout(|out, _| out.write_all(file::EXAMPLE.as_bytes()));
    }
    // One that is there was somebody's work.
    let mut new = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("cannot write the policy {}", path.display()))?;
    new.write_all(file::EXAMPLE.as_bytes())
        .with_context(|| format!("cannot write the policy {}", path.display()))?;
    to_stdout(|out, _| writeln!(out, "wrote {}", escape(&path.to_string_lossy())))
}

fn check(named: Option<&Path>) -> Result<()> {
    let loaded = load(named)?;
    let Some(path) = loaded.path else {
        bail!("no {} from here upwards; write one with: eks-netcheck policy init", file::NAME);
    };
    // What is over is found out here too, before a pipeline does.
    let notes = loaded.rules.notes(&[]);
    to_stdout(|out, _| {
        writeln!(out, "{}: nothing wrong", escape(&path.to_string_lossy()))?;
        for note in notes.iter().filter(|note| note.kind != PolicyNoteKind::WaiverUnused) {
            writeln!(out, "{}:{}: {}", escape(&path.to_string_lossy()), note.line, escape(&note.text))?;
        }
        Ok(())
    })
}

/// The file that findings are shown at, as a pipeline's services know it: from
/// the top of what was checked out.
pub(super) fn anchor(policy: Option<&Path>) -> String {
    let path = policy.unwrap_or(Path::new(file::NAME));
    let whole =
        path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
    let tops = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"].map(std::env::var_os).into_iter().flatten();
    let here = std::env::current_dir().ok();
    let tops = tops.map(PathBuf::from).chain(here).filter_map(|top| top.canonicalize().ok());
    let inside = { tops }.find_map(|top| whole.strip_prefix(top).ok().map(Path::to_owned));
    let inside = inside.or_else(|| whole.file_name().map(PathBuf::from));
    inside.map_or_else(|| file::NAME.to_owned(), |path| path.to_string_lossy().into_owned())
}
