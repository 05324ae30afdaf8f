//! Policies: found, read, written and checked.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;

use super::output::to_stdout;
use crate::cli::PolicyCommand;
use crate::policy::{Policy, file};
use crate::report::text::escape;
use crate::rules;
use crate::run::exit::Exit;

/// More than any such file holds.
const SIZE_MAX: u64 = 4 << 20;

/// A policy and where it was found.
pub(super) struct Loaded {
    /// The file; `None` where there is none, and the usual holds.
    pub(super) path: Option<PathBuf>,
    pub(super) rules: Policy,
}

/// The policy that was named, or else the one that is found from here upwards.
/// `now` decides what in it has expired.
pub(super) fn load(named: Option<&Path>, now: Timestamp) -> Result<Loaded> {
    let path = match named {
        Some(path) => Some(path.to_owned()),
        None => find(&std::env::current_dir().context("cannot tell the working directory")?)?,
    };
    let rules = match &path {
        Some(path) => read(path, now)?,
        None => Policy::default(),
    };
    Ok(Loaded { path, rules })
}

fn find(from: &Path) -> Result<Option<PathBuf>> {
    for path in from.ancestors().map(|dir| dir.join(file::NAME)) {
        match path.symlink_metadata() {
            Ok(_) => return Ok(Some(path)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // One that may be there and cannot be seen is not none.
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot tell whether there is {}", path.display()));
            }
        }
    }
    Ok(None)
}

fn read(path: &Path, now: Timestamp) -> Result<Policy> {
    let text = read_settings(path).with_context(|| format!("cannot read the policy {}", path.display()))?;
    let ids: Vec<_> = rules::ALL.iter().map(|rule| rule.id).collect();
    file::parse(&text, &ids, now).map_err(|error| anyhow!("{}:{error}", path.display()))
}

/// A file that people write settings in.
pub(super) fn read_settings(path: &Path) -> Result<String> {
    let mut text = String::new();
    fs::OpenOptions::new().read(true).open(path)?.take(SIZE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_MAX {
        bail!("it is larger than {} MiB", SIZE_MAX >> 20);
    }
    Ok(text)
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
    let mut new =
        fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
            match error.kind() {
                ErrorKind::AlreadyExists => {
                    anyhow!("{} is there already; name another file, or take it away first", path.display())
                }
                _ => anyhow!(error).context(format!("cannot write the policy {}", path.display())),
            }
        })?;
    new.write_all(file::EXAMPLE.as_bytes())
        .with_context(|| format!("cannot write the policy {}", path.display()))?;
    to_stdout(|out, _| writeln!(out, "wrote {}", escape(&path.to_string_lossy())))
}

fn check(named: Option<&Path>) -> Result<()> {
    let loaded = load(named, Timestamp::now())?;
    let Some(path) = loaded.path else {
        bail!("no {} from here upwards; write one with: eks-netcheck policy init", file::NAME);
    };
    // What is over is found out here too, before a pipeline does.
    let notes = loaded.rules.usage().notes(false);
    let path = escape(&path.to_string_lossy()).into_owned();
    to_stdout(|out, _| {
        if notes.is_empty() {
            return writeln!(out, "{path}: nothing wrong");
        }
        notes.iter().try_for_each(|note| writeln!(out, "{path}:{}: {}", note.line, escape(&note.text)))
    })
}

/// The file that findings are shown at: one that was named, or else the policy.
///
/// # Errors
/// If no file of what was checked out is named.
pub(super) fn anchor(named: Option<&Path>, policy: Option<&Path>) -> Result<String> {
    let Some(named) = named else { return Ok(policy.map_or_else(|| file::NAME.to_owned(), place)) };
    match inside(named).filter(|path| !path.as_os_str().is_empty() && !named.is_dir()) {
        Some(path) => Ok(path.to_string_lossy().into_owned()),
        None => bail!("--anchor {}: name a file below the working directory", named.display()),
    }
}

/// A file as pipelines know it: from the top of what was checked out, or by its
/// name where it is not in there.
pub(super) fn place(path: &Path) -> String {
    let inside = inside(path).or_else(|| path.file_name().map(PathBuf::from));
    inside.map_or_else(|| file::NAME.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// A path from the top of what was checked out; `None` if it leads out of there.
fn inside(path: &Path) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let mut whole = PathBuf::new();
    for part in here.join(path).components() {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    // A file that is not there is a place all the same.
    let real = whole.canonicalize();
    let tops = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"].map(std::env::var_os).into_iter().flatten();
    let tops: Vec<_> = tops.map(PathBuf::from).chain([here]).collect();
    tops.iter().find_map(|top| {
        let of_real = real.as_ref().ok().and_then(|real| real.strip_prefix(top.canonicalize().ok()?).ok());
        of_real.or_else(|| whole.strip_prefix(top).ok()).map(Path::to_owned)
    })
}
