//! The destinations of reports: standard output, and files, which are opened before the
//! work begins and replaced when their report is complete.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, ErrorKind, IntoInnerError, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::termios::tcgetwinsize;
use tempfile::{NamedTempFile, SpooledTempFile};

use super::files::open_device;
use super::inputs::Inputs;
use crate::cleanup::{self, Kind, Temporary};
use crate::cli::options::WriteTo;
use crate::report::format::Format;
use crate::report::style::Style;
use crate::report::text::escape;
use crate::signals::under_way;

/// The width for what is not a terminal, such as the log of a CI job.
const WIDTH_OF_NO_TERMINAL: u16 = 100;
/// The least width: below it, tables are unreadable.
const WIDTH_MIN: u16 = 60;
/// The largest report that is kept in memory; a larger one is kept in a temporary file.
const IN_MEMORY_MAX: usize = 4 << 20;

/// What a run does that lays its reports out.
pub(super) const WRITING: &str = "writing the report";

/// The error for a report that can be kept neither way.
const CANNOT_BUFFER: &str =
    "cannot write the report to a temporary file; set TMPDIR to a directory that can be written to";

/// Writes to standard output.
pub(super) fn to_stdout(write: impl FnOnce(&mut dyn Write, Style) -> io::Result<()>) -> Result<()> {
    Output::stdout().write_whole(write)
}

/// Writes a file, over one that is there: the whole of it, or an error and none of it.
pub(super) fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write, Style) -> io::Result<()>,
) -> Result<()> {
    Output::open(path, &Inputs::none())?.write_whole(write)
}

/// The result of writing several reports, each of which is written whatever becomes of the others.
///
/// # Errors
/// If one could not be written; the error also says that the others are whole.
pub(super) fn all_written(written: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    // All reports are written before the first error is returned.
    let written: Vec<_> = written.into_iter().collect();
    let number = written.len();
    let errors: Vec<_> =
        written.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    let others = match (errors.len(), number - errors.len()) {
        (0, _) => return Ok(()),
        (_, 0) => "",
        (_, 1) => "; the other report is complete",
        (..) => "; the other reports are complete",
    };
    bail!("{}{others}", errors.join("; "))
}

/// A destination of one report. If it is dropped before [`Output::finish`], nothing is
/// written there.
pub(super) enum Output {
    Stdout(Buffer),
    /// A pipe or a device, which cannot be replaced.
    Device(Buffer, File, PathBuf),
    /// A file: written beside its path and moved there at the end.
    File(BufWriter<Temporary<NamedTempFile>>, PathBuf),
}

/// A report that is buffered until it is complete: its reader never gets a part of one, it
/// does not mix with the progress on a terminal, and a slow reader does not delay
/// collection, whose queries would time out.
pub(super) struct Buffer {
    out: BufWriter<SpooledTempFile>,
    /// Whether writing to it failed, unlike what a format itself cannot do.
    has_failed: bool,
}

impl Buffer {
    fn new() -> Self {
        Self { out: BufWriter::new(SpooledTempFile::new(IN_MEMORY_MAX)), has_failed: false }
    }

    /// The whole report from its beginning; `written` is the result of writing it.
    fn whole(self, written: io::Result<()>) -> Result<SpooledTempFile> {
        let what = if self.has_failed { CANNOT_BUFFER } else { "cannot write the report" };
        written.context(what)?;
        let mut file = self.out.into_inner().map_err(IntoInnerError::into_error).context(CANNOT_BUFFER)?;
        file.rewind().context(CANNOT_BUFFER)?;
        Ok(file)
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|_| self.has_failed = true)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|_| self.has_failed = true)
    }
}

impl Output {
    pub(super) fn stdout() -> Self {
        Self::Stdout(Buffer::new())
    }

    /// Opens all files, each with its format. No file gets two reports, and none of the
    /// inputs is overwritten.
    pub(super) fn open_all<F>(to: &[WriteTo<F>], inputs: &Inputs) -> Result<Vec<(&'static Format<F>, Self)>> {
        let mut outputs: Vec<(_, Self)> = Vec::new();
        for to in to {
            let output = Self::open(&to.file, inputs)?;
            let file_of = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
            let is_same = |other: &Self| match (other, &output) {
                // A file may have two names, such as where case makes no difference.
                (Self::File(_, other), Self::File(_, path)) => {
                    other == path || file_of(path).is_some_and(|file| file_of(other) == Some(file))
                }
                _ => false,
            };
            if outputs.iter().any(|(_, other)| is_same(other)) {
                bail!("--write names {} twice", to.file.display());
            }
            outputs.push((to.format, output));
        }
        Ok(outputs)
    }

