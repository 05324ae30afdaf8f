//! The search for a policy file, and whether a file that was found is obeyed.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use super::files::open_settings;
use crate::model::shell::shell_quoted;
use crate::policy::file;

/// The permission of every user to write.
const WRITABLE: u32 = 0o002;
/// Only the owner of a file may replace it in a directory with this mode.
const STICKY: u32 = 0o1000;

/// A policy file that was found and is obeyed.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) file: File,
}

/// Finds the policy file in the working directory or one above it, up to the root of the
/// repository or the home directory. `to_name` is how the user names a file instead.
///
/// # Errors
/// If the first file that is found cannot be opened, or somebody else may have written it.
pub(super) fn find(to_name: &str) -> Result<Option<Found>> {
    let here = std::env::current_dir().context("cannot determine the working directory")?;
    let search = Search::new(&here);
    for path in search.dirs.iter().map(|dir| dir.join(file::NAME)) {
        let link = match path.symlink_metadata() {
            Ok(link) => link,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            // A file that may exist and cannot be seen must not be skipped.
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("cannot determine whether {} exists", path.display()));
            }
        };
        let file = open_settings(&path).with_context(|| cannot_read(&path))?;
        if let Some(reason) = search.reason_to_refuse(&path, &link, &file)? {
            let named = shell_quoted(&path.to_string_lossy()).into_owned();
            bail!("{} is not obeyed: {reason}; to use it, {to_name} {named}", path.display());
        }
        return Ok(Some(Found { path, file }));
    }
    Ok(None)
}

/// The path at which [`find`] finds a file, whether or not it is obeyed.
pub(super) fn found_path() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let mut paths = Search::new(&here).dirs.into_iter().map(|dir| dir.join(file::NAME));
    paths.find(|path| path.symlink_metadata().is_ok())
}

pub(super) fn cannot_read(path: &Path) -> String {
    format!("cannot read the policy {}", path.display())
}

/// Where a policy is searched for, and whose files are obeyed.
struct Search<'a> {
    dirs: Vec<&'a Path>,
    /// The user whose files are obeyed, beside root.
    user: u32,
    /// The owner of the root of the repository: in a container, root often works in a
    /// checkout of another user.
    repository: Option<u32>,
}

impl<'a> Search<'a> {
    fn new(here: &'a Path) -> Self {
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        let home = home.and_then(|home| home.canonicalize().ok());
        let mut search = Self { dirs: Vec::new(), user: geteuid().as_raw(), repository: None };
        for dir in here.ancestors() {
            search.dirs.push(dir);
            if is_repository(dir) {
                search.repository = dir.metadata().ok().map(|root| root.uid());
                break;
            }
            if home.as_deref() == Some(dir) {
                break;
            }
        }
        search
    }

    /// Why a file is not obeyed, if it is not; `link` is what its path names, which may be
    /// a symbolic link.
    fn reason_to_refuse(&self, path: &Path, link: &Metadata, file: &File) -> Result<Option<String>> {
        let opened = file.metadata().with_context(|| cannot_read(path))?;
        if let Some(stranger) = [link.uid(), opened.uid()].into_iter().find(|owner| !self.is_obeyed(*owner)) {
            let repository = self.repository.map_or("", |_| ", nor to the owner of the repository");
            let what = if link.is_symlink() { "it, or the link to it," } else { "it" };
            return Ok(Some(format!(
                "{what} belongs to user id {stranger}, neither to you ({}) nor to root{repository}",
                self.user
            )));
        }
        if opened.mode() & WRITABLE != 0 {
            return Ok(Some("every user of this machine can write to it".to_owned()));
        }
        // Who can write to a directory can move another file to this name.
        let real = path.canonicalize().with_context(|| cannot_read(path))?;
        for dir in [path, &real].into_iter().filter_map(Path::parent) {
            let mode = dir.metadata().with_context(|| cannot_read(path))?.mode();
            if mode & WRITABLE != 0 && mode & STICKY == 0 {
                return Ok(Some(format!(
                    "every user of this machine can replace files in {}",
                    dir.display()
                )));
            }
        }
        Ok(None)
    }

    fn is_obeyed(&self, owner: u32) -> bool {
        owner == self.user || owner == 0 || Some(owner) == self.repository
    }
}

/// Whether a directory is the root of a repository. In a worktree or a submodule, `.git` is
/// a file.
fn is_repository(dir: &Path) -> bool {
    dir.join(".git").metadata().is_ok_and(|git| git.is_dir() || git.is_file())
}
