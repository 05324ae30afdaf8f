//! Access to the files of an evidence directory, which may be from somebody else.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::error::EvidenceError;
use crate::model::name::NodeName;

/// How the name of a bundle of a node's logs ends.
pub(super) const BUNDLE: &str = ".tar.gz";

/// Returns the names in a subdirectory, except hidden ones, sorted; none if it does not
/// exist.
pub(super) fn names(root: &Path, sub: &str) -> Result<Vec<String>, EvidenceError> {
    let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut names: Vec<_> = list(root, sub)?.into_iter().filter_map(name).collect();
    names.sort();
    Ok(names)
}

/// Returns the paths in a subdirectory, except hidden ones; none if it does not exist.
pub(super) fn list(root: &Path, sub: &str) -> Result<Vec<PathBuf>, EvidenceError> {
    let dir = root.join(sub);
    let entries = match fs::read_dir(&dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(EvidenceError::io("list", &dir))?,
    };
    check_inside(root, &dir)?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(EvidenceError::io("list", &dir))?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden {
            paths.push(path);
        }
    }
    Ok(paths)
}

pub(super) fn node_name(stem: &str, path: &Path) -> Result<NodeName, EvidenceError> {
    stem.parse().map_err(|error| {
        EvidenceError::Unusable(format!("{} is not named after a node: {error}", path.display()))
    })
}

/// Returns the files `NAME.txt` in a subdirectory, sorted by name; none if it does not
/// exist.
pub(super) fn text_files(root: &Path, sub: &str) -> Result<Vec<(NodeName, PathBuf)>, EvidenceError> {
    let mut files = Vec::new();
    for path in list(root, sub)? {
        let is_bundle = path.to_str().is_some_and(|path| path.ends_with(BUNDLE));
        if is_bundle && sub == "nodes" {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let (Some(stem), Some("txt")) = (stem, path.extension().and_then(|extension| extension.to_str()))
        else {
            return Err(EvidenceError::Unusable(format!(
                "{} is not named NAME.txt; rename it, or move it out of {sub}/",
                path.display()
            )));
        };
        let name = node_name(stem, &path)?;
        exists_inside(root, &path)?;
        files.push((name, path));
    }
    files.sort();
    Ok(files)
}

/// Whether a regular file exists at a path in an evidence directory.
pub(super) fn exists_inside(root: &Path, path: &Path) -> Result<bool, EvidenceError> {
    let exists = exists(path)?;
    if exists {
        check_inside(root, path)?;
    }
    Ok(exists)
}

/// Checks that a path in an evidence directory does not lead out of it by a symbolic link.
/// Evidence may be from somebody else, and a link would show a file of this machine in the
/// report.
fn check_inside(root: &Path, path: &Path) -> Result<(), EvidenceError> {
    let canonical = |path: &Path| path.canonicalize().map_err(EvidenceError::io("read", path));
    let target = canonical(path)?;
    if target.starts_with(canonical(root)?) {
        return Ok(());
    }
    Err(EvidenceError::Unusable(format!(
        "{} is a symbolic link that leads out of the evidence directory; replace it by a copy of the file",
        path.display()
    )))
}

/// Whether a regular file exists at a path. Anything else there is an error.
fn exists(path: &Path) -> Result<bool, EvidenceError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(_) => Err(EvidenceError::Unusable(format!("{} is not a regular file", path.display()))),
        Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
            Err(EvidenceError::Unusable(format!("{} is a dangling symbolic link", path.display())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(EvidenceError::io("read", path)(error)),
    }
}

/// Opens a regular file. Pipes and devices are rejected, since reading them may not end.
pub(super) fn open_file(path: &Path) -> Result<fs::File, EvidenceError> {
    exists(path)?;
    fs::File::open(path).map_err(EvidenceError::io("read", path))
}

pub(super) fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>, EvidenceError> {
    let file = open_file(path)?;
    // Allocate once: a growing buffer would be copied several times.
    let size = file.metadata().map_or(0, |metadata| metadata.len().min(max));
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    file.take(max + 1).read_to_end(&mut bytes).map_err(EvidenceError::io("read", path))?;
    if bytes.len() as u64 > max {
        return Err(EvidenceError::Unusable(format!(
            "{} is larger than the limit of {} MiB",
            path.display(),
            max >> 20
        )));
    }
    Ok(bytes)
}