    fn open(file: &Path, inputs: &Inputs) -> Result<Self> {
        if file.as_os_str().as_encoded_bytes().ends_with(b"/") {
            bail!("{} is the name of a directory; name a file in it", file.display());
        }
        let path = destination(file);
        let what = || cannot_write(&path);
        if path.metadata().is_ok_and(|meta| !meta.is_file()) {
            let device = open_device(&path).with_context(what)?;
            return Ok(Self::Device(Buffer::new(), device, path));
        }
        // The mode of the old file, or the default one.
        let mode = path.metadata().map_or(0o666, |meta| meta.permissions().mode() & 0o777);
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !dir.is_dir() {
            bail!("{}: there is no directory {}", cannot_write(&path), dir.display());
        }
        inputs.check(&path, dir)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".eks-netcheck-").permissions(Permissions::from_mode(mode));
        let file = cleanup::create(Kind::File, || builder.tempfile_in(dir), NamedTempFile::path);
        let file = file.with_context(what)?;
        Ok(Self::File(BufWriter::new(file), path))
    }

    /// Width and colour of text there.
    pub(super) fn style(&self) -> Style {
        if !matches!(self, Self::Stdout(_)) {
            return Style { width: WIDTH_OF_NO_TERMINAL, color: false };
        }
        let stdout = io::stdout();
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        // A terminal may have columns and no rows, as after `stty cols 80` in a new one.
        let of_terminal = tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|columns| *columns > 0);
        let width = of_terminal.or(columns);
        Style {
            width: width.unwrap_or(WIDTH_OF_NO_TERMINAL).max(WIDTH_MIN),
            color: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
        }
    }

    /// Writes a report in one piece.
    pub(super) fn write_whole(
        mut self,
        write: impl FnOnce(&mut dyn Write, Style) -> io::Result<()>,
    ) -> Result<()> {
        let style = self.style();
        let writing = under_way(WRITING);
        let written = write(&mut self, style);
        drop(writing);
        self.finish(written)
    }

    /// Completes the report; `written` is the result of writing it. It is not an error if
    /// the reader of standard output closed it, since the exit code still has the verdict.
    pub(super) fn finish(self, written: io::Result<()>) -> Result<()> {
        cleanup::wait_if_ending();
        let _writing = under_way(match &self {
            Self::Stdout(_) => "writing to standard output".to_owned(),
            Self::Device(.., path) | Self::File(_, path) => {
                format!("writing {}", escape(&path.to_string_lossy()))
            }
        });
        match self {
            Self::Stdout(buffer) => match copy(buffer.whole(written)?, &mut io::stdout().lock()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                result => result.context("cannot write to standard output"),
            },
            Self::Device(buffer, mut device, path) => {
                copy(buffer.whole(written)?, &mut device).with_context(|| cannot_write(&path))
            }
            Self::File(file, path) => {
                let file = written.and_then(|()| file.into_inner().map_err(IntoInnerError::into_error));
                let moved = file.and_then(|file| file.persist(&path));
                moved.with_context(|| cannot_write(&path))
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(buffer) | Self::Device(buffer, ..) => buffer.write(bytes),
            Self::File(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(buffer) | Self::Device(buffer, ..) => buffer.flush(),
            Self::File(file, _) => file.flush(),
        }
    }
}

fn copy(mut report: SpooledTempFile, out: &mut impl Write) -> io::Result<()> {
    io::copy(&mut report, out)?;
    out.flush()
}

/// The path without symbolic links at which a file is written: the target of a link is replaced,
/// not the link, also where nothing is there yet.
fn destination(file: &Path) -> PathBuf {
    /// As many as Linux follows.
    const LINKS_MAX: usize = 40;
    if let Ok(path) = file.canonicalize() {
        return path;
    }
    let mut path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    // What is a file of its own without a path, such as a pipe of /dev/fd.
    if path.metadata().is_ok() {
        return path;
    }
    for _ in 0..LINKS_MAX {
        let Ok(target) = path.read_link() else { break };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    match (path.parent().and_then(|dir| dir.canonicalize().ok()), path.file_name()) {
        (Some(dir), Some(name)) => dir.join(name),
        _ => path,
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write to {}", path.display())
}
