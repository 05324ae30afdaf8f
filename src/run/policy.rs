//! `policy`, and the policy file of other commands: found, read, written and checked.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;

use super::exit::{Ending, Exit};
use super::output::to_stdout;
use crate::policy::{Policy, file};
use crate::report::text::escape;
use crate::rules;

/// The largest file of settings that is read.
const SIZE_MAX: u64 = 4 << 20;

/// A policy and where it was found.
pub(super) struct Loaded {
    /// The file; `None` if there is none, and the default policy applies.
    pub(super) path: Option<PathBuf>,
    pub(super) rules: Policy,
}

/// Loads the named policy, or else the one that is found in the working directory or one
/// above it. `now` decides what in it has expired.
pub(super) fn load(named: Option<&Path>, now: Timestamp) -> Result<Loaded> {
    let path = match named {
        Some(path) => Some(path.to_owned()),
        None => find(&std::env::current_dir().context("cannot determine the working directory")?)?,
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
            // A file that may exist and cannot be seen must not be skipped.
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot determine whether {} exists", path.display()));
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

/// Reads a file of settings.
pub(super) fn read_settings(path: &Path) -> Result<String> {
    let mut text = String::new();
    fs::OpenOptions::new().read(true).open(path)?.take(SIZE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_MAX {
        bail!("it is larger than {} MiB", SIZE_MAX >> 20);
    }
    Ok(text)
}

/// `policy init`: writes a policy file. An existing file is not overwritten.
pub(super) fn init(path: &Path) -> Result<Ending> {
    if path.as_os_str() == "-" {
        to_stdout(|out, _| out.write_all(file::EXAMPLE.as_bytes()))?;
        return Ok(Exit::Pass.into());
    }
    let cannot_write = || format!("cannot write the policy {}", path.display());
    let mut new =
        fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
            match error.kind() {
                ErrorKind::AlreadyExists => {
                    anyhow!("{} exists already; name another file, or remove it first", path.display())
                }
                _ => anyhow!(error).context(cannot_write()),
            }
        })?;
    new.write_all(file::EXAMPLE.as_bytes()).with_context(cannot_write)?;
    to_stdout(|out, _| writeln!(out, "wrote {}", escape(&path.to_string_lossy())))?;
    Ok(Exit::Pass.into())
}

/// `policy check`: checks the files, or the one that is found.
pub(super) fn check(files: &[PathBuf]) -> Result<Ending> {
    if files.is_empty() {
        check_file(None)?;
    }
    files.iter().try_for_each(|file| check_file(Some(file)))?;
    Ok(Exit::Pass.into())
}

fn check_file(named: Option<&Path>) -> Result<()> {
    let loaded = load(named, Timestamp::now())?;
    let Some(path) = loaded.path else {
        bail!(
            "no {} in this directory or one above it; write one with: eks-netcheck policy init",
            file::NAME
        );
    };
    // Entries that have expired are reported here, before a pipeline finds them.
    let notes = loaded.rules.usage().notes(false);
    let path = escape(&path.to_string_lossy()).into_owned();
    to_stdout(|out, _| {
        if notes.is_empty() {
            return writeln!(out, "{path}: no problem found");
        }
        notes.iter().try_for_each(|note| writeln!(out, "{path}:{}: {}", note.line, escape(&note.text)))
    })
}

/// The file at which findings are shown: the named one, or else the policy.
///
/// # Errors
/// If the named file is not in the checkout.
pub(super) fn anchor(named: Option<&Path>, policy: Option<&Path>) -> Result<String> {
    let Some(named) = named else { return Ok(policy.map_or_else(|| file::NAME.to_owned(), place)) };
    match inside(named).filter(|path| !path.as_os_str().is_empty() && !named.is_dir()) {
        Some(path) => Ok(path.to_string_lossy().into_owned()),
        None => bail!("--anchor {}: name a file below the working directory", named.display()),
    }
}

/// A file as pipelines name it: relative to the root of the checkout, or its name alone
/// if it is not in the checkout.
pub(super) fn place(path: &Path) -> String {
    let inside = inside(path).or_else(|| path.file_name().map(PathBuf::from));
    inside.map_or_else(|| file::NAME.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// A path relative to the root of the checkout; `None` if it leads out of it.
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
    // The file need not exist.
    let real = whole.canonicalize();
    let roots = ["GITHUB_WORKSPACE", "CI_PROJECT_DIR"].map(std::env::var_os).into_iter().flatten();
    let roots: Vec<_> = roots.map(PathBuf::from).chain([here]).collect();
    roots.iter().find_map(|root| {
        let of_real = real.as_ref().ok().and_then(|real| real.strip_prefix(root.canonicalize().ok()?).ok());
        of_real.or_else(|| whole.strip_prefix(root).ok()).map(Path::to_owned)
    })
}
