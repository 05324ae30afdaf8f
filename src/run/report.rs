//! A report of `audit` that is being written.

use std::io::{self, Write};

use super::output::WRITING;
use crate::model::audit::{Audited, Summary};
use crate::report::format::{AuditFormat, ReportSettings, ReportWriter};
use crate::report::style::Style;
use crate::signals::under_way;

/// A report that is being written. After an error, nothing more is written.
pub(super) struct Report<W> {
    writer: Box<dyn ReportWriter>,
    out: W,
    written: io::Result<()>,
}

impl<W: Write> Report<W> {
    pub(super) fn begin(format: &AuditFormat, settings: &ReportSettings, style: Style, out: W) -> Self {
        let writer = (format.write)(&ReportSettings { style, ..settings.clone() });
        Self { writer, out, written: Ok(()) }
    }

    /// Why it leaves a cluster out; `None` if it has it.
    pub(super) fn left_out(&self, audited: &Audited) -> Option<String> {
        self.writer.left_out(audited)
    }

    pub(super) fn cluster(&mut self, audited: &Audited) {
        if self.written.is_ok() {
            let _writing = under_way(WRITING);
            self.written = self.writer.cluster(audited, &mut self.out);
        }
    }

    /// Ends it. Returns where it was written to, and the first error.
    pub(super) fn end(mut self, summary: &Summary) -> (W, io::Result<()>) {
        let _writing = under_way(WRITING);
        let written = self.written.and_then(|()| self.writer.end(summary, &mut self.out));
        (self.out, written)
    }
}
