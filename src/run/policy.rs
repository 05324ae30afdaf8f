//! `policy`, and the policy of other commands: read, written and checked.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use jiff::{SignedDuration, Timestamp};

use super::exit::{Ending, Exit};
use super::files::{is_stdin, read_settings, read_text};
use super::output::to_stdout;
use super::search::{cannot_read, find};
use crate::cli::options::PolicyCheckOptions;
use crate::messages::{self, Label};
use crate::model::audit::{PolicyOrigin, PolicyUsed};
use crate::model::judgment::PolicyNote;
use crate::policy::file::{PolicyError, PolicyErrors};
use crate::policy::{Policy, file};
use crate::report::text::escape;
use crate::rules;

/// The most errors of keys and types that are looked for in a policy to judge by, and those of
/// `policy check`: each of them costs as much as the whole file.
const NAMED_MAX: usize = 10;
const LISTED_MAX: usize = 100;

/// A policy and where it is from.
pub(super) struct Loaded {
    origin: PolicyOrigin,
    /// The file; `None` for the default policy.
    path: Option<PathBuf>,
    pub(super) rules: Policy,
}

impl Loaded {
    /// The file at which findings are shown, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.path.as_deref().filter(|path| !is_stdin(path))
    }

    /// What reports say about it.
    pub(super) fn used(&self, notes: Vec<PolicyNote>) -> PolicyUsed {
        PolicyUsed {
            origin: self.origin,
            path: self.path.as_ref().map(|path| path.display().to_string()),
            preset: self.rules.preset(),
            place: self.file().map_or_else(|| file::NAME.to_owned(), place),
            notes,
        }
    }
}

/// Loads the named policy, or else the one that is found in the working directory or one
/// above it. `now` decides what in it has expired.
pub(super) fn load(named: Option<&Path>, now: Timestamp) -> Result<Loaded> {
    let Some(text) = Text::read_or_find(named, "pass --policy")? else {
        return Ok(Loaded { origin: PolicyOrigin::Default, path: None, rules: Policy::default() });
    };
    let rules = text.check(now, NAMED_MAX).map_err(|wrong| match wrong.errors.as_slice() {
        [first, _, ..] if wrong.has_more => {
            anyhow!("{first}; and more: eks-netcheck policy check lists them")
        }
        [first, rest @ ..] if !rest.is_empty() => {
            anyhow!("{first}; and {} more: eks-netcheck policy check lists all errors", rest.len())
        }
        errors => anyhow!(errors.concat()),
    })?;
    Ok(Loaded { origin: text.origin, path: Some(text.path), rules })
}

/// What is wrong with policies.
#[derive(Default)]
struct Wrong {
    /// The errors, each with its place.
    errors: Vec<String>,
    /// Whether there may be more.
    has_more: bool,
}

/// The text of a policy file.
struct Text {
    origin: PolicyOrigin,
    path: PathBuf,
    contents: String,
}

impl Text {
    /// Reads the named file, or else the one that is found; `to_name` is how the user names a file
    /// that is found and not obeyed.
    fn read_or_find(named: Option<&Path>, to_name: &str) -> Result<Option<Self>> {
        let (origin, path, text) = match named {
            Some(path) => (PolicyOrigin::Named, path.to_owned(), read_settings(path)),
            None => match find(to_name)? {
                Some(found) => (PolicyOrigin::Found, found.path, read_text(found.file)),
                None => return Ok(None),
            },
        };
        let contents = text.with_context(|| cannot_read(&path))?;
        Ok(Some(Self { origin, path, contents }))
    }

    /// The policy; else what is wrong with it, with at most `max` errors of keys and types.
    fn check(&self, now: Timestamp, max: usize) -> Result<Policy, Wrong> {
        let ids: Vec<_> = rules::ALL.iter().map(|rule| rule.id).collect();
        let text = |error: PolicyError| format!("{}:{error}", self.path.display());
        file::check(&self.contents, &ids, now, max).map_err(|PolicyErrors { errors, has_more }| Wrong {
            errors: errors.into_iter().map(text).collect(),
            has_more,
        })
    }
}

