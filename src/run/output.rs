//! Where reports go: standard output, and files that are opened before the work
//! and written whole.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use crate::cli::WriteTo;
use crate::report::table::Look;

/// A width for what is no terminal, such as the log of a CI job.
const WIDTH_OF_NO_TERMINAL: u16 = 100;
/// Below this, a table is no table.
const WIDTH_MIN: u16 = 60;

/// Writes to standard output, as wide and colourful as it takes. A reader that
/// went away is no error: the exit code still tells the verdict.
pub(super) fn to_stdout(write: impl FnOnce(&mut dyn Write, Look) -> io::Result<()>) -> Result<()> {
    let stdout = io::stdout();
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = terminal_size::terminal_size_of(&stdout).map(|(width, _)| width.0).or(columns);
    let look = Look {
        width: width.unwrap_or(WIDTH_OF_NO_TERMINAL).max(WIDTH_MIN),
        color: anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never,
    };
    let mut out = BufWriter::new(stdout.lock());
    match write(&mut out, look).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// A file that a report goes to.
pub(super) struct Output<F> {
    format: F,
    path: PathBuf,
    target: Target,
}

enum Target {
    /// Written beside its place and moved there when it is whole.
    Whole(NamedTempFile),
    /// A pipe or device, which cannot be replaced.
    Stream(std::fs::File),
}

impl<F: Copy> Output<F> {
    /// Opens all; two reports in one file would be one of them.
    pub(super) fn open_all(to: &[WriteTo<F>], evidence: &[&Path]) -> Result<Vec<Self>> {
        let mut outputs: Vec<Self> = Vec::new();
        for to in to {
            let output = Self::open(to, evidence)?;
            let is_whole = |output: &Self| matches!(output.target, Target::Whole(_));
            if outputs.iter().any(|other| other.path == output.path && is_whole(other)) {
                bail!("--write names {} twice", to.file.display());
            }
            outputs.push(output);
        }
        Ok(outputs)
    }

    /// Opens it; no report goes into the evidence that it is about.
    fn open(to: &WriteTo<F>, evidence: &[&Path]) -> Result<Self> {
        // Behind a link, the file is replaced and not the link.
        let path = to.file.canonicalize().or_else(|_| std::path::absolute(&to.file));
        let path = path.unwrap_or_else(|_| to.file.clone());
        let what = || format!("cannot write to {}", path.display());
        let is_special = path.metadata().is_ok_and(|meta| !meta.is_file());
        let target = if is_special {
            Target::Stream(OpenOptions::new().write(true).open(&path).with_context(what)?)
        } else {
            // As it was; a new one's less what the umask takes.
            let mode = path.metadata().map_or(0o666, |meta| meta.permissions().mode() & 0o777);
            let mode = Permissions::from_mode(mode);
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !dir.is_dir() {
                bail!("cannot write to {}: there is no directory {}", path.display(), dir.display());
            }
            let is_input = |input: &&Path| input.canonicalize().is_ok_and(|input| input == path);
            if evidence.iter().any(is_input) {
                bail!("{} is what is compared; write the report elsewhere", path.display());
            }
            let is_evidence =
                evidence.iter().any(|evidence| match (dir.canonicalize(), evidence.canonicalize()) {
                    (Ok(dir), Ok(evidence)) => dir.starts_with(evidence),
                    _ => false,
                });
            if is_evidence {
                bail!(
                    "{} is in the evidence directory, which a report would falsify; write it elsewhere",
                    path.display()
                );
            }
            Target::Whole(
                tempfile::Builder::new()
                    .prefix(".eks-netcheck-")
                    .permissions(mode)
                    .tempfile_in(dir)
                    .with_context(what)?,
            )
        };
        Ok(Self { format: to.format, path, target })
    }

    /// Writes the report to it.
    pub(super) fn write(self, report: impl FnOnce(F, Look, &mut dyn Write) -> io::Result<()>) -> Result<()> {
        let what = || format!("cannot write to {}", self.path.display());
        let look = Look { width: WIDTH_OF_NO_TERMINAL, color: false };
        match self.target {
            Target::Stream(file) => {
                let mut out = BufWriter::new(file);
                report(self.format, look, &mut out).and_then(|()| out.flush()).with_context(what)
            }
            Target::Whole(file) => {
                let mut out = BufWriter::new(file);
                report(self.format, look, &mut out).with_context(what)?;
                let file = out.into_inner().map_err(io::IntoInnerError::into_error).with_context(what)?;
                file.persist(&self.path).map_err(|error| error.error).with_context(what)?;
                Ok(())
            }
        }
    }
}
