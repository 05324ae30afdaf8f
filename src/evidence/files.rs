//! Access to the files of an evidence directory, which may be from somebody else.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::error::EvidenceError;
use crate::model::name::{NodeName, NotANodeName, vantage_name};
use crate::model::shell::UNFINISHED;

/// How the name of a bundle of a node's logs ends.
pub(super) const BUNDLE: &str = ".tar.gz";
/// The combined capture.
pub(super) const COMBINED_CAPTURE: &str = "nodes.txt";

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
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(EvidenceError::Unusable(format!(
                "{} is not a directory; rename it, or remove it",
                dir.display()
            )));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return missing(&dir, error).map(|()| Vec::new());
        }
        Err(error) => return Err(EvidenceError::io("list", &dir)(error)),
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
    stem.parse().map_err(|error| misnamed(path, error))
}

fn misnamed(path: &Path, error: NotANodeName) -> EvidenceError {
    EvidenceError::Unusable(format!("{} is not named after a node: {error}", path.display()))
}

/// Returns the files `NAME.txt` of nodes in a subdirectory, sorted by name; none if it does not
/// exist.
pub(super) fn node_files(root: &Path, sub: &str) -> Result<Vec<(NodeName, PathBuf)>, EvidenceError> {
    files_named(root, sub, "txt", str::parse)
}

/// Returns the files `NAME.EXTENSION` of vantage points in a subdirectory, sorted by name; none
/// if it does not exist.
pub(super) fn vantage_files(
    root: &Path,
    sub: &str,
    extension: &str,
) -> Result<Vec<(String, PathBuf)>, EvidenceError> {
    files_named(root, sub, extension, vantage_name)
}

/// What a file is that is no evidence, though it is where evidence is.
pub(super) enum Stray {
    /// The copy of the file with this name, which is beside it.
    Copy(String),
    /// What a command left that was to write the file with this name, and failed.
    Unfinished(String),
    /// A file of an operating system.
    System,
}

impl Stray {
    /// What a file of a subdirectory is if it is none that was recorded. A copy of what is not
    /// there may be all that there is of it, and is a file with a wrong name.
    pub(super) fn of(path: &Path) -> Option<Self> {
        /// What macOS and Windows put into directories; hidden files are none anyway.
        const OF_SYSTEMS: [&str; 4] = ["Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"];
        /// What editors and `patch` add to the name of a file.
        const OF_COPIES: [&str; 6] = ["~", ".bak", ".old", ".orig", ".save", ".swp"];
        let name = path.file_name()?.to_str()?;
        if OF_SYSTEMS.iter().any(|system| system.eq_ignore_ascii_case(name)) {
            return Some(Self::System);
        }
        let is_recorded = |finished: &&str| [".txt", ".json"].iter().any(|end| finished.ends_with(end));
        if let Some(finished) = name.strip_suffix(UNFINISHED).filter(is_recorded) {
            return Some(Self::Unfinished(finished.to_owned()));
        }
        let of_emacs = name.strip_prefix('#').and_then(|name| name.strip_suffix('#'));
        let original = of_emacs.or_else(|| OF_COPIES.iter().find_map(|end| name.strip_suffix(end)))?;
        let is_there = !original.is_empty() && path.with_file_name(original).is_file();
        is_there.then(|| Self::Copy(original.to_owned()))
    }
}

fn files_named<N: Ord>(
    root: &Path,
    sub: &str,
    extension: &str,
    parse: fn(&str) -> Result<N, NotANodeName>,
) -> Result<Vec<(N, PathBuf)>, EvidenceError> {
    let mut files = Vec::new();
    for path in list(root, sub)? {
        let is_bundle = path.to_str().is_some_and(|path| path.ends_with(BUNDLE));
        if is_bundle && sub == "nodes" || Stray::of(&path).is_some() {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let has_extension = path.extension().is_some_and(|own| own == extension);
        let Some(stem) = stem.filter(|_| has_extension) else {
            return Err(EvidenceError::Unusable(format!(
                "{} is not named NAME.{extension}; rename it, or move it out of {sub}/",
                path.display()
            )));
        };
        files.push((parse(stem).map_err(|error| misnamed(&path, error))?, path));
    }
    files.sort();
    Ok(files)
}

/// Whether a file of an evidence directory exists that is not read: a regular file.
pub(super) fn exists_inside(root: &Path, path: &Path) -> Result<bool, EvidenceError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => check_inside(root, path).map(|()| true),
        Ok(_) => Err(not_regular(path)),
        Err(error) => missing(path, error).map(|()| false),
    }
}

