//! `man --out`: all manual pages, as files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::exit::{Ending, Exit};
use super::output::{to_file, to_stdout};
use crate::cli::options::Page;
use crate::report::text::escape;

/// Writes the pages to a directory, over those of another version.
pub(super) fn write(dir: &Path, pages: &[Page]) -> Result<Ending> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create the directory {}", dir.display()))?;
    for page in pages {
        to_file(&dir.join(&page.file), |out, _| out.write_all(&page.text))?;
    }
    let what = format!("wrote {} pages to {}", pages.len(), dir.display());
    to_stdout(|out, _| writeln!(out, "{}", escape(&what)))?;
    Ok(Exit::Pass.into())
}
