//! Files that the command line and the environment name. Opening one never waits for
//! another process.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Result, bail};
use rustix::fs::{Mode, OFlags, fcntl_getfl, fcntl_setfl};

use crate::evidence::files::open_regular;
use crate::signals::under_way;

/// What a run does that waits for its standard input.
const READING_STDIN: &str = "reading standard input";

/// The largest file of settings that is read.
const SIZE_MAX: u64 = 4 << 20;

/// Whether a file of settings is standard input.
pub(super) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Reads a file of settings; `-` is standard input.
pub(super) fn read_settings(path: &Path) -> Result<String> {
    if !is_stdin(path) {
        return read_text(open_settings(path)?);
    }
    let reading = under_way(READING_STDIN);
    let text = read_text(io::stdin().lock())?;
    drop(reading);
    // The command that was to write it has failed: without a policy, the default one applies.
    if text.trim().is_empty() {
        bail!("standard input is empty");
    }
    Ok(text)
}

/// Reads a file of at most `max` bytes; `-` is standard input.
pub(super) fn read_bounded(path: &Path, max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if is_stdin(path) {
        let _reading = under_way(READING_STDIN);
        io::stdin().lock().take(max + 1).read_to_end(&mut bytes)?;
    } else {
        open_settings(path)?.take(max + 1).read_to_end(&mut bytes)?;
    }
    if bytes.len() as u64 > max {
        bail!("it is larger than {} MiB", max >> 20);
    }
    Ok(bytes)
}

/// Opens a file of settings.
pub(super) fn open_settings(path: &Path) -> Result<File> {
    match open_regular(path)? {
        Some(file) => Ok(file),
        None if path.is_dir() => bail!("it is a directory; pass a file in it"),
        None => bail!("it is not a regular file; pass - to read standard input"),
    }
}

/// Reads settings.
pub(super) fn read_text(settings: impl Read) -> Result<String> {
    let mut text = String::new();
    settings.take(SIZE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > SIZE_MAX {
        bail!("it is larger than {} MiB", SIZE_MAX >> 20);
    }
    Ok(text)
}

/// Opens a pipe or a device to write to.
pub(super) fn open_device(path: &Path) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let device = match rustix::fs::open(path, flags, Mode::empty()) {
        // A pipe without a reader would delay the run until there is one.
        Err(rustix::io::Errno::NXIO) if path.metadata()?.file_type().is_fifo() => {
            bail!("no process reads this pipe; start its reader first");
        }
        opened => opened.map_err(io::Error::from)?,
    };
    // Writing waits for the reader.
    fcntl_setfl(&device, fcntl_getfl(&device)? - OFlags::NONBLOCK)?;
    Ok(device.into())
}

/// Opens a regular file to append to, which is created if it does not exist.
///
/// # Errors
/// If something else is at the path, such as a link to another file.
pub(super) fn open_to_append(path: &Path) -> io::Result<File> {
    let not_regular = || io::Error::new(ErrorKind::InvalidInput, "it is not a regular file");
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(not_regular());
    }
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(not_regular()) }
}
