//! The step summary and the annotations of GitHub Actions, which are written without a
//! flag where a step of it is detected.
//!
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands>

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use super::files::open_to_append;
use super::report::Report;
use crate::messages::{self, Label};
use crate::model::audit::{Audited, Summary};
use crate::report::format::{AuditFormat, ReportSettings};
use crate::report::{github, markdown};

/// A step of GitHub Actions.
pub(super) struct Step {
    /// The step summary, and the file that it is appended to.
    summary: Option<(Report<Vec<u8>>, File)>,
    /// None if the annotations are the report on standard output.
    annotations: Option<Report<Vec<u8>>>,
}

impl Step {
    /// The step that this process runs in, if there is one. `format` is the one on
    /// standard output.
    pub(super) fn detect(format: &AuditFormat, settings: &ReportSettings) -> Option<Self> {
        env::var("GITHUB_ACTIONS").ok().filter(|value| value == "true")?;
        let path = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
        let file = path.and_then(|path| {
            let opened = open_to_append(&path);
            let warn = |error| warn(&format!("cannot write to {}: {error}", path.display()));
            opened.map_err(warn).ok()
        });
        let report = |format| Report::begin(format, settings, settings.style, Vec::new());
        Some(Self {
            summary: file.map(|file| (report(&markdown::FORMAT), file)),
            annotations: (format.name != github::FORMAT.name).then(|| report(&github::FORMAT)),
        })
    }

    pub(super) fn cluster(&mut self, audited: &Audited) {
        let summary = self.summary.iter_mut().map(|(report, _)| report);
        summary.chain(&mut self.annotations).for_each(|report| report.cluster(audited));
    }

    /// Writes both. An error is a warning only: the user did not request them, so they do not
    /// change the exit code.
    pub(super) fn end(self, summary: &Summary) {
        let write = |report: Report<Vec<u8>>, out: &mut dyn Write| {
            let (text, written) = report.end(summary);
            written.and_then(|()| out.write_all(&text))
        };
        if let Some((report, mut file)) = self.summary
            && let Err(error) = write(report, &mut file)
        {
            warn(&format!("cannot write the step summary: {error}"));
        }
        // The runner reads commands on either stream; standard output has the report.
        if let Some(report) = self.annotations
            && let Err(error) = write(report, &mut io::stderr().lock())
        {
            warn(&format!("cannot write annotations: {error}"));
        }
    }
}

fn warn(text: &str) {
    messages::print(Label::Warning, text);
}