/// Opens a file of an evidence directory, which holds at most `max` bytes; `None` if it does
/// not exist.
pub(super) fn open_inside(root: &Path, path: &Path, max: u64) -> Result<Option<fs::File>, EvidenceError> {
    let file = match open_regular(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(not_regular(path)),
        Err(error) => return missing(path, error).map(|()| None),
    };
    // The opened file is checked: its path may lead to another one by now.
    let real = real_path(&file, path).map_err(EvidenceError::io("read", path))?;
    if !real.starts_with(root.canonicalize().map_err(EvidenceError::io("read", root))?) {
        return Err(leads_out(path));
    }
    let size = file.metadata().map_err(EvidenceError::io("read", path))?.len();
    if size > max { Err(too_large(path, max)) } else { Ok(Some(file)) }
}

/// Opens a regular file; `None` if something else is at the path. Pipes and devices are not
/// opened: reading them may not end, and opening a device can have an effect.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<fs::File>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    // A pipe that took its place in between must not delay the opening.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The path of an opened file without symbolic links. Linux names the opened file itself;
/// elsewhere, `path` must still lead to it.
fn real_path(file: &fs::File, path: &Path) -> io::Result<PathBuf> {
    if let Ok(real) = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) {
        return Ok(real);
    }
    let real = path.canonicalize()?;
    let (opened, named) = (file.metadata()?, real.symlink_metadata()?);
    if (opened.dev(), opened.ino()) == (named.dev(), named.ino()) {
        Ok(real)
    } else {
        Err(io::Error::other("it was replaced while it was opened"))
    }
}

/// Checks that a path in an evidence directory does not lead out of it by a symbolic link.
/// Evidence may be from somebody else, and a link would show a file of this machine in the
/// report.
fn check_inside(root: &Path, path: &Path) -> Result<(), EvidenceError> {
    let canonical = |path: &Path| path.canonicalize().map_err(EvidenceError::io("read", path));
    if canonical(path)?.starts_with(canonical(root)?) { Ok(()) } else { Err(leads_out(path)) }
}

/// Whether an error says that nothing is at a path. A link to nothing is an error of its own.
fn missing(path: &Path, error: io::Error) -> Result<(), EvidenceError> {
    match error.kind() {
        ErrorKind::NotFound if path.is_symlink() => Err(EvidenceError::Unusable(format!(
            "{} is a dangling symbolic link; replace it by a copy of the file, or remove it",
            path.display()
        ))),
        ErrorKind::NotFound => Ok(()),
        _ => Err(EvidenceError::io("read", path)(error)),
    }
}

fn leads_out(path: &Path) -> EvidenceError {
    EvidenceError::Unusable(format!(
        "{} is a symbolic link that leads out of the evidence directory; remove it, or ask its sender for the file",
        path.display()
    ))
}

fn not_regular(path: &Path) -> EvidenceError {
    EvidenceError::Unusable(format!(
        "{} is not a regular file; replace it by a copy of the file, or remove it",
        path.display()
    ))
}

pub(super) fn too_large(path: &Path, max: u64) -> EvidenceError {
    EvidenceError::Unusable(format!("{} is larger than the limit of {} MiB", path.display(), max >> 20))
}

/// Reads a file of an evidence directory, which holds at most `max` bytes; `None` if it does
/// not exist.
pub(super) fn read_inside(root: &Path, path: &Path, max: u64) -> Result<Option<Vec<u8>>, EvidenceError> {
    let Some(file) = open_inside(root, path, max)? else { return Ok(None) };
    // Allocate once: a growing buffer would be copied several times.
    let size = file.metadata().map_or(0, |metadata| metadata.len().min(max));
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1);
    // The file may have grown.
    file.take(max + 1).read_to_end(&mut bytes).map_err(EvidenceError::io("read", path))?;
    if bytes.len() as u64 > max { Err(too_large(path, max)) } else { Ok(Some(bytes)) }
}