/// `policy init`: writes a policy file. An existing file is not overwritten.
pub(super) fn init(path: &Path) -> Result<Ending> {
    if path.as_os_str() == "-" {
        to_stdout(|out, _| out.write_all(file::EXAMPLE.as_bytes()))?;
        return Ok(Exit::Pass.into());
    }
    write_new(path, file::EXAMPLE)?;
    to_stdout(|out, _| writeln!(out, "wrote {}", escape(&path.to_string_lossy())))?;
    Ok(Exit::Pass.into())
}

/// Writes a file that does not exist yet.
pub(super) fn write_new(path: &Path, text: &str) -> Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let mut new =
        fs::OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| {
            match error.kind() {
                ErrorKind::AlreadyExists => {
                    anyhow!("{} exists already; name another file, or remove it first", path.display())
                }
                _ => anyhow!(error).context(cannot_write()),
            }
        })?;
    if let Err(error) = new.write_all(text.as_bytes()) {
        // A part of it would be another one.
        let _ = fs::remove_file(path);
        return Err(anyhow!(error).context(cannot_write()));
    }
    Ok(())
}

/// `policy check`: checks the files, or the one that is found. All of them, whatever is wrong with
/// one.
pub(super) fn check(options: &PolicyCheckOptions) -> Result<Ending> {
    let now = Timestamp::now();
    let files: Vec<_> = match options.files.as_slice() {
        [] => vec![None],
        files => files.iter().map(|file| Some(file.as_path())).collect(),
    };
    let (mut all, mut expiring) = (Wrong::default(), 0);
    for file in files {
        match check_file(file, options, now)? {
            Ok(number) => expiring += number,
            Err(Wrong { errors, has_more }) => {
                all.errors.extend(errors);
                all.has_more |= has_more;
            }
        }
    }
    match all.errors.as_slice() {
        [] => {}
        [error] => bail!(error.clone()),
        errors => {
            for error in errors {
                messages::print(Label::Error, error);
            }
            if all.has_more {
                bail!("the first {} errors; there may be more", errors.len());
            }
            bail!("{} errors", errors.len());
        }
    }
    if expiring > 0 && options.strict {
        let entries =
            if expiring == 1 { "1 entry has".to_owned() } else { format!("{expiring} entries have") };
        let message = format!("{entries} expired, or will within {} days", options.within);
        return Ok(Ending::with_message(Exit::Findings, message));
    }
    Ok(Exit::Pass.into())
}

/// Checks a file, and lists what in it has expired, or soon will. Returns the number of these, or
/// what is wrong with the file.
fn check_file(
    named: Option<&Path>,
    options: &PolicyCheckOptions,
    now: Timestamp,
) -> Result<Result<usize, Wrong>> {
    let text = match Text::read_or_find(named, "run eks-netcheck policy check") {
        Ok(Some(text)) => text,
        Err(error) => {
            return Ok(Err(Wrong { errors: vec![format!("{error:#}")], has_more: false }));
        }
        Ok(None) => bail!(
            "no {} in this directory or one above it, up to the root of the repository or the home directory; write one with: eks-netcheck policy init",
            file::NAME
        ),
    };
    let policy = match text.check(now, LISTED_MAX) {
        Ok(policy) => policy,
        Err(wrong) => return Ok(Err(wrong)),
    };
    // Entries that have expired are reported here, before a pipeline finds them.
    let notes = policy.usage().notes(false);
    let mut lines: Vec<_> = notes.into_iter().map(|note| (note.line, note.text)).collect();
    if options.strict {
        let soon = now.checked_add(SignedDuration::from_hours(24 * i64::from(options.within)));
        if let Ok(soon) = text.check(soon.unwrap_or(Timestamp::MAX), 1) {
            lines.extend(soon.usage().expired().difference(&policy.usage().expired()).cloned());
        }
        lines.sort();
    }
    let path = escape(&text.path.to_string_lossy()).into_owned();
    to_stdout(|out, _| {
        if lines.is_empty() {
            return writeln!(out, "{path}: no problem found");
        }
        lines.iter().try_for_each(|(line, text)| writeln!(out, "{path}:{line}: {}", escape(text)))
    })?;
    Ok(Ok(lines.len()))
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
fn place(path: &Path) -> String {
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
